//! Directories that are a store, that were one, that never were one, and that lead out of one.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::support::{Wheel, World};

fn world() -> World {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.wheel(&Wheel::new("alpha", "2.0"));
    world
}

/// Every file below a directory, with its bytes.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = walkdir::WalkDir::new(dir).sort_by_file_name().into_iter().map(|entry| entry.expect("walks"));
    let files = entries.filter(|entry| entry.file_type().is_file());
    files.map(|file| (file.path().display().to_string(), fs::read(file.path()).expect("reads"))).collect()
}

#[test]
fn a_store_whose_store_json_is_lost_is_not_created_again_and_reindex_brings_it_back() {
    let world = world();
    world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
    world.ok(["pin", "release", "pack"]);
    let id = world.json(["list"])["store_id"].clone();
    fs::remove_file(world.store().join("store.json")).expect("removes");
    let before = files(&world.store());
    for args in [
        &["ensure", "other", "--with", "alpha==2.0"][..],
        &["gc", "--idle", "0s"],
        &["resolve", "pack"],
        &["list"],
        &["doctor"],
    ] {
        let refused = world.run(args);
        assert_eq!(refused.code, 3, "{args:?}: {refused:#?}");
        assert!(
            refused.stderr.contains("`store.json` is missing") && refused.stderr.contains("reindex"),
            "{refused:#?}"
        );
    }
    assert!(files(&world.store()) == before, "nothing was touched");

    world.ok(["reindex"]);
    assert_eq!(world.json(["list"])["store_id"], id, "the id is the one that `epoch` holds");
    world.ok(["gc", "--idle", "0s", "--drop-retained"]);
    assert_eq!(world.python_in("pack", "import alpha; print(alpha.version)"), "1.0");
    assert!(world.json(["why", "pack"])["roots"].to_string().contains("release"));

    // Without the counters too: an id that no cache of the former store has.
    fs::remove_file(world.store().join("store.json")).expect("removes");
    fs::remove_file(world.store().join("epoch")).expect("removes");
    world.ok(["reindex"]);
    assert_eq!(world.python_in("pack", "import alpha; print(alpha.version)"), "1.0");
}

#[test]
fn a_directory_with_other_things_is_no_store_whatever_their_names_are() {
    let world = world();
    // Virtual environments made by hand, of packs that happen to have these names.
    for name in ["trash/venv", "staging/venv", "objects/x", "locks/x", "guards", "cache/venv", "envs/pack"] {
        let dir = world.store().join(name);
        fs::create_dir_all(&dir).expect("a directory");
        fs::write(dir.join("notes.txt"), "precious").expect("writes");
    }
    let before = files(&world.store());
    for args in [&["ensure", "pack", "--with", "alpha"][..], &["gc"], &["reindex"], &["list"]] {
        let refused = world.run(args);
        assert!([5, 6].contains(&refused.code), "{args:?}: {refused:#?}");
    }
    let refused = world.run(["ensure", "pack", "--with", "alpha"]);
    assert!(refused.stderr.contains("is not empty and is no store"), "{refused:#?}");
    assert!(files(&world.store()) == before, "nothing was touched");
}

#[test]
fn an_empty_directory_and_a_creation_that_was_killed_become_a_store() {
    let world = world();
    fs::create_dir_all(world.store().join("lost+found")).expect("a directory");
    world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
    assert!(!world.store().join("creating").exists());

    let killed = self::world();
    let points = killed.path().join("points");
    let command = ["ensure", "pack", "--with", "alpha==1.0"];
    let done = killed.command(command).env("ENVSTORE_FAILPOINT_TRACE", &points).output().expect("runs");
    assert!(done.status.success());
    let creation = fs::read_to_string(&points).expect("points");
    // The guard, the write of a file and the sync are passed before `store.json` has its name.
    for nth in 1..=creation.lines().position(|point| point == "syncfs: after").expect("a sync") + 1 {
        let killed = self::world();
        let ran = killed.command(command).env("ENVSTORE_FAILPOINT", format!("kill@{nth}")).output().expect("runs");
        assert!(!ran.status.success(), "killed at {nth}");
        killed.ok(command);
        assert!(!killed.store().join("creating").exists(), "killed at {nth}");
    }
}

#[test]
fn a_link_in_the_place_of_a_directory_is_refused_and_nothing_behind_it_is_touched() {
    let world = world();
    world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
    let outside = world.path().join("outside");
    for dir in world.listed("").into_iter().filter(|name| world.store().join(name).is_dir()) {
        let (real, kept) = (world.store().join(&dir), world.path().join("kept"));
        fs::create_dir_all(outside.join("dir")).expect("a directory");
        fs::write(outside.join("precious"), "x").expect("writes");
        fs::rename(&real, &kept).expect("moves");
        symlink(&outside, &real).expect("links");
        for args in [
            &["gc", "--idle", "0s", "--max-size", "1"][..],
            &["ensure", "pack", "--with", "alpha==2.0"],
            &["verify", "--repair"],
        ] {
            let refused = world.run(args);
            assert_eq!(refused.code, 3, "{dir}, {args:?}: {refused:#?}");
            assert!(refused.stderr.contains("symbolic link"), "{dir}, {args:?}: {refused:#?}");
        }
        assert_eq!(files(&outside).len(), 1, "{dir}");
        fs::remove_file(&real).expect("removes the link");
        fs::rename(&kept, &real).expect("moves back");
    }
    world.ok(["gc"]);
    assert_eq!(world.python_in("pack", "import alpha; print(alpha.version)"), "1.0");
}

