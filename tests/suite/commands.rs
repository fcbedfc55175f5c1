//! The command line's contract: JSON, exit codes, what a person meets.

use std::fs;

use crate::support::{Wheel, World};

#[test]
fn ensure_without_a_source_changes_nothing_and_an_unknown_pack_exits_5() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    let made = world.json(["ensure", "aws.s3", "--with", "alpha"]);
    assert_eq!((&made["outcome"], &made["generation"], &made["version"]), (&"built".into(), &1.into(), &1.into()));
    world.wheel(&Wheel::new("alpha", "2.0"));
    let index = fs::read(world.store().join("index.db")).expect("reads");
    let again = world.json(["ensure", "aws.s3"]);
    assert_eq!((&again["outcome"], &again["generation"], &again["env"]), (&"hit".into(), &1.into(), &made["env"]));
    assert_eq!(fs::read(world.store().join("index.db")).expect("reads"), index, "a hit writes nothing");
    let unknown = world.run(["ensure", "nobody.knows"]);
    assert_eq!(unknown.code, 5, "{unknown:#?}");
    let error = &world.json(["ensure", "nobody.knows"])["error"];
    assert_eq!((&error["kind"], &error["retryable"]), (&"not_found".into(), &false.into()), "{error:#}");
}

#[test]
fn ensure_prints_the_interpreter_and_nothing_else_on_stdout() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    let printed = world.ok(["ensure", "pack", "--with", "alpha"]);
    assert!(printed.ends_with("/bin/python") && !printed.contains('\n'), "{printed}");
    assert_eq!(world.ok(["which", "pack"]), printed);
}

#[test]
fn an_upgrade_takes_the_newest_and_only_then() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    world.ok(["ensure", "other", "--with", "alpha"]);
    world.wheel(&Wheel::new("alpha", "2.0"));
    assert_eq!(world.json(["ensure", "pack"])["outcome"], "hit", "nothing moves by itself");
    let upgraded = world.json(["ensure", "pack", "--upgrade"]);
    assert_eq!(upgraded["changes"], serde_json::json!([{"name": "alpha", "from": "1.0", "to": "2.0"}]), "{upgraded:#}");
    assert_eq!(world.python_in("other", "import alpha; print(alpha.version)"), "1.0");
}

#[test]
fn a_failure_keeps_the_last_good_environment_and_says_so() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    let good = world.ok(["ensure", "pack", "--with", "alpha"]);
    let failed = world.run(["ensure", "pack", "--with", "alpha==9"]);
    assert_eq!(failed.code, 1, "{failed:#?}");
    assert!(failed.stderr.contains("keeps"), "{}", failed.stderr);
    assert_eq!(world.ok(["resolve", "pack"]), good);
    assert_eq!(world.json(["resolve", "pack"])["stale"], true);
    let error = world.json(["ensure", "pack", "--with", "alpha==9"])["error"].clone();
    assert_eq!((&error["kind"], &error["pack"]), (&"no_solution".into(), &"pack".into()), "{error:#}");
    assert_eq!(world.json(["ensure", "pack", "--with", "alpha"])["stale"], serde_json::Value::Null);
    assert_eq!(world.json(["resolve", "pack"])["stale"], false);
    assert!(world.listed("staging").is_empty() && world.listed("trash").is_empty());
}

#[test]
fn sync_goes_on_after_failures_and_reports_duplicates() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    let list = world.path().join("packs.jsonl");
    let rows = [
        r#"{"pack_ref": "good", "requirements": "alpha\n"}"#,
        r#"{"pack_ref": "missing", "requirements": "no-such-thing\n"}"#,
        r#"{"pack_ref": "twice", "requirements": "alpha\n"}"#,
        r#"{"pack_ref": "twice", "requirements": "alpha==1.0\n"}"#,
        r#"{"pack_ref": "broken", "requirements": "alpha===\n"}"#,
        "not json",
        r#"{"pack_ref": "empty", "requirements": ""}"#,
    ];
    fs::write(&list, rows.join("\n")).expect("a list");
    let ran = world.run(["sync", &list.to_string_lossy()]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    let report = world.json(["sync", &list.to_string_lossy()]);
    let status = |pack: &str| {
        let packs = report["packs"].as_array().expect("packs");
        packs.iter().find(|row| row["pack"] == pack).unwrap_or_else(|| panic!("{pack}: {report:#}"))["status"].clone()
    };
    for (pack, expected) in
        [("good", "ready"), ("missing", "failed"), ("twice", "failed"), ("broken", "failed"), ("empty", "ready")]
    {
        assert_eq!(status(pack), expected, "{pack}: {report:#}");
    }
    assert_eq!(report["summary"]["packs"], 6, "{report:#}");
    let text = report.to_string();
    assert!(text.contains("line 3") && text.contains("line 4"), "the duplicate names both lines: {report:#}");
}

