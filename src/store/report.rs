//! What the store's operations answer: plain data, serialised as it is by the command line.
//!
//! Bytes and seconds are numbers, times RFC 3339 in UTC, names in snake case.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::{EnvKey, SpecDigest, TreeDigest};
use crate::index::State;
use crate::interpreter::InterpreterIdentity;
use crate::pack::PackRef;
use crate::spec::Spec;
use crate::store::runtime::Distribution;

/// How a pack came to its environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The binding already answered.
    Hit,
    /// The environment was there; the pack was bound to it.
    Shared,
    /// The environment was linked from components.
    Assembled,
    /// The environment was built.
    Built,
    /// The environment was fetched from another store.
    Pulled,
    /// It could not be made; the pack keeps the one it had.
    Kept,
}

/// Why a generation was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// `ensure` of a new or changed declaration.
    Ensure,
    /// `upgrade`.
    Upgrade,
    /// `rollback`.
    Rollback,
    /// Taken over from another installation.
    Import,
}

/// A difference between two environments' distributions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Normalised name.
    pub name: String,
    /// The version before; none: it was added.
    pub from: Option<String>,
    /// The version now; none: it was removed.
    pub to: Option<String>,
}

/// What `ensure` answers.
#[derive(Debug, Clone, Serialize)]
pub struct Ensured {
    /// The pack.
    pub pack: PackRef,
    /// The environment's key.
    pub env: EnvKey,
    /// Its directory.
    pub path: PathBuf,
    /// Its interpreter.
    pub interpreter: PathBuf,
    /// The binding's generation, from 1.
    pub generation: u64,
    /// How it came to be.
    pub outcome: Outcome,
    /// Whether the environment answers the declaration given.
    pub answers_current_spec: bool,
    /// The digest of the declaration given.
    pub spec: SpecDigest,
    /// What changed against the pack's environment before.
    pub changes: Vec<Change>,
    /// Milliseconds it took.
    pub elapsed_ms: u64,
    /// The build's output, where there was a build.
    pub log: Option<PathBuf>,
}

/// What `resolve` answers.
#[derive(Debug, Clone, Serialize)]
pub struct Resolved {
    /// The pack.
    pub pack: PackRef,
    /// The environment's key.
    pub env: EnvKey,
    /// Its directory.
    pub path: PathBuf,
    /// Its interpreter.
    pub interpreter: PathBuf,
    /// The binding's generation.
    pub generation: u64,
    /// Why that generation was written.
    pub cause: Cause,
    /// Whether the binding answers another declaration than the last one given.
    pub stale: bool,
    /// Whether the interpreter's executable is not the one the environment was made for.
    pub interpreter_changed: bool,
}

/// A pack in `list`.
#[derive(Debug, Clone, Serialize)]
pub struct PackSummary {
    /// The pack.
    pub pack: PackRef,
    /// The environment's key.
    pub env: EnvKey,
    /// Its directory.
    pub path: PathBuf,
    /// Its interpreter.
    pub interpreter: PathBuf,
    /// The interpreter's version.
    pub version: String,
    /// The binding's generation.
    pub generation: u64,
    /// Number of distributions.
    pub distributions: u64,
    /// The environment's bytes.
    pub bytes: u64,
    /// How many packs are bound to the environment.
    pub shared_by: u64,
    /// When the generation was written.
    pub bound_at: Timestamp,
    /// Where `sync` found the declaration.
    pub origin: Option<PathBuf>,
}

/// An environment in `list --all` and `show`.
#[derive(Debug, Clone, Serialize)]
pub struct EnvSummary {
    /// Its key.
    pub env: EnvKey,
    /// Its directory.
    pub path: PathBuf,
    /// Its interpreter.
    pub interpreter: PathBuf,
    /// What the interpreter is.
    pub identity: InterpreterIdentity,
    /// `ready`, `condemned`, `deleting` or `corrupt`.
    pub state: State,
    /// The digest of its canonical manifest.
    pub tree_digest: TreeDigest,
    /// Bytes of its files.
    pub bytes: u64,
    /// Number of its files.
    pub files: u64,
    /// Its distributions, by name.
    pub distributions: Vec<Distribution>,
    /// The packs bound to it.
    pub packs: Vec<PackRef>,
    /// The installer that made it.
    pub installer: String,
    /// What the installer left to be noted.
    pub notes: Vec<String>,
    /// Since when.
    pub created_at: Timestamp,
    /// When a pack last asked for it, to 5 minutes.
    pub last_used_at: Timestamp,
}

/// A generation of a binding.
#[derive(Debug, Clone, Serialize)]
pub struct GenerationSummary {
    /// From 1.
    pub generation: u64,
    /// The environment.
    pub env: EnvKey,
    /// The declaration it answers.
    pub answers: SpecDigest,
    /// When it was written.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// Whether the environment stands.
    pub present: bool,
}

/// What `show PACK` answers.
#[derive(Debug, Clone, Serialize)]
pub struct PackDetails {
    /// The pack.
    pub pack: PackRef,
    /// The binding's generation.
    pub generation: u64,
    /// The digest of its declaration.
    pub spec: SpecDigest,
    /// Its declaration.
    pub declaration: Spec,
    /// Where `sync` found the declaration.
    pub origin: Option<PathBuf>,
    /// Whether the binding answers another declaration than the last one given.
    pub stale: bool,
    /// The environment.
    #[serde(flatten)]
    pub environment: EnvSummary,
    /// Its history, newest first.
    pub generations: Vec<GenerationSummary>,
}

/// What `remove` did.
#[derive(Debug, Clone, Serialize)]
pub struct Removed {
    /// The pack.
    pub pack: PackRef,
    /// Whether its environment went with it.
    pub env_removed: bool,
    /// Bytes that gave.
    pub freed_bytes: u64,
}

/// What `gc` did, or would do.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Collected {
    /// Environments that no root keeps.
    pub condemned: u64,
    /// Environments deleted.
    pub swept: u64,
    /// Bytes that gave.
    pub freed_bytes: u64,
    /// The same, apart.
    pub freed_by_kind: FreedByKind,
    /// What could not go, by reason.
    pub kept: Kept,
    /// Whether the target was met; true without a target.
    pub target_reached: bool,
    /// Whether another collector was at work, so that this one did nothing.
    pub already_running: bool,
}

/// Bytes freed, by kind.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FreedByKind {
    /// Environments.
    pub environments: u64,
    /// What dead builds left.
    pub staging: u64,
    /// What deletions in progress left.
    pub trash: u64,
    /// What can be fetched again.
    pub cache: u64,
    /// Logs.
    pub logs: u64,
}

/// Environments kept, by reason.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Kept {
    /// A process uses them.
    pub leased: u64,
    /// An earlier generation of a pack names them.
    pub retained: u64,
    /// A pin names them.
    pub pinned: u64,
    /// They were used a short while ago.
    pub young: u64,
}

/// What `reindex` brought back.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Reindexed {
    /// Environments with a manifest.
    pub environments: u64,
    /// Packs with a binding file.
    pub packs: u64,
    /// Generations in them.
    pub generations: u64,
    /// What could not be read, and why.
    pub findings: Vec<Finding>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// A short name, e.g. `interpreter_changed`.
    pub kind: String,
    /// How bad it is.
    pub level: Level,
    /// One sentence.
    pub message: String,
    /// What to do, where there is something.
    pub hint: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// Will hurt some day.
    Warning,
    /// Hurts now.
    Damage,
}
