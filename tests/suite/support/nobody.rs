//! Another user than the tests' own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::{Ran, Wheel, World, ask, ran, skipped};

/// The other user's uid, and its group.
pub const NOBODY: u32 = 65534;

/// A command as another user runs it; none, loudly, when this user may not become another.
pub fn nobody(command: &Command) -> Option<Command> {
    if !nix::unistd::geteuid().is_root() {
        skipped("becoming another user needs root");
        return None;
    }
    let mut nobody = Command::new("setpriv");
    nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(command.get_program());
    nobody.args(command.get_args()).env_clear();
    nobody.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    nobody.current_dir("/").stdin(Stdio::null());
    Some(nobody)
}

/// Runs a command of a world as another user; none when this user may not become another.
pub fn as_nobody(world: &World, args: &[&str]) -> Option<Ran> {
    Some(ran(nobody(&world.command(args))?.output().expect("setpriv starts")))
}

/// A world whose interpreter other users can reach, where there is one: a distribution's own.
pub fn shared_world() -> World {
    let system = ask("/usr/bin/python3".as_ref());
    let world = system.map_or_else(World::new, |python| World::with_python(&python.path));
    fs::set_permissions(world.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha", "--share-with", "all"]);
    world
}

/// Whether another user can start the interpreter at all (a Python below root's home cannot be).
pub fn can_start_python(world: &World) -> bool {
    // Through a shell: what setpriv itself starts is still looked up with root's rights.
    let started = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "/bin/sh", "-c", "exec \"$0\" -c pass"])
        .arg(world.python())
        .env_clear()
        .output();
    started.is_ok_and(|output| output.status.success())
}

/// A world whose store belongs to another user, who has bound the pack `pack` to `alpha` 1.0; none, loudly, where that user cannot run what is needed.
pub fn nobodys_world() -> Option<World> {
    let world = shared_world();
    nobody(&Command::new("true"))?;
    if !can_start_python(&world) {
        skipped("another user cannot start the interpreter");
        return None;
    }
    fs::remove_dir_all(world.store()).expect("the shared store is removed");
    fs::create_dir(world.store()).expect("a directory");
    std::os::unix::fs::chown(world.store(), Some(NOBODY), Some(NOBODY)).expect("chown");
    // The tests' own uv may be in a directory that only its user may enter.
    let bin = world.path().join("bin");
    fs::create_dir(&bin).expect("a directory");
    let uv = super::uv_dir().join("uv");
    fs::hard_link(&uv, bin.join("uv")).or_else(|_| fs::copy(&uv, bin.join("uv")).map(drop)).expect("uv is copied");
    let made =
        ran(nobody(&nobodys_command(&world, &["ensure", "pack", "--with", "alpha==1.0"]))?.output().expect("starts"));
    if made.code == 126 || made.stderr.contains("setpriv") {
        skipped("another user cannot reach the binary under test");
        return None;
    }
    assert_eq!(made.code, 0, "{made:#?}");
    Some(world)
}

/// A command of [`nobodys_world`], as the tests' own user runs it.
pub fn nobodys_command(world: &World, args: &[&str]) -> Command {
    let mut command = world.command(args);
    command.env("PATH", format!("{}:/usr/bin:/bin", world.path().join("bin").display()));
    command
}
