//! The index: which pack is bound to which environment, and everything a query needs to know of both.
//!
//! # Locking
//! SQLite in WAL mode, one connection a process. Each write is one `BEGIN IMMEDIATE` transaction: what it
//! checks is still true when it writes (I4). Each holds `guards/index` shared, and checks that its connection's file
//! still stands at the path: an open connection goes on writing, without error, into a database that was
//! moved away. A rebuild holds the guard exclusive. Between a transaction's last read and its commit the counters of the packs it
//! changes are made odd, and even again after it ([`crate::epoch`]).
//!
//! A forked child opens a connection of its own at its first query. (SQLite's are not to be used there. Closing an inherited one
//! that is at rest is harmless only because none of ours checkpoints by being closed.) It must not be forked while another thread is
//! inside the store.
//!
//! # Durability
//! `synchronous=FULL`: a commit is on disk when it returns. The log is truncated when the last user of a
//! connection that wrote closes it, so that the next process need not read it; one that a killed writer left, by whoever
//! comes next (`index::log`).
//!
//! # Compatibility
//! `user_version` is the schema's version. A newer one is refused; opening changes nothing.

pub mod bindings;
mod changes;
pub mod collection;
pub mod components;
pub mod envs;
pub mod events;
pub mod failures;
mod fields;
mod file_control;
pub mod interpreters;
mod log;
mod room;
pub mod roots;
mod still;

use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

pub use bindings::{Bound, Generation, NewBinding, PackRow};
pub use collection::{Candidate, Retention};
pub use envs::{EnvRow, NewEnv, State};
use still::Still;

use crate::cancel::Cancel;
use crate::epoch::{Epoch, Slots};
use crate::error::{Error, Kind, Result};
use crate::failpoint::reached;
use crate::fs::lock::Mode;
use crate::guard::Guard;
use crate::interpreter::FileStamp;
use crate::layout::Layout;
use crate::store_file::StoreFile;

/// The schema's version.
pub const SCHEMA: i64 = 1;

/// 3.51.2 and older can corrupt a WAL database when a checkpoint races a commit.
const OLDEST_SQLITE: i32 = 3_051_003;
const BUSY: Duration = Duration::from_secs(30);

/// How many pages a connection keeps that only looked things up. More are slower: each page that is kept anew takes memory that the process
/// has to be given first, and every leaf of a large index is another one.
const PAGES_TO_READ: i32 = 200;
/// How much a connection that writes keeps, KiB as SQLite spells them: so much may change before it goes to the log early.
const KIB_TO_WRITE: i32 = -2000;

/// What a process may do with the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read and write.
    Owner,
    /// Read, beside writers.
    Reader,
    /// Read files that nobody writes (a sealed store, a read-only filesystem): no lock, no shared memory.
    Immutable,
}

/// Where the index of a log is kept (sqlite.org/walformat.html).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// In memory that is made where there is none, about 35 system calls, and that others share.
    Own,
    /// In memory that others have made, and while nobody has the index open in the process's own.
    Shared,
}

/// The open index.
#[derive(Debug)]
pub struct Index {
    layout: Layout,
    access: Access,
    epoch: Option<Epoch>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    connection: Connection,
    /// For a file that is read as one that nobody changes: why nobody does.
    still: Option<Still>,
    /// The process that opened it.
    pid: u32,
    /// The rebuild of the index that it was opened after.
    incarnation: u64,
    /// It has no shared memory of its own and can only be read from: there was no room for it, or nobody wanted to write yet.
    only_reads: bool,
    /// What a transaction changes, once this connection wrote.
    changed: Option<Arc<Slots>>,
}

