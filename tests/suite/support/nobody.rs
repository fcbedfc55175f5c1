//! Another user than the tests' own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::{Ran, Wheel, World, ask, ran, skipped};

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
