//! Commands beside each other: each finds what another one did meanwhile.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Wheel, World, ran};

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
