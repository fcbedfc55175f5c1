//! Environments: rows of `envs`, their aliases and distributions.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use super::fields::Fields;
use super::{from_word, interpreters};
use crate::digest::{EnvKey, InterpreterDigest, LockDigest, SpecDigest, TreeDigest};
use crate::fs::link::LinkMode;
use crate::interpreter::Interpreter;
use crate::layout::EnvName;
use crate::store::runtime::Distribution;

/// What an environment's row says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It answers.
    Ready,
    /// It has no root and may be swept; an `ensure` takes it back.
    Condemned,
    /// Its directory is on the way out.
    Deleting,
    /// Its directory is not what was published.
    Corrupt,
}

/// A row of `envs`.
#[derive(Debug, Clone)]
pub struct EnvRow {
    /// Row id.
    pub id: i64,
    /// Full key.
    pub key: EnvKey,
    /// Directory name.
    pub name: EnvName,
    /// Its state.
    pub state: State,
    /// What it was made for.
    pub interpreter: Arc<Interpreter>,
    /// The lock's file.
    pub lock: LockDigest,
    /// Digest of its canonical manifest.
    pub tree_digest: TreeDigest,
    /// Bytes of its files.
    pub bytes: u64,
    /// Number of its files.
    pub files: u64,
    /// What installed it.
    pub installer: String,
    /// What the installer left to be noted.
    pub notes: Vec<String>,
    /// How its files share with objects.
    pub link_mode: LinkMode,
    /// When it was published.
    pub created_at: Timestamp,
    /// When it last lost or gained a root, or was used, to five minutes and as far as that was recorded.
    pub last_used_at: Timestamp,
    /// The boot in which it was published, or last found to be as it was.
    pub looked_at: Option<String>,
}

/// Columns of [`EnvRow`] in the order of its fields, of `envs AS e JOIN interpreters AS i`.
pub(super) const COLUMNS: &str = "e.id, e.key, e.name, e.state, i.body, e.lock, e.tree_digest, e.bytes, e.files, \
     e.installer, e.notes, e.link_mode, e.created_at, e.last_used_at, \
     (SELECT boot FROM looked_at WHERE looked_at.env = e.id) AS looked_at";

pub(super) fn env(row: &Row<'_>) -> rusqlite::Result<EnvRow> {
    env_of(&mut Fields::of(row))
}

/// The environment in the next columns, which are [`COLUMNS`].
pub(super) fn env_of(fields: &mut Fields<'_, '_>) -> rusqlite::Result<EnvRow> {
    Ok(EnvRow {
        id: fields.value()?,
        key: fields.parsed()?,
        name: fields.parsed()?,
        state: fields.word()?,
        interpreter: fields.text(interpreters::of_body)?,
        lock: fields.parsed()?,
        tree_digest: fields.parsed()?,
        bytes: fields.value::<i64>()?.cast_unsigned(),
        files: fields.value::<i64>()?.cast_unsigned(),
        installer: fields.value()?,
        notes: fields.json()?,
        link_mode: fields.word()?,
        created_at: fields.parsed()?,
        last_used_at: fields.parsed()?,
        looked_at: fields.value()?,
    })
}

/// What a published environment's row is made of.
#[derive(Debug)]
pub struct NewEnv<'a> {
    /// Full key.
    pub key: EnvKey,
    /// Directory name.
    pub name: &'a EnvName,
    /// What it was made for.
    pub interpreter: &'a Interpreter,
    /// The lock's file.
    pub lock: LockDigest,
    /// Digest of its canonical manifest.
    pub tree_digest: TreeDigest,
    /// Bytes of its files.
    pub bytes: u64,
    /// Number of its files.
    pub files: u64,
    /// What installed it.
    pub installer: &'a str,
    /// What the installer left to be noted.
    pub notes: &'a [String],
    /// How its files share with objects.
    pub link_mode: LinkMode,
    /// Its distributions.
    pub distributions: &'a [Distribution],
    /// When it was published.
    pub created_at: Timestamp,
}

/// The environment of a key that is ready or condemned, if there is one.
pub fn by_key(db: &Connection, key: &EnvKey) -> rusqlite::Result<Option<EnvRow>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM envs e JOIN interpreters i ON i.id = e.interpreter
         WHERE e.key = ?1 AND e.state IN ('ready', 'condemned') ORDER BY e.state = 'ready' DESC, e.id DESC LIMIT 1"
    );
    db.prepare_cached(&sql)?.query_row([key.to_string()], env).optional()
}

