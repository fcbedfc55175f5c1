//! Packs and their bindings.

use std::path::PathBuf;

use jiff::Timestamp;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, Transaction, params};

use super::fields::Fields;
use super::{envs, from_word, json, parsed, word};
use crate::binding::GenerationRecord;
use crate::digest::{EnvKey, InterpreterDigest, LockDigest, SpecDigest};
use crate::index::EnvRow;
use crate::pack::PackRef;
use crate::spec::Spec;
use crate::store::report::Cause;

/// A pack's current binding with its environment.
#[derive(Debug, Clone)]
pub struct Bound {
    /// The pack's row.
    pub pack: PackRow,
    /// The generation's number, from 1.
    pub generation: u64,
    /// The declaration it answers.
    pub answers: SpecDigest,
    /// Why it was written.
    pub cause: Cause,
    /// When it was written.
    pub at: Timestamp,
    /// The environment.
    pub env: EnvRow,
}

impl Bound {
    /// Whether it answers another declaration than the last one given.
    pub fn is_stale(&self) -> bool {
        self.answers != self.pack.spec
    }

    /// Whether another answer for the same pack says the same.
    pub fn is_same(&self, other: &Self) -> bool {
        let binding = |b: &Self| (b.generation, b.answers, b.cause, b.at, b.env.id, b.env.state);
        binding(self) == binding(other)
            && self.env.interpreter.stamp == other.env.interpreter.stamp
            && self.pack.spec == other.pack.spec
            && self.pack.origin == other.pack.origin
    }
}

/// A row of `packs`.
#[derive(Debug, Clone)]
pub struct PackRow {
    /// Row id.
    pub id: i64,
    /// The pack.
    pub pack: PackRef,
    /// The digest of the last declaration given.
    pub spec: SpecDigest,
    /// Where `sync` found it.
    pub origin: Option<PathBuf>,
}

/// A generation in a pack's history.
#[derive(Debug, Clone)]
pub struct Generation {
    /// From 1.
    pub generation: u64,
    /// The environment's key.
    pub key: EnvKey,
    /// The interpreter it was made for.
    pub interpreter: InterpreterDigest,
    /// The lock's file.
    pub lock: LockDigest,
    /// The declaration it answers.
    pub answers: SpecDigest,
    /// When it was written.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// The user who asked for it.
    pub uid: Option<u32>,
    /// Whether an environment of that key stands.
    pub present: bool,
}

/// A generation to be written.
#[derive(Debug)]
pub struct NewBinding<'a> {
    /// The environment's row.
    pub env: Option<i64>,
    /// Its key.
    pub key: &'a EnvKey,
    /// Its interpreter.
    pub interpreter: InterpreterDigest,
    /// The lock's file.
    pub lock: &'a LockDigest,
    /// The declaration it answers.
    pub answers: &'a SpecDigest,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// The user who asked for it.
    pub uid: Option<u32>,
}

impl<'a> NewBinding<'a> {
    /// A generation of a pack's file, with its environment's row.
    pub fn of(past: &'a GenerationRecord, env: Option<i64>) -> Self {
        let GenerationRecord { generation: _, key, interpreter, lock, answers, at, cause, uid } = past;
        Self { env, key, interpreter: *interpreter, lock, answers, at: *at, cause: *cause, uid: *uid }
    }
}

fn pack(fields: &mut Fields<'_, '_>) -> rusqlite::Result<PackRow> {
    Ok(PackRow {
        id: fields.value()?,
        pack: fields.parsed()?,
        spec: fields.parsed()?,
        origin: fields.value::<Option<String>>()?.map(PathBuf::from),
    })
}

fn bound(row: &Row<'_>) -> rusqlite::Result<Bound> {
    let fields = &mut Fields::of(row);
    Ok(Bound {
        pack: pack(fields)?,
        generation: fields.value::<i64>()?.cast_unsigned(),
        answers: fields.parsed()?,
        cause: fields.word()?,
        at: fields.parsed()?,
        env: envs::env_of(fields)?,
    })
}