#[test]
fn sync_removes_what_is_gone_only_when_asked_and_only_its_own() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    for pack in ["a", "b", "c"] {
        world.pack(pack, "alpha\n");
    }
    world.ok(["ensure", "by-hand", "--with", "alpha"]);
    world.ok(["sync", "packs"]);
    fs::remove_dir_all(world.packs().join("c")).expect("removes");
    world.ok(["sync", "packs"]);
    world.ok(["resolve", "c"]);
    world.ok(["sync", "packs", "--remove-missing", "--yes"]);
    assert_eq!(world.run(["resolve", "c"]).code, 5);
    for pack in ["a", "b", "by-hand"] {
        world.ok(["resolve", pack]);
    }
}

#[test]
fn sync_check_and_dry_run_change_nothing() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.pack("a", "alpha\n");
    assert_eq!(world.run(["sync", "packs", "--check"]).code, 1);
    world.ok(["sync", "packs", "--dry-run"]);
    assert_eq!(world.run(["resolve", "a"]).code, 5);
    world.ok(["sync", "packs"]);
    world.ok(["sync", "packs", "--check"]);
    world.pack("a", "alpha==1.0\n");
    assert_eq!(world.run(["sync", "packs", "--check"]).code, 1);
}

#[test]
fn every_failure_is_one_json_object_with_a_kind() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    let broken = world.path().join("broken.txt");
    fs::write(&broken, "alpha\n==1\n").expect("a file");
    let missing = world.path().join("missing.txt");
    for (args, kind, code) in [
        (vec!["resolve", "nobody"], "not_found", 5),
        (vec!["ensure", "pack", "-r", broken.to_str().expect("UTF-8")], "invalid_spec", 1),
        (vec!["ensure", "pack", "-r", missing.to_str().expect("UTF-8")], "io", 1),
        (vec!["ensure", "pack", "--with", "alpha", "--python", "2.7"], "no_interpreter", 1),
        (vec!["ensure", "pack", "--with", "alpha==9"], "no_solution", 1),
        (vec!["ensure", "a\nb", "--with", "alpha"], "usage", 2),
        (vec!["frobnicate"], "usage", 2),
        (vec!["show", "env:abc"], "not_found", 5),
    ] {
        let error = world.json(args.clone())["error"].clone();
        assert_eq!(error["kind"], kind, "{args:?}: {error:#}");
        for field in ["message", "causes", "hint", "retryable", "pack", "log"] {
            assert!(error.as_object().expect("an object").contains_key(field), "{args:?}: {field}");
        }
        assert_eq!(world.run(args.clone()).code, code, "{args:?}");
    }
    assert_eq!(
        world.json(["ensure", "pack", "-r", broken.to_str().expect("UTF-8")])["error"]["message"]
            .as_str()
            .map(|m| m.contains("line 2")),
        Some(true)
    );
}

#[test]
fn exec_gives_the_exit_code_of_its_command_and_its_own_when_it_cannot_run() {
    let world = World::new();
    world.ok(["ensure", "pack", "-r", "/dev/null"]);
    assert_eq!(world.run(["exec", "pack", "--", "python", "-c", "raise SystemExit(7)"]).code, 7);
    assert_eq!(world.run(["exec", "pack", "--", "no-such-command"]).code, 127);
    assert_eq!(world.run(["exec", "pack", "--", "/etc/passwd"]).code, 126);
    assert_eq!(world.run(["exec", "nobody", "--", "true"]).code, 5);
}

#[test]
fn hostile_pack_refs_are_names_and_nothing_else() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    for pack in ["../../etc/passwd", "a/b", "-rf", "$(touch gone)", "'; drop table packs; --", "with space", "ümlaut"]
    {
        world.ok(["ensure", "--with", "alpha", "--", pack]);
        assert_eq!(world.json(["resolve", "--", pack])["pack"], pack);
    }
    assert_eq!(world.listed("envs").len(), 1);
    assert_eq!(world.json(["list"])["packs"].as_array().expect("packs").len(), 7);
    let mut here: Vec<_> = fs::read_dir(world.path()).expect("lists").flatten().map(|e| e.file_name()).collect();
    here.sort();
    assert_eq!(here, ["config.toml", "home", "packs", "store", "wheels"]);
}

#[test]
fn a_pack_cannot_choose_an_index() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.pack("p", "--index-url https://evil.example/simple\n--extra-index-url https://evil.example/2\nalpha\n");
    let ran = world.run(["sync", "packs"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.stderr.contains("index-url"), "a warning: {}", ran.stderr);
}

#[test]
fn config_show_names_where_each_value_came_from() {
    let world = World::new();
    let shown = world.ok(["config", "show"]);
    assert!(shown.contains("find_links") && shown.contains("config.toml"), "{shown}");
    fs::write(world.path().join("config.toml"), "[install]\njobz = 3\n").expect("writes");
    let ran = world.run(["config", "show"]);
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert!(ran.stderr.contains("jobz"), "{}", ran.stderr);
}
