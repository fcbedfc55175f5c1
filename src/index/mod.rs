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
//! writes next (`index::log`). How each process opens the index, and why, is in `index::mode`.
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
mod mode;
mod open;
mod replace;
mod room;
mod root;
pub mod roots;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

pub use bindings::{Bound, Generation, NewBinding, PackRow};
pub use collection::{Candidate, Retention};
pub use envs::{EnvRow, NewEnv, State};
use mode::OpenMode;
use open::Opened;
pub(crate) use replace::{clear_beside, replace};
use root::Root;
pub(crate) use root::require_root;

use crate::cancel::Cancel;
use crate::epoch::{Epoch, Slots};
use crate::error::{Error, Result};
use crate::failpoint::reached;
use crate::fs::lock::Mode;
use crate::fs::nofollow;
use crate::guard::Guard;
use crate::interpreter::FileStamp;
use crate::layout::Layout;
use crate::store_file::StoreFile;

/// The schema's version.
pub const SCHEMA: i64 = 1;

const BUSY: Duration = Duration::from_secs(30);
/// A connection that is older looks at each query whether the files beside the database are the ones it opened: two `stat`s.
const LIVES_LONG: Duration = Duration::from_secs(1);
/// How long to wait before a file that another process is changing is read again.
const PAUSE: Duration = Duration::from_millis(1);

/// The name in `meta` of how often the index was rebuilt.
const INCARNATION: &str = "incarnation";
/// How much a connection that writes keeps, KiB as SQLite spells them: so much may change before it goes to the log early.
const KIB_TO_WRITE: i32 = -2000;

/// What a process may do with the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read and write.
    Owner,
    /// Read, beside writers.
    Reader,
    /// Read files that no process writes: the store is sealed.
    Immutable,
}

/// How an index is opened.
#[derive(Debug)]
pub struct Opening<'a> {
    /// What this process may do.
    pub access: Access,
    /// The counters that tell other processes what changed. With `None`, what this process writes is not announced.
    pub epoch: Option<Epoch>,
    /// The id of the store that the index must belong to. `None` accepts any.
    pub store_id: Option<&'a str>,
    /// Whether the process asks a question or two and ends: then it makes no shared memory until it writes.
    pub is_for_one_question: bool,
}

/// The open index.
#[derive(Debug)]
pub struct Index {
    layout: Layout,
    root: Root,
    access: Access,
    store_id: Option<String>,
    epoch: Option<Epoch>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    connection: Connection,
    mode: OpenMode,
    /// Whether it says which store it belongs to. An older release did not write it.
    has_store: bool,
    /// The process that opened it.
    pid: u32,
    /// When it was opened, and which log and shared memory were at their paths then.
    opened_at: Instant,
    beside: [Option<u64>; 2],
    /// The rebuild of the index that it was opened after.
    incarnation: u64,
    /// What a transaction changes, once this connection wrote.
    changed: Option<Arc<Slots>>,
}

