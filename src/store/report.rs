//! What the store's operations answer: plain data, serialised as it is by the command line.
//!
//! Bytes and seconds are numbers, times RFC 3339 in UTC, names in snake case.

mod collected;
mod diff;
mod entry;
mod events;
mod roots;
mod stats;
mod upgrade;
mod usage;
mod verified;

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::{EnvKey, LockDigest, SpecDigest, TreeDigest};
use crate::fs::link::LinkMode;
use crate::interpreter::InterpreterIdentity;
use crate::pack::PackRef;
use crate::spec::Spec;
use crate::store::runtime::Distribution;

pub use super::finding::{Finding, Level};
pub use crate::index::State;
pub use collected::{Collected, FreedByKind, Kept, Skipped};
pub use diff::{Diff, Difference, Side};
pub use entry::Entry;
pub use events::{Event, Events};
pub use roots::{
    Linked, Match, Pinned, Process, Role, Root, RootKind, RunningGeneration, Unlinked, Unpinned, WhoUses, Why,
};
pub use stats::Stats;
pub use upgrade::Upgraded;
pub use usage::{DistributionUsage, EnvUsage, Usage, UsageByKind};
pub use verified::{Repaired, Source, Unrepaired, Verified};

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

impl Cause {
    /// The word for it, as the JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ensure => "ensure",
            Self::Upgrade => "upgrade",
            Self::Rollback => "rollback",
            Self::Import => "import",
        }
    }
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

/// How far an environment has the versions that were to be preferred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Likeness {
    /// How many distributions have the preferred version.
    pub stayed: usize,
    /// Those that have another one (`from` is the preferred one), or that were not among the preferred (no `from`).
    pub changes: Vec<Change>,
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
    /// What became of the versions to prefer, where some were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub like: Option<Likeness>,
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
    /// How its files share with objects: `reflink`, `hardlink` or `copy`.
    pub link_mode: LinkMode,
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
    /// The lock, under `locks/`.
    pub lock: LockDigest,
    /// The declaration it answers.
    pub answers: SpecDigest,
    /// When it was written.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// The user who asked for it.
    pub uid: Option<u32>,
    /// That declaration, in `history`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declaration: Option<Spec>,
    /// Whether the environment stands.
    pub present: bool,
}

/// What `history` answers.
#[derive(Debug, Clone, Serialize)]
pub struct History {
    /// The pack.
    pub pack: PackRef,
    /// The digest of its last declaration.
    pub spec: SpecDigest,
    /// The current generation; none once the pack was removed with its history kept.
    pub current: Option<u64>,
    /// Every generation, newest first.
    pub generations: Vec<GenerationSummary>,
}

/// What `rollback` did, or would do.
#[derive(Debug, Clone, Serialize)]
pub struct RolledBack {
    /// The pack.
    pub pack: PackRef,
    /// The key of its environment now.
    pub env: EnvKey,
    /// The binding's generation; for a dry run the one it has, 0 for a pack that was removed.
    pub generation: u64,
    /// The earlier generation that it repeats.
    pub to: u64,
    /// Whether the environment stood (`hit`: the pack was bound to it; `shared`), was linked or built.
    pub outcome: Outcome,
    /// What changed against the pack's environment before.
    pub changes: Vec<Change>,
    /// Whether nothing was done.
    pub dry_run: bool,
    /// Milliseconds it took.
    pub elapsed_ms: u64,
    /// The build's output, where there was a build.
    pub log: Option<PathBuf>,
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
    /// The other packs bound to its environment.
    pub shared_with: Vec<PackRef>,
    /// The generations that processes run on now.
    pub running: Vec<RunningGeneration>,
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
    /// What should have been deleted and could not be; a later collection tries again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
}

/// What `seal` and `unseal` answer.
#[derive(Debug, Clone, Serialize)]
pub struct Sealing {
    /// The store's root.
    pub path: PathBuf,
    /// Whether it is sealed now.
    pub sealed: bool,
    /// Whether it was not before.
    pub changed: bool,
}

/// What `migrate` did.
#[derive(Debug, Clone, Serialize)]
pub struct Migrated {
    /// The store's root.
    pub path: PathBuf,
    /// The format it had.
    pub from: u32,
    /// The format it has.
    pub to: u32,
}

/// What `relocate` did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Relocated {
    /// The store's root.
    pub path: PathBuf,
    /// The paths that environments named before; empty: they named the root, and nothing was done.
    pub from: Vec<PathBuf>,
    /// Whether anything was done.
    pub changed: bool,
    /// Whether the store got an id of its own, as a copy of the one at the former path.
    pub is_copy: bool,
    /// How many environments were made again.
    pub environments: u64,
    /// About how many bytes the new directories take: files that name their place, directories, and copies where files are not shared.
    pub written_bytes: u64,
    /// How many links outside the store lead to the new environments.
    pub links: u64,
    /// Links that the store follows no more, because they do not lead into it.
    pub dropped_links: Vec<PathBuf>,
    /// Links that still lead to a former path, because they could not be changed or their environment could not be made again.
    pub lost_links: Vec<PathBuf>,
    /// Environments that could not be made again.
    pub not_relocated: Vec<NotRelocated>,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// An environment that `relocate` could not make again.
#[derive(Debug, Clone, Serialize)]
pub struct NotRelocated {
    /// Its key.
    pub env: EnvKey,
    /// The packs bound to it.
    pub packs: Vec<PackRef>,
    /// Why not.
    pub reason: String,
}

/// What `checkout` made.
#[derive(Debug, Clone, Serialize)]
pub struct CheckedOut {
    /// The pack.
    pub pack: PackRef,
    /// The key of the environment it is a copy of.
    pub env: EnvKey,
    /// Where it is.
    pub path: PathBuf,
    /// Its interpreter.
    pub interpreter: PathBuf,
    /// How many files were copied.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that go on naming the store's environment, relative.
    pub host_bound: Vec<String>,
}

/// What a lock is exported as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// The language's lock file: `pylock.toml` (PEP 751).
    Pylock,
    /// A requirements file.
    Requirements,
    /// A bill of materials: CycloneDX 1.5 as JSON.
    Cyclonedx,
}

/// A pack's lock as a file.
#[derive(Debug, Clone, Serialize)]
pub struct Exported {
    /// The pack.
    pub pack: PackRef,
    /// The key of its environment.
    pub env: EnvKey,
    /// The binding's generation.
    pub generation: u64,
    /// What the text is.
    pub format: Format,
    /// The file's text.
    pub text: String,
}

/// What was said while a pack's environment was made.
#[derive(Debug, Clone, Serialize)]
pub struct PackLog {
    /// The pack.
    pub pack: PackRef,
    /// The log's path.
    pub log: PathBuf,
    /// What is in it.
    pub text: String,
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
    /// Pins.
    pub pins: u64,
    /// Links.
    pub links: u64,
    /// What could not be read, and why; what is no file of the store; what was written again.
    pub findings: Vec<Finding>,
    /// Whether a new index took the place of one that could not be used. Otherwise what was missing was added.
    pub rebuilt: bool,
    /// What had been lost; none: nothing.
    pub lost: Option<String>,
    /// When collections begin again, if something had been lost.
    pub collect_after: Option<Timestamp>,
    /// Whether files could not be read, so that what they say is lost.
    #[serde(skip)]
    pub(crate) lost_files: bool,
}
