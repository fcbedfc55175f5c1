//! Which environments have no root, and what was noted of the past.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{Index, parsed};
use crate::digest::{InterpreterDigest, LockDigest, SpecDigest};
use crate::error::Result;
use crate::layout::EnvName;
use crate::pack::PackRef;

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
    /// Row id.
    pub id: i64,
    /// Directory name.
    pub name: EnvName,
    /// Bytes of its files.
    pub bytes: u64,
    /// When it last lost or gained a root, or was used.
    pub last_used_at: Timestamp,
    /// Whether retained generations name it.
    pub retained: bool,
    /// Whether a pin or a link names it.
    pub pinned: bool,
}

/// What bindings name, by the rows of environments.
#[derive(Debug, Default)]
pub struct Named {
    /// By current generations.
    current: HashSet<i64>,
    /// By earlier ones.
    earlier: HashSet<i64>,
    /// Earlier generations that are not retained, as (pack, generation): they name nothing any more.
    over: Vec<(i64, i64)>,
}

/// What bindings name, earlier ones as far as they are retained; without a retention nothing is over.
///
/// Two scans of narrow columns, side by side, and a look at each earlier generation: for a million packs a join would be a million
/// look-ups all over the index.
pub fn named_by_bindings(db: &Connection, keep: Option<Retention>) -> rusqlite::Result<Named> {
    let mut edges: Vec<(i64, i64, i64)> = db
        .prepare("SELECT pack, generation, env FROM bindings WHERE env IS NOT NULL ORDER BY env")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    edges.sort_unstable();
    let mut edges = edges.into_iter().peekable();

    // A generation is replaced at the moment its successor is written: retention counts from there.
    let mut is_over = db.prepare(
        "SELECT (SELECT count(*) FROM bindings WHERE pack = ?1 AND generation > ?2) > ?3
             OR coalesce((SELECT at FROM bindings WHERE pack = ?1 AND generation = ?2 + 1), '') < ?4",
    )?;
    let keep = keep.map(|keep| (keep.generations, keep.since.to_string()));
    let mut named = Named::default();
    let mut packs = db.prepare("SELECT id, generation FROM packs ORDER BY id")?;
    let mut rows = packs.query([])?;
    while let Some(row) = rows.next()? {
        let (pack, current): (i64, Option<i64>) = (row.get(0)?, row.get(1)?);
        while let Some((_, generation, env)) = edges.next_if(|(of, ..)| *of == pack) {
            let over = match &keep {
                _ if current == Some(generation) => {
                    named.current.insert(env);
                    continue;
                }
                None => false,
                Some((generations, since)) => {
                    is_over.query_row(params![pack, generation, generations, since], |row| row.get(0))?
                }
            };
            if over {
                named.over.push((pack, generation));
            } else {
                named.earlier.insert(env);
            }
        }
    }
    // An edge of no pack cannot be; if it is, it keeps what it names, and whatever comes after it (I8).
    named.earlier.extend(edges.map(|(_, _, env)| env));
    Ok(named)
}

/// Drops the edges of generations that are over. The rows stay: they are the history.
pub fn release(tx: &Transaction<'_>, named: &Named) -> rusqlite::Result<()> {
    let mut update = tx.prepare("UPDATE bindings SET env = NULL WHERE pack = ?1 AND generation = ?2")?;
    named.over.iter().try_for_each(|(pack, generation)| update.execute([pack, generation]).map(drop))
}

/// Every environment that is not on its way out, least recently used first, with what names it. Those that a current binding alone
/// names are left out: they are most of a store, and not worth their rows.
pub fn candidates(db: &Connection, named: &Named) -> rusqlite::Result<Vec<Candidate>> {
    let pinned: HashSet<i64> = db
        .prepare("SELECT env FROM pins UNION SELECT env FROM links")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut query =
        db.prepare("SELECT id, name, bytes, last_used_at FROM envs WHERE state <> 'deleting' ORDER BY used")?;
    let mut rows = query.query([])?;
    let mut candidates = Vec::new();
    while let Some(row) = rows.next()? {
        let id = row.get("id")?;
        let pinned = pinned.contains(&id);
        if pinned || !named.current.contains(&id) {
            candidates.push(Candidate {
                id,
                name: parsed(row, "name")?,
                bytes: row.get::<_, i64>("bytes")?.cast_unsigned(),
                last_used_at: parsed(row, "last_used_at")?,
                retained: named.current.contains(&id) || named.earlier.contains(&id),
                pinned,
            });
        }
    }
    Ok(candidates)
}

/// Whether anything names an environment: what a sweeper asks again inside its transaction (I4).
pub fn is_referenced(db: &Connection, env: i64) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM bindings WHERE env = ?1) OR EXISTS (SELECT 1 FROM pins WHERE env = ?1)
           OR EXISTS (SELECT 1 FROM links WHERE env = ?1)",
    )?
    .query_row([env], |row| row.get(0))
}

/// Those of the locks, by the text of their digests, that no environment and no generation names.
pub fn unnamed_locks(db: &Connection, mut locks: HashSet<String>) -> rusqlite::Result<HashSet<String>> {
    // Most are named by environments; generations are many more rows.
    for sql in ["SELECT lock FROM envs", "SELECT lock FROM bindings"] {
        let mut query = db.prepare(sql)?;
        let mut rows = query.query([])?;
        while !locks.is_empty()
            && let Some(row) = rows.next()?
        {
            locks.remove(row.get_ref("lock")?.as_str()?);
        }
    }
    Ok(locks)
}

/// Every lock that an environment or a generation names, by its digest, with the environments that were made of it.
pub fn named_locks(db: &Connection) -> rusqlite::Result<BTreeMap<LockDigest, Vec<EnvName>>> {
    let mut named: BTreeMap<LockDigest, Vec<EnvName>> = BTreeMap::new();
    let mut query = db.prepare("SELECT lock, name FROM envs WHERE state IN ('ready', 'condemned')")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        named.entry(parsed(row, "lock")?).or_default().push(parsed(row, "name")?);
    }
    let mut query = db.prepare("SELECT DISTINCT lock FROM bindings")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        named.entry(parsed(row, "lock")?).or_default();
    }
    Ok(named)
}

/// The generations that name a lock: pack and number.
pub fn generations_of_lock(db: &Connection, lock: &LockDigest) -> rusqlite::Result<Vec<(PackRef, u64)>> {
    db.prepare(
        "SELECT p.ref, b.generation FROM bindings b JOIN packs p ON p.id = b.pack WHERE b.lock = ?1 ORDER BY p.ref, b.generation",
    )?
    .query_map([lock.to_string()], |row| {
        Ok((super::roots::pack_ref(row)?, row.get::<_, i64>("generation")?.cast_unsigned()))
    })?
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

/// Forgets the values kept under some names.
pub fn remove_meta(tx: &Transaction<'_>, names: &[&str]) -> rusqlite::Result<()> {
    names.iter().try_for_each(|name| tx.execute("DELETE FROM meta WHERE name = ?1", [name]).map(drop))
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
