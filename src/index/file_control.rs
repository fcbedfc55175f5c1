//! Questions to SQLite's file, by `sqlite3_file_control`: the releases of rusqlite that share their SQLite with a current sqlx
//! have no safe way to ask them.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::ptr;

use rusqlite::{Connection, ffi};

/// Whether the file a connection has open is no longer the one at its path.
pub(super) fn has_moved(connection: &Connection) -> rusqlite::Result<bool> {
    ask(connection, ffi::SQLITE_FCNTL_HAS_MOVED, 0).map(|moved| moved != 0)
}

/// Leaves the log and its shared memory where they are when the last connection closes.
pub(super) fn persist_wal(connection: &Connection) -> rusqlite::Result<()> {
    ask(connection, ffi::SQLITE_FCNTL_PERSIST_WAL, 1).map(drop)
}

/// One of the operations whose argument is an `int`, which it may write to.
fn ask(connection: &Connection, operation: c_int, mut value: c_int) -> rusqlite::Result<c_int> {
    // SAFETY: the connection is open as long as it is borrowed, a null name is its main database, and the two operations
    // above are documented to read and write one `int` during the call.
    let code = unsafe {
        ffi::sqlite3_file_control(connection.handle(), ptr::null(), operation, ptr::from_mut(&mut value).cast())
    };
    if code == ffi::SQLITE_OK { Ok(value) } else { Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_was_replaced_is_noticed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.db");
        let connection = Connection::open(&path).expect("opens");
        connection.execute_batch("CREATE TABLE t (n)").expect("writes");
        assert!(!has_moved(&connection).expect("asks"));
        std::fs::rename(&path, dir.path().join("b.db")).expect("renames");
        assert!(has_moved(&connection).expect("asks"));
    }

    #[test]
    fn the_log_stays_when_it_is_asked_to() {
        let dir = tempfile::tempdir().expect("a directory");
        for stays in [false, true] {
            let path = dir.path().join(format!("{stays}.db"));
            let connection = Connection::open(&path).expect("opens");
            connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (n)").expect("writes");
            if stays {
                persist_wal(&connection).expect("asks");
            }
            drop(connection);
            assert_eq!(dir.path().join(format!("{stays}.db-wal")).exists(), stays);
        }
    }
}
