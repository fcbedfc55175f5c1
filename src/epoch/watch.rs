//! [`Epoch`]: the epoch's file as this process sees it, and [`Sample`]: one reading of a counter.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use nix::time::{ClockId, clock_gettime};

use super::change::Change;
use super::file::{self, Identity, Mapped};
use super::{Slot, Slots, is_odd};
use crate::error::{Error, Result};
use crate::fs::nofollow;
use crate::layout::Layout;

/// A store's counters, mapped into this process. A fork inherits them.
#[derive(Debug)]
pub struct Epoch {
    path: PathBuf,
    store_id: String,
    writable: bool,
    seen: RwLock<Seen>,
    /// The second of the clock in which some thread last examined the path.
    looked_at: AtomicI64,
}

/// What was at the path when this process last examined it.
#[derive(Debug, Default)]
struct Seen {
    identity: Option<Identity>,
    /// None: there is no file, or it cannot be used. Nothing is cached then.
    mapped: Option<Arc<Mapped>>,
}

impl Seen {
    /// Puts another mapping in the place of the present one, which is retired.
    fn set(&mut self, identity: Option<Identity>, mapped: Option<Mapped>) -> Option<Arc<Mapped>> {
        self.identity = identity;
        let before = std::mem::replace(&mut self.mapped, mapped.map(Arc::new));
        if let Some(before) = before {
            before.retire();
        }
        self.mapped.clone()
    }
}

impl Epoch {
    /// Creates the file of a store unless it is there. `staging` is on the same filesystem.
    pub fn create(staging: &Path, path: &Path, store_id: &str) -> Result<()> {
        file::create(staging, path, store_id)
    }

    /// The id of the store whose file this is; none where it is no such file.
    pub fn store_id(path: &Path) -> Option<String> {
        file::store_id(path)
    }

    /// Maps the file of a store for writing or only for reading. None: there is none. Makes nothing.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is not what this release writes for this store.
    pub fn open(path: &Path, store_id: &str, writable: bool) -> Result<Option<Self>> {
        let Some(mapped) = Mapped::open(path, store_id, writable)? else { return Ok(None) };
        let epoch = Self::unmapped(path, store_id, writable);
        epoch.write().set(Some(mapped.identity()), Some(mapped));
        Ok(Some(epoch))
    }

