//! Room for the index's shared memory.
//!
//! The first process to open a log empties `index.db-shm` and makes it longer by one byte every 4 KiB. Where blocks are smaller the rest of
//! each 4 KiB are holes, and a write to a mapped hole on a full filesystem is no error but SIGBUS. (Tried on ext4 with blocks of 1 KiB.) So while
//! there is no room the index is opened for reading, without shared memory of its own, and whoever wants to write is told what is missing first.
//! A disk that others fill between that look and the write is not seen.

use std::io::ErrorKind;
use std::path::Path;

use rusqlite::ErrorCode;

use crate::error::{Error, Result};
use crate::fs::{durable, probe, reserve};
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
/// knows is ENOSPC. So this tries to take as much room as a transaction may take.
pub(super) fn explain(error: Error, layout: &Layout) -> Error {
    let Error::Index { op, source } = &error else { return error };
    let code = source.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
    if code != Some(ErrorCode::SystemIoFailure) {
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
            let _ = std::fs::remove_file(&path);
            None
        }
        Err(Error::Io { source, .. }) => {
            matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded).then_some(source)
        }
        Err(_) => None,
    }
}
