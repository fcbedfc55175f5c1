//! Which packs' answers a transaction changes: SQLite itself tells, so no writer can forget to.
//!
//! What a kept handle answers comes of a pack's row, its current binding and that environment's state. Triggers on the writing
//! connection call a function for every change of these, and the function notes the pack's slot.

use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::Null;

use crate::epoch::{Slot, Slots};

/// Notes the slots of the packs that this connection changes from now on. Not to be called inside a transaction.
pub(super) fn note(connection: &Connection, slots: Arc<Slots>) -> rusqlite::Result<()> {
    // The schema of temporary triggers needs no file.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.create_scalar_function("envstore_changed", 1, FunctionFlags::SQLITE_UTF8, move |call| {
        slots.add(Slot::of(call.get_raw(0).as_str()?));
        Ok(Null)
    })?;
    connection.execute_batch(include_str!("changes.sql"))
}

#[cfg(test)]
mod tests {
    use super::super::{Access, Index, sql};
    use super::*;
    use crate::epoch::{Epoch, is_odd};
    use crate::error::{Error, Result};
    use crate::layout::Layout;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    /// Two packs on one environment (1), a third environment that only an old generation names (2), one that nothing names (3).
    fn index(dir: &std::path::Path) -> Index {
        let layout = Layout::new(dir);
        std::fs::create_dir(layout.dir("guards")).expect("a directory");
        Index::create(&layout, 0o644).expect("creates");
        Epoch::create(dir, &layout.epoch(), ID).expect("creates");
        let epoch = Epoch::open(&layout.epoch(), ID, true).expect("opens");
        let index = Index::open(&layout, Access::Owner, epoch).expect("opens");
        change(
            &index,
            "INSERT INTO interpreters VALUES (1, 'i', '/p', 1, 1, 1, '{}'), (2, 'i', '/p', 2, 1, 1, '{}');
             INSERT INTO specs VALUES ('s', '{}'), ('t', '{}');
             INSERT INTO envs SELECT value, 'k' || value, 'n' || value, 'ready', 1, '', '', 0, 0, '', '', '', '', '', value
               FROM json_each('[1, 2, 3]');
             INSERT INTO packs VALUES (1, 'one', 's', NULL, NULL), (2, 'two', 's', NULL, 1);
             INSERT INTO bindings (pack, generation, env, key, interpreter, lock, answers, at, cause) VALUES (1, 1, 2, '', '', '', 's', '', ''), (1, 2, 1, '', '', '', 's', '', ''),
               (2, 1, 1, '', '', '', 's', '', '');
             UPDATE packs SET generation = 2 WHERE id = 1;",
        )
        .expect("rows");
        index
    }

    fn change(index: &Index, statements: &str) -> Result<()> {
        index.write("be changed", |tx| tx.execute_batch(statements).map_err(sql("be changed")))
    }

    /// The packs among `one` and `two` whose counters some statements move.
    fn moved(index: &Index, statements: &str) -> Vec<&'static str> {
        let epoch = index.epoch().expect("an epoch");
        let counters = || ["one", "two"].map(|pack| epoch.counter(Slot::of(pack)));
        let before = counters();
        change(index, statements).expect(statements);
        let after = counters();
        assert!(after.iter().all(|counter| !is_odd(*counter)), "{statements}");
        ["one", "two"]
            .into_iter()
            .zip(before.iter().zip(&after))
            .filter(|(_, (b, a))| a > b)
            .map(|(pack, _)| pack)
            .collect()
    }

    #[test]
    fn whatever_changes_an_answer_moves_its_counter_and_nothing_else_does() {
        let dir = tempfile::tempdir().expect("a directory");
        let index = index(dir.path());
        for (statements, expected) in [
            ("UPDATE packs SET generation = 1 WHERE id = 1", &["one"][..]),
            ("UPDATE packs SET generation = 2 WHERE id = 1", &["one"]),
            ("UPDATE packs SET spec = 't' WHERE ref = 'two'", &["two"]),
            ("UPDATE packs SET spec = 't' WHERE ref = 'two'", &[]),
            ("INSERT INTO packs (ref, spec) VALUES ('two', 't') ON CONFLICT (ref) DO UPDATE SET spec = 's'", &["two"]),
            ("UPDATE envs SET state = 'corrupt' WHERE id = 1", &["one", "two"]),
            ("UPDATE envs SET interpreter = 2 WHERE id = 1", &["one", "two"]),
            ("UPDATE bindings SET env = 3 WHERE env = 1", &["one", "two"]),
            ("UPDATE envs SET used = 9, last_used_at = 'now'", &[]),
            ("UPDATE envs SET state = 'condemned' WHERE id IN (1, 2)", &[]),
            ("UPDATE bindings SET env = NULL WHERE env = 2", &[]),
            ("UPDATE envs SET state = 'deleting' WHERE id = 2; DELETE FROM envs WHERE id = 2", &[]),
            ("DELETE FROM packs WHERE ref = 'two'", &["two"]),
        ] {
            assert_eq!(moved(&index, statements), expected, "{statements}");
        }
    }

    #[test]
    fn what_is_rolled_back_moves_nothing_and_is_forgotten() {
        let dir = tempfile::tempdir().expect("a directory");
        let index = index(dir.path());
        let counter = index.epoch().expect("an epoch").counter(Slot::of("one"));
        let refused: Result<()> = index.write("be changed", |tx| {
            tx.execute("UPDATE packs SET generation = 1 WHERE id = 1", []).map_err(sql("be changed"))?;
            Err(Error::Interrupted { what: "a test".into() })
        });
        refused.expect_err("refused");
        index
            .rehearse("be changed", |tx| tx.execute("UPDATE packs SET generation = 1", []).map_err(sql("be changed")))
            .expect("rehearses");
        change(&index, "UPDATE packs SET spec = 't' WHERE ref = 'two'").expect("another change");
        assert_eq!(index.epoch().expect("an epoch").counter(Slot::of("one")), counter);
    }
}
