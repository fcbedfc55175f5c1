//! F9: one process is stopped at a step, another one does all its work, then the first goes on. A collector against whoever binds, rolls back,
//! removes or runs, and the other way round, at every point of the one that is stopped.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::failpoints::{Pick, chosen};
use super::scenario::world;
use super::{Extent, Tally, extent};
use crate::support::{Ran, World, ran, skipped};

const COLLECT: &[&str] = &["gc", "--idle", "0s", "--drop-retained"];
const BIND: &[&str] = &["ensure", "other", "--with", "alpha==1.0"];
const BACK: &[&str] = &["rollback", "pack", "--to", "1"];
const REMOVE: &[&str] = &["remove", "pack"];
const UPGRADE: &[&str] = &["ensure", "pack", "--with", "alpha==1.0"];
/// Imports one file after the other, long after the interpreter was started.
const ACT: &[&str] = &[
    "exec",
    "pack",
    "--",
    "python",
    "-c",
    "import alpha, pathlib; d = pathlib.Path(alpha.__file__).parent; \
     assert (d / 'data.txt').read_text() == alpha.version; print(alpha.version)",
];

/// Who is stopped, and who comes between.
const PAIRS: &[(&[&str], &[&str])] = &[
    (COLLECT, BIND),
    (COLLECT, BACK),
    (COLLECT, COLLECT),
    (COLLECT, ACT),
    (BIND, COLLECT),
    (BACK, COLLECT),
    (REMOVE, BIND),
    (BIND, REMOVE),
    (ACT, UPGRADE),
    (ACT, COLLECT),
    (ACT, REMOVE),
];

/// A pack that was given another environment; nothing but its history names the first one.
fn begin() -> World {
    let world = world();
    world.ok(["ensure", "bystander", "--with", "beta"]);
    world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
    world.ok(["ensure", "pack", "--with", "alpha==2.0"]);
    world
}

#[test]
fn whatever_comes_between_two_steps_nobody_loses_an_environment() {
    if extent("interleave") == Extent::Nothing {
        return;
    }
    let mut tally = Tally::new("interleaved");
    for (first, second) in PAIRS {
        let world = begin();
        let aside = world.put_aside();
        let points = points(&world, first);
        for (nth, point) in chosen(&points, extent("interleave"), Pick::First) {
            let what = format!("{} between two steps of {}: {nth}, `{point}`", second[0], first[0]);
            tally.try_one(&what, || {
                world.bring_back(&aside);
                meet(&world, first, second, nth, &what);
            });
        }
    }
    tally.end();
}

/// A collector that died between saying `deleting` and the rename leaves a directory that stands and a lease that is free; the next one deletes
/// it without asking. Whoever read the binding before must ask the index again after it has the lock. The collector cannot see the reader's
/// open file: it is in a namespace of processes of its own.
#[test]
fn a_lease_of_what_a_dead_collector_gave_up_is_none() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("another namespace of processes needs root");
    }
    let world = begin();
    let aside = world.put_aside();
    let nth = |args: &[&str], point: &str| {
        let points = points(&world, args);
        world.bring_back(&aside);
        1 + points.iter().position(|passed| passed == point).unwrap_or_else(|| panic!("{point}: {points:#?}"))
    };
    let (opened, rename) = (nth(ACT, "lease: opened"), nth(REMOVE, "sweep: before the rename to trash"));

    let mut reader = start(&world, ACT, "first", Some(opened));
    let pid = Pid::from_raw(reader.id().cast_signed());
    assert!(matches!(waitpid(pid, Some(WaitPidFlag::WUNTRACED)), Ok(WaitStatus::Stopped(..))));
    let remove = world.command(REMOVE);
    let mut elsewhere = Command::new("unshare");
    // Below a shell: the first process of a namespace cannot be killed from inside.
    elsewhere.args(["--pid", "--fork", "--mount-proc", "sh", "-c", "\"$@\"; exit $?", "sh"]);
    elsewhere.arg(remove.get_program()).args(remove.get_args()).env_clear();
    elsewhere.envs(remove.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let killed = ran(elsewhere.env("ENVSTORE_FAILPOINT", format!("kill@{rename}")).output().expect("runs"));
    assert_eq!(killed.code, 128 + 9, "{killed:#?}");
    kill(pid, Signal::SIGCONT).expect("goes on");
    let done = ended(&world, &mut reader, "first");
    assert_eq!(done.code, 5, "{done:#?}");
    world.ok(["gc", "--idle", "0s"]);
    assert_eq!((world.listed("staging"), world.listed("trash")), (vec![], vec![]));
}