impl Index {
    /// Creates an empty index. The caller holds `guards/index` exclusive.
    pub fn create(layout: &Layout, mode: u32) -> Result<()> {
        room::require(layout.root())?;
        let path = layout.index_db();
        // SQLite gives the log and the shared memory the mode of the database.
        let file = fs::File::options().write(true).create_new(true).mode(mode).open(&path);
        let file = file.map_err(Error::io("create", &path))?;
        file.set_permissions(fs::Permissions::from_mode(mode)).map_err(Error::io("set the mode of", &path))?;
        drop(file);
        let create = || -> rusqlite::Result<()> {
            let mut connection = Connection::open(&path)?;
            connection.busy_timeout(BUSY)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            persist_wal(&connection)?;
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            tx.execute_batch(include_str!("schema.sql"))?;
            tx.pragma_update(None, "user_version", SCHEMA)?;
            tx.commit()?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        };
        create().map_err(|error| failure("be created", &path, error))
    }

    /// Opens an existing index. Without an epoch nobody is told of what is written: for an index that nobody else has open.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is missing or no database, [`Error::UnsupportedFormat`] when its schema is newer.
    pub fn open(layout: &Layout, access: Access, epoch: Option<Epoch>) -> Result<Self> {
        Self::connect(layout, access, epoch, Memory::Own)
    }

    /// [`Index::open`] for a process that asks a question or two and ends. With an empty log nothing of it is opened, and nobody can move anything
    /// from it into the database while this is open (`index::still`). With one that is not, what makes it cheaper to open makes it dearer to ask: unless
    /// another process has the index open nothing is remembered from one question to the next. The first write opens it as ever, and so does
    /// [`Index::stay_open`]. Not beside another opening in one process: SQLite shares its memory among them, and none could write.
    ///
    /// # Errors
    /// Those of [`Index::open`].
    pub fn open_to_ask(layout: &Layout, access: Access, epoch: Option<Epoch>) -> Result<Self> {
        Self::connect(layout, access, epoch, Memory::Shared)
    }

    fn connect(layout: &Layout, access: Access, epoch: Option<Epoch>, memory: Memory) -> Result<Self> {
        let inner = Inner::connect(layout, access, epoch.as_ref(), memory)?;
        Ok(Self { layout: layout.clone(), access, epoch, inner: Mutex::new(inner) })
    }

    /// Opens what was opened to ask as ever: before this process goes on for longer.
    pub fn stay_open(&self) -> Result<()> {
        let mut inner = self.lock();
        if inner.only_reads { self.connect_again(&mut inner, self.shared()) } else { Ok(()) }
    }

    /// The counters that tell what changed. None: only the index itself tells.
    pub fn epoch(&self) -> Option<&Epoch> {
        self.epoch.as_ref()
    }

    /// Runs a query outside any write, once more if it could not be answered at first. `op` completes "the index cannot …".
    pub fn read<T>(&self, op: &'static str, query: impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let mut inner = self.lock();
        self.follow(&mut inner)?;
        let mut answer = query(&inner.connection);
        // A writer died while it changed the shared memory of a log that others have open: who cannot write to it cannot mend it.
        let is_torn = |error: &rusqlite::Error| error.sqlite_error_code() == Some(ErrorCode::ReadOnly);
        if inner.only_reads && answer.as_ref().is_err_and(is_torn) {
            self.connect_again(&mut inner, self.shared())?;
            answer = query(&inner.connection);
        }
        answer.map_err(|error| room::explain(failure(op, &self.layout.index_db(), error), &self.layout, self.access))
    }

    /// Runs one IMMEDIATE transaction and commits it; an error from `change` rolls it back. `op` completes "the index cannot …".
    pub fn write<T>(&self, op: &'static str, change: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        self.transact(op, true, change).map_err(|error| room::explain(error, &self.layout, self.access))
    }

    /// Runs a transaction and rolls it back: what [`Index::write`] would have answered.
    pub fn rehearse<T>(&self, op: &'static str, change: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        self.transact(op, false, change).map_err(|error| room::explain(error, &self.layout, self.access))
    }

