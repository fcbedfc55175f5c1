//! Who needs what: `who-uses`, `why`, pins and links.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

use crate::digest::EnvKey;
use crate::index::State;
use crate::pack::PackRef;

/// A process that uses an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its command line.
    pub command: String,
    /// When it started.
    pub since: Option<Timestamp>,
    /// Whether it holds a lease; else it only shows signs of using the environment.
    pub leased: bool,
}

/// What `who-uses` answers.
#[derive(Debug, Clone, Serialize)]
pub struct WhoUses {
    /// What matches, current environments first.
    pub matches: Vec<Match>,
}

impl WhoUses {
    /// Whether any of them is in use: retained generations may come back, but nothing starts from them.
    pub fn is_in_use(&self) -> bool {
        self.matches.iter().any(|found| found.role != Role::Retained || found.running)
    }
}

/// Somebody who holds a distribution.
#[derive(Debug, Clone, Serialize)]
pub struct Match {
    /// The pack, for `current` and `retained`.
    pub pack: Option<PackRef>,
    /// Its generation.
    pub generation: Option<u64>,
    /// The pin, for `pinned`.
    pub pin: Option<String>,
    /// The link, for `linked`.
    pub link: Option<PathBuf>,
    /// The environment.
    pub env: EnvKey,
    /// The distribution's normalised name.
    pub distribution: String,
    /// Its version there.
    pub version: String,
    /// Why it is there.
    pub role: Role,
    /// Whether a process uses the environment.
    pub running: bool,
}

/// Why an environment is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A pack is bound to it.
    Current,
    /// A pin names it.
    Pinned,
    /// A link leads to it whose pack was removed.
    Linked,
    /// Nothing names it, but a process uses it.
    Running,
    /// An earlier generation of a pack names it.
    Retained,
}

/// What `why` answers.
#[derive(Debug, Clone, Serialize)]
pub struct Why {
    /// The environment.
    pub env: EnvKey,
    /// Its directory.
    pub path: PathBuf,
    /// `ready`, `condemned`, `deleting` or `corrupt`.
    pub state: State,
    /// Bytes of its files.
    pub bytes: u64,
    /// What only it holds: what would be free without its roots.
    pub unique_bytes: u64,
    /// What keeps it; nothing: the next `gc` may take it.
    pub roots: Vec<Root>,
}

/// Something that keeps an environment.
#[derive(Debug, Clone, Serialize)]
pub struct Root {
    /// What it is.
    pub kind: RootKind,
    /// The pack, the pin's name, the link's path or the process's command line.
    pub name: String,
    /// The pack's generation.
    pub generation: Option<u64>,
    /// The process.
    pub pid: Option<u32>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Until when, for a pin that ends by itself.
    pub until: Option<Timestamp>,
}

impl Root {
    /// One of which no more is known.
    pub(crate) fn new(kind: RootKind, name: &str) -> Self {
        Self { kind, name: name.to_owned(), generation: None, pid: None, since: None, until: None }
    }
}

/// What keeps an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RootKind {
    /// A pack is bound to it.
    Binding,
    /// An earlier generation of a pack, for as long as it is retained.
    Generation,
    /// A pin.
    Pin,
    /// A link outside the store leads to it.
    Link,
    /// A process that holds a lease.
    Lease,
    /// A process that shows signs of using it and holds no lease.
    Process,
}

/// What `pin` did.
#[derive(Debug, Clone, Serialize)]
pub struct Pinned {
    /// The pin's name.
    pub name: String,
    /// The environment.
    pub env: EnvKey,
    /// Its directory.
    pub path: PathBuf,
    /// Until when it counts.
    pub until: Option<Timestamp>,
}

/// What `unpin` did.
#[derive(Debug, Clone, Serialize)]
pub struct Unpinned {
    /// The pin's name.
    pub name: String,
}

/// A generation that processes run on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunningGeneration {
    /// Which; of several with one environment the newest.
    pub generation: u64,
    /// Its environment.
    pub env: EnvKey,
    /// The processes.
    pub processes: Vec<Process>,
}

/// What `link` did.
#[derive(Debug, Clone, Serialize)]
pub struct Linked {
    /// The pack it follows.
    pub pack: PackRef,
    /// Where it is.
    pub link: PathBuf,
    /// The environment it leads to now.
    pub env: EnvKey,
}

/// What `unlink` did.
#[derive(Debug, Clone, Serialize)]
pub struct Unlinked {
    /// Where it was.
    pub link: PathBuf,
}
