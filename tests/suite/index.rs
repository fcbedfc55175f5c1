//! P10 and P8: the index can be lost; what one process did the next one sees.

use std::fs;

use crate::support::{Wheel, World};

fn three_packs() -> World {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.wheel(&Wheel::new("beta", "1.0"));
    world.ok(["ensure", "one", "--with", "alpha"]);
    world.ok(["ensure", "two", "--with", "alpha==1.0"]);
    world.ok(["ensure", "three", "--with", "beta"]);
    world.ok(["ensure", "three", "--with", "alpha"]);
    world
}

/// What must come back, without times of the index itself.
fn facts(world: &World) -> Vec<serde_json::Value> {
    ["one", "two", "three"]
        .iter()
        .map(|pack| {
            let mut shown = world.json(["show", pack]);
            let fields = shown.as_object_mut().expect("an object");
            for gone in ["last_used_at", "warnings", "host", "elapsed_ms"] {
                fields.remove(gone);
            }
            shown
        })
        .collect()
}

#[test]
fn reindex_brings_every_pack_environment_and_generation_back() {
    let world = three_packs();
    let before = facts(&world);
    let report = world.json(["reindex"]);
    assert_eq!(
        (&report["environments"], &report["packs"], &report["generations"]),
        (&2.into(), &3.into(), &4.into()),
        "{report:#}"
    );
    assert_eq!(facts(&world), before);
    for pack in ["one", "two", "three"] {
        assert_eq!(world.json(["ensure", pack])["outcome"], "hit");
    }
    let gc = world.json(["gc", "--idle", "0s", "--drop-retained"]);
    assert_eq!(gc["swept"], 0, "nothing is collected for a week: {gc:#}");
}

#[test]
fn an_index_that_is_lost_or_damaged_is_rebuilt_when_the_store_is_opened() {
    for damage in ["deleted", "truncated", "garbage", "first page"] {
        let world = three_packs();
        let before = facts(&world);
        let path = world.store().join("index.db");
        match damage {
            "deleted" => fs::remove_file(&path).expect("removes"),
            "truncated" => fs::File::options().write(true).open(&path).expect("opens").set_len(0).expect("truncates"),
            "garbage" => fs::write(&path, "this is no database".repeat(500)).expect("writes"),
            _ => {
                let mut bytes = fs::read(&path).expect("reads");
                bytes[..100].fill(0);
                fs::write(&path, bytes).expect("writes");
            }
        }
        assert_eq!(world.run(["resolve", "one"]).code, 0, "{damage}");
        assert_eq!(facts(&world), before, "{damage}");
        assert!(!world.listed("quarantine").is_empty(), "{damage}: the old files are kept");
    }
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let world = three_packs();
    let path = world.store().join("store.json");
    let text = fs::read_to_string(&path).expect("reads").replace("\"format\": 1", "\"format\": 2");
    fs::write(&path, &text).expect("writes");
    let ran = world.run(["resolve", "one"]);
    assert_eq!(ran.code, 6, "{ran:#?}");
    assert!(ran.stderr.contains("format 2"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(&path).expect("reads"), text);
}

#[test]
fn what_one_process_bound_the_next_one_resolves() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.wheel(&Wheel::new("alpha", "2.0"));
    for version in ["1.0", "2.0", "1.0"] {
        let ensured = world.ok(["ensure", "pack", "--with", &format!("alpha=={version}")]);
        assert_eq!(world.ok(["resolve", "pack"]), ensured);
        assert_eq!(world.python_in("pack", "import alpha; print(alpha.version)"), version);
    }
    assert_eq!(world.json(["resolve", "pack"])["generation"], 3);
}

#[test]
fn an_environment_deleted_behind_our_back_is_an_error_that_says_so_and_ensure_mends_it() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    world.ok(["ensure", "other", "--with", "alpha"]);
    let name = world.listed("envs").remove(0);
    let env = world.store().join("envs").join(&name);
    fs::rename(&env, world.path().join("gone")).expect("renames");
    let ran = world.run(["resolve", "pack"]);
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert!(ran.stderr.contains("ensure"), "a hint: {}", ran.stderr);
    world.ok(["ensure", "pack"]);
    // Whoever shared it shares the new one.
    world.python_in("other", "import alpha");
    assert_eq!(world.listed("envs"), [format!("{name}.1")]);
}
