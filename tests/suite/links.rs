//! Links that follow packs.

use std::fs;
use std::path::Path;

use crate::support::{Wheel, World, ran};

fn linked() -> World {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.wheel(&Wheel::new("alpha", "2.0"));
    world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
    world.ok(["link", "pack", "venv"]);
    world
}

/// The version that a runner with a path of its own finds behind the link.
#[track_caller]
fn version(world: &World) -> String {
    let python = world.path().join("venv/bin/python");
    let done = ran(std::process::Command::new(python)
        .args(["-c", "import alpha; print(alpha.version)"])
        .output()
        .expect("starts"));
    assert_eq!(done.code, 0, "{done:#?}");
    done.stdout.trim().to_owned()
}

fn resolved(world: &World) -> String {
    world.json(["resolve", "pack"])["path"].as_str().expect("a path").to_owned()
}

#[test]
fn a_link_follows_every_change_of_its_pack() {
    let world = linked();
    assert_eq!(version(&world), "1.0");
    world.ok(["ensure", "pack", "--with", "alpha==2.0"]);
    assert_eq!(version(&world), "2.0");
    world.ok(["rollback", "pack"]);
    assert_eq!(version(&world), "1.0");
    world.ok(["ensure", "other", "--with", "alpha==1.0"]);
    world.ok(["ensure", "other", "--rebuild"]);
    assert_eq!(fs::read_link(world.path().join("venv")).expect("a link"), Path::new(&resolved(&world)));
    world.ok(["reindex"]);
    world.ok(["ensure", "pack", "--with", "alpha"]);
    assert_eq!(version(&world), "2.0", "an index made anew has it");
    world.ok(["unlink", "venv"]);
    assert!(fs::symlink_metadata(world.path().join("venv")).is_err() && world.listed("pins").is_empty());
    assert_eq!(world.run(["unlink", "venv"]).code, 5);
}

#[test]
fn a_link_keeps_what_it_leads_to_also_when_its_pack_is_gone() {
    let world = linked();
    world.ok(["remove", "pack"]);
    world.configure("[gc]\nretain_generations = 0\nretain_for = \"0s\"\n");
    world.ok(["gc", "--idle", "0s", "--drop-retained"]);
    assert_eq!(version(&world), "1.0");
    let found = world.json(["who-uses", "alpha<2"]);
    assert_eq!(found["matches"][0]["role"], "linked", "{found:#}");
    let key = found["matches"][0]["env"].as_str().expect("a key").to_owned();
    assert_eq!(world.json(["why", &format!("env:{key}")])["roots"][0]["kind"], "link");
    world.ok(["unlink", "venv"]);
    world.ok(["gc", "--idle", "0s", "--drop-retained"]);
    assert!(world.listed("envs").is_empty());
}

#[test]
fn a_link_that_was_left_behind_is_pointed_anew_before_anything_is_collected() {
    let world = linked();
    let old = fs::read_link(world.path().join("venv")).expect("a link");
    world.ok(["ensure", "pack", "--with", "alpha==2.0"]);
    // As a process leaves it that was killed after the commit.
    fs::remove_file(world.path().join("venv")).expect("removes");
    std::os::unix::fs::symlink(&old, world.path().join("venv")).expect("links");
    world.configure("[gc]\nretain_generations = 0\nretain_for = \"0s\"\n");
    world.ok(["gc", "--idle", "0s", "--drop-retained"]);
    assert_eq!(version(&world), "2.0");
}

#[test]
fn nothing_but_a_link_is_ever_replaced() {
    let world = linked();
    fs::create_dir(world.path().join("real")).expect("a directory");
    let refused = world.run(["link", "pack", "real"]);
    assert_eq!(refused.code, 6, "{refused:#?}");
    fs::remove_file(world.path().join("venv")).expect("removes");
    fs::create_dir(world.path().join("venv")).expect("a directory");
    world.ok(["ensure", "pack", "--with", "alpha==2.0"]);
    world.ok(["unlink", "venv"]);
    assert!(world.path().join("venv").is_dir() && world.path().join("real").is_dir());
}
