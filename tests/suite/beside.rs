//! Commands beside each other: each finds what another one did meanwhile, and calls nothing damaged that was only collected.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Wheel, World, ran, skipped};

/// Waits until something holds, which it must before long.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Starts a command that stops itself at the last time an undisturbed run of `like` passes a point before it binds.
fn stopped_at(world: &World, point: &str, like: &[&str], args: &[&str]) -> Child {
    let trace = world.path().join("points");
    let _ = fs::remove_file(&trace);
    let done = ran(world.command(like).env("ENVSTORE_FAILPOINT_TRACE", &trace).output().expect("runs"));
    assert_eq!(done.code, 0, "{done:#?}");
    let points = fs::read_to_string(trace).expect("points");
    let nth = points.lines().position(|passed| passed == point).expect("passes it") + 1;
    let mut command = world.command(args);
    command.env("ENVSTORE_FAILPOINT", format!("stop@{nth}")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("starts");
    let stat = format!("/proc/{}/stat", child.id());
    until("it stops", || fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T")));
    child
}

fn go_on(child: Child) -> crate::support::Ran {
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGCONT).expect("goes on");
    ran(child.wait_with_output().expect("ends"))
}

fn path_of(world: &World, pack: &str) -> PathBuf {
    world.json(["resolve", pack])["path"].as_str().expect("a path").into()
}

#[test]
fn an_environment_that_is_made_again_between_lease_and_binding_is_used() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "one", "--with", "alpha"]);
    let old = path_of(&world, "one");
    let like = ["ensure", "like", "--with", "alpha"];
    let child = stopped_at(&world, "lease: locked", &like, &["ensure", "two", "--with", "alpha"]);
    world.ok(["ensure", "one", "--rebuild"]);
    let done = go_on(child);
    assert_eq!(done.code, 0, "{done:#?}");
    assert_ne!(path_of(&world, "two"), old);
    assert_eq!(path_of(&world, "two"), path_of(&world, "one"));
}

#[test]
fn a_rollback_to_an_environment_that_is_made_again_meanwhile_uses_the_new_one() {
    let world = World::new();
    for version in ["1.0", "2.0"] {
        world.wheel(&Wheel::new("alpha", version));
    }
    for pack in ["pack", "like"] {
        world.ok(["ensure", pack, "--with", "alpha==1.0"]);
        world.ok(["ensure", pack, "--with", "alpha==2.0"]);
    }
    world.ok(["ensure", "one", "--with", "alpha==1.0"]);
    let child = stopped_at(&world, "lease: locked", &["rollback", "like"], &["rollback", "pack"]);
    world.ok(["ensure", "one", "--rebuild"]);
    let done = go_on(child);
    assert_eq!(done.code, 0, "{done:#?}");
    assert_eq!(path_of(&world, "pack"), path_of(&world, "one"));
}

#[test]
fn a_collector_in_another_pid_namespace_leaves_what_is_being_written() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("another pid namespace needs root");
    }
    let world = World::new();
    for name in ["alpha", "beta"] {
        world.wheel(&Wheel::new(name, "1.0"));
    }
    world.wheel(&Wheel::new("gamma", "1.0"));
    world.ok(["ensure", "first", "--with", "gamma"]);
    // In a build's directory, and half-way through the file that becomes its lock.
    let (like, args) = (["ensure", "like", "--with", "beta"], ["ensure", "pack", "--with", "alpha"]);
    let child = stopped_at(&world, "write: before the sync", &like, &args);
    let before = world.listed("staging");
    let kinds: Vec<_> = before.iter().filter_map(|name| name.split('-').next()).collect();
    assert_eq!(kinds, ["build", "write"]);
    // With a target that is met it does not wait for the objects that the build holds.
    let gc = world.command(["gc", "--min-free", "1"]);
    let mut elsewhere = Command::new("unshare");
    elsewhere.args(["--pid", "--fork", "--mount-proc"]).arg(gc.get_program()).args(gc.get_args()).env_clear();
    elsewhere.envs(gc.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let collected = ran(elsewhere.output().expect("starts"));
    assert_eq!(collected.code, 0, "{collected:#?}");
    assert_eq!(world.listed("staging"), before);
    let done = go_on(child);
    assert_eq!(done.code, 0, "{done:#?}");
    world.python_in("pack", "import alpha");
    // What a killed process leaves goes, whatever processes there are.
    let child = stopped_at(
        &world,
        "write: before the sync",
        &["ensure", "like", "--rebuild"],
        &["ensure", "pack", "--rebuild"],
    );
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL).expect("kills");
    child.wait_with_output().expect("ends");
    assert!(!world.listed("staging").is_empty());
    world.ok(["gc", "--idle", "0s"]);
    assert_eq!(world.listed("staging"), Vec::<String>::new());
}

#[test]
fn verify_beside_a_collector_calls_nothing_damaged() {
    let world = World::new();
    for name in ["alpha", "beta", "gamma"] {
        world.wheel(&Wheel::new(name, "1.0").file(&format!("{name}/more.py"), "more = 1\n"));
    }
    world.ok(["ensure", "kept", "--with", "alpha"]);
    std::thread::scope(|scope| {
        let changes = scope.spawn(|| {
            for round in 0..12 {
                let with = if round % 2 == 0 { "beta" } else { "gamma" };
                world.ok(["ensure", "pack", "--with", with, "--with", "alpha"]);
                world.ok(["remove", "pack", "--keep-history"]);
                world.ok(["gc", "--idle", "0s", "--drop-retained"]);
                world.ok(["remove", "pack"]);
            }
        });
        let mut looked = 0;
        while !changes.is_finished() || looked < 3 {
            let verified = world.run(["verify", "--full"]);
            assert_eq!(verified.code, 0, "{verified:#?}");
            looked += 1;
        }
        changes.join().expect("changes");
    });
}