/// Packs and their current bindings, in the order of [`Bound`]'s fields. `CROSS JOIN` says in which order the tables are looked at (SQLite has
/// no other way to be told), so that it is not searched for each time this is prepared.
fn current(suffix: &str) -> String {
    format!(
        "SELECT p.id, p.ref, p.spec, p.origin, b.generation, b.answers, b.cause, b.at, {}
         FROM packs p CROSS JOIN bindings b ON b.pack = p.id AND b.generation = p.generation
         CROSS JOIN envs e ON e.id = b.env CROSS JOIN interpreters i ON i.id = e.interpreter {suffix}",
        envs::COLUMNS
    )
}

fn prepared(db: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
    db.prepare_cached(&current("WHERE p.ref = ?1"))
}

/// Looks up a pack that cannot be, so that the first [`resolve`] finds its statement prepared and what every search begins with read. Where that
/// fails, it does too and says why.
pub(super) fn get_ready(db: &Connection) {
    let _ = prepared(db).and_then(|mut statement| statement.query_row([""], |_| Ok(())).optional());
}

/// A pack's current binding.
pub fn resolve(db: &Connection, pack: &PackRef) -> rusqlite::Result<Option<Bound>> {
    prepared(db)?.query_row([pack.as_str()], bound).optional()
}

/// Every current binding, by pack.
pub fn list(db: &Connection) -> rusqlite::Result<Vec<Bound>> {
    db.prepare(&current("ORDER BY p.ref"))?.query_map([], bound)?.collect()
}

/// The packs currently bound to an environment, by name.
pub fn packs_of(db: &Connection, env: i64) -> rusqlite::Result<Vec<PackRef>> {
    db.prepare_cached(
        "SELECT p.ref FROM packs p JOIN bindings b ON b.pack = p.id AND b.generation = p.generation
         WHERE b.env = ?1 ORDER BY p.ref",
    )?
    .query_map([env], |row| {
        let text: String = row.get("ref")?;
        PackRef::new(text).map_err(|error| super::corrupt_column("ref", &error))
    })?
    .collect()
}

/// A pack's row, bound or not.
pub fn find_pack(db: &Connection, pack_ref: &PackRef) -> rusqlite::Result<Option<PackRow>> {
    db.prepare_cached("SELECT id, ref, spec, origin FROM packs WHERE ref = ?1")?
        .query_row([pack_ref.as_str()], |row| pack(&mut Fields::of(row)))
        .optional()
}

/// Every pack's row, bound or not, by name.
pub fn packs(db: &Connection) -> rusqlite::Result<Vec<PackRow>> {
    db.prepare("SELECT id, ref, spec, origin FROM packs ORDER BY ref")?
        .query_map([], |row| pack(&mut Fields::of(row)))?
        .collect()
}

/// A spec by its digest.
pub fn spec(db: &Connection, digest: &SpecDigest) -> rusqlite::Result<Option<Spec>> {
    db.prepare_cached("SELECT body FROM specs WHERE digest = ?1")?
        .query_row([digest.to_string()], |row| json(row, "body"))
        .optional()
}

/// A pack's generations, oldest first.
pub fn history(db: &Connection, pack: i64) -> rusqlite::Result<Vec<Generation>> {
    db.prepare_cached(
        "SELECT b.*, EXISTS (SELECT 1 FROM envs e WHERE e.key = b.key AND e.state IN ('ready', 'condemned')) AS present
         FROM bindings b WHERE b.pack = ?1 ORDER BY b.generation",
    )?
    .query_map([pack], |row| {
        Ok(Generation {
            generation: row.get::<_, i64>("generation")?.cast_unsigned(),
            key: parsed(row, "key")?,
            interpreter: parsed(row, "interpreter")?,
            lock: parsed(row, "lock")?,
            answers: parsed(row, "answers")?,
            at: parsed(row, "at")?,
            cause: from_word(row, "cause")?,
            uid: row.get("uid")?,
            present: row.get("present")?,
        })
    })?
    .collect()
}

const KEEP_SPEC: &str = "INSERT INTO specs (digest, body) VALUES (?1, ?2) ON CONFLICT (digest) DO UPDATE SET body = ?2";

