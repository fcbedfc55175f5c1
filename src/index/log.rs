//! SQLite's write-ahead log, beside the database: who empties it.
//!
//! A process that wrote empties the log when it closes its connection, unless others read just then. What a killed writer leaves is read by
//! every process that opens the index, and emptied by the next one that writes; a long log by the next one that may write.

use std::time::Duration;

use rusqlite::Connection;

use super::BUSY;

/// From this size on a log is worth emptying whether others have it open or not, bytes.
pub(super) const LONG: u64 = 128 << 10;

/// The bytes of a log's header (sqlite.org/fileformat2.html, 4.1). A log of this size holds no transaction.
pub(super) const HEADER: u64 = 32;

/// Empties the log into the database, and waits for nobody: while others read, a later one does it.
pub(super) fn empty(connection: &Connection) {
    let _ = connection.busy_timeout(Duration::ZERO);
    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    let _ = connection.busy_timeout(BUSY);
}
