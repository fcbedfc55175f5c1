//! Interpreters asked before.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

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

/// How many bodies are kept with what they say: a host has a handful of interpreters.
const KEPT: usize = 8;

/// Bodies read by this process and what they say, the oldest first.
static READ: Mutex<Vec<(String, Arc<Interpreter>)>> = Mutex::new(Vec::new());

/// What a body says. Each environment's row is joined with one, and parsing it anew took two fifths of reading a binding.
pub(super) fn of_body(body: &str) -> serde_json::Result<Arc<Interpreter>> {
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, interpreter)) = read.iter().find(|(known, _)| known == body) {
        return Ok(Arc::clone(interpreter));
    }
    let interpreter: Arc<Interpreter> = Arc::new(serde_json::from_str(body)?);
    if read.len() == KEPT {
        read.remove(0);
    }
    read.push((body.to_owned(), Arc::clone(&interpreter)));
    Ok(interpreter)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpreter::InterpreterIdentity;
    use crate::spec::RuntimeKind;

    fn body(version: usize) -> String {
        let text = String::new;
        let identity = InterpreterIdentity {
            runtime: RuntimeKind::Python,
            implementation: text(),
            version: version.to_string(),
            abi: text(),
            platform: text(),
            machine: text(),
            libc: text(),
            build_id: text(),
        };
        let stamp = FileStamp { inode: 1, size: 2, mtime_ns: 3 };
        let interpreter = Interpreter { identity, path: "/python".into(), stamp, facts: Default::default() };
        serde_json::to_string(&interpreter).expect("serializes")
    }

    #[test]
    fn a_body_is_parsed_once_while_few_are_met_and_says_the_same_later() {
        let first = of_body(&body(0)).expect("parses");
        assert!(Arc::ptr_eq(&first, &of_body(&body(0)).expect("parses")));
        for version in 1..=KEPT {
            assert_eq!(of_body(&body(version)).expect("parses").identity.version, version.to_string());
        }
        assert!(READ.lock().expect("no panic").len() <= KEPT);
        assert_eq!(of_body(&body(0)).expect("parses"), first);
        assert!(of_body("{}").is_err());
    }
}
