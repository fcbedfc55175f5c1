//! Components: what artifacts became, which environments hold them, and derived files by what they are made of.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use super::{json, parsed, word};
use crate::component::{Component, File, Form, PACKED, pack_objects, unpack_object};
use crate::digest::{ComponentId, DerivedKey, EnvKey, FileDigest};
use crate::fs::link::LinkMode;
use crate::objects::Object;
use crate::store::runtime::Distribution;

/// What a component's row says beside its objects.
#[derive(Serialize, Deserialize)]
struct Body {
    distribution: Option<Distribution>,
    /// Path, form, whether it is executable; in the order of the objects.
    files: Vec<(String, Form, bool)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    uncompiled: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

fn encoded(component: &Component) -> rusqlite::Result<(String, Vec<u8>)> {
    let body = Body {
        distribution: component.distribution.clone(),
        files: component.files.iter().map(|file| (file.path.clone(), file.form, file.exec)).collect(),
        uncompiled: component.uncompiled.clone(),
        notes: component.notes.clone(),
    };
    let body =
        serde_json::to_string(&body).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    Ok((body, pack_objects(&component.files)))
}

fn component(row: &Row<'_>) -> rusqlite::Result<Component> {
    let body: Body = json(row, "body")?;
    let packed: Vec<u8> = row.get("objects")?;
    let (objects, _) = packed.as_chunks::<PACKED>();
    if objects.len() != body.files.len() {
        return Err(super::corrupt_column("objects", &"not one for each file"));
    }
    let files = body.files.into_iter().zip(objects).map(|((path, form, exec), object)| {
        let (digest, size) = unpack_object(object);
        File { path, digest, size, exec, form }
    });
    Ok(Component {
        distribution: body.distribution,
        files: files.collect(),
        uncompiled: body.uncompiled,
        notes: body.notes,
    })
}

/// The component an artifact became.
pub fn find(db: &Connection, identity: &ComponentId) -> rusqlite::Result<Option<Component>> {
    db.prepare_cached("SELECT body, objects FROM components WHERE identity = ?1")?
        .query_row([identity.to_string()], component)
        .optional()
}

/// Every component with the environments that hold it, as (objects, environments).
pub fn holders(db: &Connection) -> rusqlite::Result<Vec<(Component, Vec<i64>)>> {
    let mut envs = db.prepare("SELECT env FROM env_components WHERE component = ?1")?;
    db.prepare("SELECT id, body, objects FROM components ORDER BY id")?
        .query_map([], |row| Ok((row.get::<_, i64>("id")?, component(row)?)))?
        .map(|found| {
            let (id, component) = found?;
            let envs = envs.query_map([id], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            Ok((component, envs))
        })
        .collect()
}

/// Records that an environment holds a component. What has no identity, or another content than the component of that identity, is
/// the environment's alone.
pub fn attach(
    tx: &Transaction<'_>,
    env: i64,
    identity: Option<&ComponentId>,
    component: &Component,
    at: Timestamp,
) -> rusqlite::Result<()> {
    let id = learn(tx, identity, component, at)?;
    tx.prepare_cached("INSERT OR IGNORE INTO env_components (env, component) VALUES (?1, ?2)")?
        .execute([env, id])
        .map(drop)
}

/// Records what an artifact became, and returns its row.
pub fn learn(
    tx: &Transaction<'_>,
    identity: Option<&ComponentId>,
    component: &Component,
    at: Timestamp,
) -> rusqlite::Result<i64> {
    let (body, objects) = encoded(component)?;
    let known = identity
        .map(|identity| {
            tx.prepare_cached("SELECT id, body = ?2 AND objects = ?3 AS same FROM components WHERE identity = ?1")?
                .query_row(params![identity.to_string(), body, objects], |row| Ok((row.get(0)?, row.get("same")?)))
                .optional()
        })
        .transpose()?
        .flatten();
    let id: i64 = match known {
        Some((id, true)) => {
            tx.prepare_cached("UPDATE components SET last_used_at = ?2 WHERE id = ?1")?
                .execute(params![id, at.to_string()])?;
            id
        }
        known => {
            let (name, version) = component.distribution.as_ref().map_or(("", ""), |d| (&d.name, &d.version));
            tx.prepare_cached(
                "INSERT INTO components (identity, name, version, body, objects, bytes, last_used_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id",
            )?
            .query_row(
                params![
                    identity.filter(|_| known.is_none()).map(ToString::to_string),
                    name,
                    version,
                    body,
                    objects,
                    component.bytes().cast_signed(),
                    at.to_string()
                ],
                |row| row.get(0),
            )?
        }
    };
    Ok(id)
}

/// A component whose objects are not all there serves no further environment; those that hold it keep it.
pub fn forget(tx: &Transaction<'_>, identity: &ComponentId) -> rusqlite::Result<()> {
    tx.execute("UPDATE components SET identity = NULL WHERE identity = ?1", [identity.to_string()]).map(drop)
}

/// Notes when an environment last needed its components: it is about to go.
pub fn touch_of(tx: &Transaction<'_>, env: i64) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "UPDATE components SET last_used_at = max(last_used_at, (SELECT last_used_at FROM envs WHERE id = ?1))
         WHERE id IN (SELECT component FROM env_components WHERE env = ?1)",
    )?
    .execute([env])
    .map(drop)
}

/// A component that no environment holds.
#[derive(Debug, Clone)]
pub struct Unheld {
    /// Row id.
    pub id: i64,
    /// Whether a further environment may take it up; else it was one environment's alone.
    pub has_identity: bool,
    /// Bytes of its files.
    pub bytes: u64,
    /// When it was last put into an environment, or an environment that held it was last used.
    pub last_used_at: Timestamp,
}

/// The components that no environment holds, those of `gone` not counted: (environment, last use).
pub fn unheld(db: &Connection, gone: &HashMap<i64, Timestamp>) -> rusqlite::Result<Vec<Unheld>> {
    let (mut held, mut let_go) = (HashSet::new(), HashMap::new());
    let mut query = db.prepare("SELECT env, component FROM env_components")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (env, component): (i64, i64) = (row.get(0)?, row.get(1)?);
        match gone.get(&env) {
            None => {
                held.insert(component);
            }
            Some(at) => {
                let last = let_go.entry(component).or_insert(*at);
                *last = (*last).max(*at);
            }
        }
    }
    let mut query =
        db.prepare("SELECT id, identity IS NOT NULL AS has_identity, bytes, last_used_at FROM components")?;
    let mut rows = query.query([])?;
    let mut unheld = Vec::new();
    while let Some(row) = rows.next()? {
        let id = row.get("id")?;
        if held.contains(&id) {
            continue;
        }
        let last_used_at: Timestamp = parsed(row, "last_used_at")?;
        unheld.push(Unheld {
            id,
            has_identity: row.get("has_identity")?,
            bytes: row.get::<_, i64>("bytes")?.cast_unsigned(),
            last_used_at: let_go.get(&id).copied().map_or(last_used_at, |at| at.max(last_used_at)),
        });
    }
    Ok(unheld)
}

