//! Interpreters change under environments: patched in place, moved, removed. Nothing breaks before it must, and
//! `ensure` makes good what did.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Wheel, World};

/// A world whose interpreter is a copy of its own at `python/bin`, so that it can be changed.
fn world() -> (World, PathBuf) {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    let (home, bin) = (world.path().join("python"), world.path().join("python/bin"));
    fs::create_dir_all(&bin).expect("a directory");
    let python = bin.join(world.python().file_name().expect("a name"));
    fs::copy(world.python(), &python).expect("copies");
    let lib = world.python().parent().and_then(Path::parent).expect("a prefix").join("lib");
    std::os::unix::fs::symlink(lib, home.join("lib")).expect("links");
    (world.with_default(&python), python)
}

/// What `doctor` finds of a kind.
fn found(world: &World, kind: &str) -> Vec<Value> {
    let report = world.json(["doctor"]);
    report["findings"].as_array().expect("findings").iter().filter(|f| f["kind"] == kind).cloned().collect()
}

fn names(findings: &[Value], pack: &str) -> bool {
    findings.iter().any(|finding| finding["message"].as_str().is_some_and(|said| said.contains(pack)))
}

#[test]
fn a_patched_interpreter_is_told_of_and_breaks_nothing() {
    let (world, python) = world();
    let before = world.json(["ensure", "pack", "--with", "alpha"]);
    assert!(found(&world, "interpreter_changed").is_empty());
    let mut bytes = fs::read(&python).expect("reads");
    bytes.push(0);
    fs::remove_file(&python).expect("removes");
    fs::write(&python, bytes).expect("writes");
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).expect("chmod");

    let resolved = world.json(["resolve", "pack"]);
    assert_eq!((&resolved["env"], &resolved["interpreter_changed"]), (&before["env"], &true.into()));
    assert!(names(&found(&world, "interpreter_changed"), "pack"));
    assert_eq!(world.python_in("pack", "import alpha; print(alpha.version)"), "1.0");
    let after = world.json(["ensure", "pack"]);
    assert_ne!(after["env"], before["env"], "{after:#}");
    assert_eq!(world.json(["resolve", "pack"])["interpreter_changed"], false);
    assert!(found(&world, "interpreter_changed").is_empty());
}

#[test]
fn a_moved_interpreter_gives_the_same_key_and_an_environment_that_leads_to_it() {
    let (world, python) = world();
    let before = world.json(["ensure", "pack", "--with", "alpha"]);
    let there = world.path().join("moved");
    fs::rename(world.path().join("python"), &there).expect("moves");
    let python = there.join("bin").join(python.file_name().expect("a name"));
    let world = world.with_default(&python);

    assert_eq!(world.json(["doctor"])["version"], 1);
    assert!(names(&found(&world, "interpreter_missing"), "pack"));
    let after = world.json(["ensure", "pack"]);
    assert_eq!(after["env"], before["env"], "the interpreter is the same: {after:#}");
    assert_ne!(after["path"], before["path"]);
    assert_eq!(world.python_in("pack", "import alpha; print(alpha.version)"), "1.0");
    assert!(found(&world, "interpreter_missing").is_empty());
    assert_eq!(world.json(["ensure", "pack"])["outcome"], "hit");
}

#[test]
fn a_removed_interpreter_is_said_and_another_takes_its_place() {
    let (world, _) = world();
    let before = world.json(["ensure", "pack", "--with", "alpha"]);
    let other = World::new().python().to_owned();
    fs::remove_dir_all(world.path().join("python")).expect("removes");
    let world = world.with_default(&other);

    let run = world.run(["exec", "pack", "--", "python", "-c", "pass"]);
    assert!(run.code >= 125, "{run:#?}");
    assert!(run.stderr.contains("interpreter"), "{run:#?}");
    assert!(names(&found(&world, "interpreter_missing"), "pack"));
    let after = world.json(["ensure", "pack"]);
    assert_ne!(after["path"], before["path"], "{after:#}");
    assert_eq!(world.python_in("pack", "import alpha; print(alpha.version)"), "1.0");
}

#[test]
fn an_interpreter_put_back_with_the_same_bytes_is_the_one_it_was() {
    let (world, python) = world();
    let before = world.json(["ensure", "pack", "--with", "alpha"]);
    let bytes = fs::read(&python).expect("reads");
    fs::rename(&python, python.with_extension("old")).expect("moves");
    fs::write(&python, bytes).expect("writes");
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).expect("chmod");
    assert_eq!(world.json(["resolve", "pack"])["interpreter_changed"], true, "nobody has looked yet");
    let after = world.json(["ensure", "pack"]);
    assert_eq!((&after["path"], &after["generation"]), (&before["path"], &before["generation"]));
    assert_eq!(world.json(["resolve", "pack"])["interpreter_changed"], false);
}
