//! P10 and P8: the index can be lost; what one process did the next one sees.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

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
fn reindex_of_a_sound_index_keeps_what_only_the_index_knows_and_collection_goes_on() {
    let world = three_packs();
    world.run(["ensure", "failing", "--with", "no-such-package"]);
    world.ok(["remove", "two"]);
    let kept = |world: &World| {
        let mut events = world.json(["events"])["events"].as_array().expect("events").clone();
        events.retain(|event| event["what"] != "reindexed");
        let failure = world.run(["doctor", "failing"]).stdout;
        (events, failure, world.json(["show", "one"])["last_used_at"].clone())
    };
    let before = kept(&world);
    assert!(!before.0.is_empty() && before.1.contains("no-such-package"), "{before:#?}");
    let report = world.json(["reindex"]);
    assert_eq!((&report["rebuilt"], &report["lost"]), (&false.into(), &Value::Null), "{report:#}");
    assert_eq!(report["findings"], serde_json::json!([]), "{report:#}");
    assert_eq!(kept(&world), before);
    assert!(world.listed("quarantine").is_empty());
    world.ok(["remove", "three"]);
    world.ok(["remove", "one"]);
    world.ok(["gc", "--idle", "0s", "--drop-retained"]);
    assert_eq!(world.listed("envs").len(), 0);
}

#[test]
fn a_lost_index_stops_collection_for_a_week_with_the_reason_and_end_grace_ends_that() {
    let world = three_packs();
    world.lose_index();
    let ran = world.run(["list"]);
    assert!(ran.stderr.contains("it is missing"), "{ran:#?}");
    world.ok(["remove", "three", "--keep-history"]);
    let before = world.listed("envs").len();
    world.ok(["gc", "--idle", "0s", "--drop-retained"]);
    assert_eq!(world.listed("envs").len(), before, "nothing is collected for a week");
    let told = world.run(["doctor"]).stdout;
    assert!(told.contains("nothing is collected until") && told.contains("it is missing"), "{told}");
    assert!(told.contains("gc --end-grace"), "{told}");
    let planned = world.json(["gc", "--idle", "0s", "--drop-retained", "--end-grace", "--dry-run"]);
    assert_eq!(planned["condemned"], 1, "{planned:#}");
    assert!(world.run(["doctor"]).stdout.contains("nothing is collected until"), "a rehearsal ends nothing");
    world.ok(["gc", "--idle", "0s", "--drop-retained", "--end-grace"]);
    assert_eq!(world.listed("envs").len(), before - 1);
    assert!(!world.run(["doctor"]).stdout.contains("nothing is collected until"));
}

/// A world whose pack `one` has two generations, and its index as it was after the first.
fn with_an_older_index() -> (World, Vec<u8>) {
    let world = World::new();
    for version in ["1.0", "2.0", "3.0"] {
        world.wheel(&Wheel::new("alpha", version));
    }
    world.ok(["ensure", "one", "--with", "alpha==1.0"]);
    let older = fs::read(world.store().join("index.db")).expect("reads");
    world.ok(["ensure", "one", "--with", "alpha==2.0"]);
    (world, older)
}

#[test]
fn an_older_index_is_noticed_nothing_is_collected_and_reindex_brings_everything_back() {
    let (world, older) = with_an_older_index();
    world.ok(["ensure", "two", "--with", "alpha==3.0"]);
    world.ok(["pin", "kept", "two"]);
    let now = |pack: &str| world.json(["show", pack]);
    let before = [now("one"), now("two")].map(|shown| (shown["env"].clone(), shown["generation"].clone()));
    // In place, as `cp` does.
    fs::write(world.store().join("index.db"), older).expect("writes");

    let doctor = world.run(["doctor"]);
    assert_eq!(doctor.code, 3, "{doctor:#?}");
    for named in ["pack `one`", "pack `two`", "pin `kept`", "envstore reindex"] {
        assert!(doctor.stdout.contains(named), "{named}: {}", doctor.stdout);
    }
    let envs = world.listed("envs");
    let gc = world.run(["gc", "--idle", "0s", "--drop-retained"]);
    assert!(gc.code == 3 && gc.stdout.contains("envstore reindex"), "{gc:#?}");
    assert_eq!(world.listed("envs"), envs);

    let report = world.json(["reindex"]);
    assert!(report["collect_after"].is_string() && report["rebuilt"] == false, "{report:#}");
    let after = [now("one"), now("two")].map(|shown| (shown["env"].clone(), shown["generation"].clone()));
    assert_eq!(after, before);
    assert_eq!(world.python_in("two", "import alpha; print(alpha.version)"), "3.0");
    assert_eq!(world.run(["doctor"]).code, 0);
    world.ok(["gc", "--idle", "0s", "--drop-retained", "--end-grace"]);
    world.ok(["unpin", "kept"]);
}

