//! What a hit costs in system calls: a bound that does not depend on the machine.
//!
//! What the loader and the allocator need is not ours and not counted.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use envstore::{PackRef, Store};

use crate::support::{Wheel, World, ran, skipped};

/// Looked for and never there: stand in the trace around what is counted.
const MARKS: [&str; 2] = ["/envstore-mark-begin", "/envstore-mark-end"];
const ROOT: &str = "ENVSTORE_TEST_ROOT";

/// The calls of a command's process, a line each, in order. None: they cannot be seen here.
fn calls(world: &World, command: &Command) -> Option<Vec<String>> {
    if Command::new("strace").arg("-V").output().is_err() {
        skipped("needs strace");
        return None;
    }
    let trace = world.path().join("trace");
    let mut traced = Command::new("strace");
    // Paths whole; one line a call, also of what it starts.
    traced.args(["-f", "-s", "200", "-o"]).arg(&trace).arg(command.get_program()).args(command.get_args());
    traced.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let done = ran(traced.current_dir(world.path()).stdin(Stdio::null()).output().expect("strace starts"));
    if done.stderr.contains("ptrace") {
        skipped("strace may not trace here");
        return None;
    }
    assert_eq!(done.code, 0, "{done:#?}");
    let lines = fs::read_to_string(&trace).expect("a trace");
    // The process id stands before each.
    Some(lines.lines().filter_map(|line| Some(line.split_once(' ')?.1.trim_start().to_owned())).collect())
}

fn world() -> World {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.pack("pack", "alpha==1.0\n");
    world.ok(["ensure", "pack", "--from", "packs/pack"]);
    world.ok(["ensure", "other", "--with", "alpha"]);
    world
}

/// The calls of an `envstore` command from its first own one to its end, or until it becomes another program. `opens`: how often the index.
fn of_command(world: &World, args: &[&str], opens: usize) -> Option<Vec<String>> {
    let calls = calls(world, &world.command(args))?;
    // The first thing that `main` does is to look whether standard input is open.
    let started = calls.iter().position(|call| call.starts_with("fcntl(0, F_GETFD"));
    let own = &calls[started.expect("the first call")..];
    let becomes = own.iter().position(|call| call.starts_with("execve("));
    let is_counted = |call: &&String| {
        !["brk(", "munmap(", "mprotect(", "mremap("].iter().any(|memory| call.starts_with(memory))
            && !call.contains("MAP_ANONYMOUS")
    };
    let counted: Vec<String> = own[..becomes.unwrap_or(own.len())].iter().filter(is_counted).cloned().collect();
    for (call, why) in [
        ("clone", "starts nothing"),
        ("fork", "starts nothing"),
        ("getdents", "walks no directory"),
        ("socket", "asks nobody"),
        ("sync", "writes nothing"),
        ("rename", "writes nothing"),
        ("unlink", "writes nothing"),
        ("mkdir", "writes nothing"),
    ] {
        assert!(
            !counted.iter().any(|line| line.split('(').next().is_some_and(|name| name.contains(call))),
            "{why}: {counted:#?}"
        );
    }
    let opened = |name: &str| {
        counted.iter().filter(|call| call.starts_with("open") && call.contains(&format!("{name}\""))).count()
    };
    assert_eq!((opened("index.db"), opened(".lease")), (opens, 1), "one opening at most, one lease: {counted:#?}");
    Some(counted)
}

/// SQLite looks at each directory on the way to the index: their number comes on top.
fn directories(world: &World) -> usize {
    world.store().components().count()
}

#[track_caller]
fn at_most(bound: usize, counted: &[String]) {
    let text: String = counted.iter().map(|call| format!("{call}\n")).collect();
    assert!(counted.len() <= bound, "{} calls, at most {bound} were expected\n{text}", counted.len());
    eprintln!("{} calls of {bound}", counted.len());
}