impl Index {
    /// Creates an empty index. The caller holds `guards/index` exclusive.
    pub fn create(layout: &Layout, mode: u32) -> Result<()> {
        root::require_path(layout.root())?;
        room::require(layout.root())?;
        let path = layout.index_db();
        // SQLite gives the log and the shared memory the mode of the database.
        let file = nofollow::create_new(&path, mode).map_err(Error::io("create", &path))?;
        nofollow::set_mode(&file, mode).map_err(Error::io("set the mode of", &path))?;
        drop(file);
        let create = || -> rusqlite::Result<()> {
            let mut connection = Connection::open(&path)?;
            connection.busy_timeout(BUSY)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            file_control::persist_wal(&connection)?;
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
    /// Those of [`Index::open_as`].
    pub fn open(layout: &Layout, access: Access, epoch: Option<Epoch>) -> Result<Self> {
        Self::open_as(layout, Opening { access, epoch, store_id: None, is_for_one_question: false })
    }

    /// Opens an existing index.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is missing, no database, or another store's; [`Error::UnsupportedFormat`] when its schema is newer.
    pub fn open_as(layout: &Layout, opening: Opening<'_>) -> Result<Self> {
        let Opening { access, epoch, store_id, is_for_one_question } = opening;
        let root = Root::open(layout.root())?;
        let inner = Inner::open(layout, &root, access, is_for_one_question, store_id, epoch.as_ref())?;
        let (layout, store_id) = (layout.clone(), store_id.map(str::to_owned));
        Ok(Self { layout, root, access, store_id, epoch, inner: Mutex::new(inner) })
    }

    /// Opens an index again that was opened for one question: before this process goes on for longer.
    pub fn stay_open(&self) -> Result<()> {
        let mut inner = self.lock();
        let is_open = self.access != Access::Owner || matches!(inner.mode, OpenMode::Write { .. });
        if is_open { Ok(()) } else { self.open_again(&mut inner) }
    }

    /// The counters that tell other processes what changed, if there are any.
    pub fn epoch(&self) -> Option<&Epoch> {
        self.epoch.as_ref()
    }

    /// Runs a query outside any write, and again if its answer cannot be relied on. `op` completes "the index cannot …".
    pub fn read<T>(&self, op: &'static str, query: impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let until = Instant::now() + BUSY;
        let mut inner = self.lock();
        loop {
            self.follow(&mut inner)?;
            let answer = query(&inner.connection);
            // A process began to write while this one read without locks.
            let is_undisturbed = inner.mode.is_undisturbed(&self.layout);
            match answer {
                Ok(answer) if is_undisturbed => return Ok(answer),
                // Another database took its place, with a log and shared memory of its own.
                Err(_) if file_control::has_moved(&inner.connection).unwrap_or(false) => {}
                Err(error) if is_undisturbed && !inner.is_torn(&error) => {
                    let failed = failure(op, &self.layout.index_db(), error);
                    return Err(room::explain(failed, &self.layout, self.access));
                }
                Err(error) if Instant::now() >= until => return Err(failure(op, &self.layout.index_db(), error)),
                Err(_) if is_undisturbed && self.access == Access::Owner => self.open_again(&mut inner)?,
                _ => std::thread::sleep(PAUSE),
            }
        }
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
        let deadline = Instant::now() + BUSY;
        let _guard = Guard::take(self.layout.guard_index(), Mode::Shared, deadline, &Cancel::new(), &|_, _| ())?;
        if StoreFile::read(&self.layout)?.is_some_and(|store| store.sealed) {
            return Err(Error::Sealed { what: op.into() });
        }
        self.transact_alone(op, commit, change)
    }

    /// [`Index::write`] for a caller that holds `guards/index` exclusive.
    pub fn write_alone<T>(&self, op: &'static str, change: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        self.transact_alone(op, true, change)
    }

    fn transact_alone<T>(
        &self,
        op: &'static str,
        commit: bool,
        change: impl FnOnce(&Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        let path = self.layout.index_db();
        let failed = |error| failure(op, &path, error);
        room::require(self.layout.root())?;
        let mut inner = self.lock();
        self.follow(&mut inner)?;
        if !matches!(inner.mode, OpenMode::Write { .. }) {
            self.open_again(&mut inner)?;
            if !matches!(inner.mode, OpenMode::Write { .. }) {
                return Err(room::missing(op, &self.layout));
            }
        }
        let changed = inner.note_changes().map_err(failed)?;
        changed.clear();
        let has_store = inner.has_store;
        let tx = inner.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let claimed = self.store_id.as_ref().filter(|_| !has_store);
        if let Some(id) = claimed {
            collection::set_meta(&tx, open::STORE, id).map_err(failed)?;
        }
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
        inner.has_store = has_store || claimed.is_some();
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

    /// Opens the database again if another one stands at its path, if what was read without locks may change now, and in a forked child.
    fn follow(&self, inner: &mut Inner) -> Result<()> {
        let is_other = inner.pid != std::process::id()
            || match &inner.mode {
                OpenMode::Write { .. } | OpenMode::Read => {
                    let has_moved = file_control::has_moved(&inner.connection)
                        .map_err(|error| failure("be looked at", &self.layout.index_db(), error))?;
                    // SQLite goes on with a log and shared memory that were deleted, and sees no other process's commits then.
                    has_moved || inner.opened_at.elapsed() > LIVES_LONG && beside(&self.layout) != inner.beside
                }
                OpenMode::Alone(_) | OpenMode::Sealed(_) => !inner.mode.is_undisturbed(&self.layout),
            };
        if is_other || self.epoch.as_ref().is_some_and(|epoch| epoch.incarnation() != inner.incarnation) {
            return self.open_again(inner);
        }
        Ok(())
    }

    fn open_again(&self, inner: &mut Inner) -> Result<()> {
        // Until it is open this is no process's connection, so that the next query tries again.
        inner.pid = 0;
        // First closed, then opened: SQLite shares what it knows of a file's locks among a process's connections.
        inner.connection =
            Connection::open_in_memory().map_err(|e| failure("be opened", &self.layout.index_db(), e))?;
        let (store_id, epoch) = (self.store_id.as_deref(), self.epoch.as_ref());
        *inner = Inner::open(&self.layout, &self.root, self.access, false, store_id, epoch)?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn open(
        layout: &Layout,
        root: &Root,
        access: Access,
        is_for_one_question: bool,
        store_id: Option<&str>,
        epoch: Option<&Epoch>,
    ) -> Result<Self> {
        // Asked before: a rebuild meanwhile is seen at the next query.
        let incarnation = epoch.map_or(0, Epoch::incarnation);
        let Opened { connection, mode, has_store } = open::open(layout, root, access, is_for_one_question, store_id)?;
        if let OpenMode::Write { is_log_long } = mode {
            if is_log_long {
                log::empty(&connection);
            }
            bindings::get_ready(&connection);
        }
        Ok(Self {
            connection,
            mode,
            has_store,
            pid: std::process::id(),
            opened_at: Instant::now(),
            beside: beside(layout),
            incarnation,
            changed: None,
        })
    }

    /// Whether the shared memory is being changed, or was left half-changed, by a process that writes.
    fn is_torn(&self, error: &rusqlite::Error) -> bool {
        matches!(self.mode, OpenMode::Read) && open::is_torn(error)
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

/// The store that an index says it belongs to; none where it cannot be read or does not say.
pub fn store_of(layout: &Layout) -> Option<String> {
    Index::open(layout, Access::Reader, None).ok()?.meta(open::STORE).ok()?
}

/// Writes which store an index belongs to.
pub fn set_store(tx: &Transaction<'_>, id: &str) -> rusqlite::Result<()> {
    collection::set_meta(tx, open::STORE, id)
}

/// The inodes of the log and the shared memory.
fn beside(layout: &Layout) -> [Option<u64>; 2] {
    let [_, log, memory] = layout.index_files();
    [log, memory].map(|file| FileStamp::of(&file).ok().map(|stamp| stamp.inode))
}

/// Turns SQLite's verdicts into ours.
fn failure(op: &'static str, path: &Path, error: rusqlite::Error) -> Error {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::Corrupt { path, reason: error.to_string() }
        }
        Some(ErrorCode::CannotOpen) => cannot_open(op, path, error),
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

/// SQLite does not say why it cannot open a file: the system does, when it is asked for each of the three again.
fn cannot_open(op: &'static str, path: PathBuf, error: rusqlite::Error) -> Error {
    let beside = |suffix: &str| path.with_file_name(format!("index.db{suffix}"));
    let refused = ["", "-wal", "-shm"].map(beside).into_iter().find_map(|file| {
        let refused = fs::File::open(&file).err()?;
        Some((file, refused))
    });
    match refused {
        Some((path, source)) if source.kind() == std::io::ErrorKind::NotFound => {
            Error::Corrupt { path, reason: "it is missing".into() }
        }
        Some((path, source)) => Error::Io { op: "open", path, source },
        None => Error::Index { op, source: Box::new(error) },
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

/// Notes how often the index was rebuilt.
pub(crate) fn set_incarnation(tx: &Transaction<'_>, incarnation: u64) -> rusqlite::Result<()> {
    collection::set_meta(tx, INCARNATION, &incarnation.to_string())
}
