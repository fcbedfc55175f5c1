//! The file of an epoch: made once, mapped by everybody. The only place with a pointer into a mapping.
//!
//! memmap2 maps it: its raw mappings make no reference to bytes that other processes write, and all its calls used here are safe.
#![allow(unsafe_code)]

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::AtomicU64;

use memmap2::{MmapOptions, MmapRaw};

use super::SLOTS;
use crate::error::{Error, Result};
use crate::fs::durable;

/// How the file begins; the last byte is the version.
const MAGIC: [u8; 16] = *b"envstore epoch\0\x01";
/// Where the incarnation stands, behind the magic and the store's id.
const INCARNATION: usize = 48;
/// Where the counters begin: on a page of their own.
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

/// Makes the file, unless it is there: written beside and linked, so that it appears whole and replaces nothing.
pub(super) fn create(staging: &Path, path: &Path, store_id: &str) -> Result<()> {
    let temporary = staging.join(durable::unique("write"));
    let result = write(&temporary, store_id).and_then(|()| match fs::hard_link(&temporary, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(Error::io("create", path)(error)),
        _ => Ok(()),
    });
    let _ = fs::remove_file(&temporary);
    result?;
    path.parent().map_or(Ok(()), durable::sync_dir)
}

fn write(path: &Path, store_id: &str) -> Result<()> {
    let file = File::options().write(true).create_new(true).mode(0o644).open(path);
    let mut file = file.map_err(Error::io("create", path))?;
    let length = i64::try_from(LENGTH).unwrap_or(i64::MAX);
    nix::fcntl::posix_fallocate(&file, 0, length).map_err(Error::errno("allocate", path))?;
    file.write_all(&header(store_id)).map_err(Error::io("write", path))?;
    // Whatever the umask: readers of another uid map it too.
    file.set_permissions(Permissions::from_mode(0o644)).map_err(Error::io("set the mode of", path))?;
    file.sync_all().map_err(Error::io("sync", path))
}

/// The store's id in a file's header.
pub(super) fn store_id(path: &Path) -> Option<String> {
    let start = crate::fs::read::whole(path, LENGTH as u64).ok()?;
    let id = start.strip_prefix(&MAGIC)?.get(..INCARNATION - MAGIC.len())?;
    let text = str::from_utf8(id).ok()?;
    text.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| text.to_owned())
}

/// The mapping. What it leads to lives as long as it does, whoever unlinks the file.
#[derive(Debug)]
pub(super) struct Mapped(MmapRaw);

impl Mapped {
    /// Maps the file; none if there is none.
    pub fn open(path: &Path, store_id: &str, writable: bool) -> Result<Option<Self>> {
        let file = match File::options().read(true).write(writable).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", path)(error)),
        };
        let corrupt = |reason: &str| Error::Corrupt { path: path.into(), reason: reason.into() };
        // Bytes behind its end must never be mapped.
        if file.metadata().map_err(Error::io("stat", path))?.len() != LENGTH as u64 {
            return Err(corrupt("its size is not that of an epoch"));
        }
        let mut options = MmapOptions::new();
        options.len(LENGTH);
        let map = if writable { options.map_raw(&file) } else { options.map_raw_read_only(&file) };
        let mapped = Self(map.map_err(Error::io("map", path))?);
        if mapped.header() != header(store_id) {
            return Err(corrupt("it is not the epoch of this store"));
        }
        Ok(Some(mapped))
    }

    fn header(&self) -> [u8; INCARNATION] {
        // SAFETY: the mapping has LENGTH bytes, more than the header. Nobody writes these bytes after the file got its name.
        unsafe { self.0.as_ptr().cast::<[u8; INCARNATION]>().read() }
    }

    pub fn incarnation(&self) -> &AtomicU64 {
        self.word(INCARNATION)
    }

    /// A counter; `slot` is below [`SLOTS`].
    pub fn counter(&self, slot: usize) -> &AtomicU64 {
        debug_assert!(slot < SLOTS, "{slot}");
        self.word(COUNTERS + slot % SLOTS * size_of::<u64>())
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        debug_assert!(offset.is_multiple_of(8) && offset + 8 <= LENGTH, "{offset}");
        // SAFETY: every caller's offset is a multiple of 8 that ends within LENGTH, and a mapping begins on a page, so the pointer is
        // aligned and inside the mapping, which lives as long as `self`. The file has LENGTH bytes, allocated, and is never
        // truncated. All processes reach these words by atomic operations only; on a mapping for reading nothing but a relaxed load
        // is done, which std allows there.
        unsafe { AtomicU64::from_ptr(self.0.as_mut_ptr().add(offset).cast()) }
    }
}
