//! [`Entry`]: a bound pack with what its environment holds.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

use crate::digest::EnvKey;
use crate::pack::PackRef;
use crate::spec::RuntimeKind;
use crate::store::runtime::Distribution;

/// A bound pack with what its environment holds.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// The pack.
    pub pack: PackRef,
    /// The environment's key.
    pub env: EnvKey,
    /// Its directory.
    pub path: PathBuf,
    /// Its interpreter.
    pub interpreter: PathBuf,
    /// The language.
    pub runtime: RuntimeKind,
    /// The interpreter's version.
    pub version: String,
    /// The binding's generation.
    pub generation: u64,
    /// Its distributions, by name.
    pub distributions: Vec<Distribution>,
    /// Since when the pack is bound to an environment for the declaration it answers.
    pub answers_since: Timestamp,
    /// When the generation was written.
    pub bound_at: Timestamp,
}
