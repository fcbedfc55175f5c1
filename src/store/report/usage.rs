//! What the store weighs.

use serde::Serialize;

use crate::digest::EnvKey;
use crate::pack::PackRef;
use crate::store::runtime::Distribution;

/// What `du` answers. Bytes are those of files, links and directories as they are, not of the blocks they take. Bytes that files share count once.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Usage {
    /// Everything under the root: what `du -sb` says, without what files share by reflinks.
    pub total_bytes: u64,
    /// The same, apart.
    pub by_kind: UsageByKind,
    /// Bound packs.
    pub packs: u64,
    /// Environments.
    pub environments: u64,
    /// What the packs' environments would weigh if each had its own.
    pub logical_bytes: u64,
    /// What packs save that share an environment.
    pub saved_by_sharing_environments: u64,
    /// What environments save that share files, and files that stand twice in one.
    pub saved_by_sharing_files: u64,
    /// Objects of components that no environment holds: what `gc` may free.
    pub unheld_bytes: u64,
    /// Each environment, what only it holds first.
    pub by_env: Vec<EnvUsage>,
    /// Each distribution in the store, what only it holds first.
    pub by_distribution: Vec<DistributionUsage>,
}

/// Bytes under the root, by kind.
#[derive(Debug, Clone, Default, Serialize)]
pub struct UsageByKind {
    /// Files by their content.
    pub objects: u64,
    /// Files and links of environments that share nothing with objects.
    pub environments: u64,
    /// Manifests.
    pub manifests: u64,
    /// Locks.
    pub locks: u64,
    /// Bindings and pins.
    pub bindings: u64,
    /// The index.
    pub index: u64,
    /// What can be fetched again.
    pub cache: u64,
    /// What the store keeps for itself.
    pub tools: u64,
    /// Logs.
    pub logs: u64,
    /// Staging and trash.
    pub staging: u64,
    /// What is damaged, kept for people.
    pub quarantine: u64,
    /// Directories, all of them.
    pub directories: u64,
    /// Anything else.
    pub other: u64,
}

/// An environment's bytes.
#[derive(Debug, Clone, Serialize)]
pub struct EnvUsage {
    /// Which.
    pub env: EnvKey,
    /// The packs bound to it.
    pub packs: Vec<PackRef>,
    /// Bytes of its files.
    pub bytes: u64,
    /// What only it holds: what would be free without it.
    pub unique_bytes: u64,
}

/// A distribution's bytes.
#[derive(Debug, Clone, Serialize)]
pub struct DistributionUsage {
    /// Which.
    #[serde(flatten)]
    pub distribution: Distribution,
    /// Bytes of its files.
    pub bytes: u64,
    /// What only it holds.
    pub unique_bytes: u64,
    /// How many environments hold it.
    pub environments: u64,
}