/// Keeps a declaration that an earlier generation answers.
pub fn keep_spec(tx: &Transaction<'_>, spec: &Spec) -> rusqlite::Result<()> {
    let body = serde_json::to_string(spec).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    tx.prepare_cached(KEEP_SPEC)?.execute([spec.digest().to_string(), body]).map(drop)
}

/// Records a pack's declaration, and the pack if it is new. Returns its row.
pub fn declare(
    tx: &Transaction<'_>,
    pack_ref: &PackRef,
    spec: &Spec,
    origin: Option<&std::path::Path>,
) -> rusqlite::Result<i64> {
    let digest = spec.digest().to_string();
    let body = serde_json::to_string(spec).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    tx.prepare_cached(KEEP_SPEC)?.execute([&digest, &body])?;
    tx.prepare_cached(
        "INSERT INTO packs (ref, spec, origin) VALUES (?1, ?2, ?3)
         ON CONFLICT (ref) DO UPDATE SET spec = ?2, origin = ?3 RETURNING id",
    )?
    .query_row(params![pack_ref.as_str(), digest, origin.map(|path| path.to_string_lossy())], |row| row.get(0))
}

/// The number the next generation of a pack will have.
pub fn next_generation(db: &Connection, pack: i64) -> rusqlite::Result<u64> {
    db.prepare_cached("SELECT coalesce(max(generation), 0) + 1 FROM bindings WHERE pack = ?1")?
        .query_row([pack], |row| row.get::<_, i64>(0))
        .map(i64::cast_unsigned)
}

/// Writes a generation and makes it the current one.
pub fn bind(tx: &Transaction<'_>, pack: i64, generation: u64, new: &NewBinding<'_>) -> rusqlite::Result<()> {
    add(tx, pack, generation, new)?;
    set_current(tx, pack, Some(generation))
}

/// Writes a generation.
pub fn add(tx: &Transaction<'_>, pack: i64, generation: u64, new: &NewBinding<'_>) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO bindings (pack, generation, env, key, interpreter, lock, answers, at, cause, uid)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        pack,
        generation.cast_signed(),
        new.env,
        new.key.to_string(),
        new.interpreter.to_string(),
        new.lock.to_string(),
        new.answers.to_string(),
        new.at.to_string(),
        word(&new.cause),
        new.uid,
    ])
    .map(drop)
}

/// Gives a pack's current generation the environment of its key again, if it has none and there is one.
pub fn reattach(tx: &Transaction<'_>, pack: i64) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "UPDATE bindings SET env = (SELECT e.id FROM envs e WHERE e.key = bindings.key AND e.state = 'ready')
         WHERE pack = ?1 AND env IS NULL AND generation = (SELECT generation FROM packs WHERE id = ?1)",
    )?
    .execute([pack])
    .map(drop)
}

/// Makes a generation the current one; none: the pack is bound to nothing.
pub fn set_current(tx: &Transaction<'_>, pack: i64, generation: Option<u64>) -> rusqlite::Result<()> {
    tx.execute("UPDATE packs SET generation = ?2 WHERE id = ?1", params![pack, generation.map(u64::cast_signed)])
        .map(drop)
}

/// Drops a pack's oldest generations beyond the newest `limit`. Two older ones stay: the current one, and the newest that was not a
/// rollback and has the current one's environment, for a further rollback goes back from there. Returns how many were dropped.
pub fn trim_history(tx: &Transaction<'_>, pack: i64, limit: u32) -> rusqlite::Result<usize> {
    tx.prepare_cached(
        "DELETE FROM bindings WHERE pack = ?1
           AND generation <= (SELECT generation FROM bindings WHERE pack = ?1 ORDER BY generation DESC LIMIT 1 OFFSET ?2)
           AND generation IS NOT (SELECT generation FROM packs WHERE id = ?1)
           AND generation IS NOT (SELECT max(o.generation) FROM packs p
               JOIN bindings c ON c.pack = p.id AND c.generation = p.generation
               JOIN bindings o ON o.pack = p.id AND o.key = c.key AND o.cause <> ?3
               WHERE p.id = ?1)",
    )?
    .execute(params![pack, limit, word(&Cause::Rollback)])
}

