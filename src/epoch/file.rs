//! The epoch's file: its bytes on disk, its creation and replacement, and one mapping of it ([`Mapped`]). The only module of the epoch with a
//! pointer into a mapping.
//!
//! memmap2 maps the file: a raw mapping makes no reference to bytes that other processes write, and every call used here is safe.
#![allow(unsafe_code)]

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use memmap2::{MmapOptions, MmapRaw};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag};

use super::{SLOTS, Slot};
use crate::error::{Error, Result};
use crate::fs::{durable, nofollow, temporary};

/// The first bytes of the file. The last one is the version.
const MAGIC: [u8; 16] = *b"envstore epoch\0\x01";
/// The offset of the incarnation, behind the magic and the store's id.
const INCARNATION: usize = 48;
/// The offset of the counters, which begin on a page of their own.
const COUNTERS: usize = 4096;
const LENGTH: usize = COUNTERS + SLOTS * size_of::<u64>();

/// The first bytes of a store's file, up to the incarnation.
fn header(store_id: &str) -> [u8; INCARNATION] {
    let mut header = [0; INCARNATION];
    header[..MAGIC.len()].copy_from_slice(&MAGIC);
    let id = store_id.as_bytes();
    let length = id.len().min(INCARNATION - MAGIC.len());
    header[MAGIC.len()..][..length].copy_from_slice(&id[..length]);
    header
}

/// Creates the file unless something is at its path. The file is written beside the path and linked, so that it appears whole and replaces nothing.
pub(super) fn create(staging: &Path, path: &Path, store_id: &str) -> Result<()> {
    let (temporary, file) = temporary::create(staging, "write")?;
    let result = write(&file, &temporary, store_id).and_then(|()| match nofollow::hard_link(&temporary, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(Error::io("create", path)(error)),
        _ => Ok(()),
    });
    let _ = nofollow::remove_file(&temporary);
    result?;
    path.parent().map_or(Ok(()), durable::sync_dir)
}

/// Puts a new file, with a new incarnation, in the place of whatever is at the path. A regular file is overwritten by the rename. Anything else
/// is moved to `quarantine`: envstore did not make it, and rename(2) does not put a file in the place of a directory.
pub(super) fn replace(staging: &Path, quarantine: &Path, path: &Path, store_id: &str) -> Result<()> {
    let (temporary, file) = temporary::create(staging, "write")?;
    let result = write(&file, &temporary, store_id).and_then(|()| {
        if path.symlink_metadata().is_ok_and(|meta| !meta.is_file()) {
            durable::rename(path, &quarantine.join(durable::unique("epoch")))?;
        }
        durable::rename(&temporary, path)
    });
    if result.is_err() {
        let _ = nofollow::remove_file(&temporary);
    }
    result
}

fn write(mut file: &File, path: &Path, store_id: &str) -> Result<()> {
    let length = i64::try_from(LENGTH).unwrap_or(i64::MAX);
    nix::fcntl::posix_fallocate(file, 0, length).map_err(Error::errno("allocate", path))?;
    file.write_all(&header(store_id)).map_err(Error::io("write", path))?;
    // No earlier file had this number, so nothing that was cached under an earlier file is valid under this one.
    let random = getrandom::u64().map_err(|error| Error::io("choose the incarnation of", path)(error.into()))?;
    // A rebuild of the index adds one: half of the numbers stay free above it.
    file.write_all(&(random >> 1).to_le_bytes()).map_err(Error::io("write", path))?;
    // Whatever the umask is: readers of another uid map the file too.
    nofollow::set_mode(file, 0o644).map_err(Error::io("set the mode of", path))?;
    file.sync_all().map_err(Error::io("sync", path))
}

/// The store's id in a file's header.
pub(super) fn store_id(path: &Path) -> Option<String> {
    let start = crate::fs::read::whole(path, LENGTH as u64).ok()?;
    let id = start.strip_prefix(&MAGIC)?.get(..INCARNATION - MAGIC.len())?;
    let text = str::from_utf8(id).ok()?;
    text.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| text.to_owned())
}

/// What tells one file at the path from another one, and from the same file after somebody wrote to it with write(2) or truncated it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds. An overlay keeps a file's device and inode when it copies the file up, but not this time.
    changed_at: (i64, i64),
}

impl Identity {
    /// Looks at what is at a path; a symbolic link is not followed. None: nothing is there, or it cannot be examined. One `stat`.
    pub fn at(path: &Path) -> Option<Self> {
        path.symlink_metadata().ok().map(|meta| Self::of(&meta))
    }

    fn of(meta: &Metadata) -> Self {
        Self { device: meta.dev(), inode: meta.ino(), size: meta.size(), changed_at: (meta.ctime(), meta.ctime_nsec()) }
    }
}

