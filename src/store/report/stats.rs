//! [`Stats`]: plain counters of one process.

use serde::Serialize;

/// What a process asked of a store since it opened it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// How often a pack was resolved, by `resolve` or by an `ensure` that had nothing to do.
    pub resolved: u64,
    /// How often of these the answer was kept in memory.
    pub hits: u64,
    /// How many answers are kept in memory now.
    pub kept_handles: u64,
    /// How often a pack was ensured.
    pub ensured: u64,
    /// How often of these there was nothing to do.
    pub ensure_hits: u64,
    /// How often the environment was there.
    pub shared: u64,
    /// How often it was linked.
    pub assembled: u64,
    /// How often it was built, or fetched from another store.
    pub built: u64,
    /// How often it could not be made.
    pub failed: u64,
}

impl Stats {
    /// Which part of what was resolved was kept in memory; none: nothing was resolved.
    #[allow(clippy::cast_precision_loss)]
    pub fn hit_ratio(&self) -> Option<f64> {
        (self.resolved > 0).then(|| self.hits as f64 / self.resolved as f64)
    }
}