/// Forgets the declarations that no pack has and no generation answers.
pub fn forget_unused_specs(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute(
        "DELETE FROM specs WHERE digest NOT IN (SELECT spec FROM packs) AND digest NOT IN (SELECT answers FROM bindings)",
        [],
    )
    .map(drop)
}

/// Lets a pack go: with its history, or only from its environment. Its declarations stay until [`forget_unused_specs`].
pub fn unbind(tx: &Transaction<'_>, pack: i64, keep_history: bool) -> rusqlite::Result<()> {
    if keep_history {
        tx.execute("UPDATE bindings SET env = NULL WHERE pack = ?1", [pack])?;
        tx.execute("UPDATE packs SET generation = NULL WHERE id = ?1", [pack])?;
    } else {
        tx.execute("DELETE FROM bindings WHERE pack = ?1", [pack])?;
        tx.execute("DELETE FROM packs WHERE id = ?1", [pack])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::index::{Access, Index};
    use crate::layout::Layout;

    #[test]
    fn a_pack_asked_for_again_is_not_parsed_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(dir.path());
        Index::create(&layout, 0o644).expect("creates");
        let index = Index::open(&layout, Access::Owner, None).expect("opens");
        let parsed_again = index.read("look up a binding", |db| {
            for name in ["one", "two", "three"] {
                assert!(resolve(db, &PackRef::new(name).expect("a ref"))?.is_none());
            }
            Ok(db.prepare_cached(&current("WHERE p.ref = ?1"))?.get_status(StatementStatus::RePrepare))
        });
        assert_eq!(parsed_again.expect("reads"), 0);
    }

    #[test]
    fn a_history_keeps_its_newest_generations_and_what_a_rollback_starts_from() {
        use crate::digest::Canonical;
        use crate::spec::RuntimeKind;
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(dir.path());
        Index::create(&layout, 0o644).expect("creates");
        std::fs::create_dir(layout.dir("guards")).expect("a directory");
        let index = Index::open(&layout, Access::Owner, None).expect("opens");
        let lock = blake3::hash(b"lock").into();
        let answers = Canonical::new("s").digest();
        let remembered = |of: &[(char, Cause)], current: u64, limit| -> Vec<u64> {
            let pack_ref = PackRef::new(format!("p{}-{current}-{limit}", of.len())).expect("a ref");
            let change = |tx: &Transaction<'_>| -> rusqlite::Result<Vec<u64>> {
                let pack = declare(tx, &pack_ref, &Spec::empty(RuntimeKind::Python), None)?;
                for (at, (env, cause)) in of.iter().enumerate() {
                    let key = Canonical::new(&env.to_string()).digest();
                    let (interpreter, at_time) = (Canonical::new("i").digest(), Timestamp::UNIX_EPOCH);
                    let new = NewBinding {
                        env: None,
                        key: &key,
                        interpreter,
                        lock: &lock,
                        answers: &answers,
                        at: at_time,
                        cause: *cause,
                        uid: None,
                    };
                    bind(tx, pack, at as u64 + 1, &new)?;
                }
                set_current(tx, pack, Some(current))?;
                trim_history(tx, pack, limit)?;
                Ok(history(tx, pack)?.into_iter().map(|past| past.generation).collect())
            };
            index.write("test", |tx| change(tx).map_err(crate::index::sql("test"))).expect("writes")
        };
        use Cause::{Rollback, Upgrade};
        let forward = [('a', Upgrade), ('b', Upgrade), ('c', Upgrade), ('d', Upgrade)];
        assert_eq!(remembered(&forward, 4, 9), [1, 2, 3, 4]);
        assert_eq!(remembered(&forward, 4, 4), [1, 2, 3, 4]);
        assert_eq!(remembered(&forward, 4, 2), [3, 4]);
        // The current one stays, wherever it is.
        assert_eq!(remembered(&forward, 1, 2), [1, 3, 4]);
        // The second is what the current one repeats.
        let back = [('a', Upgrade), ('b', Upgrade), ('c', Upgrade), ('b', Rollback), ('c', Rollback), ('b', Rollback)];
        assert_eq!(remembered(&back, 6, 2), [2, 5, 6]);
    }
}