    fn transact<T>(
        &self,
        op: &'static str,
        commit: bool,
        change: impl FnOnce(&Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        if self.access != Access::Owner {
            let reason = "the store is open for reading only".into();
            return Err(Error::NotPermitted { what: op.into(), reason });
        }
        let path = self.layout.index_db();
        let failed = |error| failure(op, &path, error);
        let deadline = Instant::now() + BUSY;
        let _guard = Guard::take(self.layout.guard_index(), Mode::Shared, deadline, &Cancel::new(), &|_, _| ())?;
        if StoreFile::read(&self.layout)?.is_some_and(|store| store.sealed) {
            return Err(Error::Sealed { what: op.into() });
        }
        room::require(self.layout.root())?;
        let mut inner = self.lock();
        self.follow(&mut inner)?;
        if inner.only_reads {
            self.connect_again(&mut inner, Access::Owner)?;
            if inner.only_reads {
                return Err(room::missing(op, &self.layout));
            }
        }
        let changed = inner.note_changes().map_err(failed)?;
        changed.clear();
        let tx = inner.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let result = change(&tx)?;
        reached("index: before the end of a transaction")?;
        if !commit {
            tx.rollback().map_err(failed)?;
            return Ok(result);
        }
        let begun = self.epoch.as_ref().map(|epoch| epoch.begin(&changed)).transpose()?;
        reached("index: before a commit")?;
        // A commit that failed may have happened: then the counters stay odd until a later writer settles them.
        tx.commit().map_err(failed)?;
        reached("index: after a commit")?;
        if let Some(begun) = begun {
            begun.settle();
        }
        reached("index: after a transaction")?;
        Ok(result)
    }

    /// Empties the log into the database. The caller holds `guards/index` exclusive.
    ///
    /// # Errors
    /// [`Error::Busy`] while others read for longer than 30 s.
    pub fn checkpoint(&self) -> Result<()> {
        let op = "empty its log";
        let busy: bool = self.read(op, |db| db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)))?;
        let what = || format!("`{}`", self.layout.index_db().display());
        if busy { Err(Error::Busy { what: what(), holder: Some("a reader".into()) }) } else { Ok(()) }
    }

    /// Checks every page. Reads the whole file.
    pub fn check(&self) -> Result<()> {
        let verdict =
            self.read("check itself", |db| db.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)))?;
        if verdict == "ok" {
            return Ok(());
        }
        Err(Error::Corrupt { path: self.layout.index_db(), reason: verdict })
    }

    /// Opens the database again where another one stands at its path, where it was unsealed, and in a forked child.
    fn follow(&self, inner: &mut Inner) -> Result<()> {
        let is_sealed = matches!(inner.still, Some(Still::Sealed(_)));
        if inner.pid != std::process::id() {
            return self.connect_again(inner, if is_sealed { Access::Immutable } else { self.shared() });
        }
        let is_other = match &inner.still {
            // From now on it may change.
            Some(still) => !still.is(&self.layout),
            None => {
                let moved = file_control::has_moved(&inner.connection);
                moved.map_err(|error| failure("be looked at", &self.layout.index_db(), error))?
            }
        };
        if is_other || self.epoch.as_ref().is_some_and(|epoch| epoch.incarnation() != inner.incarnation) {
            return self.connect_again(inner, self.shared());
        }
        Ok(())
    }

    /// What this process may do with an index that others may have open.
    fn shared(&self) -> Access {
        if self.access == Access::Owner { Access::Owner } else { Access::Reader }
    }

    fn connect_again(&self, inner: &mut Inner, access: Access) -> Result<()> {
        // Until it is opened it is nobody's, so that the next query tries again.
        inner.pid = 0;
        // First closed, then opened: SQLite shares what it knows of a file's locks among a process's connections.
        if access != Access::Immutable {
            inner.still = None;
        }
        inner.connection =
            Connection::open_in_memory().map_err(|e| failure("be opened", &self.layout.index_db(), e))?;
        *inner = Inner::connect(&self.layout, access, self.epoch.as_ref(), Memory::Own)?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn connect(layout: &Layout, access: Access, epoch: Option<&Epoch>, memory: Memory) -> Result<Self> {
        // Asked before: a rebuild meanwhile is seen at the next query.
        let incarnation = epoch.map_or(0, Epoch::incarnation);
        let still = match (access, memory) {
            (Access::Immutable, _) => FileStamp::of(&layout.store_json()).ok().map(Still::Sealed),
            // The epoch tells when another index takes this one's place.
            (_, Memory::Shared) if epoch.is_some() => Still::lock(layout),
            _ => None,
        };
        let [path, log_file, _] = layout.index_files();
        let is_short = access != Access::Immutable && still.is_none() && room::is_short(layout.root())?;
        // Who only asks is the first in its process to open it.
        let is_left = || memory == Memory::Shared && log::is_left(layout);
        let to_empty = access == Access::Owner && still.is_none() && (log::length(&log_file) > log::LONG || is_left());
        let access = if matches!(still, Some(Still::Locked(_))) { Access::Immutable } else { access };
        let opened = |memory| connect(&path, access, memory).map_err(|error| room::explain(error, layout, access));
        let opened_by_itself = || match opened(Memory::Own) {
            // Beyond a quota, which no look at the filesystem tells: as where the filesystem is full.
            Err(full) if full.kind() == Kind::NoSpace => {
                opened(Memory::Shared).map(|connection| (connection, Memory::Shared)).map_err(|_| full)
            }
            connection => Ok((connection?, Memory::Own)),
        };
        let (connection, memory) = match memory {
            _ if is_short => (opened(Memory::Shared)?, Memory::Shared),
            Memory::Shared if !to_empty => match opened(Memory::Shared) {
                // There may be none yet to share.
                Err(_) => opened_by_itself()?,
                Ok(connection) => (connection, Memory::Shared),
            },
            _ => opened_by_itself()?,
        };
        if memory == Memory::Own {
            if to_empty {
                log::empty(&connection);
            }
            bindings::get_ready(&connection);
        }
        let only_reads = memory == Memory::Shared;
        Ok(Self { connection, still, pid: std::process::id(), incarnation, only_reads, changed: None })
    }

    /// Where the changes of this connection are noted. Not inside a transaction.
    fn note_changes(&mut self) -> rusqlite::Result<Arc<Slots>> {
        if let Some(slots) = &self.changed {
            return Ok(Arc::clone(slots));
        }
        let slots = Arc::new(Slots::default());
        self.connection.pragma_update(None, "cache_size", KIB_TO_WRITE)?;
        changes::note(&self.connection, Arc::clone(&slots))?;
        self.changed = Some(Arc::clone(&slots));
        Ok(slots)
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        if inner.changed.is_some() && inner.pid == std::process::id() {
            log::empty(&inner.connection);
        }
    }
}

