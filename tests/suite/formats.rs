//! P16: what an earlier release wrote is read for ever; `migrate` alone changes a format.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::{ENVSTORE, World, ran, skipped};

/// Where the store of the fixture was made, and where its environments say they are.
const MADE_AT: &str = "/tmp/envstore-fixture/store";

/// The store that `tests/fixtures/README.md` tells of.
fn fixture() -> World {
    let world = World::new();
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-1.tar.gz");
    // As whoever unpacks it, which owns the store then.
    let done = Command::new("tar").args(["-xzpf", archive, "--no-same-owner", "-C"]).arg(world.path()).status();
    assert!(done.expect("tar runs").success());
    world
}

/// What a command says of the store at the path where it was made: a mount of its own namespace. None, loudly, without root.
fn at_its_place(world: &World, args: &[&str]) -> Option<Value> {
    if !nix::unistd::geteuid().is_root() {
        skipped("mounting needs root");
        return None;
    }
    fs::create_dir_all(MADE_AT).expect("a directory");
    let script = r#"mount --bind "$0" "$1" && store=$1 && program=$2 && shift 2 && exec "$program" --store "$store" --format json "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]);
    command.arg(world.store()).args([MADE_AT, ENVSTORE]).args(args).env("ENVSTORE_CONFIG", world.config());
    let done = ran(command.output().expect("starts"));
    Some(serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:#?}")))
}

fn facts(world: &World) -> Value {
    let listed = world.json(["list"]);
    let packs = listed["packs"].as_array().expect("a list").iter();
    let of = |pack: &str| world.json(["history", pack])["generations"].clone();
    let bound: Vec<_> =
        packs.map(|pack| (pack["pack"].clone(), pack["env"].clone(), pack["generation"].clone())).collect();
    let histories: Vec<_> = ["one", "moved", "two", "gone"].map(|pack| (pack, of(pack))).into();
    serde_json::json!([bound, histories])
}

#[test]
fn a_store_of_format_1_resolves_lists_verifies_and_reindexes() {
    let world = fixture();
    let before = facts(&world);
    let expected = [("moved", "qtam6ow4gy47abru3q3ftokjqpoov5xf", 2), ("one", "u2egxetgxu2ngtqv5jn6owetqxqtjbzj", 1)];
    for (pack, name, generation) in expected {
        assert_eq!(world.run(["resolve", pack]).code, 6, "it was unpacked elsewhere than it was made");
        let Some(resolved) = at_its_place(&world, &["resolve", pack]) else { continue };
        assert!(resolved["path"].as_str().is_some_and(|path| path.ends_with(name)), "{resolved:#}");
        assert_eq!(resolved["generation"], generation, "{resolved:#}");
    }
    assert_eq!(before[1].as_array().map(Vec::len), Some(4), "{before:#}");
    let roots = world.json(["why", "env:wndatv7xkzi6"])["roots"].to_string();
    assert!(roots.contains("release"), "{roots}");
    // Every byte is as it was made; that it is elsewhere now is the one finding.
    let is_whole = |verified: &Value| {
        let findings = verified["findings"].as_array().expect("findings");
        verified["environments"] == 3 && findings.len() == 1 && findings[0]["kind"] == "moved_store"
    };
    let verified = world.json(["verify", "--full"]);
    assert!(is_whole(&verified), "{verified:#}");
    let report = world.json(["reindex"]);
    assert_eq!(
        (&report["environments"], &report["packs"], &report["pins"], &report["findings"]),
        (&3.into(), &4.into(), &1.into(), &Value::Array(vec![])),
        "{report:#}"
    );
    assert_eq!(facts(&world), before);
    let verified = world.json(["verify", "--full"]);
    assert!(is_whole(&verified), "{verified:#}");
}

#[test]
fn an_index_of_format_1_may_be_lost() {
    let world = fixture();
    let before = facts(&world);
    for file in ["index.db", "index.db-wal"] {
        fs::remove_file(world.store().join(file)).expect("removes");
    }
    assert_eq!(facts(&world), before);
}

#[test]
fn opening_changes_no_format_and_migrate_says_that_there_is_nothing_to_do() {
    let world = fixture();
    let path = world.store().join("store.json");
    let text = fs::read_to_string(&path).expect("reads");
    let done = world.json(["migrate"]);
    assert_eq!((&done["from"], &done["to"]), (&1.into(), &1.into()), "{done:#}");
    assert!(world.ok(["migrate"]).contains("nothing to do"));
    assert_eq!(fs::read_to_string(&path).expect("reads"), text);
    // A newer one is for a newer release.
    fs::write(&path, text.replace("\"format\": 1", "\"format\": 2")).expect("writes");
    for command in ["migrate", "list"] {
        assert_eq!(world.run([command]).code, 6, "{command}");
    }
}
