//! [`Epoch`]: counters in a mapped file that tell which answers of the index may have changed.
//!
//! A pack's ref hashes to one of 1,024 slots. A writer that changes what a pack's binding answers makes the slot's counter odd before
//! it commits, and even afterwards. A process that caches an answer keeps the counter it was read under ([`Sample`]). Equal counters
//! mean that nothing changed, and the comparison needs no system call.
//!
//! The file is a cache: the index is right where the two differ, and a file that is lost or damaged never stops a command.
//!
//! # Locking
//! None of its own. [`Epoch::begin`] is called inside an IMMEDIATE transaction of the index, after its last read: SQLite's write
//! lock keeps other writers out. [`Change::settle`] is called after that lock was released, so it only ever replaces the very number
//! that its own `begin` stored; otherwise a later writer has taken the counter over, and settles it. Counters never go down.
//!
//! A reader takes the counter *before* its query begins and caches the answer only under an even one. A writer that was killed
//! leaves its counters odd: readers of those slots ask the index each time, until the next writer settles them with its own.
//!
//! # When the file is lost, damaged, replaced or restored
//! - **Opening.** The owner creates a missing file, and puts a new one in the place of one that cannot be used ([`Epoch::for_owner`]). A reader does
//!   without ([`Epoch::for_reader`]). Neither waits for a FIFO or follows a link.
//! - **Reading.** The first access of each second compares the device, inode, size and time of the last change of what is at the path with what this
//!   process mapped ([`Epoch::look`]). If they differ, everything cached is outdated, and the file that is there now is mapped, if it can be used. The
//!   time of the last change tells of a file that was restored in place or by renaming it back, and of one that an overlay copied up: the inode
//!   is the same. A writer's store through its mapping changes the time too, once after each time the kernel wrote the page to disk, so a process may
//!   ask the index again for everything although only one pack changed.
//! - **Writing.** Each transaction compares the path with its mapping after it took SQLite's write lock, and again after its commit. A writer never
//!   moves the counters of a file that is not at the path. If it can neither write nor replace the file, it removes it, and if it cannot do that either,
//!   it refuses the change.
//!
//! A new file has a random incarnation. An answer is cached under a mapping of this process, or under the incarnation (`answers`), and is
//! therefore never taken for an answer under another file.
//!
//! What remains: for up to a second a process may answer what was so when the file was removed or replaced. And a process that touches the mapping of
//! a file that was truncated *in place* is ended by SIGBUS (mmap(2)) if it does so before its look of that second, as with SQLite's `index.db-shm`. envstore
//! itself never truncates the file.
//!
//! # Layout
//! store-layout.md. The file's blocks are allocated at its creation, because a store into a hole ends the process with SIGBUS on a full disk.

mod change;
mod file;
#[cfg(test)]
mod model;
mod watch;

use std::sync::atomic::{AtomicU64, Ordering};

pub use change::Change;
pub use watch::{Epoch, Sample};

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

/// Whether a writer is between its two steps, or died there.
pub fn is_odd(counter: u64) -> bool {
    counter % 2 == 1
}

#[cfg(test)]
mod tests {
    use std::path::Path;

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
        let change = writer.begin(&slots).expect("begins");
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
        drop(epoch.begin(&slots).expect("begins"));
        assert_eq!(epoch.counter(slot), 1);
        epoch.begin(&Slots::default()).expect("begins").settle();
        assert_eq!(epoch.counter(slot), 4);
    }

    #[test]
    fn a_rebuild_changes_every_slot_and_the_incarnation() {
        let dir = tempfile::tempdir().expect("a directory");
        let epoch = made(dir.path());
        let before = epoch.incarnation();
        epoch.begin_rebuild().expect("begins").settle();
        assert!(Slot::all().all(|slot| epoch.counter(slot) == 2));
        assert_eq!(epoch.incarnation(), before + 1);
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
        let before = epoch.incarnation();
        epoch.begin_rebuild().expect("begins").settle();
        Epoch::create(dir.path(), &path, ID).expect("it is there");
        assert_eq!(epoch.incarnation(), before + 1, "it is the same file");
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