/// Drops components. One that an environment holds makes this fail.
pub fn drop_all(tx: &Transaction<'_>, ids: &HashSet<i64>) -> rusqlite::Result<()> {
    let mut delete = tx.prepare("DELETE FROM components WHERE id = ?1")?;
    ids.iter().try_for_each(|id| delete.execute([id]).map(drop))
}

/// The names of distributions of which an artifact became a component.
pub fn distributions(db: &Connection) -> rusqlite::Result<HashSet<String>> {
    db.prepare("SELECT DISTINCT name FROM components WHERE identity IS NOT NULL")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// The components an environment holds.
pub fn of_env(db: &Connection, env: i64) -> rusqlite::Result<Vec<i64>> {
    db.prepare_cached("SELECT component FROM env_components WHERE env = ?1")?
        .query_map([env], |row| row.get(0))?
        .collect()
}

/// Drops those of the components that no environment holds, and returns them.
pub fn drop_if_unheld(tx: &Transaction<'_>, ids: &[i64]) -> rusqlite::Result<Vec<Component>> {
    let mut delete = tx.prepare_cached(
        "DELETE FROM components WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM env_components WHERE component = ?1)
         RETURNING body, objects",
    )?;
    ids.iter().filter_map(|id| delete.query_row([id], component).optional().transpose()).collect()
}

/// Every object that a component names, but for those of `without`.
pub fn named_objects(db: &Connection, without: &HashSet<i64>) -> rusqlite::Result<HashSet<FileDigest>> {
    let mut named = HashSet::new();
    let mut query = db.prepare("SELECT id, objects FROM components")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        if !without.contains(&row.get("id")?) {
            let packed = row.get_ref("objects")?.as_blob()?;
            named.extend(packed.as_chunks::<PACKED>().0.iter().map(|object| unpack_object(object).0));
        }
    }
    Ok(named)
}

/// Every object that may be put into a further environment.
pub fn needed_objects(db: &Connection) -> rusqlite::Result<HashSet<Object>> {
    let mut query = db.prepare("SELECT body, objects FROM components WHERE identity IS NOT NULL")?;
    objects_of_rows(query.query([])?)
}

/// Every object that an environment's components are made of.
pub fn objects_held_by(db: &Connection, env: i64) -> rusqlite::Result<HashSet<Object>> {
    let mut query = db.prepare_cached(
        "SELECT c.body, c.objects FROM env_components h JOIN components c ON c.id = h.component WHERE h.env = ?1",
    )?;
    objects_of_rows(query.query([env])?)
}

/// Empty files are no objects.
fn objects_of_rows(mut rows: rusqlite::Rows<'_>) -> rusqlite::Result<HashSet<Object>> {
    let mut objects = HashSet::new();
    while let Some(row) = rows.next()? {
        let files = component(row)?.files.into_iter().filter(|file| file.size > 0);
        objects.extend(files.map(|file| Object { digest: file.digest, exec: file.exec, size: file.size }));
    }
    Ok(objects)
}

