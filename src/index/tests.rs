//! Each mode beside processes that write. SQLite's locks are a process's, so the writers are processes of their own.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use jiff::Timestamp;

use super::*;
use crate::interpreter::FileStamp;
use crate::store_file::StoreFile;

/// Names an index to a process of these tests that writes to it.
const WRITTEN: &str = "ENVSTORE_TEST_WRITTEN";
/// After its rounds the writer waits until its standard input ends, and closes nothing, as one that is killed.
const KILLED: &str = "ENVSTORE_TEST_KILLED";
/// Names an index to a process of these tests that keeps it open.
const HELD: &str = "ENVSTORE_TEST_HELD";
const ROUNDS: usize = 120;
/// A few pages.
const FILLING: usize = 20_000;
const ID: &str = "00000000000000000000000000000000";

fn index() -> (tempfile::TempDir, Layout) {
    let dir = tempfile::tempdir().expect("a directory");
    let layout = Layout::new(dir.path());
    fs::create_dir(layout.dir("guards")).expect("a directory");
    fs::create_dir(layout.dir("staging")).expect("a directory");
    Index::create(&layout, 0o640).expect("creates");
    Epoch::create(&layout.dir("staging"), &layout.epoch(), ID).expect("creates");
    (dir, layout)
}

fn epoch(layout: &Layout) -> Option<Epoch> {
    Epoch::open(&layout.epoch(), ID, true).expect("opens")
}

fn try_open(layout: &Layout, access: Access, is_for_one_question: bool) -> Result<Index> {
    Index::open_as(layout, Opening { access, epoch: epoch(layout), store_id: Some(ID), is_for_one_question })
}

fn open(layout: &Layout, access: Access) -> Index {
    try_open(layout, access, false).expect("opens")
}

fn open_to_ask(layout: &Layout) -> Index {
    try_open(layout, Access::Owner, true).expect("opens")
}

fn mode(index: &Index) -> &'static str {
    match index.lock().mode {
        OpenMode::Write { .. } => "write",
        OpenMode::Read => "read",
        OpenMode::Alone(_) => "alone",
        OpenMode::Sealed(_) => "sealed",
    }
}

fn helper(test: &str) -> Command {
    let mut helper = Command::new(std::env::current_exe().expect("this binary"));
    helper.args(["--exact", &format!("index::tests::{test}"), "--ignored", "--nocapture"]);
    helper.stdin(Stdio::null()).stdout(Stdio::null());
    helper
}

/// Each round fills several pages, and closes what it opened.
fn writer(layout: &Layout, rounds: usize) -> Command {
    let mut writer = helper("writes");
    writer.env(WRITTEN, layout.root()).env("ROUNDS", rounds.to_string());
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
        let index = open(&layout, Access::Owner);
        let filling = format!("{round:05}").repeat(FILLING / 5);
        let write = index.write("fill", |tx| {
            collection::set_meta(tx, "first", &round.to_string())
                .and_then(|()| collection::set_meta(tx, "filling", &filling))
                .and_then(|()| collection::set_meta(tx, "second", &round.to_string()))
                .map_err(sql("fill"))
        });
        write.expect("writes");
        if std::env::var_os(KILLED).is_some() {
            println!("it is written");
            std::io::stdin().lines().for_each(drop);
            std::mem::forget(index);
        }
    }
}

/// A process that wrote, and has not closed the index. It ends as one that is killed.
fn killed_writer(layout: &Layout) -> Child {
    let mut writer = writer(layout, 1);
    wait_for(writer.env(KILLED, "1").stdin(Stdio::piped()).stdout(Stdio::piped()), "it is written")
}

/// Starts a process and waits until it says this.
fn wait_for(command: &mut Command, text: &str) -> Child {
    let mut child = command.spawn().expect("starts");
    let said = BufReader::new(child.stdout.as_mut().expect("a pipe"));
    assert!(said.lines().map_while(std::result::Result::ok).any(|line| line.contains(text)));
    child
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    // What it says at its end has to go somewhere.
    let said = BufReader::new(child.stdout.take().expect("a pipe"));
    said.lines().map_while(std::result::Result::ok).for_each(drop);
    assert!(child.wait().expect("ends").success());
}

