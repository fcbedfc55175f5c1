//! [`Handles`]: the environments that this process resolved lately, each kept leased while nothing changed.
//!
//! # Performance
//! A hit is one reading of a clock in the process's own memory, one hash, one shared lock of one of 64 shards, one load of the pack's counter and one
//! clone of an `Arc`: no query, no system call (but one `stat` in each second, `epoch`), no allocation, and nothing that threads on different packs write to.
//! Everything else is done by misses: they drop what changed, so that a worker at rest keeps no dead environment, and what was not
//! used for longest once there is too much.
//!
//! # Compatibility
//! A forked child has its parent's handles; their leases are the parent's descriptions and let go with the last of both.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::{DefaultHashBuilder, HashTable};
use jiff::{SignedDuration, Timestamp};

use super::resolve::EnvHandle;
use crate::epoch::Sample;
use crate::pack::PackRef;

/// How many handles a process keeps where nothing else is said.
pub const HANDLES: usize = 512;
/// A power of two.
const SHARDS: usize = 64;
/// How exactly last uses are recorded.
const RESOLUTION: SignedDuration = SignedDuration::from_mins(5);

#[derive(Debug)]
struct Entry {
    handle: EnvHandle,
    /// The pack's counter before the index was queried.
    sample: Sample,
    /// The number of the miss before its last use.
    used: AtomicU64,
}

impl Entry {
    fn is_of(&self, pack: &PackRef) -> bool {
        self.handle.pack() == pack
    }
}

/// On cache lines of its own: the locks of other shards must not slow this one.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    entries: RwLock<HashTable<Entry>>,
    hits: AtomicU64,
}

impl Shard {
    fn read(&self) -> RwLockReadGuard<'_, HashTable<Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashTable<Entry>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which environments were used since that was last recorded.
#[derive(Debug)]
struct Uses {
    recorded_at: Timestamp,
    /// The miss at which it was.
    recorded_miss: u64,
    /// Used by what is not kept any more.
    of_dropped: HashSet<i64>,
}

/// The handles of one open store.
#[derive(Debug)]
pub(super) struct Handles {
    hasher: DefaultHashBuilder,
    shards: Vec<Shard>,
    capacity: usize,
    /// Counted from 1. Hits read it and write it to their entry, so that least recent means before more misses.
    misses: AtomicU64,
    uses: Mutex<Uses>,
}

impl Handles {
    /// Keeps at most so many. With none the shards take no memory to speak of.
    pub fn new(capacity: usize, now: Timestamp) -> Self {
        let shards = if capacity == 0 { 1 } else { SHARDS };
        let uses = Uses { recorded_at: now, recorded_miss: 0, of_dropped: HashSet::new() };
        Self {
            hasher: DefaultHashBuilder::default(),
            shards: std::iter::repeat_with(Shard::default).take(shards).collect(),
            capacity,
            misses: AtomicU64::new(1),
            uses: Mutex::new(uses),
        }
    }

    /// The handle kept for a pack, if nothing changed since.
    #[inline]
    pub fn hit(&self, pack: &PackRef) -> Option<EnvHandle> {
        let hash = self.hasher.hash_one(pack.as_str());
        let shard = self.shard(hash);
        let entries = shard.read();
        let entry = entries.find(hash, |entry| entry.is_of(pack)).filter(|entry| entry.sample.is_current())?;
        let miss = self.misses.load(Ordering::Relaxed);
        // Written once between two misses, so that threads on one pack do not fight for it.
        if entry.used.load(Ordering::Relaxed) != miss {
            entry.used.store(miss, Ordering::Relaxed);
        }
        // On the line of the lock, which this thread has written to already.
        shard.hits.fetch_add(1, Ordering::Relaxed);
        Some(entry.handle.clone())
    }

    /// How many handles are kept, and how often one was the answer.
    pub fn counts(&self) -> (u64, u64) {
        let each = self.shards.iter().map(|shard| (shard.read().len() as u64, shard.hits.load(Ordering::Relaxed)));
        each.fold((0, 0), |(kept, hits), (more, hit)| (kept + more, hits + hit))
    }

