//! After a boot an older environment is looked at once, and refused if it did not survive.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::support::{Wheel, World, skipped};

fn world() -> Option<World> {
    if !nix::unistd::geteuid().is_root() {
        skipped("another boot needs root");
        return None;
    }
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0").file("alpha/more.py", "more = 1\n"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    Some(world)
}

fn module(world: &World) -> PathBuf {
    let env = world.json(["resolve", "pack"])["path"].as_str().expect("a path").to_owned();
    let mut entries = walkdir::WalkDir::new(env).into_iter().flatten();
    entries.find(|entry| entry.path().ends_with("alpha/more.py")).expect("is there").into_path()
}

fn empty(path: &PathBuf) {
    let meta = fs::metadata(path).expect("stat");
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("chmod");
    let file = fs::File::options().write(true).open(path).expect("opens");
    file.set_len(0).expect("empties");
    file.set_modified(meta.modified().expect("a time")).expect("sets the time");
    fs::set_permissions(path, meta.permissions()).expect("chmod");
}

#[test]
fn a_file_that_a_power_cut_emptied_is_refused_until_it_is_repaired() {
    let Some(mut world) = world() else { return };
    empty(&module(&world));
    // In this boot it was published: nobody looks.
    world.ok(["resolve", "pack"]);
    world.reboot();
    for command in [&["resolve", "pack"][..], &["exec", "pack", "--", "python", "-c", "pass"], &["ensure", "pack"]] {
        let ran = world.run(command);
        assert!(ran.code == 3 || ran.code == 125, "{ran:#?}");
        assert!(ran.stderr.contains("alpha/more.py` has 0 bytes") && ran.stderr.contains("--repair"), "{}", ran.stderr);
    }
    let other = world.run(["ensure", "other", "--with", "alpha"]);
    assert_eq!(other.code, 3, "what is shared is looked at too: {other:#?}");
    world.ok(["verify", "pack", "--repair"]);
    assert_eq!(world.python_in("pack", "import alpha.more as m; print(m.more)"), "1");
    world.ok(["ensure", "other", "--with", "alpha"]);
}

#[test]
fn an_environment_that_survived_is_looked_at_once() {
    let Some(mut world) = world() else { return };
    let module = module(&world);
    world.reboot();
    world.ok(["resolve", "pack"]);
    empty(&module);
    world.ok(["resolve", "pack"]);
    // A reader notes nothing, so it does not look.
    world.reboot_undone();
    assert_eq!(world.run(["resolve", "pack"]).code, 3);
    world.ok(["--read-only", "resolve", "pack"]);
}

/// Spoils the last pages of the index, as a disk does that lost its cache.
fn spoil_index(world: &World) {
    let path = world.store().join("index.db");
    let mut bytes = fs::read(&path).expect("reads");
    let from = bytes.len() - 3 * 4096;
    bytes[from..].fill(0xff);
    fs::write(&path, bytes).expect("writes");
}

#[test]
fn an_index_that_a_power_cut_damaged_is_made_again_at_the_next_opening() {
    let Some(mut world) = world() else { return };
    let before = world.ok(["resolve", "pack"]);
    let history = world.json(["history", "pack"]);
    world.reboot();
    spoil_index(&world);
    assert_eq!(world.ok(["resolve", "pack"]), before);
    assert_eq!(world.json(["history", "pack"])["generations"][0]["env"], history["generations"][0]["env"]);
    let aside = || world.listed("quarantine").iter().filter(|name| name.starts_with("index-")).count();
    assert_eq!(aside(), 1, "what was damaged is kept for people");
    assert_eq!(world.run(["verify", "--full"]).code, 0);
    // In the same boot nobody looks again.
    spoil_index(&world);
    world.run(["resolve", "pack"]);
    assert_eq!(aside(), 1);
}
