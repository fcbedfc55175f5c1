//! P5 and P6: what collection takes, and what it never takes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use envstore::layout::Layout;
use envstore::manifest::Manifest;

use crate::support::{Wheel, World};

fn wait_until_gone(pid: Pid) {
    while kill(pid, None).is_ok() {
        let zombie = fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z"));
        if zombie {
            return;
        }
        std::thread::yield_now();
    }
}

#[test]
fn gc_keeps_an_env_whose_worker_died_until_the_action_ends() {
    kept_until_the_action_ends(false);
}

#[test]
fn gc_keeps_an_env_that_was_not_asked_of_the_index_until_the_action_ends() {
    kept_until_the_action_ends(true);
}

/// `is_known`: by a command before, so that `exec` opens no index.
fn kept_until_the_action_ends(is_known: bool) {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    if is_known {
        world.ok(["resolve", "pack"]);
    }
    // A background job of a non-interactive shell reads /dev/null, so the action sleeps instead.
    let code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)";
    let exec = world.command(["exec", "pack", "--", "python", "-c", code]);
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", "\"$0\" \"$@\" & wait"]).arg(exec.get_program()).args(exec.get_args());
    shell.env_clear().envs(exec.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut worker = shell.stdout(Stdio::piped()).spawn().expect("the worker starts");
    let mut line = String::new();
    BufReader::new(worker.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("the action says its pid");
    let action = Pid::from_raw(line.trim().parse().expect("a pid"));
    worker.kill().expect("kills");
    worker.wait().expect("waits");

    let removed = world.json(["remove", "pack"]);
    assert_eq!(removed["env_removed"], false, "{removed:#}");
    let kept = world.json(["gc", "--idle", "0s"]);
    assert_eq!((&kept["swept"], &kept["kept"]["leased"]), (&0.into(), &1.into()), "{kept:#}");
    assert_eq!(world.listed("envs").len(), 1);

    kill(action, Signal::SIGKILL).expect("kills");
    wait_until_gone(action);
    let taken = world.json(["gc", "--idle", "0s"]);
    assert_eq!(taken["swept"], 1, "{taken:#}");
    assert!(taken["freed_bytes"].as_u64().expect("bytes") > 1000);
    for dir in ["envs", "manifests", "trash", "staging"] {
        assert!(world.listed(dir).is_empty(), "{dir}: {:?}", world.listed(dir));
    }
}

#[test]
fn gc_takes_what_nothing_names_and_nothing_else() {
    let world = World::new();
    for name in ["alpha", "beta", "gamma"] {
        world.wheel(&Wheel::new(name, "1.0"));
    }
    world.ok(["ensure", "bound", "--with", "alpha"]);
    world.ok(["ensure", "moved", "--with", "beta"]);
    world.ok(["ensure", "moved", "--with", "gamma"]);
    let kept = world.json(["gc", "--idle", "0s"]);
    assert_eq!((&kept["swept"], &kept["kept"]["retained"]), (&0.into(), &1.into()), "{kept:#}");
    let dry = world.json(["gc", "--idle", "0s", "--drop-retained", "--dry-run"]);
    assert_eq!(dry["swept"], 0, "{dry:#}");
    assert_eq!(world.listed("envs").len(), 3);
    let taken = world.json(["gc", "--idle", "0s", "--drop-retained"]);
    assert_eq!(taken["swept"], 1, "{taken:#}");
    for pack in ["bound", "moved"] {
        world.python_in(pack, "pass");
    }
    assert_eq!(world.listed("envs").len(), 2);
}

#[test]
fn removing_the_last_pack_of_an_environment_collects_it_and_its_name_is_not_used_again() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "one", "--with", "alpha"]);
    world.ok(["ensure", "two", "--with", "alpha"]);
    let name = world.listed("envs").remove(0);
    assert_eq!(world.json(["remove", "one"])["env_removed"], false);
    assert_eq!(world.json(["remove", "two"])["env_removed"], true);
    assert!(world.listed("envs").is_empty());
    world.ok(["ensure", "two", "--with", "alpha"]);
    assert_eq!(world.listed("envs"), [format!("{name}.1")]);
}

#[test]
fn a_condemned_name_is_taken_back_by_the_next_ensure() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "one", "--with", "alpha"]);
    world.ok(["remove", "one", "--keep-history"]);
    let outcome = world.json(["ensure", "two", "--with", "alpha"])["outcome"].clone();
    assert!(outcome == "shared" || outcome == "assembled", "{outcome}");
    world.python_in("two", "import alpha");
}

#[test]
fn what_dead_processes_left_is_cleared_and_what_is_not_ours_is_not() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    let store = world.store();
    let outside = world.path().join("outside");
    fs::create_dir(&outside).expect("a directory");
    fs::write(outside.join("precious"), "x").expect("a file");
    let half = store.join("envs").join("a".repeat(32));
    fs::create_dir_all(half.join("lib")).expect("a directory");
    std::os::unix::fs::symlink(&outside, half.join("lib/link")).expect("a link");
    fs::create_dir_all(store.join("staging/build-999999999-0-0/work")).expect("a directory");
    fs::create_dir_all(store.join("trash/old/deep")).expect("a directory");
    std::os::unix::fs::symlink(&outside, store.join("trash/old/link")).expect("a link");
    fs::create_dir(store.join("envs/not-an-environment")).expect("a directory");
    world.ok(["gc", "--idle", "0s"]);
    assert!(outside.join("precious").exists());
    assert!(!half.exists() && world.listed("staging").is_empty() && world.listed("trash").is_empty());
    assert!(store.join("envs/not-an-environment").exists(), "what is not named like an environment is left alone");
    world.python_in("pack", "import alpha");
}

#[test]
fn a_finished_build_that_nobody_knows_takes_no_pack_from_its_environment() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    let bound = world.ok(["ensure", "pack", "--with", "alpha"]);
    let name = world.listed("envs").remove(0);
    // What a builder leaves that dies between its manifest and its row.
    let (store, orphan) = (world.store(), format!("{name}.7"));
    let layout = Layout::new(&store);
    let mut manifest = Manifest::read(&layout.manifest(&name.parse().expect("a name"))).expect("a manifest");
    manifest.name = orphan.parse().expect("a name");
    fs::write(layout.manifest(&manifest.name), manifest.encode().expect("encodes")).expect("a manifest");
    fs::create_dir(store.join("envs").join(&orphan)).expect("a directory");
    fs::write(store.join("envs").join(&orphan).join(".lease"), "").expect("a lease file");
    world.ok(["gc", "--idle", "0s"]);
    assert_eq!(world.ok(["resolve", "pack"]), bound);
    assert_eq!(world.listed("envs"), std::slice::from_ref(&name));
    assert_eq!(world.listed("manifests"), [format!("{name}.json.gz")]);
}

#[test]
fn two_collectors_do_not_meet() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    let guard =
        fs::File::options().read(true).write(true).create(true).truncate(false).open(world.store().join("guards/gc"));
    let guard = guard.expect("the guard opens");
    let held = envstore::fs::lock::try_lock(&guard, envstore::fs::lock::Mode::Exclusive);
    assert_eq!(held, Ok(true));
    let ran = world.run(["gc"]);
    assert_eq!(ran.code, 4, "{ran:#?}");
    assert_eq!(world.json(["gc"])["already_running"], true);
}