#[test]
fn a_pack_that_is_bound_in_an_older_index_keeps_its_later_generations() {
    let (world, older) = with_an_older_index();
    let second = world.json(["show", "one"])["env"].clone();
    fs::write(world.store().join("index.db"), &older).expect("writes");
    // What the other environment is bound to is not known; this pack's history is.
    world.ok(["ensure", "one", "--with", "alpha==3.0"]);
    let history = world.json(["history", "one"]);
    let keys: Vec<_> =
        history["generations"].as_array().expect("a list").iter().map(|one| one["env"].clone()).collect();
    assert!(keys.len() == 3 && keys.contains(&second), "{history:#}");
    // The same binding as the file's last one is that generation, not another.
    fs::write(world.store().join("index.db"), &older).expect("writes");
    world.ok(["ensure", "one", "--with", "alpha==3.0"]);
    assert_eq!(world.json(["show", "one"])["generation"], 3);
}

#[test]
fn an_older_binding_file_stops_nothing_and_is_written_again() {
    let world = three_packs();
    let before = facts(&world);
    let binding = || {
        let files =
            walkdir::WalkDir::new(world.store().join("bindings")).into_iter().map(|entry| entry.expect("walks"));
        let mut files = files.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path);
        files.find(|file| fs::read_to_string(file).expect("reads").contains("\"pack\": \"three\"")).expect("its file")
    };
    let path = binding();
    let whole: Value = serde_json::from_str(&fs::read_to_string(&path).expect("reads")).expect("JSON");
    let mut older = whole.clone();
    older["current"] = 1.into();
    older["generations"].as_array_mut().expect("a list").truncate(1);
    fs::write(&path, older.to_string()).expect("writes");
    assert_eq!(world.run(["gc"]).code, 0, "the index knows all that it says");
    let report = world.json(["reindex"]);
    assert!(report["findings"].to_string().contains("pack `three`") && report["lost"].is_null(), "{report:#}");
    assert_eq!(facts(&world), before);
    assert_eq!(serde_json::from_str::<Value>(&fs::read_to_string(&path).expect("reads")).expect("JSON"), whole);
}

#[test]
fn a_removed_pack_in_an_older_index_does_not_take_along_what_another_pack_is_bound_to() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "one", "--with", "alpha"]);
    let older = fs::read(world.store().join("index.db")).expect("reads");
    world.ok(["ensure", "two", "--with", "alpha"]);
    fs::write(world.store().join("index.db"), older).expect("writes");
    world.ok(["remove", "one"]);
    world.json(["reindex"]);
    assert_eq!(world.python_in("two", "import alpha; print(alpha.version)"), "1.0");
}

#[test]
fn the_index_of_another_store_is_set_aside_and_both_stores_are_named() {
    let (world, other) = (three_packs(), World::new());
    other.wheel(&Wheel::new("alpha", "1.0"));
    other.ok(["ensure", "stranger", "--with", "alpha"]);
    let before = facts(&world);
    world.lose_index();
    fs::copy(other.store().join("index.db"), world.store().join("index.db")).expect("copies");
    let store_id = |world: &World| {
        let text = fs::read_to_string(world.store().join("store.json")).expect("reads");
        serde_json::from_str::<Value>(&text).expect("JSON")["id"].as_str().expect("an id").to_owned()
    };
    let names_both = |text: &str| text.contains(&store_id(&world)) && text.contains(&store_id(&other));
    let reader = world.run(["--read-only", "list"]);
    assert!(reader.code == 3 && names_both(&reader.stderr), "{reader:#?}");
    let owner = world.run(["resolve", "one"]);
    assert!(owner.code == 0 && names_both(&owner.stderr), "{owner:#?}");
    assert_eq!(facts(&world), before);
    assert_eq!(world.listed("quarantine").len(), 1);
    let quarantined = world.store().join("quarantine").join(&world.listed("quarantine")[0]).join("index.db");
    assert_eq!(fs::read(quarantined).expect("reads"), fs::read(other.store().join("index.db")).expect("reads"));
}

