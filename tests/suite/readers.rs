//! Owner and readers: another uid may look and run, never write.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::support::{Ran, Wheel, World, ran, skipped};

/// Runs a command of a world as another user; None when this user may not become another.
fn as_nobody(world: &World, args: &[&str]) -> Option<Ran> {
    if !nix::unistd::geteuid().is_root() {
        skipped("becoming another user needs root");
        return None;
    }
    let command = world.command(args);
    let mut nobody = Command::new("setpriv");
    nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(command.get_program()).args(args);
    nobody.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Some(ran(nobody.current_dir("/").stdin(Stdio::null()).output().expect("setpriv starts")))
}

/// A world whose interpreter other users can reach, where there is one: a distribution's own.
fn shared_world() -> World {
    let system = crate::support::ask("/usr/bin/python3".as_ref());
    let world = system.map_or_else(World::new, |python| World::with_python(&python.path));
    fs::set_permissions(world.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha", "--share-with", "all"]);
    world
}

/// Whether another user can start the interpreter at all (a Python below root's home cannot be).
fn can_start_python(world: &World) -> bool {
    // Through a shell: what setpriv itself starts is still looked up with root's rights.
    let started = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "/bin/sh", "-c", "exec \"$0\" -c pass"])
        .arg(world.python())
        .env_clear()
        .output();
    started.is_ok_and(|output| output.status.success())
}

#[test]
fn another_user_resolves_and_lists_and_writes_nothing() {
    let world = shared_world();
    let binary = fs::metadata(crate::support::ENVSTORE).expect("stat").permissions().mode();
    assert!(binary & 0o005 == 0o005);
    let Some(resolved) = as_nobody(&world, &["resolve", "pack"]) else { return };
    if resolved.code == 126 || resolved.stderr.contains("setpriv") {
        return skipped("another user cannot reach the binary under test");
    }
    assert_eq!(resolved.code, 0, "{resolved:#?}");
    assert_eq!(resolved.stdout.trim(), world.ok(["resolve", "pack"]));
    for allowed in [&["list"][..], &["show", "pack"], &["why", "pack"], &["who-uses", "alpha"], &["verify", "--full"]] {
        let ran = as_nobody(&world, allowed).expect("ran");
        assert_eq!(ran.code, 0, "{allowed:?}: {ran:#?}");
    }
    for refused in [&["ensure", "new", "--with", "alpha"][..], &["remove", "pack"], &["gc"], &["reindex"]] {
        let ran = as_nobody(&world, refused).expect("ran");
        assert_eq!(ran.code, 6, "{refused:?}: {ran:#?}");
    }
    if can_start_python(&world) {
        let hit = as_nobody(&world, &["ensure", "pack", "--with", "alpha"]).expect("ran");
        assert_eq!(hit.code, 0, "an ensure that is a hit writes nothing: {hit:#?}");
        let ran = as_nobody(&world, &["exec", "pack", "--", "python", "-c", "import alpha"]).expect("ran");
        assert_eq!(ran.code, 0, "{ran:#?}");
    } else {
        skipped("another user cannot start the interpreter");
    }
}

#[test]
fn a_store_is_private_to_its_group_unless_shared() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    let mode = |path: &std::path::Path| fs::metadata(path).expect("stat").permissions().mode() & 0o7777;
    assert_eq!(mode(&world.store()), 0o750);
    assert_eq!(mode(&shared_world().store()), 0o755);
}

#[test]
fn a_root_others_may_write_to_is_refused() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    fs::set_permissions(world.store(), fs::Permissions::from_mode(0o777)).expect("chmod");
    let ran = world.run(["resolve", "pack"]);
    assert_eq!(ran.code, 6, "{ran:#?}");
    assert!(ran.stderr.contains("777"), "{}", ran.stderr);
}

#[test]
fn read_only_answers_and_refuses() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    world.ok(["--read-only", "resolve", "pack"]);
    assert_eq!(world.run(["--read-only", "ensure", "pack"]).code, 0, "a hit writes nothing");
    assert_eq!(world.run(["--read-only", "gc"]).code, 6);
}

#[test]
fn a_directory_that_is_no_store_is_not_taken() {
    let world = World::new();
    fs::create_dir(world.store()).expect("a directory");
    fs::write(world.store().join("thesis.txt"), "x").expect("a file");
    let ran = world.run(["ensure", "pack", "--with", "alpha"]);
    assert_eq!(ran.code, 6, "{ran:#?}");
    assert_eq!(world.listed("."), ["thesis.txt"]);
}
