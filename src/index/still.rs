//! [`Still`]: why a database is read as a file that nobody changes: no log, no shared memory, no lock of SQLite's.
//!
//! A sealed store's is changed by nobody. Any other is changed by whoever moves its log into it, and by nobody else: who does locks
//! `WAL_READ_LOCK(0)` exclusive (sqlite.org/walformat.html, 2.3.1). While this process has that lock shared and the log is empty, everything that
//! was committed is in the database, and nothing gets there. What others commit is in the log, which is not empty then until this lets go.

use std::fs::File;

use super::log;
use crate::fs::lock::{self, Mode};
use crate::interpreter::FileStamp;
use crate::layout::Layout;

/// `WAL_READ_LOCK(0)`, a byte of `index.db-shm`.
const READ_LOCK: u64 = 123;

/// What keeps a database as it was opened.
#[derive(Debug)]
pub(super) enum Still {
    /// The store is sealed, says `store.json`, which was this.
    Sealed(FileStamp),
    /// Its log is empty, and this file is locked. Not where SQLite has it open as well: to close it lets go of SQLite's locks.
    Locked(#[expect(dead_code, reason = "held, not used")] File),
}

impl Still {
    /// Keeps others from moving the log into the database. None where there is one to move, or nobody has made shared memory yet.
    pub fn lock(layout: &Layout) -> Option<Self> {
        let [_, log, memory] = layout.index_files();
        if log::length(&log) > 0 {
            return None;
        }
        let file = File::open(memory).ok()?;
        lock::try_lock_byte(&file, READ_LOCK, Mode::Shared).is_ok_and(|locked| locked).then_some(Self::Locked(file))
    }

