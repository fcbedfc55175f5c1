//! [`Store::stats`]: what this process asked of the store since it opened it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Store;
use super::report::{Outcome, Stats};

/// Counted where work is done; hits are counted where they are found.
#[derive(Debug, Default)]
pub(super) struct Counters {
    missed: AtomicU64,
    ensured: AtomicU64,
    ensure_hits: AtomicU64,
    shared: AtomicU64,
    assembled: AtomicU64,
    built: AtomicU64,
    failed: AtomicU64,
}

impl Counters {
    /// A `resolve` that had to ask the index.
    pub fn missed(&self) {
        self.missed.fetch_add(1, Ordering::Relaxed);
    }

    /// An `ensure` that ended well, or not.
    pub fn ensured(&self, outcome: Option<Outcome>) {
        self.ensured.fetch_add(1, Ordering::Relaxed);
        let counter = match outcome {
            Some(Outcome::Hit) => &self.ensure_hits,
            Some(Outcome::Shared) => &self.shared,
            Some(Outcome::Assembled) => &self.assembled,
            Some(Outcome::Built | Outcome::Pulled) => &self.built,
            Some(Outcome::Kept) | None => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Store {
    /// What this process asked of the store since it opened it. Clones of the store count together.
    pub fn stats(&self) -> Stats {
        let counters = &self.0.counters;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (kept_handles, hits) = self.0.handles.counts();
        Stats {
            resolved: hits + get(&counters.missed),
            hits,
            kept_handles,
            ensured: get(&counters.ensured),
            ensure_hits: get(&counters.ensure_hits),
            shared: get(&counters.shared),
            assembled: get(&counters.assembled),
            built: get(&counters.built),
            failed: get(&counters.failed),
        }
    }
}
