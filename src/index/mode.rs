//! [`OpenMode`]: how the index is opened.
//!
//! A sealed store is opened with `immutable=1`. Every other process uses SQLite's own locks, or reads without them only while it can prove that no process
//! writes ([`OpenMode::Alone`]). So it never reads half of a transaction and sees each commit, whatever its mount, its options and its user.
//!
//! | store | process | `-wal` | `-shm` | mode |
//! |---|---|---|---|---|
//! | sealed | any | empty or missing | any | [`OpenMode::Sealed`] |
//! | open | the owner, on a writable mount | any | any | [`OpenMode::Write`] |
//! | open | the owner, for one question | there, at most 128 KiB | there | [`OpenMode::Read`], [`OpenMode::Write`] from its first write on |
//! | open | the owner, on a full disk | there | there | [`OpenMode::Read`], until there is room |
//! | open | `--read-only`, a read-only mount, or another user | there | there | [`OpenMode::Read`] |
//! | open | the same | missing | any | [`OpenMode::Alone`] |
//! | open | the same | there | missing | [`OpenMode::Alone`] |
//! | open | the same, or the owner for one question | a header and nothing else | any | [`OpenMode::Alone`] |
//!
//! [`OpenMode::Read`] is `SQLITE_OPEN_READONLY` with `readonly_shm=1`: the process writes to none of the three files. While no other process has the
//! index open, SQLite keeps the log's index in this process's own memory, under a lock that keeps others from resetting the log
//! (`walBeginShmUnreliable` in SQLite's wal.c).
//!
//! [`OpenMode::Alone`] is for what SQLite cannot open with locks: a log or shared memory that is missing and that this process may not create
//! (sqlite.org/walformat.html, "Read-Only WAL-mode databases"). A process that writes creates both files before its first write, and leaves
//! them there when it closes the index (`index::file_control`). So if a file that was missing before a query is still missing after it, no
//! process wrote meanwhile, and the answer is right. If it appeared, the index is opened again and asked again. This holds on every mount.
//! It is also for a log of a writer that was killed after it had written the log's header: a connection that may not write the shared memory tries for ever
//! to read such a log (`walBeginShmUnreliable` again). It holds no transaction, and each commit makes it longer.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::{Access, log, room};
use crate::error::{Error, Result};
use crate::interpreter::FileStamp;
use crate::layout::Layout;
use crate::store_file::StoreFile;

/// How the index is opened.
#[derive(Debug)]
pub(super) enum OpenMode {
    /// Read and write. `is_log_long`: the log is to be moved into the database first.
    Write { is_log_long: bool },
    /// Read with SQLite's locks, beside writers; write to no file.
    Read,
    /// Read without locks while no process can be writing.
    Alone(Alone),
    /// Read without locks: `store.json` says that the store is sealed. The stamp detects a later change.
    Sealed(FileStamp),
}

/// Why no process can be writing.
#[derive(Debug)]
pub(super) struct Alone {
    /// Each process that writes creates this file first. None: all three are there, and the log holds nothing.
    missing: Option<PathBuf>,
    /// The database and the log before they were opened. Each commit changes the log, also after the file above was deleted under a process
    /// that writes.
    before: [Option<FileStamp>; 2],
    /// Whether the log has content, which has to be read too.
    pub has_log: bool,
}

impl OpenMode {
    /// The mode for what this process may do and for the files that are there. `is_short`: an opening for writing found no room. Three `lstat`s.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if there is no database, or something that is no regular file stands in the place of one of the three files: to open a FIFO
    /// would wait for ever, and a symbolic link may lead anywhere.
    pub fn choose(layout: &Layout, access: Access, is_for_one_question: bool, is_short: bool) -> Result<Self> {
        let [database, log, memory] = layout.index_files();
        if regular(&database)?.is_none() {
            return Err(Error::Corrupt { path: database, reason: "it is missing".into() });
        }
        let log_bytes = regular(&log)?.map(|log| log.len());
        let missing = match (log_bytes, regular(&memory)?) {
            (None, _) => Some(log),
            (Some(_), None) => Some(memory),
            (Some(_), Some(_)) => None,
        };
        let has_log = log_bytes.is_some_and(|bytes| bytes > log::HEADER);
        let is_only_header = log_bytes.is_some_and(|bytes| bytes > 0) && !has_log;
        if access == Access::Immutable && !has_log {
            // The stamp first: a change between the two is seen at the first query.
            let stamp = FileStamp::of(&layout.store_json())?;
            if StoreFile::read(layout)?.is_some_and(|store| store.sealed) {
                return Ok(Self::Sealed(stamp));
            }
        }
        if access == Access::Owner {
            let is_log_long = log_bytes.is_some_and(|bytes| bytes > log::LONG);
            let only_reads = is_for_one_question && !is_log_long && missing.is_none();
            if !only_reads && !is_short && !room::is_short(layout.root())? {
                return Ok(Self::Write { is_log_long });
            }
        }
        if missing.is_none() && !is_only_header {
            return Ok(Self::Read);
        }
        Ok(Self::Alone(Alone { missing, before: stamps(layout), has_log }))
    }

    /// Whether no process wrote since it was chosen. Modes with SQLite's locks need not know.
    pub fn is_undisturbed(&self, layout: &Layout) -> bool {
        match self {
            Self::Write { .. } | Self::Read => true,
            Self::Alone(alone) => {
                let is_missing = |path: &PathBuf| {
                    fs::symlink_metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
                };
                alone.missing.as_ref().is_none_or(is_missing) && stamps(layout) == alone.before
            }
            // Where it cannot be read any more, the store goes away as a whole.
            Self::Sealed(before) => FileStamp::of(&layout.store_json()).map_or(true, |now| now == *before),
        }
    }
}

/// What the database and the log are now.
fn stamps(layout: &Layout) -> [Option<FileStamp>; 2] {
    let [database, log, _] = layout.index_files();
    [database, log].map(|file| FileStamp::of(&file).ok())
}

/// The metadata of a regular file; none if nothing is there.
fn regular(path: &Path) -> Result<Option<fs::Metadata>> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() => return Ok(Some(meta)),
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("stat", path)(error)),
    };
    let kind = meta.file_type();
    let what = if kind.is_dir() {
        "a directory"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_fifo() {
        "a FIFO"
    } else {
        "a device or a socket"
    };
    Err(Error::Corrupt { path: path.to_owned(), reason: format!("it is {what}, not a regular file") })
}