/// The environment a spec became for an interpreter, if it is ready or condemned.
pub fn by_alias(
    db: &Connection,
    spec: &SpecDigest,
    interpreter: &InterpreterDigest,
) -> rusqlite::Result<Option<EnvRow>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM aliases a JOIN envs e ON e.id = a.env JOIN interpreters i ON i.id = e.interpreter
         WHERE a.spec = ?1 AND a.interpreter = ?2 AND e.state IN ('ready', 'condemned')"
    );
    db.prepare_cached(&sql)?.query_row([spec.to_string(), interpreter.to_string()], env).optional()
}

/// The environment of a row, in whatever state.
pub fn by_id(db: &Connection, id: i64) -> rusqlite::Result<Option<EnvRow>> {
    let sql = format!("SELECT {COLUMNS} FROM envs e JOIN interpreters i ON i.id = e.interpreter WHERE e.id = ?1");
    db.prepare_cached(&sql)?.query_row([id], env).optional()
}

/// The environment with a directory name, in whatever state.
pub fn by_name(db: &Connection, name: &EnvName) -> rusqlite::Result<Option<EnvRow>> {
    let sql = format!("SELECT {COLUMNS} FROM envs e JOIN interpreters i ON i.id = e.interpreter WHERE e.name = ?1");
    db.prepare_cached(&sql)?.query_row([name.as_str()], env).optional()
}

/// Whether an environment's row still says `ready`: what a lease asks after the lock.
pub fn is_ready(db: &Connection, id: i64) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT state = 'ready' FROM envs WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()
        .map(|ready| ready.unwrap_or(false))
}

/// Every environment, by creation.
pub fn all(db: &Connection) -> rusqlite::Result<Vec<EnvRow>> {
    let sql = format!("SELECT {COLUMNS} FROM envs e JOIN interpreters i ON i.id = e.interpreter ORDER BY e.id");
    db.prepare(&sql)?.query_map([], env)?.collect()
}

/// Inserts a ready environment with its distributions and returns its row id.
pub fn insert(tx: &Transaction<'_>, new: &NewEnv<'_>) -> rusqlite::Result<i64> {
    let interpreter = interpreters::insert(tx, new.interpreter)?;
    let notes =
        serde_json::to_string(new.notes).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let id: i64 = tx.query_row(
        "INSERT INTO envs (key, name, state, interpreter, lock, tree_digest, bytes, files, installer, notes,
                           link_mode, created_at, last_used_at, used)
         VALUES (?1, ?2, 'ready', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11, (SELECT coalesce(max(used), 0) + 1 FROM envs))
         RETURNING id",
        params![
            new.key.to_string(),
            new.name.as_str(),
            interpreter,
            new.lock.to_string(),
            new.tree_digest.to_string(),
            new.bytes.cast_signed(),
            new.files.cast_signed(),
            new.installer,
            notes,
            super::word(&new.link_mode),
            new.created_at.to_string(),
        ],
        |row| row.get(0),
    )?;
    let mut insert = tx.prepare_cached(
        "INSERT OR REPLACE INTO env_distributions (env, name, version, from_source) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for distribution in new.distributions {
        insert.execute(params![id, distribution.name, distribution.version, distribution.from_source])?;
    }
    Ok(id)
}

/// Records what a spec became. Nothing is recorded of an environment that was deleted since it was looked up.
pub fn set_alias(
    tx: &Transaction<'_>,
    spec: &SpecDigest,
    interpreter: &InterpreterDigest,
    env: i64,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO aliases (spec, interpreter, env) SELECT ?1, ?2, id FROM envs WHERE id = ?3",
    )?
    .execute(params![spec.to_string(), interpreter.to_string(), env])
    .map(drop)
}

/// Marks an environment as used now: it goes to the end of the queue of what may be collected.
pub fn touch(tx: &Transaction<'_>, id: i64, now: Timestamp) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE envs SET last_used_at = ?2, used = (SELECT max(used) + 1 FROM envs) WHERE id = ?1")?
        .execute(params![id, now.to_string()])
        .map(drop)
}

/// Sets a state and says whether the row was in one of `from`.
pub fn set_state(tx: &Transaction<'_>, id: i64, from: &[State], to: State) -> rusqlite::Result<bool> {
    let current: Option<State> = tx
        .prepare_cached("SELECT state FROM envs WHERE id = ?1")?
        .query_row([id], |row| from_word(row, "state"))
        .optional()?;
    if !current.is_some_and(|state| from.contains(&state)) {
        return Ok(false);
    }
    tx.prepare_cached("UPDATE envs SET state = ?2 WHERE id = ?1")?.execute(params![id, super::word(&to)])?;
    Ok(true)
}