#[test]
fn exec_is_one_opening_one_query_one_lock() {
    let world = world();
    let exec = ["exec", "pack", "--", "/bin/true"];
    let Some(counted) = of_command(&world, &exec, 1) else { return };
    // 4 for the standard descriptors and a signal, 5 for randomness, whether it is a terminal and who asks, 5 for store.json, 3 for what may be done,
    // 5 for the epoch, 4 for the boot, 2 to look for an answer that was kept, 9 to look at the root and the index's files before and after they are opened,
    // 31 for SQLite to open them, 36 for three transactions, each with its locks, 5 for the lease and the interpreter, 13 to keep the answer in a
    // file that has to be made, 2 to hand the lease on.
    // 13 to see that each directory of the store is one. The path is made canonical with a call for each of its directories.
    at_most(150 + 2 * directories(&world), &counted);
    let Some(counted) = of_command(&world, &exec, 0) else { return };
    // None of SQLite's; 6 to find the answer.
    at_most(38 + directories(&world), &counted);
}

#[test]
fn resolve_is_one_opening_one_query_one_lock() {
    let world = world();
    let Some(counted) = of_command(&world, &["resolve", "pack"], 1) else { return };
    // As `exec`; then the answer is written, SQLite closed and the memory given back.
    at_most(153 + 2 * directories(&world), &counted);
    let Some(counted) = of_command(&world, &["resolve", "pack"], 0) else { return };
    at_most(41 + directories(&world), &counted);
}

#[test]
fn an_ensure_that_is_a_hit_is_as_cheap() {
    let world = world();
    let Some(counted) = of_command(&world, &["ensure", "pack", "--from", "packs/pack"], 1) else { return };
    // As `resolve`; 2 to see whether root acts for another user, 5 for the configuration, 15 for the declaration, 5 to take over two signals. What the
    // declaration's path leads through is looked at for links, one call each.
    let declaration = world.packs().join("pack/requirements.txt");
    at_most(163 + 2 * directories(&world) + declaration.iter().skip(1).count(), &counted);
}

#[test]
fn a_resolve_that_is_a_hit_makes_no_system_call_but_one_stat_a_second() {
    let world = world();
    let mut helper = Command::new(std::env::current_exe().expect("this binary"));
    helper.args(["--exact", "cost::resolves_between_two_marks", "--ignored", "--test-threads=1"]);
    helper.env(ROOT, world.store());
    let Some(calls) = calls(&world, &helper) else { return };
    let at = |mark: &str| calls.iter().position(|call| call.contains(mark)).expect("a mark");
    let (begin, end) = (at(MARKS[0]), at(MARKS[1]));
    let millis = calls[end].split(&format!("{}-", MARKS[1])).nth(1).and_then(|rest| rest.split('"').next());
    let millis: usize = millis.expect("how long it took").parse().expect("a number");
    let epoch = format!("{}\"", world.store().join("epoch").display());
    let is_look = |call: &&String| call.contains("stat") && call.contains(&epoch);
    let (looks, others): (Vec<&String>, Vec<&String>) = calls[begin + 1..end].iter().partition(is_look);
    assert_eq!(others, [] as [&String; 0]);
    assert!((2..=millis / 1000 + 1).contains(&looks.len()), "{millis} ms: {looks:#?}");
}

#[test]
#[ignore = "run as a process by the test above"]
fn resolves_between_two_marks() {
    let Some(root) = std::env::var_os(ROOT) else { return };
    let store = Store::builder(Path::new(&root)).open().expect("opens");
    let packs = ["pack", "other"].map(|name| PackRef::new(name).expect("a ref"));
    let resolve_all = || packs.iter().map(|pack| store.resolve(pack).expect("bound").generation()).sum::<u64>();
    assert_eq!(resolve_all(), 2);
    let started = Instant::now();
    assert!(!Path::new(MARKS[0]).exists());
    let (mut calls, mut sum) = (0, 0);
    while calls < 5_000_000 || started.elapsed() < Duration::from_millis(2200) {
        sum += (0..1000).map(|_| resolve_all()).sum::<u64>();
        calls += 2000;
    }
    assert!(!Path::new(&format!("{}-{}", MARKS[1], started.elapsed().as_millis())).exists());
    assert_eq!(sum, calls);
}