/// Components made of objects that are gone serve no further environment; those that no environment holds go.
pub fn forget_made_of(tx: &Transaction<'_>, gone: &HashSet<FileDigest>) -> rusqlite::Result<()> {
    let rows: Vec<(i64, Vec<u8>)> = tx
        .prepare("SELECT id, objects FROM components")?
        .query_map([], |row| Ok((row.get("id")?, row.get("objects")?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (id, packed) in rows {
        if packed.as_chunks::<PACKED>().0.iter().any(|object| gone.contains(&unpack_object(object).0)) {
            tx.execute("UPDATE components SET identity = NULL WHERE id = ?1", [id])?;
            drop_if_unheld(tx, &[id])?;
        }
    }
    Ok(())
}

/// Forgets the derived files that are this object.
pub fn forget_derived_as(tx: &Transaction<'_>, object: &FileDigest) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM derived WHERE substr(object, 1, 32) = ?1", [object.as_bytes().as_slice()]).map(drop)
}

/// The objects that the ready environment of a key holds, with their sizes.
pub fn objects_of(db: &Connection, key: &EnvKey) -> rusqlite::Result<Vec<(FileDigest, u64)>> {
    let mut query = db.prepare_cached(
        "SELECT c.objects FROM envs e JOIN env_components h ON h.env = e.id JOIN components c ON c.id = h.component
         WHERE e.key = ?1 AND e.state = 'ready'",
    )?;
    let mut rows = query.query([key.to_string()])?;
    let mut objects = Vec::new();
    while let Some(row) = rows.next()? {
        let packed = row.get_ref("objects")?.as_blob()?;
        objects.extend(packed.as_chunks::<PACKED>().0.iter().map(unpack_object));
    }
    Ok(objects)
}

/// The bytes that an environment made of reflinks shares with objects.
pub fn reflinked_of(db: &Connection, env: i64) -> rusqlite::Result<u64> {
    db.prepare_cached(
        "SELECT c.body, c.objects FROM env_components h JOIN components c ON c.id = h.component
         JOIN envs e ON e.id = h.env WHERE h.env = ?1 AND e.link_mode = ?2",
    )?
    .query_map(params![env, word(&LinkMode::Reflink)], component)?
    .try_fold(0, |bytes, component| Ok(bytes + component?.shared_bytes()))
}

/// The same for every environment that shares anything so. Where none is made of reflinks, components are not read.
pub fn reflinked(db: &Connection) -> rusqlite::Result<HashMap<i64, u64>> {
    let mut bytes_of: HashMap<i64, u64> = HashMap::new();
    let mut shared: HashMap<i64, u64> = HashMap::new();
    let mut one = db.prepare("SELECT body, objects FROM components WHERE id = ?1")?;
    let mut edges = db.prepare(
        "SELECT h.env, h.component FROM envs e JOIN env_components h ON h.env = e.id WHERE e.link_mode = ?1 AND e.state <> 'deleting'",
    )?;
    let mut rows = edges.query([word(&LinkMode::Reflink)])?;
    while let Some(row) = rows.next()? {
        let (env, id): (i64, i64) = (row.get(0)?, row.get(1)?);
        let bytes = match bytes_of.get(&id) {
            Some(bytes) => *bytes,
            None => *bytes_of.entry(id).or_insert(one.query_row([id], component)?.shared_bytes()),
        };
        *shared.entry(env).or_default() += bytes;
    }
    Ok(shared)
}

/// The derived file made of this, and its bytes.
pub fn derived(db: &Connection, key: &DerivedKey) -> rusqlite::Result<Option<(FileDigest, u64)>> {
    db.prepare_cached("SELECT object FROM derived WHERE key = ?1")?
        .query_row([key.as_bytes().as_slice()], |row| row.get::<_, [u8; PACKED]>(0))
        .optional()
        .map(|object| object.map(|object| unpack_object(&object)))
}

/// Remembers a derived file. The first one made is the one all use.
pub fn remember_derived(tx: &Transaction<'_>, key: &DerivedKey, file: &File) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT OR IGNORE INTO derived (key, object) VALUES (?1, ?2)")?
        .execute(params![key.as_bytes().as_slice(), pack_objects(std::slice::from_ref(file))])
        .map(drop)
}

/// Forgets derived files whose object no component names.
pub fn forget_derived(tx: &Transaction<'_>, named: &HashSet<FileDigest>) -> rusqlite::Result<()> {
    let gone: Vec<Vec<u8>> = tx
        .prepare("SELECT key, object FROM derived")?
        .query_map([], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, [u8; PACKED]>(1)?)))?
        .filter_map(|row| {
            row.map(|(key, object)| (!named.contains(&unpack_object(&object).0)).then_some(key)).transpose()
        })
        .collect::<rusqlite::Result<_>>()?;
    let mut delete = tx.prepare("DELETE FROM derived WHERE key = ?1")?;
    gone.into_iter().try_for_each(|key| delete.execute([key]).map(drop))
}