/// The last round that was written.
fn last(index: &Index) -> usize {
    index.meta("first").expect("reads").map_or(0, |round| round.parse().expect("a number"))
}

/// What is on disk of the three files, with the times of their last change.
fn traces(layout: &Layout) -> Vec<Option<FileStamp>> {
    layout.index_files().iter().map(|file| FileStamp::of(file).ok()).collect()
}

/// Puts into a directory what a backup has of an index: some of its files.
fn copy(layout: &Layout, files: &[usize]) -> (tempfile::TempDir, Layout) {
    let dir = tempfile::tempdir().expect("a directory");
    let copied = Layout::new(dir.path());
    fs::create_dir(copied.dir("guards")).expect("a directory");
    fs::copy(layout.epoch(), copied.epoch()).expect("copies");
    for file in files {
        fs::copy(&layout.index_files()[*file], &copied.index_files()[*file]).expect("copies");
    }
    (dir, copied)
}

#[test]
fn a_reader_answers_right_from_whatever_files_there_are_writes_none_and_sees_what_is_written_next() {
    let (_dir, layout) = index();
    let writer_left = killed_writer(&layout);
    for (files, expected) in [(&[0, 1, 2][..], "read"), (&[0, 1], "alone")] {
        let (_dir, copied) = copy(&layout, files);
        let before = traces(&copied);
        let reader = open(&copied, Access::Reader);
        assert_eq!((last(&reader), mode(&reader)), (1, expected), "the log is read: {files:?}");
        assert_eq!(traces(&copied), before, "{files:?}");
        run(writer(&copied, 2));
        assert_eq!((last(&reader), mode(&reader)), (2, "read"), "{files:?}");
    }
    end(writer_left);
    run(writer(&layout, 3));
    for (files, expected) in [(&[0, 1, 2][..], "read"), (&[0, 1], "alone"), (&[0, 2], "alone"), (&[0], "alone")] {
        let (_dir, copied) = copy(&layout, files);
        let before = traces(&copied);
        let reader = open(&copied, Access::Reader);
        assert_eq!((last(&reader), mode(&reader)), (3, expected), "{files:?}");
        assert_eq!(traces(&copied), before, "{files:?}");
        run(writer(&copied, 1));
        assert_eq!((last(&reader), mode(&reader)), (1, "read"), "{files:?}");
        assert_eq!(last(&open(&copied, Access::Owner)), 1, "{files:?}");
    }
}

#[test]
fn only_a_sealed_store_is_read_without_locks_and_only_while_it_is_sealed() {
    let (_dir, layout) = index();
    run(writer(&layout, 1));
    let seal = |sealed| {
        let file = StoreFile { sealed, ..StoreFile::new(ID.into(), Timestamp::UNIX_EPOCH, None) };
        file.write(&layout).expect("writes");
    };
    seal(false);
    let reader = open(&layout, Access::Immutable);
    assert_eq!(mode(&reader), "read", "an access that is out of date is not believed");
    seal(true);
    let sealed = open(&layout, Access::Immutable);
    assert_eq!((last(&sealed), mode(&sealed)), (1, "sealed"));
    seal(false);
    run(writer(&layout, 2));
    assert_eq!((last(&sealed), mode(&sealed)), (2, "read"));
    let left = killed_writer(&layout);
    seal(true);
    assert_eq!(mode(&open(&layout, Access::Immutable)), "read", "its log is not empty");
    end(left);
}

