//! What names an environment: bindings of every age, pins and links; and what distributions are where.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, params};

use super::{EnvRow, envs, from_word, parsed};
use crate::digest::EnvKey;
use crate::pack::PackRef;
use crate::store::report::Cause;

/// A generation that names an environment.
#[derive(Debug, Clone)]
pub struct BindingRoot {
    /// The pack.
    pub pack: PackRef,
    /// The generation's number.
    pub generation: u64,
    /// Whether it is the pack's current one.
    pub current: bool,
    /// When it was written.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
}

/// A pin.
#[derive(Debug, Clone)]
pub struct PinRoot {
    /// Its name.
    pub name: String,
    /// Since when.
    pub at: Timestamp,
    /// Until when it counts; none: until it is taken away.
    pub until: Option<Timestamp>,
}

/// The generations that name an environment, current ones first, then by pack.
pub fn bindings_of(db: &Connection, env: i64) -> rusqlite::Result<Vec<BindingRoot>> {
    db.prepare_cached(
        "SELECT p.ref, b.generation, b.generation IS p.generation AS current, b.at, b.cause
         FROM bindings b JOIN packs p ON p.id = b.pack WHERE b.env = ?1 ORDER BY current DESC, p.ref, b.generation DESC",
    )?
    .query_map([env], |row| {
        Ok(BindingRoot {
            pack: pack_ref(row)?,
            generation: row.get::<_, i64>("generation")?.cast_unsigned(),
            current: row.get("current")?,
            at: parsed(row, "at")?,
            cause: from_word(row, "cause")?,
        })
    })?
    .collect()
}

/// The pins that name an environment, by name.
pub fn pins_of(db: &Connection, env: i64) -> rusqlite::Result<Vec<PinRoot>> {
    db.prepare_cached("SELECT name, at, until FROM pins WHERE env = ?1 ORDER BY name")?.query_map([env], pin)?.collect()
}

fn pin(row: &rusqlite::Row<'_>) -> rusqlite::Result<PinRoot> {
    let until: Option<String> = row.get("until")?;
    let until = until.map(|text| text.parse()).transpose();
    Ok(PinRoot {
        name: row.get("name")?,
        at: parsed(row, "at")?,
        until: until.map_err(|error: jiff::Error| super::corrupt_column("until", &error))?,
    })
}

/// Every pin with the key of its environment, by name.
pub fn pins(db: &Connection) -> rusqlite::Result<Vec<(PinRoot, EnvKey)>> {
    db.prepare("SELECT p.name, p.at, p.until, e.key FROM pins p JOIN envs e ON e.id = p.env ORDER BY p.name")?
        .query_map([], |row| Ok((pin(row)?, parsed(row, "key")?)))?
        .collect()
}

/// Every environment that holds a distribution, with the version it holds.
pub fn holding(db: &Connection, distribution: &str) -> rusqlite::Result<Vec<(EnvRow, String)>> {
    let sql = format!(
        "SELECT {}, d.version FROM env_distributions d JOIN envs e ON e.id = d.env
         JOIN interpreters i ON i.id = e.interpreter WHERE d.name = ?1 AND e.state <> 'deleting' ORDER BY e.id",
        envs::COLUMNS
    );
    db.prepare(&sql)?.query_map(params![distribution], |row| Ok((envs::env(row)?, row.get("version")?)))?.collect()
}

pub(super) fn pack_ref(row: &rusqlite::Row<'_>) -> rusqlite::Result<PackRef> {
    let text: String = row.get("ref")?;
    PackRef::new(text).map_err(|error| super::corrupt_column("ref", &error))
}

/// Makes a pin, or moves the one of that name.
pub fn set_pin(tx: &Transaction<'_>, env: i64, pin: &PinRoot) -> rusqlite::Result<()> {
    let until = pin.until.map(|until| until.to_string());
    tx.execute(
        "INSERT OR REPLACE INTO pins (name, env, at, until) VALUES (?1, ?2, ?3, ?4)",
        params![pin.name, env, pin.at.to_string(), until],
    )
    .map(drop)
}

/// Takes a pin away and says whether there was one.
pub fn remove_pin(tx: &Transaction<'_>, name: &str) -> rusqlite::Result<bool> {
    tx.execute("DELETE FROM pins WHERE name = ?1", [name]).map(|rows| rows > 0)
}

/// Takes away the pins whose time is over. Returns their names.
pub fn expire_pins(tx: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<Vec<String>> {
    tx.prepare_cached("DELETE FROM pins WHERE until < ?1 RETURNING name")?
        .query_map([now.to_string()], |row| row.get(0))?
        .collect()
}

/// A symbolic link that follows a pack.
#[derive(Debug, Clone)]
pub struct LinkRoot {
    /// Where it is, absolute.
    pub path: PathBuf,
    /// The pack; it may have been removed.
    pub pack: PackRef,
    /// The row of the environment it leads to.
    pub env: i64,
    /// Since when.
    pub at: Timestamp,
}

/// Every link, by path; with a pack only those that follow it.
pub fn links(db: &Connection, pack: Option<&PackRef>) -> rusqlite::Result<Vec<LinkRoot>> {
    db.prepare_cached("SELECT path, pack AS ref, env, at FROM links WHERE ?1 IS NULL OR pack = ?1 ORDER BY path")?
        .query_map([pack.map(PackRef::as_str)], |row| {
            let path: String = row.get("path")?;
            Ok(LinkRoot { path: path.into(), pack: pack_ref(row)?, env: row.get("env")?, at: parsed(row, "at")? })
        })?
        .collect()
}

/// Makes a link, or moves it.
pub fn set_link(tx: &Transaction<'_>, link: &LinkRoot) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT OR REPLACE INTO links (path, pack, env, at) VALUES (?1, ?2, ?3, ?4)",
        params![link.path.to_string_lossy(), link.pack.as_str(), link.env, link.at.to_string()],
    )
    .map(drop)
}

/// Takes a link away and says whether there was one.
pub fn remove_link(tx: &Transaction<'_>, path: &Path) -> rusqlite::Result<bool> {
    tx.execute("DELETE FROM links WHERE path = ?1", [path.to_string_lossy()]).map(|rows| rows > 0)
}
