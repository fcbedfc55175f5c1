//! Room for the index's shared memory.
//!
//! The first process to open a log empties `index.db-shm` and makes it longer by one byte every 4 KiB. Where blocks are smaller the rest of
//! each 4 KiB are holes, and a write to a mapped hole on a full filesystem is no error but SIGBUS. (Tried on ext4 with blocks of 1 KiB.) So while
//! there is no room the index is opened for reading, without shared memory of its own, and whoever wants to write is told what is missing first.
//! A disk that others fill between that look and the write is not seen.

use std::io::ErrorKind;
use std::path::Path;

use rusqlite::ErrorCode;

use super::Access;
use crate::error::{Error, Result};
use crate::fs::{durable, nofollow, probe, reserve};
use crate::layout::Layout;

/// What a transaction may take before anybody looks again, bytes: the shared memory of a log of 16 MB.
const LEAST_BYTES: u64 = 256 << 10;

/// Whether there is too little room to write. One `statvfs`.
pub(super) fn is_short(root: &Path) -> Result<bool> {
    Ok(probe::space(root)?.free_bytes < LEAST_BYTES)
}

/// Refuses to write where there is no room.
///
/// # Errors
/// [`Error::NoSpace`].
pub(super) fn require(root: &Path) -> Result<()> {
    let free = probe::space(root)?.free_bytes;
    if free >= LEAST_BYTES {
        return Ok(());
    }
    let at = probe::mount_point(root).map(|point| format!(", mounted at `{}`", point.display())).unwrap_or_default();
    let reason =
        format!("{free} bytes are free on its filesystem{at}, the index is written with at least {LEAST_BYTES}");
    Err(Error::NoSpace { path: root.to_owned(), reason })
}

/// Names the lack of room behind an error of SQLite's input or output. SQLite calls a used up quota "disk I/O error", for the only reason it
/// knows is ENOSPC. So this tries to take as much room as a transaction may take, if this process may write.
pub(super) fn explain(error: Error, layout: &Layout, access: Access) -> Error {
    let Error::Index { op, source } = &error else { return error };
    let code = source.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
    if code != Some(ErrorCode::SystemIoFailure) || access != Access::Owner {
        return error;
    }
    match attempt(layout) {
        Some(source) => Error::Index { op, source: source.into() },
        None => error,
    }
}

/// The error of a transaction for which the index could not be opened for lack of room.
pub(super) fn missing(op: &'static str, layout: &Layout) -> Error {
    let source = attempt(layout).unwrap_or_else(|| ErrorKind::StorageFull.into());
    Error::Index { op, source: source.into() }
}

/// Tries to take room, and returns what is in the way if that is a lack of it.
fn attempt(layout: &Layout) -> Option<std::io::Error> {
    let path = layout.dir("staging").join(durable::unique("room"));
    match reserve::reserve(&path, LEAST_BYTES) {
        Ok(()) => {
            let _ = nofollow::remove_file(&path);
            None
        }
        Err(Error::Io { source, .. }) => {
            matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded).then_some(source)
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn disk_io_error() -> Error {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_WRITE);
        Error::Index { op: "test", source: Box::new(rusqlite::Error::SqliteFailure(code, None)) }
    }

    #[test]
    fn where_there_is_room_an_error_stays_what_it_is_and_nothing_is_left() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(dir.path());
        let staging = layout.dir("staging");
        std::fs::create_dir(&staging).expect("a directory");
        for access in [Access::Owner, Access::Reader] {
            assert_eq!(explain(disk_io_error(), &layout, access).kind(), Kind::Index);
        }
        assert_eq!(std::fs::read_dir(&staging).expect("lists").count(), 0);
    }

    #[test]
    fn a_lack_of_room_behind_the_index_is_a_lack_of_room() {
        let of = |kind: ErrorKind| Error::Index { op: "test", source: std::io::Error::from(kind).into() };
        let (quota, full) = (of(ErrorKind::QuotaExceeded), of(ErrorKind::StorageFull));
        assert!(quota.kind() == Kind::NoSpace && quota.is_quota());
        assert!(full.kind() == Kind::NoSpace && !full.is_quota());
        assert!(disk_io_error().kind() == Kind::Index && !disk_io_error().is_quota());
    }
}
