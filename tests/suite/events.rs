//! What happened is kept: when, why, from, to, by whom.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Wheel, World};

#[test]
fn every_change_is_told_with_its_cause_and_its_user() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    world.ok(["ensure", "pack"]);
    world.wheel(&Wheel::new("alpha", "2.0"));
    world.ok(["upgrade", "pack"]);
    world.ok(["rollback", "pack"]);
    world.ok(["pin", "release", "pack"]);
    world.ok(["link", "pack", "venv"]);
    world.ok(["unlink", "venv"]);
    world.ok(["unpin", "release"]);
    world.ok(["ensure", "other", "--with", "alpha"]);
    world.ok(["remove", "pack"]);
    let told = |events: &Value| -> Vec<(Value, Value)> {
        let events = events["events"].as_array().unwrap_or_else(|| panic!("{events:#}"));
        events.iter().rev().map(|event| (event["what"].clone(), event["cause"].clone())).collect()
    };
    let link = world.path().join("venv").display().to_string();
    let of_pack = world.json(["events", "pack"]);
    let expected = [
        (json!("bound"), json!("ensure")),
        (json!("bound"), json!("upgrade")),
        (json!("bound"), json!("rollback")),
        (json!("linked"), json!(link)),
        (json!("removed"), Value::Null),
    ];
    assert_eq!(told(&of_pack), expected, "a hit is no event: {of_pack:#}");
    let events = of_pack["events"].as_array().expect("events");
    assert_eq!(events[2]["from"], events[3]["to"], "{of_pack:#}");
    assert!(events.iter().all(|event| event["uid"] == nix::unistd::getuid().as_raw()), "{of_pack:#}");
    let all = told(&world.json(["events"]));
    for what in ["pinned", "unpinned", "unlinked"] {
        assert!(all.iter().any(|(found, _)| found == what), "{what}: {all:?}");
    }
    assert_eq!(world.json(["events", "--limit", "2"])["events"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_history_holds_what_an_audit_asks_for_also_when_the_index_was_lost() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.wheel(&Wheel::new("alpha", "2.0"));
    world.ok(["ensure", "pack", "--with", "alpha<2"]);
    world.ok(["ensure", "other", "--with", "alpha<2"]);
    world.ok(["ensure", "pack", "--with", "alpha"]);
    world.ok(["rollback", "pack"]);
    // Other packs leave; what a generation answered stays.
    world.ok(["remove", "other"]);
    let told = || {
        let history = world.json(["history", "pack"]);
        history["generations"].as_array().expect("a list").clone()
    };
    let generations = told();
    let uid = nix::unistd::getuid().as_raw();
    let of = |generation: &serde_json::Value| {
        assert_eq!(generation["uid"], uid, "{generation:#}");
        for field in ["env", "lock", "answers", "at"] {
            assert!(generation[field].is_string(), "{generation:#}");
        }
        let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
        (text(&generation["cause"]), text(&generation["declaration"]["requirements"][0]["canonical"]))
    };
    let seen: Vec<_> = generations.iter().map(of).collect();
    let expected = [("rollback", "alpha"), ("ensure", "alpha"), ("ensure", "alpha<2")];
    assert_eq!(seen, expected.map(|(cause, line)| (cause.to_owned(), line.to_owned())));
    fs::remove_file(world.store().join("index.db")).expect("removes");
    assert_eq!(told(), generations);
}
