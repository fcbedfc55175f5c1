//! What happened: the newest events, bounded.

use jiff::Timestamp;
use rusqlite::{Connection, Transaction, params};

use super::parsed;
use crate::pack::PackRef;
use crate::store::report::Event;

/// How many are kept: the older ones go as new ones come.
pub const KEPT: i64 = 20_000;

/// Writes an event.
pub fn event(
    tx: &Transaction<'_>,
    at: Timestamp,
    what: &str,
    pack: Option<&str>,
    cause: Option<&str>,
    change: (Option<&str>, Option<&str>),
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO events (at, what, pack, cause, before, after, uid) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![at.to_string(), what, pack, cause, change.0, change.1, nix::unistd::getuid().as_raw()])?;
    tx.prepare_cached("DELETE FROM events WHERE id <= ?1")?.execute([tx.last_insert_rowid() - KEPT]).map(drop)
}

/// The newest events, newest first; with a pack only its own.
pub fn newest(db: &Connection, pack: Option<&PackRef>, limit: u64) -> rusqlite::Result<Vec<Event>> {
    db.prepare_cached(
        "SELECT at, what, pack, cause, before, after, uid FROM events
         WHERE ?1 IS NULL OR pack = ?1 ORDER BY id DESC LIMIT ?2",
    )?
    .query_map(params![pack.map(PackRef::as_str), i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        Ok(Event {
            at: parsed(row, "at")?,
            what: row.get("what")?,
            pack: row.get("pack")?,
            cause: row.get("cause")?,
            from: row.get("before")?,
            to: row.get("after")?,
            uid: row.get("uid")?,
        })
    })?
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_are_kept() {
        let mut db = Connection::open_in_memory().expect("opens");
        db.execute_batch(include_str!("schema.sql")).expect("creates");
        let tx = db.transaction().expect("begins");
        for number in 0..KEPT + 5 {
            event(&tx, Timestamp::UNIX_EPOCH, "bound", Some(&number.to_string()), None, (None, None)).expect("writes");
        }
        tx.commit().expect("commits");
        let all = newest(&db, None, u64::MAX).expect("reads");
        assert_eq!(all.len(), usize::try_from(KEPT).expect("fits"));
        assert_eq!(all.last().and_then(|event| event.pack.clone()).as_deref(), Some("5"));
    }
}
