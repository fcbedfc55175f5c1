//! What `verify` and its repair answer.

use serde::Serialize;

use crate::digest::EnvKey;
use crate::pack::PackRef;
use crate::store::finding::Finding;

/// What `verify` answers.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verified {
    /// Environments looked at.
    pub environments: u64,
    /// Their files.
    pub files: u64,
    /// Objects looked at.
    pub objects: u64,
    /// Whether every byte was read.
    pub full: bool,
    /// What is not as it was published, or was not before the repair.
    pub findings: Vec<Finding>,
    /// What was made anew.
    pub repaired: Vec<Repaired>,
    /// What could not be.
    pub unrepaired: Vec<Unrepaired>,
    /// Objects that went to quarantine.
    pub quarantined_objects: u64,
    /// Objects, damaged or missing, that are there again.
    pub replaced_objects: u64,
    /// Locks, damaged or missing, that were written again.
    pub restored_locks: u64,
}

/// An environment in the place of a damaged one.
#[derive(Debug, Clone, Serialize)]
pub struct Repaired {
    /// Its key, the same as before.
    pub env: EnvKey,
    /// The packs bound to it.
    pub packs: Vec<PackRef>,
    /// What it was made of; none: nothing names the damaged one, and it only went away.
    pub from: Option<Source>,
    /// The other environments that hold a file damaged in it, as the same inode.
    pub sharers: Vec<EnvKey>,
    /// Whether the damaged one is in quarantine; else a process uses it, and a later collection takes it.
    pub quarantined: bool,
}

/// What an environment was made of anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Of objects alone.
    Objects,
    /// Of its lock, with artifacts installed again.
    Rebuilt,
}

impl Source {
    /// The word for it, as the JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Objects => "objects",
            Self::Rebuilt => "rebuilt",
        }
    }
}

/// What stays damaged.
#[derive(Debug, Clone, Serialize)]
pub struct Unrepaired {
    /// The environment; none for objects.
    pub env: Option<EnvKey>,
    /// The packs bound to it.
    pub packs: Vec<PackRef>,
    /// Why.
    pub message: String,
}
