//! Which environments have no root, and what was noted of the past.

use std::collections::HashSet;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{Index, envs};
use crate::digest::{InterpreterDigest, LockDigest, SpecDigest};
use crate::error::Result;
use crate::index::EnvRow;

/// Which earlier generations keep their environments.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// How many before the current one.
    pub generations: u32,
    /// Written after this.
    pub since: Timestamp,
}

/// An environment that a collector has to look at.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its row.
    pub env: EnvRow,
    /// Whether retained generations name it.
    pub retained: bool,
    /// Whether a pin or a link names it.
    pub pinned: bool,
}

/// Drops the edges of generations that are neither current nor retained. The rows stay: they are the history.
pub fn release_old_generations(tx: &Transaction<'_>, keep: Retention) -> rusqlite::Result<()> {
    // A generation is replaced at the moment its successor is written: retention counts from there.
    tx.execute(
        "UPDATE bindings SET env = NULL
         WHERE env IS NOT NULL
           AND generation <> (SELECT coalesce(p.generation, -1) FROM packs p WHERE p.id = bindings.pack)
           AND ((SELECT count(*) FROM bindings later
                 WHERE later.pack = bindings.pack AND later.generation > bindings.generation) > ?1
                OR coalesce((SELECT later.at FROM bindings later WHERE later.pack = bindings.pack
                             AND later.generation = bindings.generation + 1), '') < ?2)",
        params![keep.generations, keep.since.to_string()],
    )
    .map(drop)
}

/// Every environment that is not on its way out, least recently used first, with what names it. Those that a current binding alone
/// names are left out: they are most of a store, and not worth their rows.
pub fn candidates(db: &Connection) -> rusqlite::Result<Vec<Candidate>> {
    let sql = format!(
        "SELECT {}, EXISTS (SELECT 1 FROM bindings b WHERE b.env = e.id) AS bound,
           EXISTS (SELECT 1 FROM pins WHERE pins.env = e.id)
             OR EXISTS (SELECT 1 FROM links WHERE links.env = e.id) AS pinned
         FROM envs e JOIN interpreters i ON i.id = e.interpreter
         WHERE e.state <> 'deleting'
           AND (pinned OR NOT EXISTS (SELECT 1 FROM bindings b JOIN packs p ON p.id = b.pack
                                      WHERE b.env = e.id AND b.generation = p.generation))
         ORDER BY e.used",
        envs::COLUMNS
    );
    db.prepare(&sql)?
        .query_map([], |row| {
            Ok(Candidate { env: envs::env(row)?, retained: row.get("bound")?, pinned: row.get("pinned")? })
        })?
        .collect()
}

/// Whether anything names an environment: what a sweeper asks again inside its transaction (I4).
pub fn is_referenced(db: &Connection, env: i64) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM bindings WHERE env = ?1) OR EXISTS (SELECT 1 FROM pins WHERE env = ?1)
           OR EXISTS (SELECT 1 FROM links WHERE env = ?1)",
    )?
    .query_row([env], |row| row.get(0))
}

/// Every lock that an environment or a generation names.
pub fn named_locks(db: &Connection) -> rusqlite::Result<HashSet<LockDigest>> {
    db.prepare("SELECT lock FROM envs UNION SELECT lock FROM bindings")?
        .query_map([], |row| super::parsed(row, "lock"))?
        .collect()
}

/// Every declaration that a pack has, or that a pack's environment answers.
pub fn declared(db: &Connection) -> rusqlite::Result<HashSet<SpecDigest>> {
    db.prepare(
        "SELECT spec FROM packs UNION
         SELECT b.answers FROM packs p JOIN bindings b ON b.pack = p.id AND b.generation = p.generation",
    )?
    .query_map([], |row| super::parsed(row, "spec"))?
    .collect()
}

/// Every name the index knows in `envs/`, whatever its state.
pub fn known_names(db: &Connection) -> rusqlite::Result<HashSet<String>> {
    db.prepare("SELECT name FROM envs")?.query_map([], |row| row.get(0))?.collect()
}

impl Index {
    /// A value kept under a name.
    pub fn meta(&self, name: &str) -> Result<Option<String>> {
        self.read("look up a value", |db| {
            db.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()
        })
    }

    /// The last failure of a spec that cannot mend itself: kind, message, when.
    pub fn failure(
        &self,
        spec: &SpecDigest,
        interpreter: &InterpreterDigest,
    ) -> Result<Option<(String, String, Timestamp)>> {
        self.read("look up a failure", |db| {
            db.query_row(
                "SELECT kind, message, at FROM failures WHERE spec = ?1 AND interpreter = ?2",
                [spec.to_string(), interpreter.to_string()],
                |row| Ok((row.get("kind")?, row.get("message")?, super::parsed(row, "at")?)),
            )
            .optional()
        })
    }
}

/// Keeps a value under a name.
pub fn set_meta(tx: &Transaction<'_>, name: &str, value: &str) -> rusqlite::Result<()> {
    tx.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)", [name, value]).map(drop)
}

/// Notes that a spec failed for a reason that cannot mend itself.
pub fn note_failure(
    tx: &Transaction<'_>,
    spec: &SpecDigest,
    interpreter: &InterpreterDigest,
    kind: &str,
    message: &str,
    at: Timestamp,
) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT OR REPLACE INTO failures (spec, interpreter, kind, message, at) VALUES (?1, ?2, ?3, ?4, ?5)",
        [spec.to_string(), interpreter.to_string(), kind.into(), message.into(), at.to_string()],
    )
    .map(drop)
}

/// Forgets a spec's failure.
pub fn forget_failure(
    tx: &Transaction<'_>,
    spec: &SpecDigest,
    interpreter: &InterpreterDigest,
) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM failures WHERE spec = ?1 AND interpreter = ?2")?
        .execute([spec.to_string(), interpreter.to_string()])
        .map(drop)
}