/// A process that shows an environment by its traces alone, started under another spelling of the store's path.
fn kept_under_another_spelling(world: &World, env: &Path, mut process: Command, what: &str) {
    let ready = world.path().join("ready");
    let code = "import os, sys, time; os.closerange(3, 300); open(sys.argv[1], 'w').close(); time.sleep(600)";
    process.args(["-c", code]).arg(&ready).env_clear().stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = process.spawn().expect("starts");
    until("it is there", || ready.exists());
    let done = world.json(["gc", "--idle", "0s", "--drop-retained"]);
    let is_kept = env.exists();
    child.kill().expect("kills");
    child.wait().expect("ends");
    fs::remove_file(ready).expect("removes");
    assert!(is_kept, "{what}: {done:#}");
    assert_eq!(done["kept"]["leased"], 1, "{what}: {done:#}");
}

#[test]
fn a_process_that_knows_the_store_by_another_path_keeps_its_environment() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    let env = path_of(&world, "pack");
    let name = env.file_name().expect("a name");
    world.ok(["remove", "pack", "--keep-history"]);
    // `remove` deletes what nothing names: it is made again, and then only unbound by a newer generation.
    world.wheel(&Wheel::new("beta", "1.0"));
    world.ok(["rollback", "pack"]);
    let env = if env.exists() { env.clone() } else { path_of(&world, "pack") };
    let name = env.file_name().unwrap_or(name).to_owned();
    world.ok(["ensure", "pack", "--with", "beta"]);

    let link = world.path().join("link");
    std::os::unix::fs::symlink(world.path(), &link).expect("links");
    let python = |store: &Path| store.join("envs").join(&name).join("bin/python");
    kept_under_another_spelling(&world, &env, Command::new(python(&link.join("store"))), "a symbolic link");
    let dots = world.path().join("packs/../store/../store");
    kept_under_another_spelling(&world, &env, Command::new(python(&dots)), "dots");
    let mut relative = Command::new("/bin/sh");
    let inside = format!("cd {} && exec envs/{}/bin/python \"$@\"", world.store().display(), name.display());
    relative.args(["-c", &inside, "sh"]);
    kept_under_another_spelling(&world, &env, relative, "a relative path");
    if !nix::unistd::geteuid().is_root() {
        return skipped("bind mounts need root");
    }
    // The root, and then the environment alone, elsewhere in a mount namespace of its own.
    for (from, python) in
        [(world.store(), format!("envs/{}/bin/python", name.display())), (env.clone(), "bin/python".into())]
    {
        let mut mounted = Command::new("unshare");
        let script = "mount --bind \"$0\" /mnt && p=/mnt/$1 && shift && exec \"$p\" \"$@\"";
        mounted.args(["--mount", "/bin/sh", "-c", script]).arg(from).arg(&python);
        kept_under_another_spelling(&world, &env, mounted, &python);
    }
    // And once nobody shows it, it goes.
    let done = world.json(["gc", "--idle", "0s", "--drop-retained"]);
    assert_eq!((&done["swept"], env.exists()), (&1.into(), false), "{done:#}");
}

#[test]
fn without_proc_the_collector_says_that_only_leases_count() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("hiding `/proc` needs root");
    }
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    let gc = world.command(["--format", "json", "gc"]);
    let mut blind = Command::new("unshare");
    blind.args(["--mount", "/bin/sh", "-c", "mount -t tmpfs none /proc && exec \"$0\" \"$@\""]);
    blind.arg(gc.get_program()).args(gc.get_args()).env_clear();
    blind.envs(gc.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let done = ran(blind.output().expect("starts"));
    assert_eq!(done.code, 0, "{done:#?}");
    let report: serde_json::Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert!(report["warnings"].to_string().contains("only leases keep"), "{report:#}");
    assert!(!world.json(["gc"])["warnings"].to_string().contains("only leases keep"));
}

#[test]
fn a_collection_in_a_grace_period_says_until_when_and_why() {
    let world = World::new();
    for name in ["alpha", "beta"] {
        world.wheel(&Wheel::new(name, "1.0"));
    }
    world.ok(["ensure", "pack", "--with", "alpha"]);
    world.ok(["ensure", "pack", "--with", "beta"]);
    for file in ["index.db", "index.db-wal", "index.db-shm"] {
        let _ = fs::remove_file(world.store().join(file));
    }
    let done = world.json(["gc", "--idle", "0s", "--drop-retained"]);
    assert_eq!(
        (&done["swept"], &done["kept"]["grace"], &done["kept"]["young"]),
        (&0.into(), &1.into(), &0.into()),
        "{done:#}"
    );
    let until: jiff::Timestamp = done["collect_after"].as_str().and_then(|at| at.parse().ok()).expect("a time");
    assert!(until > jiff::Timestamp::now(), "{done:#}");
    assert!(done["grace_reason"].as_str().is_some_and(|reason| reason.contains("the index was lost")), "{done:#}");
    let human = world.ok(["gc", "--idle", "0s", "--drop-retained"]);
    assert!(human.contains("nothing is deleted because it is unused (1 environment so far)"), "{human}");
    assert!(!human.contains("a short while ago"), "{human}");
}