/// One mapping of the file. The mapped pages live as long as it does, also if the file is unlinked.
///
/// To touch a page of a file that was truncated in place ends the process with SIGBUS (mmap(2)). [`super::Epoch`] says who examines the file and when.
#[derive(Debug)]
pub(super) struct Mapped {
    map: MmapRaw,
    identity: Identity,
    /// Another mapping took its place in this process.
    is_retired: AtomicBool,
}

impl Mapped {
    /// Maps the file; none if there is none. Never waits: a FIFO in its place is opened without blocking, and refused.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for what is not the epoch of this store; [`Error::Io`] if it cannot be opened or mapped.
    pub fn open(path: &Path, store_id: &str, writable: bool) -> Result<Option<Self>> {
        let corrupt = |reason: String| Error::Corrupt { path: path.into(), reason };
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = match File::options().read(true).write(writable).custom_flags(flags.bits()).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            // A symbolic link, a directory or a socket refuses to be opened like this.
            Err(_) if path.symlink_metadata().is_ok_and(|meta| !meta.is_file()) => {
                return Err(corrupt("it is not a regular file".into()));
            }
            Err(error) => return Err(Error::io("open", path)(error)),
        };
        let meta = file.metadata().map_err(Error::io("stat", path))?;
        if !meta.is_file() {
            return Err(corrupt("it is not a regular file".into()));
        }
        // Bytes behind the end of a file must never be mapped.
        if meta.len() != LENGTH as u64 {
            return Err(corrupt(format!("it has {} bytes instead of {LENGTH}", meta.len())));
        }
        if writable && meta.blocks() * 512 < meta.len() {
            fill_holes(&file, path)?;
        }
        let mut options = MmapOptions::new();
        options.len(LENGTH);
        let map = if writable { options.map_raw(&file) } else { options.map_raw_read_only(&file) };
        let map = map.map_err(Error::io("map", path))?;
        let mapped = Self { map, identity: Identity::of(&meta), is_retired: AtomicBool::new(false) };
        if mapped.is_of(store_id) { Ok(Some(mapped)) } else { Err(corrupt("it is not the epoch of this store".into())) }
    }

    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether this file is at the path, with all its bytes. One `stat`. (The time of its last change is not compared: writers change it.)
    pub fn is_at(&self, path: &Path) -> bool {
        let Identity { device, inode, size, .. } = self.identity;
        Identity::at(path).is_some_and(|there| (there.device, there.inode, there.size) == (device, inode, size))
    }

    /// Whether its header is that of this store's epoch.
    pub fn is_of(&self, store_id: &str) -> bool {
        let expected = header(store_id);
        let mut words = expected.as_chunks().0.iter().enumerate();
        words.all(|(nth, word)| self.word(nth * 8).load(Ordering::Relaxed) == u64::from_ne_bytes(*word))
    }

    /// From now on nothing that was cached under this mapping is valid in this process.
    pub fn retire(&self) {
        self.is_retired.store(true, Ordering::Release);
    }

    #[inline]
    pub fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Acquire)
    }

    pub fn incarnation(&self) -> &AtomicU64 {
        self.word(INCARNATION)
    }

    /// The value of a slot's counter.
    #[inline]
    pub fn value(&self, slot: Slot) -> u64 {
        let value = self.counter(slot).load(Ordering::Relaxed);
        // A page that is mapped for reading allows only relaxed loads; the fence makes this one an acquire.
        fence(Ordering::Acquire);
        value
    }

    /// A slot's counter.
    #[inline]
    pub fn counter(&self, slot: Slot) -> &AtomicU64 {
        self.word(COUNTERS + slot.number() % SLOTS * size_of::<u64>())
    }

    #[inline]
    fn word(&self, offset: usize) -> &AtomicU64 {
        debug_assert!(offset.is_multiple_of(8) && offset + 8 <= LENGTH, "{offset}");
        // SAFETY: every caller's offset is a multiple of 8 that ends within LENGTH, and a mapping begins on a page, so the pointer is
        // aligned and inside the mapping, which lives as long as `self`. All processes access these words by atomic operations only;
        // on a mapping for reading nothing but a relaxed load is done, which std allows there. envstore never truncates the file.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().add(offset).cast()) }
    }
}

/// Allocates the blocks that a copy left out (`cp --sparse`): on a full disk a store into a hole ends the process with SIGBUS.
fn fill_holes(file: &File, path: &Path) -> Result<()> {
    let length = i64::try_from(LENGTH).unwrap_or(i64::MAX);
    match nix::fcntl::fallocate(file, FallocateFlags::empty(), 0, length) {
        // This filesystem allocates nothing in advance.
        Ok(()) | Err(Errno::EOPNOTSUPP) => Ok(()),
        Err(errno) => Err(Error::errno("allocate", path)(errno)),
    }
}