#[test]
fn a_process_with_one_question_makes_no_shared_memory_until_it_writes() {
    let (_dir, layout) = index();
    run(writer(&layout, 1));
    let before = traces(&layout);
    let asks = open_to_ask(&layout);
    assert_eq!((last(&asks), mode(&asks)), (1, "read"));
    assert_eq!(traces(&layout), before);
    run(writer(&layout, 2));
    assert_eq!((last(&asks), mode(&asks)), (2, "read"), "it sees what others write");
    asks.write("note", |tx| collection::set_meta(tx, "first", "7").map_err(sql("note"))).expect("writes");
    assert_eq!((last(&asks), mode(&asks)), (7, "write"));
    drop(asks);
    let stays = open_to_ask(&layout);
    stays.stay_open().expect("opens again");
    assert_eq!((last(&stays), mode(&stays)), (7, "write"));
    drop(stays);
    let [_, log, memory] = layout.index_files();
    for gone in [&memory, &log] {
        drop(open(&layout, Access::Owner));
        fs::remove_file(gone).expect("removes");
        assert_eq!(last(&open_to_ask(&layout)), 7);
        assert!(gone.exists(), "the owner makes what is missing");
    }
}

#[test]
fn the_log_of_a_killed_writer_is_read_by_all_and_emptied_by_who_writes_next_and_a_long_one_by_the_owner() {
    let (_dir, layout) = index();
    let logged = || fs::metadata(&layout.index_files()[1]).expect("a log").len();
    end(killed_writer(&layout));
    assert!(logged() > 0);
    assert_eq!(last(&open(&layout, Access::Reader)), 1);
    assert_eq!(last(&open_to_ask(&layout)), 1);
    assert!(logged() > 0);
    run(writer(&layout, 2));
    assert_eq!(logged(), 0);

    let text = "x".repeat(log::LONG as usize);
    let dead = open(&layout, Access::Owner);
    dead.write("be filled", |tx| collection::set_meta(tx, "long", &text).map_err(sql("be filled"))).expect("writes");
    std::mem::forget(dead);
    assert!(logged() > log::LONG);
    assert_eq!(open(&layout, Access::Reader).meta("long").expect("reads").as_ref(), Some(&text));
    assert!(logged() > log::LONG, "a reader writes nothing");
    assert_eq!(open_to_ask(&layout).meta("long").expect("reads"), Some(text));
    assert_eq!(logged(), 0);
}

