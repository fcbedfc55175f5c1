//! What collection answers.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

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
    /// Whether the clock jumped since the last build or collection, so that nothing was deleted for its age.
    pub mark_only: bool,
    /// Why nothing was collected, although there may be something.
    pub refused: Option<String>,
    /// Whether another collector was at work, so that this one did nothing.
    pub already_running: bool,
    /// Until when nothing is collected for want of a root, where there is such a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collect_after: Option<Timestamp>,
    /// Why, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_reason: Option<String>,
    /// What was kept because it could not be inspected or removed. Everything else was collected.
    pub skipped: Vec<Skipped>,
    /// What made this collection less careful than usual. The command line adds them to the warnings of its own.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// An item that a collection kept because it could not be inspected or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The item.
    pub path: PathBuf,
    /// Why, naming what exactly could not be removed.
    pub reason: String,
}

/// Bytes freed, by kind.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FreedByKind {
    /// Environments: what is theirs alone.
    pub environments: u64,
    /// Objects that nothing names.
    pub objects: u64,
    /// What dead builds left.
    pub staging: u64,
    /// What deletions in progress left.
    pub trash: u64,
    /// What can be fetched again.
    pub cache: u64,
    /// Logs.
    pub logs: u64,
    /// Locks that nothing names.
    pub locks: u64,
    /// Guards that nobody took for long.
    pub guards: u64,
    /// What was damaged a long time ago.
    pub quarantine: u64,
}

/// What was kept, by reason: environments, and components that no environment holds.
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
    /// Nothing names them, but it is too early to tell: see `collect_after`.
    pub grace: u64,
    /// They are in a lower layer of an overlay filesystem: nothing there can be deleted, and deleting it would free nothing.
    pub lower_layer: u64,
    /// Components that were used a short while ago: their artifacts can be linked again without an installer.
    pub components: u64,
}