#[test]
fn a_stray_file_is_a_finding_and_stops_no_command() {
    let world = three_packs();
    let before = facts(&world);
    let first = |dir: &str| {
        let files = walkdir::WalkDir::new(world.store().join(dir)).sort_by_file_name().into_iter();
        files.map(|entry| entry.expect("walks")).find(|entry| entry.file_type().is_file()).expect("a file").into_path()
    };
    world.ok(["pin", "kept", "one"]);
    let binding = first("bindings");
    let mut strays = Vec::new();
    for dir in ["bindings", "pins", "manifests"] {
        let file = first(dir);
        let copy = |name: String| file.with_file_name(name);
        let name = file.file_name().expect("a name").to_str().expect("UTF-8").to_owned();
        // Also one whose name could be a digest, or an environment's, and is not the one of its content.
        let other = if dir == "manifests" { format!("{}.7.json.gz", "a".repeat(32)) } else { "0".repeat(name.len()) };
        for stray in [copy(format!("{name}.bak")), copy(other)] {
            fs::copy(&file, &stray).expect("copies");
            strays.push(stray);
        }
    }
    for stray in [world.store().join("bindings/.directory"), world.store().join("pins/fifo")] {
        nix::unistd::mkfifo(&stray, nix::sys::stat::Mode::S_IRWXU).expect("makes");
        strays.push(stray);
    }
    for lost in [false, true] {
        if lost {
            world.lose_index();
        }
        for command in
            [&["resolve", "one"][..], &["reindex"], &["doctor"], &["verify", "--repair"], &["ensure", "two"], &["gc"]]
        {
            let ran = world.run(command);
            assert_eq!(ran.code, 0, "{command:?}: {ran:#?}");
        }
        assert_eq!(facts(&world), before);
        let told = world.run(["doctor"]).stdout;
        for stray in strays.iter().filter(|stray| !stray.starts_with(world.store().join("manifests"))) {
            assert!(told.contains(&stray.display().to_string()), "{}: {told}", stray.display());
        }
    }
    // What has a name that counts and cannot be read may name anything: nothing is collected.
    fs::write(&binding, "{").expect("writes");
    let gc = world.run(["gc", "--idle", "0s"]);
    assert_eq!(gc.code, 3, "{gc:#?}");
    // The index has what the file said, and writes it again.
    assert!(world.json(["reindex"])["findings"].to_string().contains("is written again"));
    assert_eq!(facts(&world), before);
    assert_eq!(world.run(["gc"]).code, 0);
}

#[test]
fn what_stands_in_the_place_of_an_index_file_is_never_waited_for_and_set_aside_by_the_owner() {
    for file in ["index.db", "index.db-wal", "index.db-shm"] {
        for kind in ["FIFO", "directory", "symbolic link"] {
            let world = three_packs();
            let before = facts(&world);
            let path = world.store().join(file);
            fs::rename(&path, world.path().join("away")).expect("renames");
            match kind {
                "FIFO" => nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("makes"),
                "directory" => fs::create_dir(&path).expect("makes"),
                _ => std::os::unix::fs::symlink(world.path().join("away"), &path).expect("makes"),
            }
            let reader = world.run(["--read-only", "list"]);
            assert!(reader.code == 3 && reader.stderr.contains(kind), "{file}: {reader:#?}");
            assert_eq!(world.run(["list"]).code, 0, "{file} is a {kind}");
            assert_eq!(facts(&world), before, "{file} is a {kind}");
            assert_eq!(world.listed("quarantine").len(), 1, "{file} is a {kind}");
            let is_lost = world.run(["doctor"]).stdout.contains("nothing is collected until");
            assert_eq!(is_lost, file == "index.db", "{file} is a {kind}");
        }
    }
}

#[test]
fn while_the_index_is_rebuilt_every_question_is_answered() {
    let world = three_packs();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let askers: Vec<_> = [&["resolve", "one"][..], &["list"], &["--read-only", "show", "two"]]
            .into_iter()
            .map(|question| {
                let (world, is_over) = (&world, &is_over);
                scope.spawn(move || {
                    let mut asked = 0;
                    while asked == 0 || !is_over.load(Ordering::Relaxed) {
                        let ran = world.run(question);
                        assert!(ran.code == 0 && !ran.stderr.contains("warning"), "{question:?}: {ran:#?}");
                        asked += 1;
                    }
                })
            })
            .collect();
        for _ in 0..12 {
            world.ok(["reindex"]);
        }
        is_over.store(true, Ordering::Relaxed);
        for asker in askers {
            asker.join().expect("every question is answered");
        }
    });
}

#[test]
fn processes_that_find_the_index_lost_at_once_all_get_an_answer() {
    let world = three_packs();
    for _ in 0..3 {
        world.lose_index();
        std::thread::scope(|scope| {
            for question in [&["resolve", "one"][..], &["list"], &["show", "two"], &["resolve", "three"]] {
                let world = &world;
                scope.spawn(move || {
                    let ran = world.run(question);
                    assert_eq!(ran.code, 0, "{question:?}: {ran:#?}");
                    assert!(!ran.stderr.contains("0 packs"), "{question:?}: {ran:#?}");
                });
            }
        });
    }
}

#[test]
fn a_lost_index_comes_back_with_every_pack_environment_and_generation() {
    let world = three_packs();
    let before = facts(&world);
    world.lose_index();
    // Rebuilt when it is opened, and then sound.
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
