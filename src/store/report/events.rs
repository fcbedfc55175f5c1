//! What `events` answers.

use jiff::Timestamp;
use serde::Serialize;

/// What happened, newest first.
#[derive(Debug, Clone, Serialize)]
pub struct Events {
    /// Each change.
    pub events: Vec<Event>,
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What: `bound`, `removed`, `pinned`, `unpinned`, `linked`, `unlinked`, `reindexed` …
    pub what: String,
    /// The pack it happened to.
    pub pack: Option<String>,
    /// For `bound` why (`ensure`, `upgrade`, `rollback`, `import`); else the name of the pin or link.
    pub cause: Option<String>,
    /// The environment's key before.
    pub from: Option<String>,
    /// The environment's key after.
    pub to: Option<String>,
    /// The user who did it.
    pub uid: u32,
}