    /// Whether what is read is all there is: still sealed, nothing committed since. One `stat`.
    pub fn is(&self, layout: &Layout) -> bool {
        match self {
            Self::Sealed(before) => FileStamp::of(&layout.store_json()).map_or(true, |now| now == *before),
            Self::Locked(_) => log::length(&layout.index_files()[1]) == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::fs;
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;
    use crate::epoch::Epoch;
    use crate::index::{Access, Index, collection, set_aside, sql};

    /// Names an index to a process of these tests that writes to it.
    const WRITTEN: &str = "ENVSTORE_TEST_WRITTEN";
    /// After each round it waits until nobody says anything more, and closes nothing, as one that is killed.
    const KILLED: &str = "ENVSTORE_TEST_KILLED";
    const ROUNDS: usize = 120;
    /// A few pages.
    const FILLING: usize = 20_000;

    fn index() -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(dir.path());
        fs::create_dir(layout.dir("guards")).expect("a directory");
        fs::create_dir(layout.dir("staging")).expect("a directory");
        Index::create(&layout, 0o640).expect("creates");
        Epoch::create(&layout.dir("staging"), &layout.epoch(), &"0".repeat(32)).expect("creates");
        (dir, layout)
    }

    fn epoch(layout: &Layout) -> Option<Epoch> {
        Epoch::open(&layout.epoch(), &"0".repeat(32), true).expect("opens")
    }

    fn to_ask(layout: &Layout) -> Index {
        Index::open_to_ask(layout, Access::Owner, epoch(layout)).expect("opens")
    }

    /// Whether its log is of no concern to it.
    fn is_locked(index: &Index) -> bool {
        matches!(index.lock().still, Some(Still::Locked(_)))
    }

    /// A process of its own, as SQLite's locks are a process's: each round fills several pages, and closes what it opened.
    fn writer(layout: &Layout, rounds: usize) -> Command {
        let mut writer = Command::new(std::env::current_exe().expect("this binary"));
        writer.args(["--exact", "index::still::tests::writes", "--ignored"]);
        writer.env(WRITTEN, layout.root()).env("ROUNDS", rounds.to_string());
        writer.stdin(Stdio::null()).stdout(Stdio::null());
        writer
    }

    fn run(mut writer: Command) {
        assert!(writer.status().expect("starts").success());
    }

    #[test]
    #[ignore = "run as a process by the tests below"]
    fn writes() {
        let Some(root) = std::env::var_os(WRITTEN) else { return };
        let layout = Layout::new(Path::new(&root));
        let rounds: usize = std::env::var("ROUNDS").expect("how many").parse().expect("a number");
        for round in 1..=rounds {
            let index = Index::open(&layout, Access::Owner, epoch(&layout)).expect("opens");
            let filling = format!("{round:05}").repeat(FILLING / 5);
            let write = index.write("fill", |tx| {
                collection::set_meta(tx, "first", &round.to_string())
                    .and_then(|()| collection::set_meta(tx, "filling", &filling))
                    .and_then(|()| collection::set_meta(tx, "second", &round.to_string()))
                    .map_err(sql("fill"))
            });
            write.expect("writes");
            if std::env::var_os(KILLED).is_some() {
                std::io::stdin().lines().for_each(drop);
                std::mem::forget(index);
            }
        }
    }

    /// The last round that was written.
    fn last(index: &Index) -> usize {
        index.meta("first").expect("reads").map_or(0, |round| round.parse().expect("a number"))
    }

    #[test]
    fn nothing_gets_from_the_log_into_what_is_locked() {
        let (_dir, layout) = index();
        let [database, log, _] = layout.index_files();
        let logged = || fs::metadata(&log).expect("a log").len();
        let still = Still::lock(&layout).expect("an empty log");
        let before = fs::read(&database).expect("reads");

        run(writer(&layout, 3));
        assert!(!still.is(&layout));
        assert!(logged() > 0);
        assert!(fs::read(&database).expect("reads") == before, "it is as it was");
        assert!(Still::lock(&layout).is_none(), "there is something in the log");

        drop(still);
        run(writer(&layout, 1));
        assert_eq!(logged(), 0, "whoever comes next empties it");
        assert!(Still::lock(&layout).is_some());
    }

    #[test]
    fn who_only_asks_sees_what_others_write_meanwhile_and_keeps_nobody_from_it_for_long() {
        let (_dir, layout) = index();
        let [_, log, _] = layout.index_files();
        let asks = to_ask(&layout);
        assert_eq!(last(&asks), 0);
        assert!(is_locked(&asks));
        run(writer(&layout, 2));
        assert_eq!(last(&asks), 2);
        assert!(!is_locked(&asks));
        drop(asks);

        run(writer(&layout, 1));
        let stays = to_ask(&layout);
        assert!(is_locked(&stays));
        stays.stay_open().expect("opens again");
        assert!(!is_locked(&stays));
        run(writer(&layout, 3));
        assert_eq!(last(&stays), 3);
        assert_eq!(fs::metadata(&log).expect("a log").len(), 0, "the writer could empty it");
    }

    #[test]
    fn who_only_asks_asks_the_index_that_took_the_place_of_another() {
        let (_dir, layout) = index();
        run(writer(&layout, 1));
        let asks = to_ask(&layout);
        assert_eq!(last(&asks), 1);
        assert!(is_locked(&asks));

        let epoch = epoch(&layout).expect("counters");
        let rebuild = epoch.begin_rebuild().expect("begins");
        set_aside(&layout, &layout.root().join("aside")).expect("moves");
        Index::create(&layout, 0o640).expect("creates");
        rebuild.settle();
        assert_eq!(last(&asks), 0);
    }

    #[test]
    fn what_a_writer_left_that_was_killed_is_emptied_by_the_next_that_may_write() {
        let (_dir, layout) = index();
        let [_, log, _] = layout.index_files();
        let logged = || fs::metadata(&log).expect("a log").len();
        let mut living = writer(&layout, 1).env(KILLED, "1").stdin(Stdio::piped()).spawn().expect("starts");
        while last(&to_ask(&layout)) == 0 {
            assert!(living.try_wait().expect("waits").is_none(), "it ends when it is told to");
        }
        assert!(logged() > 0, "it is its own business while it lives");

        drop(living.stdin.take());
        assert!(living.wait().expect("ends").success());
        let reader = Index::open_to_ask(&layout, Access::Reader, epoch(&layout)).expect("opens");
        assert_eq!(last(&reader), 1);
        drop(reader);
        assert!(logged() > 0, "a reader writes nothing");
        assert_eq!(last(&to_ask(&layout)), 1);
        assert_eq!(logged(), 0);
    }

    #[test]
    fn who_only_asks_never_sees_half_of_a_transaction() {
        let (_dir, layout) = index();
        let mut writer = writer(&layout, ROUNDS).spawn().expect("starts");
        let (mut asked_locked, mut newest) = (0, 0);
        loop {
            let is_over = writer.try_wait().expect("waits").is_some();
            let asks = to_ask(&layout);
            // Some pages are read before the others, with time for a writer between.
            newest = newest.max(last(&asks));
            std::thread::sleep(Duration::from_millis(2));
            // One statement: otherwise each would have its own moment.
            let seen = asks.read("ask", |db| {
                let mut asked =
                    db.prepare("SELECT name, value FROM meta WHERE name IN ('first', 'filling', 'second')")?;
                let rows = asked.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
                rows.collect::<rusqlite::Result<HashMap<String, String>>>()
            });
            let seen = seen.expect("reads");
            asked_locked += usize::from(is_locked(&asks));
            if let Some(first) = seen.get("first") {
                let round: usize = first.parse().expect("a number");
                assert_eq!(seen.get("second"), Some(first));
                assert!(seen["filling"] == format!("{round:05}").repeat(FILLING / 5));
                assert!(round >= newest, "what was seen once stays");
                newest = round;
            }
            if is_over {
                break;
            }
        }
        assert!(writer.wait().expect("ends").success());
        assert_eq!(newest, ROUNDS);
        assert!(asked_locked > 0, "the log was empty at least once");
    }
}