fn connect(path: &Path, access: Access, memory: Memory) -> Result<Connection> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        let reason = format!("SQLite {} can corrupt it; 3.51.3 is the oldest that will do", rusqlite::version());
        return Err(Error::NotPermitted { what: "open the index".into(), reason });
    }
    let open = || -> rusqlite::Result<(Connection, i64)> {
        let common = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let connection = match access {
            Access::Immutable => {
                Connection::open_with_flags(uri(path, "immutable=1"), common | OpenFlags::SQLITE_OPEN_READ_ONLY)?
            }
            _ if memory == Memory::Shared => {
                let uri = uri(path, "readonly_shm=1");
                Connection::open_with_flags(uri, common | OpenFlags::SQLITE_OPEN_READ_ONLY)?
            }
            Access::Owner => Connection::open_with_flags(path, common | OpenFlags::SQLITE_OPEN_READ_WRITE)?,
            // Root could write to the shared memory of another user's index, and would make it where there is none.
            Access::Reader => {
                let uri = uri(path, "readonly_shm=1");
                Connection::open_with_flags(uri, common | OpenFlags::SQLITE_OPEN_READ_ONLY)?
            }
        };
        // First of all: everything after this may meet a lock.
        connection.busy_timeout(BUSY)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        // Or a kept statement whose plan may depend on what is bound (a partial index is enough) is parsed anew at every use.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
        if memory == Memory::Own {
            connection.pragma_update(None, "cache_size", PAGES_TO_READ)?;
        }
        if access == Access::Owner && memory == Memory::Own {
            connection.pragma_update(None, "synchronous", "FULL")?;
            persist_wal(&connection)?;
        }
        connection.set_prepared_statement_cache_capacity(64);
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok((connection, version))
    };
    let (connection, version) = open().map_err(|error| failure("be opened", path, error))?;
    match version {
        SCHEMA => Ok(connection),
        0 => Err(Error::Corrupt { path: path.into(), reason: "it is empty".into() }),
        newer => Err(Error::UnsupportedFormat {
            path: path.into(),
            found: u32::try_from(newer).unwrap_or(u32::MAX),
            known: u32::try_from(SCHEMA).unwrap_or(u32::MAX),
        }),
    }
}

