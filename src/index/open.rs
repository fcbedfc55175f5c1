//! Opens the index's database and makes sure that it is this store's.
//!
//! SQLite opens three files by their paths, one after the other. Meanwhile a rebuild may put other files in place, or the root may be moved. So the
//! root and the database are compared after the opening with what they were before; if the database was replaced, it is opened again.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

use super::mode::OpenMode;
use super::root::Root;
use super::{Access, BUSY, PAUSE, SCHEMA, failure, file_control, room};
use crate::error::{Error, Kind, Result};
use crate::interpreter::FileStamp;
use crate::layout::Layout;

/// 3.51.2 and older can corrupt a WAL database when a checkpoint races a commit.
const OLDEST_SQLITE: i32 = 3_051_003;

/// How many pages a connection keeps that only looked things up. More are slower: each further page takes memory that the process
/// has to be given first, and every leaf of a large index is another one.
const PAGES_TO_READ: i32 = 200;

/// The name in `meta` of the id of the store that an index belongs to.
pub(super) const STORE: &str = "store";

/// A database that was opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub connection: Connection,
    pub mode: OpenMode,
    /// Whether it says which store it belongs to.
    pub has_store: bool,
}

/// Opens the database in the mode that fits (`index::mode`).
///
/// # Errors
/// [`Error::Corrupt`] when it is missing, no database, or another store's; [`Error::UnsupportedFormat`] when its schema is newer.
pub(super) fn open(
    layout: &Layout,
    root: &Root,
    access: Access,
    is_for_one_question: bool,
    store_id: Option<&str>,
) -> Result<Opened> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        let reason = format!("SQLite {} can corrupt it; 3.51.3 is the oldest that will do", rusqlite::version());
        return Err(Error::NotPermitted { what: "open the index".into(), reason });
    }
    let path = layout.index_db();
    let until = Instant::now() + BUSY;
    let (mut only_reads, mut is_short) = (is_for_one_question, false);
    loop {
        root.require_at(layout.root())?;
        let mode = OpenMode::choose(layout, access, only_reads, is_short)?;
        let before = FileStamp::of(&path).ok().map(|stamp| stamp.inode);
        let opened = connect(&path, &mode);
        root.require_at(layout.root())?;
        let is_replaced = FileStamp::of(&path).ok().map(|stamp| stamp.inode) != before || !mode.is_undisturbed(layout);
        match opened {
            Ok((connection, found)) if !is_replaced => {
                found.require(&path, store_id)?;
                return Ok(Opened { connection, mode, has_store: found.store.is_some() });
            }
            Err(error) if Instant::now() >= until => return Err(failure("be opened", &path, error)),
            // A writer died while it changed the shared memory: only a process that may write to that can mend it.
            Err(error) if is_torn(&error) && matches!(mode, OpenMode::Read) => only_reads = false,
            Err(error) if !is_replaced => {
                let failed = room::explain(failure("be opened", &path, error), layout, access);
                // Beyond a quota, which no look at the filesystem tells: as on a full disk.
                let is_full = failed.kind() == Kind::NoSpace && matches!(mode, OpenMode::Write { .. });
                if !is_full || is_short {
                    return Err(failed);
                }
                is_short = true;
            }
            Ok(_) | Err(_) => {}
        }
        std::thread::sleep(PAUSE);
    }
}

/// Whether a process that only reads cannot go on until one that may write has mended the shared memory, or finished changing it.
pub(super) fn is_torn(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ReadOnly)
}

/// What a database says of itself.
struct Identity {
    schema: i64,
    store: Option<String>,
}

impl Identity {
    fn require(&self, path: &Path, store_id: Option<&str>) -> Result<()> {
        match self.schema {
            SCHEMA => {}
            0 => return Err(Error::Corrupt { path: path.into(), reason: "it is empty".into() }),
            newer => {
                return Err(Error::UnsupportedFormat {
                    path: path.into(),
                    found: u32::try_from(newer).unwrap_or(u32::MAX),
                    known: u32::try_from(SCHEMA).unwrap_or(u32::MAX),
                });
            }
        }
        match (&self.store, store_id) {
            (Some(found), Some(own)) if found != own => {
                let reason = format!("it is the index of store {found}, and this is store {own}");
                Err(Error::Corrupt { path: path.into(), reason })
            }
            _ => Ok(()),
        }
    }
}

fn connect(path: &Path, mode: &OpenMode) -> rusqlite::Result<(Connection, Identity)> {
    let common = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let read_only = common | OpenFlags::SQLITE_OPEN_READ_ONLY;
    let with = |parameter| Connection::open_with_flags(uri(path, parameter), read_only);
    let connection = match mode {
        OpenMode::Write { .. } => Connection::open_with_flags(path, common | OpenFlags::SQLITE_OPEN_READ_WRITE)?,
        OpenMode::Read => with("readonly_shm=1")?,
        // `unix-none` locks nothing, so that it can be opened without shared memory.
        OpenMode::Alone(alone) if alone.has_log => with("vfs=unix-none")?,
        OpenMode::Alone(_) | OpenMode::Sealed(_) => with("immutable=1")?,
    };
    // First of all: everything after this may meet a lock.
    connection.busy_timeout(BUSY)?;
    if matches!(mode, OpenMode::Alone(_)) {
        // The log's index is kept in this process's own memory (sqlite.org/wal.html, "Use of WAL Without Shared-Memory").
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // Or a kept statement whose plan may depend on what is bound (a partial index is enough) is parsed again at every use.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
    if matches!(mode, OpenMode::Write { .. }) {
        connection.pragma_update(None, "cache_size", PAGES_TO_READ)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        file_control::persist_wal(&connection)?;
    }
    connection.set_prepared_statement_cache_capacity(64);
    // One transaction: each of its own would take and release the locks, and read the first page again.
    let asks = connection.unchecked_transaction()?;
    let schema = asks.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let store = if schema == SCHEMA { meta(&asks, STORE)? } else { None };
    drop(asks);
    Ok((connection, Identity { schema, store }))
}

/// A value kept under a name in `meta`.
pub(super) fn meta(db: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    db.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()
}

/// A path as an SQLite URI with a parameter (sqlite.org/uri.html): `%`, `?` and `#` escaped.
fn uri(path: &Path, parameter: &str) -> PathBuf {
    let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    PathBuf::from(format!("file:{escaped}?{parameter}"))
}
