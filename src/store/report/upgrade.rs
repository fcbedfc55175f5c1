//! What `upgrade` answers.

use std::path::PathBuf;

use serde::Serialize;

use super::{Change, Outcome};
use crate::digest::EnvKey;
use crate::pack::PackRef;

/// What `upgrade` did for a pack, or would do.
#[derive(Debug, Clone, Serialize)]
pub struct Upgraded {
    /// The pack.
    pub pack: PackRef,
    /// The key of its environment now; for a dry run of the one it would have.
    pub env: EnvKey,
    /// The binding's generation; for a dry run the one it has.
    pub generation: u64,
    /// `hit` if it has the newest already.
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