/// The log and the shared memory stay when the last writer closes: a reader of another uid cannot make them.
fn persist_wal(connection: &Connection) -> rusqlite::Result<()> {
    file_control::persist_wal(connection)
}

/// A path as an SQLite URI with a parameter (sqlite.org/uri.html): `%`, `?` and `#` escaped.
fn uri(path: &Path, parameter: &str) -> PathBuf {
    let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    PathBuf::from(format!("file:{escaped}?{parameter}"))
}

/// Turns SQLite's verdicts into ours.
fn failure(op: &'static str, path: &Path, error: rusqlite::Error) -> Error {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::Corrupt { path, reason: error.to_string() }
        }
        Some(ErrorCode::CannotOpen) if !path.exists() => Error::Corrupt { path, reason: "it is missing".into() },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::Busy { what: format!("`{}`", path.display()), holder: None }
        }
        Some(ErrorCode::DiskFull) => Error::Io { op, path, source: std::io::ErrorKind::StorageFull.into() },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            Error::NotPermitted { what: format!("{op} in the index"), reason: error.to_string() }
        }
        _ => Error::Index { op, source: Box::new(error) },
    }
}

/// Turns a query's error inside a transaction into ours.
pub(crate) fn sql(op: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
    move |error| failure(op, Path::new("index.db"), error)
}

/// A text column that must parse.
fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    row: &rusqlite::Row<'_>,
    column: &'static str,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error: T::Err| corrupt_column(column, &error))
}

/// A JSON column that must parse.
fn json<T: serde::de::DeserializeOwned>(row: &rusqlite::Row<'_>, column: &'static str) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| corrupt_column(column, &error))
}

fn corrupt_column(column: &str, error: &dyn std::fmt::Display) -> rusqlite::Error {
    let message = format!("column `{column}`: {error}");
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, message.into())
}

/// A word of ours (an enum) as it stands in a column: its serde name.
fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        other => unreachable!("a unit variant serialises to a string, not {other:?}"),
    }
}

/// A word read back from a column.
fn from_word<T: serde::de::DeserializeOwned>(row: &rusqlite::Row<'_>, column: &'static str) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_value(serde_json::Value::String(text)).map_err(|error| corrupt_column(column, &error))
}

