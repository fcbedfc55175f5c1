//! Interpreters asked before.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Index, json, parsed};
use crate::digest::InterpreterDigest;
use crate::error::Result;
use crate::interpreter::{FileStamp, Interpreter, InterpreterMemory};

/// Remembers an interpreter and returns its row.
pub(super) fn insert(db: &Connection, interpreter: &Interpreter) -> rusqlite::Result<i64> {
    let stamp = interpreter.stamp;
    let body =
        serde_json::to_string(interpreter).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    db.prepare_cached(
        "INSERT INTO interpreters (digest, path, inode, size, mtime_ns, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (path, inode, size, mtime_ns) DO UPDATE SET digest = ?1, body = ?6 RETURNING id",
    )?
    .query_row(
        params![
            interpreter.digest().to_string(),
            interpreter.path.to_string_lossy(),
            stamp.inode.cast_signed(),
            stamp.size.cast_signed(),
            stamp.mtime_ns,
            body
        ],
        |row| row.get(0),
    )
}

/// The digests of all that were asked.
pub fn digests(db: &Connection) -> rusqlite::Result<Vec<InterpreterDigest>> {
    db.prepare_cached("SELECT DISTINCT digest FROM interpreters")?.query_map([], |row| parsed(row, "digest"))?.collect()
}

/// The interpreter in a row's column `body`.
pub(super) fn interpreter(row: &Row<'_>) -> rusqlite::Result<Interpreter> {
    json(row, "body")
}

impl Index {
    /// Every interpreter remembered with an identity, the last asked first.
    pub fn interpreters_of(&self, digest: &InterpreterDigest) -> Result<Vec<Interpreter>> {
        self.read("look up an interpreter", |db| {
            db.prepare_cached("SELECT body FROM interpreters WHERE digest = ?1 ORDER BY id DESC")?
                .query_map([digest.to_string()], interpreter)?
                .collect()
        })
    }

    fn recalled(&self, path: &Path, stamp: FileStamp) -> Result<Option<Interpreter>> {
        self.read("look up an interpreter", |db| {
            db.prepare_cached(
                "SELECT body FROM interpreters WHERE path = ?1 AND inode = ?2 AND size = ?3 AND mtime_ns = ?4",
            )?
            .query_row(
                params![path.to_string_lossy(), stamp.inode.cast_signed(), stamp.size.cast_signed(), stamp.mtime_ns],
                interpreter,
            )
            .optional()
        })
    }
}

impl InterpreterMemory for Index {
    fn recall(&self, path: &Path, stamp: FileStamp) -> Option<Interpreter> {
        self.recalled(path, stamp).ok().flatten()
    }

    fn remember(&self, interpreter: &Interpreter) {
        let remembered = self.write("remember an interpreter", |tx| {
            insert(tx, interpreter).map_err(super::sql("remember an interpreter"))
        });
        if let Err(error) = remembered {
            tracing::debug!(%error, "an interpreter is not remembered");
        }
    }
}