/// The points that an undisturbed run passes, in order.
fn points(world: &World, args: &[&str]) -> Vec<String> {
    let trace = world.path().join("points");
    let done = ran(world.command(args).env("ENVSTORE_FAILPOINT_TRACE", &trace).output().expect("runs"));
    assert_eq!(done.code, 0, "{args:?}: {done:#?}");
    let points = std::fs::read_to_string(&trace).expect("points").lines().map(str::to_owned).collect();
    std::fs::remove_file(&trace).expect("removes");
    points
}

fn meet(world: &World, first: &[&str], second: &[&str], nth: usize, what: &str) {
    let mut stopped = start(world, first, "first", Some(nth));
    let pid = Pid::from_raw(stopped.id().cast_signed());
    let is_stopped = match waitpid(pid, Some(WaitPidFlag::WUNTRACED)).expect("waits") {
        WaitStatus::Stopped(..) => true,
        // It took another way this time; the other one comes after it.
        WaitStatus::Exited(_, 0) => false,
        other => panic!("{what}: {other:?}"),
    };
    let mut between = start(world, second, "second", None);
    // Where the stopped one holds what it needs it waits, and goes on beside it.
    let until = Instant::now() + Duration::from_millis(700);
    while is_stopped && Instant::now() < until && matches!(between.try_wait(), Ok(None)) {
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let firsts = is_stopped.then(|| {
        kill(pid, Signal::SIGCONT).expect("goes on");
        ended(world, &mut stopped, "first")
    });
    let seconds = ended(world, &mut between, "second");
    for (args, done) in [(first, firsts.as_ref()), (second, Some(&seconds))] {
        let Some(done) = done else { continue };
        match (args[0], done.code) {
            (_, 0) => {}
            // Another one collects.
            ("gc", 4) => {}
            // It was removed meanwhile.
            ("exec", 5) => assert!(second == REMOVE, "{what}: {done:#?}"),
            _ => panic!("{what}: {args:?}: {done:#?}"),
        }
    }
    // Whoever was answered has it.
    let asked = |args: &[&str]| first == args || second == args;
    if asked(BIND) {
        assert_eq!(world.python_in("other", "import alpha; print(alpha.version)"), "1.0", "{what}");
    }
    if !asked(REMOVE) {
        let expected = if asked(BACK) || asked(UPGRADE) { "1.0" } else { "2.0" };
        assert_eq!(world.python_in("pack", "import alpha; print(alpha.version)"), expected, "{what}");
    }
    assert_eq!(world.python_in("bystander", "import beta.more; print(beta.more.more)"), "1", "{what}");
    let verified = world.run(["verify", "--full"]);
    assert_eq!(verified.code, 0, "{what}: {verified:#?}");
    world.ok(["gc", "--idle", "0s"]);
    assert_eq!((world.listed("staging"), world.listed("trash")), (vec![], vec![]), "{what}");
}

fn start(world: &World, args: &[&str], turn: &str, stop_at: Option<usize>) -> Child {
    let mut command = world.command(args);
    if let Some(nth) = stop_at {
        command.env("ENVSTORE_FAILPOINT", format!("stop@{nth}"));
    }
    // A file, not a pipe: what it says must never make it wait.
    let stderr = std::fs::File::create(world.path().join(turn)).expect("a file");
    command.stdout(Stdio::null()).stderr(stderr).stdin(Stdio::null()).spawn().expect("starts")
}

fn ended(world: &World, child: &mut Child, turn: &str) -> Ran {
    let status = child.wait().expect("ends");
    let stderr = std::fs::read(world.path().join(turn)).expect("reads");
    ran(std::process::Output { status, stdout: Vec::new(), stderr })
}