#[test]
fn a_link_in_the_place_of_a_file_that_is_written_truncates_nothing() {
    let world = world();
    world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
    let precious = world.path().join("precious");
    let guards = || world.listed("guards").into_iter().map(|name| format!("guards/{name}"));
    let logs = || world.listed("logs").into_iter().map(|name| format!("logs/{name}"));
    for name in guards().chain(logs()) {
        fs::write(&precious, "precious").expect("writes");
        let path = world.store().join(&name);
        fs::remove_file(&path).expect("removes");
        symlink(&precious, &path).expect("links");
        world.run(["ensure", "pack", "--rebuild"]);
        world.run(["gc", "--idle", "0s"]);
        assert_eq!(fs::read(&precious).expect("reads"), b"precious", "{name}");
        let _ = fs::remove_file(&path);
    }
    world.ok(["ensure", "pack", "--rebuild"]);
}

#[test]
fn directories_that_a_backup_left_out_are_made_again() {
    let world = world();
    world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
    world.ok(["gc"]);
    let empty = |name: &String| fs::read_dir(world.store().join(name)).is_ok_and(|mut listed| listed.next().is_none());
    let left_out: Vec<String> = world.listed("").into_iter().filter(|name| empty(name)).collect();
    assert!(left_out.len() > 3, "{left_out:?}");
    for name in &left_out {
        fs::remove_dir(world.store().join(name)).expect("removes");
    }
    assert_eq!(world.python_in("pack", "import alpha; print(alpha.version)"), "1.0");
    for args in [&["gc"][..], &["verify", "--full"], &["reindex"], &["ensure", "other", "--with", "alpha==2.0"]] {
        world.ok(args);
    }
    for name in &left_out {
        let mode = fs::metadata(world.store().join(name)).expect("it is there again").permissions().mode() & 0o777;
        let readable = ["bindings", "envs", "locks", "manifests", "objects", "pins", "tools"].contains(&name.as_str());
        assert_eq!(mode, if readable { 0o755 } else { 0o700 }, "{name}");
    }
}

#[test]
fn a_store_json_that_cannot_be_read_is_set_aside_by_reindex() {
    let world = world();
    world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
    let id = world.json(["list"])["store_id"].clone();
    let path = world.store().join("store.json");
    for text in ["", "garbage", "{\"format\": 1}"] {
        fs::write(&path, text).expect("writes");
        let refused = world.run(["resolve", "pack"]);
        assert!(refused.code == 3 && refused.stderr.contains("`envstore reindex`"), "{text:?}: {refused:#?}");
        world.ok(["reindex"]);
        assert_eq!(world.json(["list"])["store_id"], id, "{text:?}");
        assert_eq!(world.python_in("pack", "import alpha; print(alpha.version)"), "1.0");
    }
    assert_eq!(world.listed("quarantine").len(), 3, "nothing is deleted");
}

#[test]
fn files_of_a_user_that_have_the_names_of_a_creation_are_not_overwritten() {
    let world = world();
    fs::create_dir(world.store()).expect("a directory");
    for name in ["creating", "ballast", "answers"] {
        fs::write(world.store().join(name), "notes of mine").expect("writes");
    }
    assert_eq!(world.run(["ensure", "pack", "--with", "alpha"]).code, 6);
    assert_eq!(files(&world.store()).len(), 3);
    assert!(files(&world.store()).iter().all(|(_, bytes)| bytes == b"notes of mine"));
    // Nor is one store created within another, where its collector would find it.
    let outer = self::world();
    outer.ok(["ensure", "pack", "--with", "alpha==1.0"]);
    let inner = outer.store().join("trash/inner");
    let refused =
        outer.command(["--store".as_ref(), inner.as_os_str()]).args(["ensure", "p", "--with", "alpha"]).output();
    assert_eq!(refused.expect("starts").status.code(), Some(6));
    assert!(!inner.exists());
}

#[test]
fn a_pin_whose_environment_is_lost_with_the_index_stops_no_collection() {
    let world = world();
    world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
    world.ok(["pin", "release", "pack"]);
    world.ok(["link", "pack", "venv"]);
    world.ok(["ensure", "pack", "--with", "alpha==2.0"]);
    let pinned = world.json(["history", "pack"])["generations"][1]["env"].as_str().expect("a key")[..32].to_owned();
    world.lose_index();
    fs::remove_dir_all(world.store().join("envs").join(pinned)).expect("removes");
    world.ok(["reindex"]);
    let found = world.json(["doctor"])["findings"].to_string();
    assert!(found.contains("pin_lost") && !found.contains("environment_missing"), "{found}");
    assert_eq!(world.run(["gc"]).code, 0);
    world.ok(["unpin", "release"]);
    assert!(!world.json(["doctor"])["findings"].to_string().contains("pin_lost"));
}

#[test]
fn a_pack_whose_environment_is_lost_with_the_index_is_named_and_gets_it_again() {
    let world = world();
    world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
    let env = world.json(["resolve", "pack"])["path"].as_str().expect("a path").to_owned();
    world.lose_index();
    fs::remove_dir_all(env).expect("removes");
    world.ok(["reindex"]);
    let found = world.json(["doctor"])["findings"].to_string();
    assert!(found.contains("environment_missing") && found.contains("`envstore ensure pack`"), "{found}");
    world.ok(["ensure", "pack"]);
    assert_eq!(world.python_in("pack", "import alpha; print(alpha.version)"), "1.0");
    assert!(!world.json(["doctor"])["findings"].to_string().contains("environment_missing"));
}