    /// The handle kept for a pack, whether it still holds or not.
    pub fn last(&self, pack: &PackRef) -> Option<EnvHandle> {
        let hash = self.hasher.hash_one(pack.as_str());
        self.shard(hash).read().find(hash, |entry| entry.is_of(pack)).map(|entry| entry.handle.clone())
    }

    /// Keeps what the index answered after the counter was taken, unless a writer was at work then.
    pub fn keep(&self, handle: &EnvHandle, sample: Sample) {
        if self.capacity == 0 || !sample.is_settled() {
            return;
        }
        let hash = self.hasher.hash_one(handle.pack().as_str());
        let used = AtomicU64::new(self.misses.load(Ordering::Relaxed));
        let entry = Entry { handle: handle.clone(), sample, used };
        let mut shard = self.shard(hash).write();
        let before = shard.find_mut(hash, |entry| entry.is_of(handle.pack()));
        let before = match before {
            Some(before) => Some(std::mem::replace(before, entry)),
            None => {
                shard.insert_unique(hash, entry, |entry| self.hasher.hash_one(entry.handle.pack().as_str()));
                None
            }
        };
        drop(shard);
        self.dropped(before);
    }

    /// Drops what is kept for a pack.
    #[cfg(feature = "worker")]
    pub fn forget(&self, pack: &PackRef) {
        let hash = self.hasher.hash_one(pack.as_str());
        let mut entries = self.shard(hash).write();
        let gone = entries.find_entry(hash, |entry| entry.is_of(pack)).ok().map(|found| found.remove().0);
        drop(entries);
        self.dropped(gone);
    }

    /// Drops what changed, and what was not used for longest if there is too much: part of every miss.
    pub fn let_go(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
        let mut kept = 0;
        for shard in &self.shards {
            let entries = shard.read();
            let all_hold = entries.iter().all(|entry| entry.sample.is_current());
            kept += entries.len();
            drop(entries);
            if !all_hold {
                let mut entries = shard.write();
                let gone: Vec<Entry> = entries.extract_if(|entry| !entry.sample.is_current()).collect();
                kept -= gone.len().min(kept);
                drop(entries);
                self.dropped(gone);
            }
        }
        for _ in self.capacity..kept {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&self) {
        let oldest = |shard: &Shard| shard.read().iter().map(|entry| entry.used.load(Ordering::Relaxed)).min();
        let Some((used, shard)) =
            self.shards.iter().filter_map(|s| Some((oldest(s)?, s))).min_by_key(|(used, _)| *used)
        else {
            return;
        };
        let mut entries = shard.write();
        let gone = entries.extract_if(|entry| entry.used.load(Ordering::Relaxed) <= used).next();
        drop(entries);
        self.dropped(gone);
    }

    /// Outside every lock: letting go of a lease is a system call.
    fn dropped(&self, gone: impl IntoIterator<Item = Entry>) {
        let mut uses = self.uses();
        for entry in gone {
            if entry.used.load(Ordering::Relaxed) > uses.recorded_miss {
                uses.of_dropped.insert(entry.handle.env_id());
            }
        }
    }

    /// The environments used since this last said so, at most every five minutes: what is to be recorded now.
    pub fn take_uses(&self, now: Timestamp) -> Option<HashSet<i64>> {
        let mut uses = self.uses();
        if now.duration_since(uses.recorded_at) < RESOLUTION && now >= uses.recorded_at {
            return None;
        }
        let since = uses.recorded_miss;
        uses.recorded_at = now;
        uses.recorded_miss = self.misses.fetch_add(1, Ordering::Relaxed);
        let mut used = std::mem::take(&mut uses.of_dropped);
        for shard in &self.shards {
            let entries = shard.read();
            let recent = entries.iter().filter(|entry| entry.used.load(Ordering::Relaxed) > since);
            used.extend(recent.map(|entry| entry.handle.env_id()));
        }
        Some(used)
    }

    fn uses(&self) -> MutexGuard<'_, Uses> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard(&self, hash: u64) -> &Shard {
        // The table uses the low bits for places and the highest seven for tags.
        &self.shards[usize::try_from(hash >> 32).unwrap_or(0) & (self.shards.len() - 1)]
    }
}
