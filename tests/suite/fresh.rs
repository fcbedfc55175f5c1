//! P8: what one process bound, the very next `resolve` of every other one answers, also when writers die at any step.
//!
//! `ENVSTORE_ROUNDS` says how many changes are tried, a thousand where it says nothing.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use envstore::epoch::Epoch;
use envstore::index::{Access, Index, bindings};
use envstore::layout::Layout;
use envstore::{PackRef, Store};

use crate::support::{Wheel, World, ran};

/// Names the store to a test of this binary that is run as a process of its own.
const ROOT: &str = "ENVSTORE_TEST_ROOT";

/// A pack with an environment of `alpha` 1.0 as its generation 1, of 2.0 as 2, and a neighbour.
pub(super) fn two_generations() -> World {
    let world = World::new();
    for version in ["1.0", "2.0"] {
        world.wheel(&Wheel::new("alpha", version));
        world.ok(["ensure", "pack", "--with", &format!("alpha=={version}")]);
    }
    world.ok(["ensure", "neighbour", "--with", "alpha==1.0"]);
    world
}

pub(super) fn pack(name: &str) -> PackRef {
    PackRef::new(name).expect("a ref")
}

/// What the index alone answers.
pub(super) fn truth(root: &Path) -> PathBuf {
    let store = Store::builder(root).handles(0).open().expect("opens");
    store.resolve(&pack("pack")).expect("bound").path().to_owned()
}

/// What a command answers, which may know it of the command before.
pub(super) fn asked(world: &World) -> PathBuf {
    world.json(["resolve", "pack"])["path"].as_str().expect("a path").into()
}