/// Moves a database that cannot be used out of the way. The caller holds `guards/index` exclusive.
pub fn set_aside(layout: &Layout, into: &Path) -> Result<()> {
    fs::create_dir(into).map_err(Error::io("create", into))?;
    for file in layout.index_files() {
        if let Some(name) = file.file_name()
            && file.symlink_metadata().is_ok()
        {
            fs::rename(&file, into.join(name)).map_err(Error::io("move away", &file))?;
        }
    }
    crate::fs::durable::sync_dir(layout.root())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::unix::fs::FileExt;
    use std::process::Stdio;

    use super::*;

    /// Names an index to a process of these tests that keeps it open.
    const HELD: &str = "ENVSTORE_TEST_HELD";

    #[test]
    fn a_long_log_of_a_dead_writer_is_emptied_by_the_next_process_that_may_write() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(dir.path());
        fs::create_dir(layout.dir("guards")).expect("a directory");
        Index::create(&layout, 0o640).expect("creates");
        let [_, log, _] = layout.index_files();
        let logged = || fs::metadata(&log).expect("a log").len();
        let open = |access| Index::open(&layout, access, None).expect("opens");

        let text = "x".repeat(log::LONG as usize);
        let dead = open(Access::Owner);
        dead.write("be filled", |tx| collection::set_meta(tx, "long", &text).map_err(sql("be filled")))
            .expect("writes");
        // As one that was killed, it closes nothing.
        std::mem::forget(dead);
        assert!(logged() > log::LONG);

        assert_eq!(open(Access::Reader).meta("long").expect("reads").as_ref(), Some(&text));
        assert!(logged() > log::LONG, "a reader writes nothing");
        assert_eq!(open(Access::Owner).meta("long").expect("reads"), Some(text));
        assert_eq!(logged(), 0);
    }

    #[test]
    fn who_only_asks_makes_no_shared_memory_until_it_writes() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(dir.path());
        fs::create_dir(layout.dir("guards")).expect("a directory");
        Index::create(&layout, 0o640).expect("creates");
        let [_, log, memory] = layout.index_files();
        let to_ask = || Index::open_to_ask(&layout, Access::Owner, None).expect("opens");
        let noted = |index: &Index| index.meta("noted").expect("reads");
        let made = || fs::metadata(&memory).expect("shared memory").modified().expect("a time");

        let first = made();
        let asks = to_ask();
        assert_eq!(noted(&asks), None);
        assert_eq!(made(), first, "nobody had to make any");
        asks.write("note", |tx| collection::set_meta(tx, "noted", "a word").map_err(sql("note"))).expect("writes");
        assert_ne!(made(), first, "who writes makes it");
        assert_eq!(noted(&asks).as_deref(), Some("a word"));
        // As one that was killed, it closes nothing.
        std::mem::forget(asks);
        assert!(fs::metadata(&log).expect("a log").len() > 0);
        assert_eq!(noted(&to_ask()).as_deref(), Some("a word"), "also from a log that nobody emptied");
    }

    #[test]
    fn who_only_asks_gets_an_answer_where_a_writer_died_over_the_shared_memory() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(dir.path());
        Index::create(&layout, 0o640).expect("creates");
        let [_, _, memory] = layout.index_files();
        let asks = Index::open_to_ask(&layout, Access::Owner, None).expect("opens");
        assert_eq!(asks.meta("noted").expect("reads"), None);

        let mut holder = std::process::Command::new(std::env::current_exe().expect("this binary"));
        holder.args(["--exact", "index::tests::holds_an_index_open", "--ignored", "--nocapture"]).env(HELD, dir.path());
        let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
        let mut said = BufReader::new(holder.stdout.take().expect("a pipe")).lines().map_while(std::result::Result::ok);
        assert!(said.any(|line| line.contains("it is open")));

        // The first of two copies of the header: sqlite.org/walformat.html, 2.1.
        let torn = fs::File::options().write(true).open(&memory).expect("opens");
        torn.write_at(&[0xff; 4], 8).expect("writes");
        assert_eq!(asks.meta("noted").expect("reads"), None);
        drop(holder.stdin.take());
        said.for_each(drop);
        assert!(holder.wait().expect("ends").success());
    }

    #[test]
    #[ignore = "run as a process by the test above"]
    fn holds_an_index_open() {
        let Some(root) = std::env::var_os(HELD) else { return };
        let index = Index::open(&Layout::new(Path::new(&root)), Access::Owner, None).expect("opens");
        assert_eq!(index.meta("noted").expect("reads"), None);
        println!("it is open");
        std::io::stdin().lines().for_each(drop);
    }

    #[test]
    fn who_only_asks_makes_what_is_missing() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(dir.path());
        Index::create(&layout, 0o640).expect("creates");
        let [_, log, memory] = layout.index_files();
        for gone in [&memory, &log] {
            fs::remove_file(gone).expect("removes");
            let index = Index::open_to_ask(&layout, Access::Owner, None).expect("opens");
            assert_eq!(index.meta("noted").expect("reads"), None);
            assert!(gone.exists());
        }
    }
}
