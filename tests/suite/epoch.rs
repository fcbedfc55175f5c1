//! The epoch's file is lost, damaged, replaced or restored while processes live: no command fails, and every process that caches answers follows the
//! index again.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use envstore::Store;
use envstore::epoch::{Epoch, Slot};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

use crate::fresh::{Switcher, asked, pack, truth, two_generations};
use crate::support::{Overlay, World, nobody, ran, shared_world};
use crate::undeletable::Immutable;

/// Does something to the file at the first path.
type Fault = fn(&Path, &Path);

/// Everything that can be wrong with the file at its path: what it is called, and how it comes about. The second path is a copy from before the last
/// changes.
const FAULTS: [(&str, Fault); 11] = [
    ("removed", |epoch, _| fs::remove_file(epoch).expect("removes")),
    // Written through the same inode, as `cp` does.
    ("an older copy in place", |epoch, older| _ = fs::copy(older, epoch).expect("copies")),
    ("an older copy renamed over it", |epoch, older| {
        fs::copy(older, beside(epoch)).expect("copies");
        fs::rename(beside(epoch), epoch).expect("renames");
    }),
    ("moved away", |epoch, _| fs::rename(epoch, epoch.with_file_name("logs/away")).expect("renames")),
    ("moved back", |epoch, _| fs::rename(epoch.with_file_name("logs/away"), epoch).expect("renames")),
    ("empty", |epoch, _| rename_over(epoch, b"")),
    ("too short", |epoch, older| rename_over(epoch, &fs::read(older).expect("reads")[..5000])),
    ("another store's", |epoch, older| {
        let mut bytes = fs::read(older).expect("reads");
        bytes[16..48].fill(b'f');
        rename_over(epoch, &bytes);
    }),
    ("a directory", |epoch, _| {
        fs::remove_file(epoch).expect("removes");
        fs::create_dir(epoch).expect("a directory");
        fs::write(epoch.join("of-somebody"), "kept").expect("writes");
    }),
    ("a fifo", |epoch, _| {
        fs::remove_file(epoch).expect("removes");
        mkfifo(epoch, Mode::S_IRWXU).expect("a fifo");
    }),
    ("a symbolic link to a good file", |epoch, older| {
        fs::remove_file(epoch).expect("removes");
        symlink(older, epoch).expect("links");
    }),
];

fn beside(epoch: &Path) -> PathBuf {
    epoch.with_file_name("logs/beside")
}

fn rename_over(epoch: &Path, bytes: &[u8]) {
    fs::write(beside(epoch), bytes).expect("writes");
    fs::rename(beside(epoch), epoch).expect("renames");
}

/// Asks until it is so, for much longer than a second.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Cached by a process that lives long, while another process writes: the one that is given, or commands that end.
fn every_fault(mut long_lived: Option<Switcher>, world: &World) {
    let store = Store::builder(world.store()).open().expect("opens");
    let (epoch, older) = (world.store().join("epoch"), world.path().join("older"));
    let id = store.id().to_owned();
    let mut write = |generation: u64| match &mut long_lived {
        Some(writer) => writer.switch_to(generation),
        None => _ = world.ok(["rollback", "pack", "--to", &generation.to_string()]),
    };
    let resolved = || store.resolve(&pack("pack")).expect("bound").path().to_owned();
    for (what, spoil) in FAULTS {
        // The reader caches an answer under the counter that the write after the fault brings back.
        write(1);
        until(what, || resolved() == truth(&world.store()));
        fs::copy(&epoch, &older).expect("copies");
        write(2);
        until(what, || resolved() == truth(&world.store()));
        spoil(&epoch, &older);
        for generation in [1, 2, 1] {
            write(generation);
            // A command maps what is there, and never answers what was before.
            assert_eq!(asked(world), truth(&world.store()), "{what}: a command, {generation}");
            until(&format!("{what}: a process that lives, {generation}"), || resolved() == truth(&world.store()));
        }
        assert!(Epoch::open(&epoch, &id, false).is_ok_and(|there| there.is_some()), "{what}: it is made again");
    }
    let kept = world.listed("quarantine");
    assert_eq!(kept.iter().filter(|name| name.starts_with("epoch-")).count(), 3, "what is no file is kept: {kept:?}");
    if let Some(writer) = long_lived {
        writer.end();
    }
}

#[test]
fn a_process_follows_commands_whatever_became_of_the_file() {
    every_fault(None, &two_generations());
}

#[test]
fn a_process_follows_a_long_lived_writer_whatever_became_of_the_file() {
    let world = two_generations();
    every_fault(Some(Switcher::start(&world.store())), &world);
}

/// The counters are what they were when the answer was cached, and nobody writes any more.
#[test]
fn a_process_that_slept_through_a_change_and_a_restore_follows() {
    let world = two_generations();
    let store = Store::builder(world.store()).open().expect("opens");
    let mut writer = Switcher::start(&world.store());
    let (epoch, older) = (world.store().join("epoch"), world.path().join("older"));
    let generation = || store.resolve(&pack("pack")).expect("bound").generation();
    for (what, restore) in &FAULTS[1..3] {
        writer.switch_to(1);
        until(what, || generation() == 1);
        fs::copy(&epoch, &older).expect("copies");
        writer.switch_to(2);
        restore(&epoch, &older);
        until(what, || generation() == 2);
    }
    writer.end();
}

