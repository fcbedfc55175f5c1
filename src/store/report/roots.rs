//! Who needs what: `who-uses`, `why`, pins and links.

use jiff::Timestamp;
use serde::Serialize;

use crate::digest::EnvKey;
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
    /// Nothing names it, but a process uses it.
    Running,
    /// An earlier generation of a pack names it.
    Retained,
}
