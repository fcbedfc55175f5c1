//! Each file and directory of a store lost or spoiled in each way, one at a time: what every command then does.
//!
//! A normal run tries one way for each thing. `ENVSTORE_MATRIX=FILE` tries all of them and writes the exit codes as a Markdown table.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Ran, Wheel, World, ran};

/// How a thing is spoiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoil {
    Lost,
    Emptied,
    Truncated,
    Directory,
    Fifo,
    Link,
    Older,
}

const SPOILS: [Spoil; 7] =
    [Spoil::Lost, Spoil::Emptied, Spoil::Truncated, Spoil::Directory, Spoil::Fifo, Spoil::Link, Spoil::Older];

/// What is asked, in this order: the last ones may mend what the first ones found.
const COMMANDS: [&[&str]; 9] = [
    &["resolve", "pack"],
    &["list"],
    &["doctor"],
    &["gc", "--idle", "0s", "--drop-retained"],
    &["ensure", "pack"],
    &["verify", "--repair"],
    &["reindex"],
    &["gc", "--idle", "0s", "--drop-retained"],
    &["ensure", "pack", "--with", "alpha==2.0"],
];

/// Longer than any of these commands takes; a command that waits for a FIFO takes for ever.
const SECONDS: &str = "100";

/// Codes that are an answer. Not among them: a panic, a bug, a signal, the end of the time.
const ANSWERS: [i32; 6] = [0, 1, 3, 4, 5, 6];

struct Store {
    world: World,
    /// The store an hour ago.
    older: PathBuf,
    outside: PathBuf,
}

fn store() -> Store {
    let world = World::new();
    for version in ["1.0", "2.0"] {
        world.wheel(&Wheel::new("alpha", version).file("alpha/data.txt", format!("data of {version}")));
    }
    world.wheel(&Wheel::new("beta", "1.0"));
    world.wheel(&Wheel::new("gamma", "1.0"));
    world.ok(["ensure", "early", "--with", "gamma"]);
    world.ok(["resolve", "early"]);
    let older = world.path().join("older");
    copy(&world.store(), &older);
    world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
    world.ok(["ensure", "pack", "--with", "alpha==2.0"]);
    world.ok(["ensure", "other", "--with", "beta"]);
    world.ok(["pin", "release", "other"]);
    world.ok(["remove", "other", "--keep-history"]);
    world.ok(["resolve", "pack"]);
    let outside = world.path().join("outside");
    fs::create_dir(&outside).expect("a directory");
    fs::write(outside.join("precious"), "precious").expect("writes");
    Store { world, older, outside }
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().expect("copies").success());
}

/// The paths below the root that are spoiled: everything at its top, and one of each kind below.
fn targets(store: &Store) -> Vec<String> {
    let mut targets = store.world.listed("");
    targets.retain(|name| name != "creating");
    let first = |dir: &str| store.world.listed(dir).first().map(|name| format!("{dir}/{name}"));
    for dir in ["locks", "manifests", "envs", "pins", "guards", "logs"] {
        targets.extend(first(dir));
    }
    for dir in ["bindings", "objects"] {
        targets.extend(first(dir).and_then(|below| first(&below)));
    }
    targets.extend(first("envs").map(|env| format!("{env}/.lease")));
    targets.extend(["guards/gc".into(), "guards/index".into()]);
    targets.sort();
    targets.dedup();
    targets
}

/// Spoils a path. False: it cannot be spoiled like this.
fn spoil(store: &Store, name: &str, how: Spoil) -> bool {
    let path = store.world.store().join(name);
    let Ok(meta) = fs::symlink_metadata(&path) else { return false };
    let is_dir = meta.is_dir();
    let remove = || {
        let _ = if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    };
    match how {
        Spoil::Lost => remove(),
        Spoil::Emptied if is_dir => {
            remove();
            fs::create_dir(&path).expect("a directory");
        }
        Spoil::Emptied => {
            fs::File::options().write(true).open(&path).and_then(|file| file.set_len(0)).expect("empties")
        }
        Spoil::Truncated if is_dir || meta.len() < 2 => return false,
        Spoil::Truncated => {
            fs::File::options().write(true).open(&path).and_then(|file| file.set_len(meta.len() / 2)).expect("cuts");
        }
        Spoil::Directory if is_dir => return false,
        Spoil::Directory => {
            remove();
            fs::create_dir(&path).expect("a directory");
            fs::write(path.join("something"), "x").expect("writes");
        }
        Spoil::Fifo => {
            remove();
            assert!(Command::new("mkfifo").arg(&path).status().expect("runs").success());
        }
        Spoil::Link => {
            remove();
            let target = if is_dir { store.outside.clone() } else { store.outside.join("precious") };
            symlink(target, &path).expect("links");
        }
        Spoil::Older => {
            let older = store.older.join(name);
            if fs::symlink_metadata(&older).is_err() {
                return false;
            }
            remove();
            copy(&older, &path);
        }
    }
    true
}