/// A process that runs one of the tests below that wait for commands.
fn helper(test: &str, root: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .env(ROOT, root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts")
}

fn root_of_helper() -> Option<PathBuf> {
    std::env::var_os(ROOT).map(PathBuf::from)
}

#[test]
#[ignore = "run as a process by the test below"]
fn switches_generations_when_told() {
    let Some(root) = root_of_helper() else { return };
    let layout = Layout::new(&root);
    let text = fs::read_to_string(layout.store_json()).expect("reads");
    let store: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let epoch = Epoch::open(&layout.epoch(), store["id"].as_str().expect("an id"), true).expect("opens");
    let index = Index::open(&layout, Access::Owner, epoch).expect("opens");
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(b"\nready\n").expect("told");
    for line in std::io::stdin().lines() {
        let generation: u64 = line.expect("a line").parse().expect("a generation");
        index
            .write("switch", |tx| {
                let row = bindings::find_pack(tx, &pack("pack")).expect("reads").expect("a pack");
                bindings::set_current(tx, row.id, Some(generation)).expect("writes");
                Ok(())
            })
            .expect("commits");
        stdout.write_all(b"done\n").expect("told");
        stdout.flush().expect("told");
    }
}

/// A process that binds the pack to another generation when it is told.
pub(super) struct Switcher {
    process: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Switcher {
    pub(super) fn start(root: &Path) -> Self {
        let mut process = helper("fresh::switches_generations_when_told", root);
        let commands = process.stdin.take().expect("piped");
        let answers = BufReader::new(process.stdout.take().expect("piped")).lines();
        let mut this = Self { process, commands, answers };
        // What the harness says of the test comes first.
        while this.said() != "ready" {}
        this
    }

    fn said(&mut self) -> String {
        self.answers.next().expect("it goes on").expect("a line")
    }

    pub(super) fn switch_to(&mut self, generation: u64) {
        writeln!(self.commands, "{generation}").expect("told");
        assert_eq!(self.said(), "done");
    }

    pub(super) fn end(self) {
        let Self { mut process, commands, .. } = self;
        drop(commands);
        assert!(process.wait().expect("ends").success());
    }
}

#[test]
fn a_binding_another_process_changed_is_seen_by_the_very_next_resolve() {
    let rounds = std::env::var("ENVSTORE_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1000u64);
    let world = two_generations();
    let store = Store::builder(world.store()).open().expect("opens");
    let mut writer = Switcher::start(&world.store());
    for round in 0..rounds {
        let generation = round % 2 + 1;
        writer.switch_to(generation);
        assert_eq!(store.resolve(&pack("pack")).expect("bound").generation(), generation, "round {round}");
        // A hit between two changes is as right as what it was kept from.
        assert_eq!(store.resolve(&pack("pack")).expect("bound").generation(), generation, "round {round}");
        assert_eq!(store.resolve(&pack("neighbour")).expect("bound").generation(), 1, "round {round}");
    }
    writer.end();
}

#[test]
fn a_binding_another_process_changed_is_seen_by_the_very_next_command() {
    let world = two_generations();
    let mut writer = Switcher::start(&world.store());
    let generation = |name: &str| world.json(["resolve", name])["generation"].as_u64().expect("a number");
    for round in 0..100 {
        let bound = round % 2 + 1;
        writer.switch_to(bound);
        // The first is of the index, the second of what the first kept.
        assert_eq!(
            [generation("pack"), generation("pack"), generation("neighbour")],
            [bound, bound, 1],
            "round {round}"
        );
    }
    writer.end();
    assert_eq!(generation("pack"), 2);
}

/// Commands that ask while others change what they are answered, each told of at once.
#[test]
fn who_asks_beside_writers_is_never_answered_what_was_before() {
    let world = two_generations();
    std::thread::scope(|scope| {
        let asks = || {
            let generation = |_| world.json(["resolve", "pack"])["generation"].as_u64().expect("a number");
            (0..60).map(generation).collect::<Vec<u64>>()
        };
        let askers = [scope.spawn(asks), scope.spawn(asks)];
        for to in ["1", "2"].into_iter().cycle().take(16) {
            let rolled = world.json(["rollback", "pack", "--to", to])["generation"].clone();
            assert_eq!(world.json(["resolve", "pack"])["generation"], rolled);
        }
        for asker in askers {
            let answers = asker.join().expect("ends");
            assert!(answers.is_sorted(), "a generation came back: {answers:?}");
            assert!(answers.last() > Some(&2), "nothing was changed meanwhile");
        }
    });
}

#[test]
fn a_writer_that_dies_or_fails_at_any_point_leaves_no_stale_answer() {
    let world = two_generations();
    let store = Store::builder(world.store()).open().expect("opens");
    let trace = world.path().join("points");
    let rollback = || world.command(["rollback", "pack", "--to", "1"]);
    let back = || world.command(["rollback", "pack", "--to", "2"]);
    let done = ran(rollback().env("ENVSTORE_FAILPOINT_TRACE", &trace).output().expect("runs"));
    assert_eq!(done.code, 0, "{done:#?}");
    let points: Vec<String> = fs::read_to_string(&trace).expect("points").lines().map(str::to_owned).collect();
    for step in ["index: before a commit", "index: after a commit", "index: after a transaction"] {
        assert!(points.iter().any(|point| point == step), "{step}: {points:#?}");
    }
    let mut moved = 0;
    for (nth, point) in points.iter().enumerate().map(|(n, point)| (n + 1, point)) {
        for action in ["kill", "error"] {
            // Undisturbed, and seen at once.
            assert_eq!(ran(back().output().expect("runs")).code, 0);
            let before = store.resolve(&pack("pack")).expect("bound");
            assert_eq!(before.path(), truth(&world.store()), "undisturbed");
            assert_eq!(before.path(), asked(&world), "undisturbed");
            let disturbed = rollback().env("ENVSTORE_FAILPOINT", format!("{action}@{nth}")).output().expect("runs");
            let what = format!("{action} at {nth}, `{point}`: {}", ran(disturbed).code);
            for again in 0..3 {
                let now = store.resolve(&pack("pack")).expect("bound");
                assert_eq!(now.path(), truth(&world.store()), "{what}, {again}");
                assert_eq!(now.path(), asked(&world), "{what}, {again}");
                moved += usize::from(now.path() != before.path());
            }
        }
    }
    assert!(moved > 0, "some of them died after their commit");
}

#[test]
fn a_rebuilt_index_is_seen_by_the_very_next_resolve() {
    let world = two_generations();
    let store = Store::builder(world.store()).open().expect("opens");
    let resolved = || store.resolve(&pack("pack")).expect("bound").generation();
    let command = || world.json(["resolve", "pack"])["generation"].as_u64().expect("a number");
    assert_eq!((resolved(), command()), (2, 2));
    // The same files, but for what the rebuild is told of this pack.
    let file = Layout::new(world.store()).binding(&pack("pack"));
    let mut binding: serde_json::Value = serde_json::from_slice(&fs::read(&file).expect("reads")).expect("JSON");
    binding["current"] = 1.into();
    fs::remove_file(&file).expect("removes");
    fs::write(&file, binding.to_string()).expect("writes");
    // While there is an index it is right, and not the file.
    world.ok(["reindex"]);
    assert_eq!((resolved(), command()), (2, 2));
    fs::write(&file, binding.to_string()).expect("writes");
    world.lose_index();
    world.ok(["list"]);
    assert_eq!((resolved(), command()), (1, 1));
    world.ok(["ensure", "pack", "--with", "alpha==2.0"]);
    assert_eq!(resolved(), 3);
}

#[test]
fn a_store_made_before_gets_counters_from_whoever_writes_and_a_reader_does_without() {
    let world = two_generations();
    let epoch = Layout::new(world.store()).epoch();
    fs::remove_file(&epoch).expect("removes");
    let reader = Store::builder(world.store()).read_only(true).open().expect("opens");
    assert!(!epoch.exists());
    assert_eq!(reader.resolve(&pack("pack")).expect("bound").generation(), 2);
    let store = Store::builder(world.store()).open().expect("opens");
    assert!(epoch.exists());
    assert_eq!(store.resolve(&pack("pack")).expect("bound").generation(), 2);
    world.ok(["rollback", "pack", "--to", "1"]);
    assert_eq!(store.resolve(&pack("pack")).expect("bound").generation(), 3);
}

#[test]
fn a_worker_keeps_no_environment_that_its_packs_left() {
    let world = two_generations();
    let store = Store::builder(world.store()).open().expect("opens");
    store.resolve(&pack("pack")).expect("bound");
    world.ok(["remove", "pack"]);
    assert!(store.resolve(&pack("pack")).is_err());
    let collected = world.json(["gc", "--idle", "0s", "--drop-retained"]);
    assert_eq!((&collected["kept"]["leased"], world.listed("envs").len()), (&0.into(), 1), "{collected:#}");
}

#[test]
fn no_more_handles_are_kept_than_were_asked_for() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    let names: Vec<String> = (0..20).map(|n| format!("pack{n}")).collect();
    for name in &names {
        world.ok(["ensure", name, "--with", "alpha"]);
    }
    let descriptors = || {
        let links =
            fs::read_dir("/proc/self/fd").expect("lists").flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
        links.filter(|target| target.starts_with(world.store().join("envs"))).count()
    };
    let store = Store::builder(world.store()).handles(5).open().expect("opens");
    for name in &names {
        store.resolve(&pack(name)).expect("bound");
        store.resolve(&pack("pack0")).expect("bound");
        assert!(descriptors() <= 6, "{}", descriptors());
    }
    assert!(descriptors() >= 5);
    // What was used all the time stayed: nothing is leased for it again.
    let before = descriptors();
    store.resolve(&pack("pack0")).expect("bound");
    assert_eq!(descriptors(), before);
}

#[test]
fn a_forked_child_resolves_and_harms_nobody() {
    let world = two_generations();
    let child = helper("fresh::forks", &world.store()).wait_with_output().expect("runs");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert_eq!(world.json(["verify"])["findings"], serde_json::json!([]));
    assert_eq!(world.json(["resolve", "pack"])["generation"], 2);
}

#[test]
#[ignore = "run as a process by the test above"]
#[allow(unsafe_code)]
fn forks() {
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};
    let Some(root) = root_of_helper() else { return };
    let store = Store::builder(&root).open().expect("opens");
    let resolved = |name: &str| store.resolve(&pack(name)).expect("bound").generation();
    assert_eq!(resolved("pack"), 2);
    let switch = |generation| {
        let text = fs::read_to_string(Layout::new(&root).store_json()).expect("reads");
        let file: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let epoch = Epoch::open(&root.join("epoch"), file["id"].as_str().expect("an id"), true).expect("opens");
        let index = Index::open(&Layout::new(&root), Access::Owner, epoch).expect("opens");
        let switched = index.write("switch", |tx| {
            let row = bindings::find_pack(tx, &pack("pack")).expect("reads").expect("a pack");
            bindings::set_current(tx, row.id, Some(generation)).expect("writes");
            Ok(())
        });
        switched.expect("commits");
    };
    // SAFETY: the only other thread of this process waits for this test, and holds no lock meanwhile.
    match unsafe { fork() }.expect("forks") {
        ForkResult::Child => {
            let as_before = resolved("pack") == 2;
            switch(1);
            let after = (resolved("pack"), resolved("neighbour")) == (1, 1);
            // SAFETY: ends the child without what the test harness does at an exit.
            unsafe { nix::libc::_exit(i32::from(!(as_before && after))) }
        }
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None).expect("waits"), WaitStatus::Exited(child, 0));
            assert_eq!(resolved("pack"), 1, "what the child bound");
            switch(2);
            assert_eq!(resolved("pack"), 2);
        }
    }
}
