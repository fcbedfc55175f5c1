//! What `diff` answers.

use serde::Serialize;

use crate::digest::{EnvKey, InterpreterDigest};
use crate::interpreter::InterpreterIdentity;
use crate::pack::PackRef;

/// Two environments compared.
#[derive(Debug, Clone, Serialize)]
pub struct Diff {
    /// The one.
    pub from: Side,
    /// The other.
    pub to: Side,
    /// Whether both are one environment.
    pub is_same_env: bool,
    /// What differs, by name.
    pub differences: Vec<Difference>,
    /// How many distributions do not differ.
    pub same: u64,
    /// Whether they were made for different interpreters.
    pub interpreters_differ: bool,
    /// The options of both declarations, if both are known and differ.
    pub options: Option<[Vec<String>; 2]>,
}

/// One of the two.
#[derive(Debug, Clone, Serialize)]
pub struct Side {
    /// The pack, if one was named.
    pub pack: Option<PackRef>,
    /// Its generation.
    pub generation: Option<u64>,
    /// The environment's key.
    pub env: EnvKey,
    /// What it was made for; none if the index does not remember it.
    pub interpreter: Option<InterpreterIdentity>,
    /// The digest of that.
    pub interpreter_digest: InterpreterDigest,
}

/// A distribution that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Normalised name.
    pub name: String,
    /// The version in the one; none: it is not there.
    pub from: Option<String>,
    /// The version in the other. Equal versions: another artifact of the same.
    pub to: Option<String>,
    /// The artifact in the one.
    pub from_artifact: Option<String>,
    /// The artifact in the other.
    pub to_artifact: Option<String>,
}