    /// Maps the file of a store for its owner, who makes a missing or damaged one again. If that fails, this process does without.
    pub fn for_owner(path: &Path, store_id: &str) -> Self {
        let epoch = Self::unmapped(path, store_id, true);
        let mut seen = epoch.write();
        match epoch.map_or_make() {
            Ok(mapped) => _ = seen.set(Some(mapped.identity()), Some(mapped)),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "no answers are cached: the epoch cannot be made")
            }
        }
        drop(seen);
        epoch
    }

    /// Maps the file of a store for a process that may only read. If it is missing or damaged, the process does without until there is another one.
    pub fn for_reader(path: &Path, store_id: &str) -> Self {
        let epoch = Self::unmapped(path, store_id, false);
        epoch.map_again(&mut epoch.write());
        epoch
    }

    fn unmapped(path: &Path, store_id: &str, writable: bool) -> Self {
        Self {
            path: path.into(),
            store_id: store_id.into(),
            writable,
            seen: RwLock::default(),
            looked_at: AtomicI64::new(seconds()),
        }
    }

    /// Examines the path in the first call of each second of a coarse monotonic clock, for the whole process. If another file is there, or this one was
    /// written by other means than its mappings, every [`Sample`] is outdated. One `stat` a second; every other call costs a reading of the clock.
    #[inline]
    pub fn look(&self) {
        let now = seconds();
        if self.looked_at.load(Ordering::Relaxed) != now {
            self.look_in(now);
        }
    }

    #[cold]
    fn look_in(&self, now: i64) {
        // One thread examines the path; the others go on.
        if self.looked_at.swap(now, Ordering::Relaxed) == now {
            return;
        }
        let mut seen = self.write();
        if Identity::at(&self.path) != seen.identity {
            self.map_again(&mut seen);
        }
    }

    /// Maps what is at the path now, whatever was there before.
    fn map_again(&self, seen: &mut Seen) {
        // Examined before it is opened: a file that takes its place in between is noticed by the next look.
        let identity = Identity::at(&self.path);
        match Mapped::open(&self.path, &self.store_id, self.writable) {
            Ok(Some(mapped)) => _ = seen.set(Some(mapped.identity()), Some(mapped)),
            Ok(None) => _ = seen.set(None, None),
            Err(error) => {
                tracing::warn!(%error, "no answers are cached until the owner of the store makes the epoch again");
                seen.set(identity, None);
            }
        }
    }

    /// A slot's counter now. None: there are no counters, so nothing may be cached.
    pub fn sample(&self, slot: Slot) -> Option<Sample> {
        let mapped = self.mapped()?;
        let value = mapped.value(slot);
        Some(Sample { mapped, slot, value })
    }

    /// A slot's counter, 0 where there are none.
    #[cfg(test)]
    pub fn counter(&self, slot: Slot) -> u64 {
        self.sample(slot).map_or(0, |sample| sample.value())
    }

    /// A number that changes with each rebuild of the index and with each new file. 0: there is no file.
    pub fn incarnation(&self) -> u64 {
        self.mapped().map_or(0, |mapped| mapped.incarnation().load(Ordering::Relaxed))
    }

    fn mapped(&self) -> Option<Arc<Mapped>> {
        self.look();
        self.seen.read().unwrap_or_else(PoisonError::into_inner).mapped.clone()
    }

    /// Makes the counters of these slots odd, and takes over those that a dead writer left odd. The caller is inside an IMMEDIATE
    /// transaction, after its last read and before its commit. One `stat`.
    ///
    /// # Errors
    /// If the file at the path can neither be written nor replaced nor removed: other processes would go on believing it.
    pub fn begin(&self, changed: &Slots) -> Result<Change<'_>> {
        let mapped = self.for_writing()?;
        Ok(Change::begin(self, mapped, |slot, value| changed.has(slot) || is_odd(value)))
    }

    /// The same for a rebuild of the index: every slot, and another incarnation. The caller holds `guards/index` exclusive, so
    /// there is no other writer.
    ///
    /// # Errors
    /// Those of [`Epoch::begin`].
    pub fn begin_rebuild(&self) -> Result<Change<'_>> {
        let mapped = self.for_writing()?;
        let change = Change::begin(self, mapped.clone(), |_, _| true);
        if let Some(mapped) = mapped {
            mapped.incarnation().fetch_add(1, Ordering::SeqCst);
        }
        Ok(change)
    }

    /// The file at the path, mapped for writing, after it was made again if need be. None: there is no file that any process could believe.
    fn for_writing(&self) -> Result<Option<Arc<Mapped>>> {
        let mut seen = self.write();
        if let Some(mapped) =
            seen.mapped.as_ref().filter(|mapped| mapped.is_at(&self.path) && mapped.is_of(&self.store_id))
        {
            return Ok(Some(Arc::clone(mapped)));
        }
        match self.map_or_make() {
            Ok(mapped) => Ok(seen.set(Some(mapped.identity()), Some(mapped))),
            Err(error) => {
                seen.set(None, None);
                self.withdraw(error).map(|()| None)
            }
        }
    }

    /// After a commit: whether the file whose counters were moved is still the one at the path. If another process put a file there meanwhile, somebody may
    /// have cached under it what was so before the commit. That file is replaced, which every process notices.
    pub(super) fn confirm(&self, mapped: Option<&Mapped>) {
        if mapped.is_some_and(|mapped| mapped.is_at(&self.path)) || Identity::at(&self.path).is_none() {
            return;
        }
        let mut seen = self.write();
        let made = self.replace().and_then(|()| self.map());
        let made = made.or_else(|error| {
            seen.set(None, None);
            self.withdraw(error).map(|()| None)
        });
        match made {
            Ok(Some(mapped)) => _ = seen.set(Some(mapped.identity()), Some(mapped)),
            Ok(None) => _ = seen.set(None, None),
            Err(error) => {
                tracing::error!(%error, "other processes may go on with what was so before this change: remove the epoch")
            }
        }
    }

    /// Maps the file. A missing one is created, a damaged one replaced.
    fn map_or_make(&self) -> Result<Mapped> {
        match self.map() {
            Ok(Some(mapped)) => return Ok(mapped),
            Ok(None) => Self::create(&self.layout().dir("staging"), &self.path, &self.store_id)?,
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "the epoch cannot be used and is made again");
                self.replace()?;
            }
        }
        self.map()?.ok_or_else(|| Error::io("open", &self.path)(std::io::ErrorKind::NotFound.into()))
    }

    fn map(&self) -> Result<Option<Mapped>> {
        Mapped::open(&self.path, &self.store_id, self.writable)
    }

    fn replace(&self) -> Result<()> {
        let layout = self.layout();
        file::replace(&layout.dir("staging"), &layout.dir("quarantine"), &self.path, &self.store_id)
    }

    /// Takes away a file that this process cannot write: then no process believes it a second later. Fails with the reason why it cannot be written if
    /// it cannot be removed either, and is not certainly damaged.
    fn withdraw(&self, reason: Error) -> Result<()> {
        let is_gone = nofollow::remove_file(&self.path).is_ok()
            || matches!(Mapped::open(&self.path, &self.store_id, false), Ok(None) | Err(Error::Corrupt { .. }));
        if !is_gone {
            return Err(reason);
        }
        tracing::warn!(error = %reason, path = %self.path.display(), "no answers are cached: the epoch cannot be made");
        Ok(())
    }

    /// The store whose file this is: it is at the root.
    fn layout(&self) -> Layout {
        Layout::new(self.path.parent().unwrap_or(&self.path))
    }

    fn write(&self) -> RwLockWriteGuard<'_, Seen> {
        self.seen.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reading of a pack's counter. What the index answered *after* it may be cached under it.