fn run(world: &World, args: &[&str]) -> Ran {
    let inner = world.command(args);
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", SECONDS]).arg(inner.get_program()).args(inner.get_args());
    command.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    ran(command.current_dir(world.path()).stdin(Stdio::null()).output().expect("runs"))
}

/// The environments' directories that no binding or pin file may lose: those of `pack`, `early` and the pin.
fn referenced(world: &World) -> BTreeSet<String> {
    world.listed("envs").into_iter().collect()
}

/// Spoils everything in some ways, asks every command, and says what did not hold.
fn matrix(ways: Range<usize>) {
    let store = store();
    let world = &store.world;
    let kept = world.path().join("kept");
    copy(&world.store(), &kept);
    // The first generation of `pack` may go; nothing else.
    let history = world.json(["history", "pack"]);
    let first = history["generations"].as_array().expect("generations").last().expect("one")["env"].to_string();
    let may_go = |name: &str| first.contains(&name[..name.len().min(12)]);
    let all = referenced(world);
    let mut table = String::from("| what | how | commands: exit codes |\n|---|---|---|\n");
    let mut violations = Vec::new();
    let is_whole = std::env::var_os("ENVSTORE_MATRIX").is_some();
    for (nth, name) in targets(&store).into_iter().enumerate() {
        for how in SPOILS[ways.clone()].iter().filter(|how| is_whole || **how == SPOILS[nth % SPOILS.len()]) {
            let _ = fs::remove_dir_all(world.store());
            copy(&kept, &world.store());
            if !spoil(&store, &name, *how) {
                continue;
            }
            let there: BTreeSet<String> = referenced(world).intersection(&all).cloned().collect();
            let mut codes = Vec::new();
            for args in COMMANDS {
                let done = run(world, args);
                if !ANSWERS.contains(&done.code) {
                    violations.push(format!("{name} {how:?}: {args:?}: {done:#?}"));
                }
                if done.code != 0 && done.stderr.trim().is_empty() && done.stdout.trim().is_empty() {
                    violations.push(format!("{name} {how:?}: {args:?}: exit {} without a word", done.code));
                }
                codes.push(format!("{} {}", args[0], done.code));
                // What is referenced is neither collected nor lost by a repair, which publishes a new directory first.
                let stems = |names: &BTreeSet<String>| -> BTreeSet<String> {
                    names.iter().map(|name| name.split('.').next().unwrap_or(name).to_owned()).collect()
                };
                let now = stems(&referenced(world));
                let lost: Vec<_> =
                    stems(&there).into_iter().filter(|stem| !now.contains(stem) && !may_go(stem)).collect();
                if !lost.is_empty() && name != "envs" {
                    violations.push(format!("{name} {how:?}: {args:?}: {lost:?} are gone: {done:#?}"));
                    break;
                }
            }
            table.push_str(&format!("| {name} | {how:?} | {} |\n", codes.join(", ")));
            let precious = fs::read(store.outside.join("precious"));
            if !precious.is_ok_and(|bytes| bytes == b"precious")
                || fs::read_dir(&store.outside).expect("lists").count() != 1
            {
                violations.push(format!("{name} {how:?}: what is outside was changed"));
                let _ = fs::remove_dir_all(&store.outside);
                fs::create_dir(&store.outside).expect("a directory");
                fs::write(store.outside.join("precious"), "precious").expect("writes");
            }
        }
    }
    if let Some(path) = std::env::var_os("ENVSTORE_MATRIX") {
        let mut file = fs::File::options().create(true).append(true).open(path).expect("opens");
        file.write_all(table.as_bytes()).expect("writes");
    }
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
}

#[test]
fn what_is_lost_emptied_or_truncated_never_loses_what_is_referenced() {
    matrix(0..3);
}

#[test]
fn what_is_replaced_by_another_thing_stops_no_command_and_leads_nowhere() {
    matrix(3..6);
}

#[test]
fn an_older_copy_of_anything_never_loses_what_is_referenced() {
    matrix(6..SPOILS.len());
}
