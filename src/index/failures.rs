//! The last time a pack's environment could not be made: the newest of each pack, bounded.

use std::path::PathBuf;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{from_word, parsed, word};
use crate::error::Kind;
use crate::pack::PackRef;

/// How many packs' failures are kept.
pub const KEPT: i64 = 1_000;

/// A failure.
#[derive(Debug, Clone)]
pub struct PackFailure {
    /// When.
    pub at: Timestamp,
    /// Of what kind.
    pub kind: Kind,
    /// What was told.
    pub message: String,
    /// The installer's output, where it got so far.
    pub log: Option<PathBuf>,
}

/// A pack's last failure, if nothing was made for it since.
pub fn last(db: &Connection, pack: &PackRef) -> rusqlite::Result<Option<PackFailure>> {
    db.prepare_cached("SELECT at, kind, message, log FROM pack_failures WHERE pack = ?1")?
        .query_row([pack.as_str()], |row| {
            Ok(PackFailure {
                at: parsed(row, "at")?,
                kind: from_word(row, "kind")?,
                message: row.get("message")?,
                log: row.get::<_, Option<String>>("log")?.map(PathBuf::from),
            })
        })
        .optional()
}

/// Notes a pack's failure.
pub fn note(tx: &Transaction<'_>, pack: &PackRef, failure: &PackFailure) -> rusqlite::Result<()> {
    let log = failure.log.as_ref().map(|log| log.to_string_lossy());
    tx.prepare_cached(
        "INSERT OR REPLACE INTO pack_failures (pack, at, kind, message, log) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![pack.as_str(), failure.at.to_string(), word(&failure.kind), failure.message, log])?;
    tx.prepare_cached(
        "DELETE FROM pack_failures WHERE pack IN (SELECT pack FROM pack_failures ORDER BY at DESC LIMIT -1 OFFSET ?1)",
    )?
    .execute([KEPT])
    .map(drop)
}

/// Forgets a pack's failure.
pub fn forget(tx: &Transaction<'_>, pack: &PackRef) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM pack_failures WHERE pack = ?1")?.execute([pack.as_str()]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_pack_is_kept_and_of_many_the_newest() {
        let mut db = Connection::open_in_memory().expect("opens");
        db.execute_batch(include_str!("schema.sql")).expect("creates");
        let tx = db.transaction().expect("begins");
        let pack = |number: i64| PackRef::new(format!("p{number}")).expect("a ref");
        for second in 0..KEPT + 5 {
            let at = Timestamp::from_second(second).expect("a time");
            let failure = PackFailure { at, kind: Kind::NoSolution, message: "no".into(), log: Some("/log".into()) };
            note(&tx, &pack(second), &failure).expect("writes");
            note(&tx, &pack(second), &PackFailure { message: "again".into(), ..failure }).expect("writes");
        }
        assert!(last(&tx, &pack(4)).expect("reads").is_none());
        let kept = last(&tx, &pack(5)).expect("reads").expect("is kept");
        assert_eq!((kept.kind, kept.message.as_str(), kept.at.as_second()), (Kind::NoSolution, "again", 5));
        forget(&tx, &pack(5)).expect("writes");
        assert!(last(&tx, &pack(5)).expect("reads").is_none());
    }
}
