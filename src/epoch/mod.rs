//! [`Epoch`]: counters in a mapped file that tell which answers of the index may have changed.
//!
//! A pack's ref hashes to one of 1,024 slots. Whoever changes what a pack's binding answers makes its slot's counter odd before
//! the change is committed and even after it; whoever keeps an answer keeps the counter it was read under. Equal counters
//! mean that nothing changed, and looking costs no system call.
//!
//! # Locking
//! None of its own. [`Epoch::begin`] is called inside an IMMEDIATE transaction of the index, after its last read: SQLite's write
//! lock keeps writers apart there. [`Change::settle`] is called after that lock is gone, so it only ever replaces the very number
//! its own `begin` wrote; a later writer has taken over otherwise, and settles. Counters never go down.
//!
//! A reader takes the counter *before* its query begins and keeps the answer only under an even one. A writer that was killed
//! leaves its counters odd: readers of those slots ask the index each time, until the next writer settles them with its own.
//!
//! # Layout
//! store-layout.md. The file's blocks are allocated at its creation (a store into a hole dies by SIGBUS on a full disk), and it is
//! never truncated and never replaced.

mod file;
#[cfg(test)]
mod model;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::error::Result;
use file::Mapped;

/// How many counters there are.
pub const SLOTS: usize = 1024;

/// The counter of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(u16);

impl Slot {
    /// The slot of a pack's ref: its BLAKE3's first two bytes, little endian, modulo [`SLOTS`].
    pub fn of(pack_ref: &str) -> Self {
        let digest = blake3::hash(pack_ref.as_bytes());
        let [low, high, ..] = digest.as_bytes();
        Self(u16::from_le_bytes([*low, *high]) % 1024)
    }

    /// Its number, below [`SLOTS`].
    pub fn number(self) -> usize {
        self.0.into()
    }

    fn all() -> impl Iterator<Item = Self> {
        (0..1024).map(Self)
    }
}

/// A set of slots that threads may add to.
#[derive(Debug, Default)]
pub struct Slots([AtomicU64; SLOTS / 64]);

impl Slots {
    /// Adds a slot.
    pub fn add(&self, slot: Slot) {
        self.0[usize::from(slot.0 / 64)].fetch_or(1 << (slot.0 % 64), Ordering::Relaxed);
    }

    /// Takes every slot out.
    pub fn clear(&self) {
        self.0.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }

    fn has(&self, slot: Slot) -> bool {
        self.0[usize::from(slot.0 / 64)].load(Ordering::Relaxed) >> (slot.0 % 64) & 1 == 1
    }
}

/// A store's counters, mapped into this process. A fork keeps them.
#[derive(Debug)]
pub struct Epoch(Mapped);

impl Epoch {
    /// Makes the file of a store, unless it is there. `staging` is on the same filesystem.
    pub fn create(staging: &Path, path: &Path, store_id: &str) -> Result<()> {
        file::create(staging, path, store_id)
    }

    /// Maps the file of a store, to be written or only to be read. None: there is none.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] when it is not what this release writes for this store.
    pub fn open(path: &Path, store_id: &str, writable: bool) -> Result<Option<Self>> {
        Ok(Mapped::open(path, store_id, writable)?.map(Self))
    }

    /// The id of the store whose file this is; none where it is no such file.
    pub fn store_id(path: &Path) -> Option<String> {
        file::store_id(path)
    }

    /// A slot's counter. No system call.
    #[inline]
    pub fn counter(&self, slot: Slot) -> u64 {
        let counter = self.0.counter(slot.number()).load(Ordering::Relaxed);
        // Relaxed is what a page mapped for reading allows; the fence makes it an acquire.
        fence(Ordering::Acquire);
        counter
    }

    /// How often the index was rebuilt.
    pub fn incarnation(&self) -> u64 {
        self.0.incarnation().load(Ordering::Relaxed)
    }

    /// Makes the counters of these slots odd, and takes over those that a dead writer left odd. The caller is inside an IMMEDIATE
    /// transaction, after its last read and before its commit.
    pub fn begin(&self, changed: &Slots) -> Change<'_> {
        self.make_odd(|slot, counter| changed.has(slot) || is_odd(counter))
    }

    /// The same for a rebuild of the index: every slot, and another incarnation. The caller holds `guards/index` exclusive, so
    /// that nobody writes.
    pub fn begin_rebuild(&self) -> Change<'_> {
        let change = self.make_odd(|_, _| true);
        self.0.incarnation().fetch_add(1, Ordering::SeqCst);
        change
    }

    fn make_odd(&self, wanted: impl Fn(Slot, u64) -> bool) -> Change<'_> {
        let mut begun = Vec::new();
        for slot in Slot::all() {
            let counter = self.0.counter(slot.number());
            let old = counter.load(Ordering::SeqCst);
            if wanted(slot, old) {
                let mine = next_odd(old);
                counter.store(mine, Ordering::SeqCst);
                begun.push((slot, mine));
            }
        }
        fence(Ordering::SeqCst);
        Change { epoch: self, begun }
    }
}