#[derive(Debug, Clone)]
pub struct Sample {
    mapped: Arc<Mapped>,
    slot: Slot,
    value: u64,
}

impl Sample {
    /// Whether no writer was at work, or died at work. Under an odd counter nothing may be cached.
    pub fn is_settled(&self) -> bool {
        !is_odd(self.value)
    }

    /// Whether nothing changed since. No system call.
    #[inline]
    pub fn is_current(&self) -> bool {
        // In this order: the pages of a file that is gone may be gone too.
        !self.mapped.is_retired() && self.mapped.value(self.slot) == self.value
    }

    /// The counter's slot.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The counter's value.
    pub fn value(&self) -> u64 {
        self.value
    }

    /// The incarnation of its file.
    pub fn incarnation(&self) -> u64 {
        self.mapped.incarnation().load(Ordering::Relaxed)
    }
}

/// The seconds of a clock that the kernel keeps in the process's own memory (vdso(7)): reading it is no system call.
#[inline]
fn seconds() -> i64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).map_or(0, |time| time.tv_sec())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    /// A root with the directories that a new file needs.
    fn root() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["staging", "quarantine"] {
            fs::create_dir(dir.path().join(name)).expect("a directory");
        }
        let path = dir.path().join("epoch");
        (dir, path)
    }

    fn sample(epoch: &Epoch) -> Sample {
        epoch.sample(Slot::of("pack")).expect("counters")
    }

    fn change(epoch: &Epoch) {
        let slots = Slots::default();
        slots.add(Slot::of("pack"));
        epoch.begin(&slots).expect("begins").settle();
    }

    /// The first access in another second.
    fn in_the_next_second(epoch: &Epoch) {
        epoch.looked_at.store(-1, Ordering::Relaxed);
        epoch.look();
    }

    #[test]
    fn a_file_that_was_truncated_in_place_is_not_touched_again() {
        let (_dir, path) = root();
        let owner = Epoch::for_owner(&path, ID);
        let reader = Epoch::for_reader(&path, ID);
        let (of_owner, of_reader) = (sample(&owner), sample(&reader));
        File::options().write(true).open(&path).and_then(|file| file.set_len(0)).expect("truncates");
        for epoch in [&owner, &reader] {
            in_the_next_second(epoch);
        }
        assert!(!of_owner.is_current() && !of_reader.is_current());
        assert!(owner.sample(Slot::of("pack")).is_none() && reader.sample(Slot::of("pack")).is_none());
        change(&owner);
        in_the_next_second(&reader);
        assert!(sample(&owner).is_current() && sample(&reader).is_current());
    }

    #[test]
    fn a_file_is_examined_once_a_second_and_by_every_writer() {
        let (_dir, path) = root();
        let (owner, another) = (Epoch::for_owner(&path, ID), Epoch::for_owner(&path, ID));
        let before = sample(&owner);
        fs::remove_file(&path).expect("removes");
        owner.looked_at.store(seconds() + 1, Ordering::Relaxed);
        change(&another);
        in_the_next_second(&owner);
        assert!(!before.is_current());
        assert_eq!(owner.incarnation(), another.incarnation());
        // No process reads the counters of a file that is not at the path.
        let lost = sample(&another);
        fs::remove_file(&path).expect("removes");
        change(&owner);
        assert_ne!(lost.incarnation(), owner.incarnation());
        in_the_next_second(&another);
        assert!(!lost.is_current());
    }

    #[test]
    fn a_file_that_appears_during_a_transaction_is_replaced_after_it() {
        let (_dir, path) = root();
        let writer = Epoch::for_owner(&path, ID);
        let slots = Slots::default();
        slots.add(Slot::of("pack"));
        let begun = writer.begin(&slots).expect("begins");
        fs::remove_file(&path).expect("removes");
        // Another process opens the store and caches what is so before the commit.
        let another = Epoch::for_owner(&path, ID);
        let cached = sample(&another);
        begun.settle();
        in_the_next_second(&another);
        assert!(!cached.is_current());
        assert_eq!(another.incarnation(), writer.incarnation());
    }

    #[test]
    fn a_file_that_cannot_be_made_leaves_none_that_is_believed() {
        let (dir, path) = root();
        let (writer, reader) = (Epoch::for_owner(&path, ID), Epoch::for_reader(&path, ID));
        // An older copy for readers, which no new file can take the place of.
        let copy = dir.path().join("copy");
        fs::copy(&path, &copy).expect("copies");
        for gone in ["staging", "quarantine"] {
            fs::remove_dir(dir.path().join(gone)).expect("removes");
        }
        fs::write(&path, "damage").expect("writes");
        change(&writer);
        assert!(!path.exists() && writer.sample(Slot::of("pack")).is_none());
        in_the_next_second(&reader);
        assert!(reader.sample(Slot::of("pack")).is_none());
        fs::rename(&copy, &path).expect("renames");
        in_the_next_second(&reader);
        assert!(sample(&reader).is_current());
    }

    #[test]
    fn the_owner_writes_to_the_holes_of_a_sparse_copy_and_to_a_file_it_may_not_open() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let (_dir, path) = root();
        let first = Epoch::for_owner(&path, ID).incarnation();
        let bytes = fs::read(&path).expect("reads");
        fs::remove_file(&path).expect("removes");
        let sparse = File::create(&path).expect("creates");
        std::os::unix::fs::FileExt::write_all_at(&sparse, &bytes[..64], 0).expect("writes");
        sparse.set_len(bytes.len() as u64).expect("extends");
        assert_eq!(Epoch::for_owner(&path, ID).incarnation(), first);
        let meta = fs::metadata(&path).expect("stat");
        assert!(meta.blocks() * 512 >= meta.len(), "{} blocks", meta.blocks());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).expect("chmod");
        let again = Epoch::for_owner(&path, ID);
        assert!(sample(&again).is_current());
        // Root may open it all the same.
        assert_eq!(again.incarnation() == first, nix::unistd::geteuid().is_root());
    }
}
