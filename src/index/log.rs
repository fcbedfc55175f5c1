//! SQLite's write-ahead log, beside the database: who empties it.
//!
//! Whoever wrote, when it closes its connection, unless others read just then. What a writer that was killed leaves is read by every process that
//! opens the index while nobody else has it open; the next that may write empties it, if it only asks, and if it stays only a long one: looking
//! whether others have it open would let go of what SQLite has locked in this process.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::BUSY;
use crate::fs::lock;
use crate::layout::Layout;

/// From this size on a log is worth emptying whether others have it open or not.
pub(super) const LONG: u64 = 128 << 10;

/// Every connection to a log has this byte of `index.db-shm` locked shared (`UNIX_SHM_DMS` in SQLite's os_unix.c).
const OPEN: u64 = 128;

/// How much is in a log, bytes. One that is missing is empty.
pub(super) fn length(log: &Path) -> u64 {
    match fs::metadata(log) {
        Ok(log) => log.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(_) => u64::MAX,
    }
}

/// Whether a writer that was killed left something in the log. Not where SQLite has it open.
pub(super) fn is_left(layout: &Layout) -> bool {
    let [_, log, memory] = layout.index_files();
    length(&log) > 0 && File::open(memory).is_ok_and(|memory| lock::is_free_byte(&memory, OPEN).unwrap_or_default())
}

/// Empties the log into the database, and waits for nobody: while others read, a later one does it.
pub(super) fn empty(connection: &Connection) {
    let _ = connection.busy_timeout(Duration::ZERO);
    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    let _ = connection.busy_timeout(BUSY);
}