/// Marks an environment for the collector and says whether it is now. A corrupt one is marked by that: condemned, it might be taken back.
pub fn condemn(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<bool> {
    Ok(set_state(tx, id, &[State::Ready, State::Condemned], State::Condemned)?
        || set_state(tx, id, &[State::Corrupt], State::Corrupt)?)
}

/// Makes an environment ready that is ready or condemned. False: it is neither, or another one of its key is ready (I3): that one took over
/// what named it, and is the one to use.
pub fn take_back(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<bool> {
    let is_replaced: bool = tx
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM envs e JOIN envs other ON other.key = e.key
             WHERE e.id = ?1 AND other.id <> ?1 AND other.state = 'ready')",
        )?
        .query_row([id], |row| row.get(0))?;
    Ok(!is_replaced && set_state(tx, id, &[State::Ready, State::Condemned], State::Ready)?)
}

/// Takes every environment of a key out of use, so that a new one can be `ready` (I3).
pub fn retire(tx: &Transaction<'_>, key: &EnvKey) -> rusqlite::Result<()> {
    tx.execute("UPDATE envs SET state = 'condemned' WHERE key = ?1 AND state = 'ready'", [key.to_string()]).map(drop)
}

/// Moves every edge from the other environments of a key to this one.
pub fn take_over(tx: &Transaction<'_>, key: &EnvKey, id: i64) -> rusqlite::Result<()> {
    for table in ["bindings", "pins", "links", "aliases"] {
        let sql = format!("UPDATE {table} SET env = ?2 WHERE env IN (SELECT id FROM envs WHERE key = ?1 AND id <> ?2)");
        tx.execute(&sql, params![key.to_string(), id])?;
    }
    Ok(())
}

/// Notes that an environment's interpreter looks otherwise now and is the same all the same.
pub fn set_interpreter(tx: &Transaction<'_>, id: i64, interpreter: &Interpreter) -> rusqlite::Result<()> {
    let row = interpreters::insert(tx, interpreter)?;
    tx.execute("UPDATE envs SET interpreter = ?2 WHERE id = ?1", params![id, row]).map(drop)
}

/// Notes the boot in which an environment was published, or looked at.
pub fn set_looked_at(tx: &Transaction<'_>, id: i64, boot: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO looked_at (env, boot) VALUES (?1, ?2)")?
        .execute(params![id, boot])
        .map(drop)
}

/// Deletes a row. Aliases, distributions and holds on components go with it; an edge that still names it makes this fail (I4).
pub fn delete(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    super::components::touch_of(tx, id)?;
    tx.execute("DELETE FROM envs WHERE id = ?1", [id]).map(drop)
}

/// How many distributions each environment has, where it has any.
pub fn distribution_counts(db: &Connection) -> rusqlite::Result<HashMap<i64, u64>> {
    db.prepare("SELECT env, count(*) FROM env_distributions GROUP BY env")?
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())))?
        .collect()
}

/// An environment's distributions, by name.
pub fn distributions(db: &Connection, id: i64) -> rusqlite::Result<Vec<Distribution>> {
    db.prepare_cached("SELECT name, version, from_source FROM env_distributions WHERE env = ?1 ORDER BY name")?
        .query_map([id], |row| {
            Ok(Distribution {
                name: row.get("name")?,
                version: row.get("version")?,
                from_source: row.get("from_source")?,
            })
        })?
        .collect()
}

/// The distributions that ready environments of an interpreter hold from wheels: name and version.
pub fn held_wheels(db: &Connection, interpreter: &InterpreterDigest) -> rusqlite::Result<Vec<(String, String)>> {
    db.prepare(
        "SELECT DISTINCT d.name, d.version FROM env_distributions d JOIN envs e ON e.id = d.env
         JOIN interpreters i ON i.id = e.interpreter
         WHERE i.digest = ?1 AND e.state = 'ready' AND NOT d.from_source ORDER BY d.name, d.version",
    )?
    .query_map([interpreter.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))?
    .collect()
}

/// Takes a directory name that no build had before. `lowest` is one above what the filesystem shows.
pub fn take_name(tx: &Transaction<'_>, key: &EnvKey, lowest: u64) -> rusqlite::Result<EnvName> {
    let stem = key.stem();
    let next: i64 = tx
        .prepare_cached("SELECT next FROM names WHERE stem = ?1")?
        .query_row([&stem], |row| row.get(0))
        .optional()?
        .unwrap_or(0);
    let number = next.cast_unsigned().max(lowest);
    tx.prepare_cached("INSERT OR REPLACE INTO names (stem, next) VALUES (?1, ?2)")?
        .execute(params![stem, (number + 1).cast_signed()])?;
    Ok(EnvName::new(key, number))
}