#[test]
fn a_long_lived_process_notices_that_the_files_beside_the_database_were_deleted() {
    let [_, log, memory] = [0, 1, 2];
    for gone in [vec![memory], vec![log], vec![log, memory]] {
        let (_dir, layout) = index();
        run(writer(&layout, 1));
        let lives = open(&layout, Access::Owner);
        assert_eq!(last(&lives), 1);
        for file in &gone {
            fs::remove_file(&layout.index_files()[*file]).expect("removes");
        }
        run(writer(&layout, 2));
        let until = Instant::now() + Duration::from_secs(20);
        while last(&lives) != 2 {
            assert!(Instant::now() < until, "{gone:?}: it goes on with what was deleted");
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_log_with_a_header_and_no_transaction_is_read_and_the_next_commit_is_seen() {
    let (_dir, layout) = index();
    run(writer(&layout, 1));
    // What a writer leaves that is killed between the header and the first page: sqlite.org/walformat.html, 2.4.
    end(killed_writer(&layout));
    let log = fs::File::options().write(true).open(&layout.index_files()[1]).expect("a log");
    log.set_len(log::HEADER).expect("cuts");
    for index in [open(&layout, Access::Reader), open_to_ask(&layout)] {
        assert_eq!((last(&index), mode(&index)), (1, "alone"));
    }
    let reader = open(&layout, Access::Reader);
    assert_eq!(last(&reader), 1);
    run(writer(&layout, 2));
    assert_eq!(last(&reader), 2, "a commit makes the log longer, or empties it");
}

#[test]
fn a_process_with_one_question_gets_an_answer_where_a_writer_died_over_the_shared_memory() {
    let (_dir, layout) = index();
    let asks = open_to_ask(&layout);
    assert_eq!(last(&asks), 0);
    let mut holder = helper("holds_an_index_open");
    let holder = wait_for(holder.env(HELD, layout.root()).stdin(Stdio::piped()).stdout(Stdio::piped()), "it is open");
    // The first of two copies of the header: sqlite.org/walformat.html, 2.1.
    let torn = fs::File::options().write(true).open(&layout.index_files()[2]).expect("opens");
    torn.write_at(&[0xff; 4], 8).expect("writes");
    assert_eq!(last(&asks), 0);
    end(holder);
}

#[test]
#[ignore = "run as a process by the test above"]
fn holds_an_index_open() {
    let Some(root) = std::env::var_os(HELD) else { return };
    let index = open(&Layout::new(Path::new(&root)), Access::Owner);
    assert_eq!(last(&index), 0);
    println!("it is open");
    std::io::stdin().lines().for_each(drop);
}

#[test]
fn an_index_that_took_the_place_of_another_is_asked() {
    let (_dir, layout) = index();
    run(writer(&layout, 1));
    let asks = open_to_ask(&layout);
    assert_eq!(last(&asks), 1);
    let epoch = epoch(&layout).expect("counters");
    let rebuild = epoch.begin_rebuild().expect("begins");
    let beside = Layout::new(layout.dir("staging"));
    Index::create(&beside, 0o640).expect("creates");
    replace(&layout, &beside, &layout.root().join("aside")).expect("moves");
    rebuild.settle();
    assert_eq!(last(&asks), 0);
}

#[test]
fn what_is_no_regular_file_is_an_error_and_never_waited_for() {
    for file in 0..3 {
        for kind in ["a FIFO", "a directory", "a symbolic link"] {
            let (_dir, layout) = index();
            let path = &layout.index_files()[file];
            fs::rename(path, layout.root().join("away")).expect("renames");
            match kind {
                "a FIFO" => nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).expect("makes"),
                "a directory" => fs::create_dir(path).expect("makes"),
                _ => std::os::unix::fs::symlink("away", path).expect("makes"),
            }
            for access in [Access::Owner, Access::Reader] {
                let error = try_open(&layout, access, false).expect_err("refused");
                let is_named =
                    matches!(&error, Error::Corrupt { path: at, reason } if at == path && reason.contains(kind));
                assert!(is_named, "{error:?}");
            }
        }
    }
}

#[test]
fn an_index_names_its_store_and_another_stores_is_refused() {
    let (_dir, layout) = index();
    let other = "f".repeat(32);
    let as_other = |access| {
        Index::open_as(&layout, Opening { access, epoch: None, store_id: Some(&other), is_for_one_question: false })
    };
    // An older release wrote no id.
    assert_eq!(as_other(Access::Reader).expect("opens").meta(super::open::STORE).expect("reads"), None);
    run(writer(&layout, 1));
    for access in [Access::Owner, Access::Reader] {
        let error = as_other(access).expect_err("refused");
        let names_both =
            matches!(&error, Error::Corrupt { reason, .. } if reason.contains(ID) && reason.contains(&other));
        assert!(names_both, "{error:?}");
    }
}

#[test]
fn no_reader_sees_half_of_a_transaction_or_an_older_answer() {
    for (access, is_for_one_question, gone) in
        [(Access::Owner, true, None), (Access::Reader, false, None), (Access::Reader, false, Some(2))]
    {
        let (_dir, layout) = index();
        if let Some(gone) = gone {
            fs::remove_file(&layout.index_files()[gone]).expect("removes");
        }
        let lasting = open(&layout, access);
        let mut writer = writer(&layout, ROUNDS).spawn().expect("starts");
        let mut newest = 0;
        loop {
            let is_over = writer.try_wait().expect("waits").is_some();
            for reader in [&lasting, &try_open(&layout, access, is_for_one_question).expect("opens")] {
                // One statement: otherwise each would have its own moment.
                let seen = reader.read("ask", |db| {
                    let mut asked =
                        db.prepare("SELECT name, value FROM meta WHERE name IN ('first', 'filling', 'second')")?;
                    let rows = asked.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
                    rows.collect::<rusqlite::Result<HashMap<String, String>>>()
                });
                let seen = seen.expect("reads");
                let Some(first) = seen.get("first") else { continue };
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
    }
}