#[test]
fn no_command_fails_over_a_damaged_file_or_waits_for_it() {
    let world = two_generations();
    let (epoch, older) = (world.store().join("epoch"), world.path().join("older"));
    let id = Store::builder(world.store()).open().expect("opens").id().to_owned();
    for (what, spoil) in FAULTS {
        fs::copy(&epoch, &older).expect("copies");
        let before = fs::read(&epoch).expect("reads");
        spoil(&epoch, &older);
        for command in [&["resolve", "pack"][..], &["exec", "pack", "--", "true"], &["list"], &["doctor"]] {
            let done = world.run(command);
            assert_eq!(done.code, 0, "{what}: {command:?}: {done:#?}");
        }
        let made = Epoch::open(&epoch, &id, false).expect("opens").expect("it is made again");
        let is_restored = ["an older copy in place", "an older copy renamed over it"].contains(&what);
        assert_eq!(made.incarnation().to_le_bytes() == before[48..56], is_restored, "{what}: a new incarnation");
    }
}

#[test]
fn another_user_reads_beside_a_damaged_file_and_changes_nothing() {
    let world = shared_world();
    let (epoch, older) = (world.store().join("epoch"), world.path().join("older"));
    fs::copy(&epoch, &older).expect("copies");
    for (what, spoil) in FAULTS.iter().filter(|(what, _)| !what.starts_with("moved")) {
        let _ = fs::remove_dir_all(&epoch);
        let _ = fs::remove_file(&epoch);
        fs::copy(&older, &epoch).expect("copies");
        spoil(&epoch, &older);
        let kind = || epoch.symlink_metadata().map(|meta| (meta.file_type(), meta.len())).ok();
        let before = kind();
        let Some(mut command) = nobody(&world.command(["resolve", "pack"])) else { return };
        let done = ran(command.output().expect("starts"));
        assert_eq!((done.code, kind()), (0, before), "{what}: {done:#?}");
    }
}

#[test]
fn a_reader_follows_a_file_that_an_overlay_copied_up() {
    let world = two_generations();
    let id = Store::builder(world.store()).open().expect("opens").id().to_owned();
    let Some(_overlay) = Overlay::new(&world.store()) else { return };
    let epoch = world.store().join("epoch");
    // Below the overlay nobody wrote: this is the lower file.
    let reader = Epoch::for_reader(&epoch, &id);
    let slot = Slot::of("pack");
    for generation in ["1", "2"] {
        let sample = reader.sample(slot).expect("counters");
        assert!(sample.is_current() && sample.is_settled());
        world.ok(["rollback", "pack", "--to", generation]);
        until("it is noticed", || {
            reader.look();
            !sample.is_current()
        });
    }
}

#[test]
fn a_file_that_cannot_be_made_again_stops_nobody() {
    let world = two_generations();
    let epoch = world.store().join("epoch");
    let store = Store::builder(world.store()).open().expect("opens");
    store.resolve(&pack("pack")).expect("bound");
    fs::remove_file(&epoch).expect("removes");
    fs::create_dir(&epoch).expect("a directory");
    // Nothing can be moved there.
    let quarantine = Immutable(world.store().join("quarantine"));
    if !quarantine.add(&quarantine.0) {
        return;
    }
    for generation in ["1", "2"] {
        world.ok(["rollback", "pack", "--to", generation]);
        assert_eq!(asked(&world), truth(&world.store()));
        until("a process that lives", || store.resolve(&pack("pack")).expect("bound").path() == truth(&world.store()));
    }
    assert!(epoch.is_dir());
}

#[test]
fn a_command_that_opened_the_store_before_it_was_sealed_caches_no_answer() {
    let world = two_generations();
    let (answers, trace) = (world.store().join("answers"), world.path().join("points"));
    let _ = fs::remove_file(&answers);
    let done = ran(world.command(["resolve", "pack"]).env("ENVSTORE_FAILPOINT_TRACE", &trace).output().expect("runs"));
    assert_eq!(done.code, 0, "{done:#?}");
    assert!(answers.exists());
    fs::remove_file(&answers).expect("removes");
    let points = fs::read_to_string(&trace).expect("points");
    let nth = points.lines().position(|point| point == "answers: before one is kept").expect("the point") + 1;

    let mut asks = world.command(["resolve", "pack"]);
    asks.env("ENVSTORE_FAILPOINT", format!("stop@{nth}")).stdout(Stdio::null());
    let mut asks = asks.spawn().expect("starts");
    let stat = format!("/proc/{}/stat", asks.id());
    until("it is stopped", || fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T")));
    world.ok(["seal"]);
    kill(Pid::from_raw(asks.id().cast_signed()), Signal::SIGCONT).expect("goes on");
    assert!(asks.wait().expect("ends").success());
    assert!(!answers.exists(), "nothing is written into a sealed store");
}
