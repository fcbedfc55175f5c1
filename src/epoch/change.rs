//! [`Change`]: a writer's two steps, which make the counters of a transaction odd and then even again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::file::Mapped;
use super::{Epoch, Slot, is_odd};

/// A change in flight. Dropping it without [`Change::settle`] leaves the counters odd, so that readers keep asking the index.
#[must_use]
#[derive(Debug)]
pub struct Change<'a> {
    epoch: &'a Epoch,
    /// None: no process can have cached anything (`Epoch::for_writing`).
    mapped: Option<Arc<Mapped>>,
    begun: Vec<(Slot, u64)>,
}

impl<'a> Change<'a> {
    /// Makes the wanted counters odd. The caller is the only writer.
    pub(super) fn begin(epoch: &'a Epoch, mapped: Option<Arc<Mapped>>, is_wanted: impl Fn(Slot, u64) -> bool) -> Self {
        let mut begun = Vec::new();
        if let Some(mapped) = &mapped {
            for slot in Slot::all() {
                let counter = mapped.counter(slot);
                let old = counter.load(Ordering::SeqCst);
                if is_wanted(slot, old) {
                    let mine = next_odd(old);
                    counter.store(mine, Ordering::SeqCst);
                    begun.push((slot, mine));
                }
            }
        }
        fence(Ordering::SeqCst);
        Self { epoch, mapped, begun }
    }

    /// The change is certainly committed or rolled back: readers may cache answers again. One `stat` if anything changed.
    pub fn settle(self) {
        let Self { epoch, mapped, begun } = self;
        if let Some(mapped) = &mapped {
            for (slot, mine) in &begun {
                settle(mapped.counter(*slot), *mine);
            }
        }
        if !begun.is_empty() || mapped.is_none() {
            epoch.confirm(mapped.as_deref());
        }
    }
}

/// The next odd number above a counter.
pub(super) fn next_odd(counter: u64) -> u64 {
    counter + 1 + counter % 2
}

/// Makes a counter even, if it still has the number that this writer stored.
pub(super) fn settle(counter: &AtomicU64, mine: u64) {
    debug_assert!(is_odd(mine), "{mine}");
    // If this fails, a later writer took the counter over, and settles it.
    let _ = counter.compare_exchange(mine, mine + 1, Ordering::SeqCst, Ordering::SeqCst);
}