/// A change whose outcome is not known yet. Dropped, it stays so: the counters are left odd.
#[must_use]
#[derive(Debug)]
pub struct Change<'a> {
    epoch: &'a Epoch,
    begun: Vec<(Slot, u64)>,
}

impl Change<'_> {
    /// The change is committed or rolled back, for certain: readers may keep answers again.
    pub fn settle(self) {
        for (slot, mine) in self.begun {
            settle(self.epoch.0.counter(slot.number()), mine);
        }
    }
}

/// Whether a writer is, or died, between its two steps.
pub fn is_odd(counter: u64) -> bool {
    counter % 2 == 1
}

/// The next odd number above a counter.
fn next_odd(counter: u64) -> u64 {
    counter + 1 + counter % 2
}

/// Makes a counter even, if it is still the one this writer wrote.
fn settle(counter: &AtomicU64, mine: u64) {
    // Failed: a later writer took over, and settles it.
    let _ = counter.compare_exchange(mine, mine + 1, Ordering::SeqCst, Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    fn made(dir: &Path) -> Epoch {
        Epoch::create(dir, &dir.join("epoch"), ID).expect("creates");
        Epoch::open(&dir.join("epoch"), ID, true).expect("opens").expect("there")
    }

    #[test]
    fn a_change_is_odd_until_it_is_settled_and_touches_no_other_slot() {
        let dir = tempfile::tempdir().expect("a directory");
        let (writer, slots) = (made(dir.path()), Slots::default());
        let reader = Epoch::open(&dir.path().join("epoch"), ID, false).expect("opens").expect("there");
        let (slot, other) = (Slot::of("aws.s3"), Slot::of("aws.ec2"));
        slots.add(slot);
        let change = writer.begin(&slots);
        assert_eq!((reader.counter(slot), reader.counter(other)), (1, 0));
        change.settle();
        assert_eq!((reader.counter(slot), reader.counter(other)), (2, 0));
    }

    #[test]
    fn what_a_dead_writer_left_odd_the_next_one_settles_whatever_it_changes() {
        let dir = tempfile::tempdir().expect("a directory");
        let (epoch, slots) = (made(dir.path()), Slots::default());
        let slot = Slot::of("aws.s3");
        slots.add(slot);
        drop(epoch.begin(&slots));
        assert_eq!(epoch.counter(slot), 1);
        epoch.begin(&Slots::default()).settle();
        assert_eq!(epoch.counter(slot), 4);
    }

    #[test]
    fn a_rebuild_changes_every_slot_and_the_incarnation() {
        let dir = tempfile::tempdir().expect("a directory");
        let epoch = made(dir.path());
        epoch.begin_rebuild().settle();
        assert!(Slot::all().all(|slot| epoch.counter(slot) == 2));
        assert_eq!(epoch.incarnation(), 1);
    }

    #[test]
    fn slots_are_the_same_in_every_process_and_release() {
        assert_eq!([Slot::of("aws.s3"), Slot::of("a"), Slot::of("ümlaut")], [Slot(630), Slot(535), Slot(928)]);
    }

    #[test]
    fn the_file_is_made_once_and_belongs_to_its_store() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("epoch");
        assert!(Epoch::open(&path, ID, true).expect("no error").is_none());
        let epoch = made(dir.path());
        epoch.begin_rebuild().settle();
        Epoch::create(dir.path(), &path, ID).expect("it is there");
        assert_eq!(epoch.incarnation(), 1, "it is the same file");
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 1, "nothing is left beside it");
        for (bytes, id) in [(12_288, "f".repeat(32)), (12_287, ID.into()), (0, ID.into())] {
            let copy = dir.path().join("copy");
            std::fs::copy(&path, &copy).expect("copies");
            std::fs::File::options().write(true).open(&copy).expect("opens").set_len(bytes).expect("cuts");
            assert!(matches!(Epoch::open(&copy, &id, true), Err(Error::Corrupt { .. })), "{bytes} {id}");
        }
    }

    #[test]
    fn its_blocks_are_allocated() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().expect("a directory");
        made(dir.path());
        let meta = std::fs::metadata(dir.path().join("epoch")).expect("stat");
        assert!(meta.blocks() * 512 >= meta.len(), "{} blocks", meta.blocks());
    }
}
