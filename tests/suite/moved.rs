//! A store that is not where its environments say: found by every command that would use one, and made right by `relocate`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{ENVSTORE, Ran, Wheel, World, ran, skipped};

/// A store with a pack in its second generation, a second pack, a pin and a link.
fn world() -> World {
    let world = World::new();
    for version in ["1.0", "2.0"] {
        let module = format!("def main(): print('tool {version}')\n");
        world.wheel(&Wheel::new("tool", version).file("tool_main.py", module).script("tool = tool_main:main"));
    }
    world.wheel(&Wheel::new("other", "1.0"));
    world.ok(["ensure", "pack", "--with", "tool==1.0"]);
    world.ok(["ensure", "pack", "--with", "tool==2.0"]);
    world.ok(["ensure", "second", "--with", "other"]);
    world.ok(["pin", "kept", "second"]);
    world.ok(["link", "pack", "venv"]);
    world
}

/// Runs the binary on a store at another path.
fn at(world: &World, store: &Path, args: &[&str]) -> Ran {
    ran(world.command(["--store".as_ref(), store.as_os_str()]).args(args).output().expect("starts"))
}

#[track_caller]
fn json_at(world: &World, store: &Path, args: &[&str]) -> Value {
    let done = at(world, store, &[&["--format", "json"], args].concat());
    serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("not one JSON object: {error}\n{done:#?}"))
}

#[track_caller]
fn ok_at(world: &World, store: &Path, args: &[&str]) -> String {
    let done = at(world, store, args);
    assert_eq!(done.code, 0, "{args:?}: {done:#?}");
    done.stdout.trim().to_owned()
}

fn move_away(world: &World) -> PathBuf {
    let moved = world.path().join("moved");
    fs::rename(world.store(), &moved).expect("moves");
    moved
}

fn copy(world: &World) -> PathBuf {
    let copy = world.path().join("copy");
    assert!(Command::new("cp").arg("-a").arg(world.store()).arg(&copy).status().expect("copies").success());
    copy
}

/// Every command that would make or hand out an environment refuses the store, and those that look at it say why.
#[track_caller]
fn is_refused(world: &World, store: &Path) {
    let refusing: &[&[&str]] = &[
        &["resolve", "pack"],
        &["exec", "pack", "--", "tool"],
        &["ensure", "pack"],
        &["ensure", "new", "--with", "other"],
        &["rollback", "pack"],
        &["upgrade", "pack"],
        &["link", "pack", "another"],
        &["checkout", "pack", "out"],
        &["seal"],
    ];
    for args in refusing {
        let said = at(world, store, &[&["--format", "json"], *args].concat());
        assert_eq!(said.code, 6, "{args:?}: {said:#?}");
        assert!(said.stdout.contains("\"moved_store\""), "{args:?}: {said:#?}");
    }
    for args in [&["doctor"][..], &["verify"]] {
        let findings = json_at(world, store, args)["findings"].to_string();
        assert!(findings.contains("moved_store") && findings.contains("relocate"), "{args:?}: {findings}");
    }
    assert!(ok_at(world, store, &["list"]).contains("pack"), "what is in it can still be read");
    assert!(!world.path().join("another").is_symlink() && !world.path().join("out").exists());
}

#[test]
fn a_moved_store_is_refused_and_relocate_makes_it_right_without_network() {
    let world = world();
    let before = world.json(["list", "--all"]);
    let history = world.json(["history", "pack"])["generations"].clone();
    let moved = move_away(&world);
    is_refused(&world, &moved);

    // `find_links` is gone: nothing could be installed again.
    fs::remove_dir_all(world.wheels()).expect("removes");
    let done = json_at(&world, &moved, &["relocate"]);
    assert_eq!(
        (&done["environments"], &done["is_copy"], &done["links"]),
        (&3.into(), &false.into(), &1.into()),
        "{done:#}"
    );
    assert_eq!(
        (&done["not_relocated"], &done["dropped_links"]),
        (&Value::Array(vec![]), &Value::Array(vec![])),
        "{done:#}"
    );

    let path = PathBuf::from(json_at(&world, &moved, &["resolve", "pack"])["path"].as_str().expect("a path"));
    assert!(path.starts_with(&moved), "{path:?}");
    assert_eq!(ok_at(&world, &moved, &["exec", "pack", "--", "tool"]), "tool 2.0");
    assert_eq!(fs::read_link(world.path().join("venv")).expect("a link"), path);
    let after = json_at(&world, &moved, &["list", "--all"]);
    let bound = |list: &Value| -> Vec<(Value, Value, Value)> {
        let packs = list["packs"].as_array().expect("packs").iter();
        packs.map(|pack| (pack["pack"].clone(), pack["env"].clone(), pack["generation"].clone())).collect()
    };
    assert_eq!(bound(&after), bound(&before));
    assert_eq!(json_at(&world, &moved, &["history", "pack"])["generations"], history);
    assert_eq!(json_at(&world, &moved, &["verify", "--full"])["findings"], Value::Array(vec![]));
    assert!(json_at(&world, &moved, &["why", "second"])["roots"].to_string().contains("kept"));

    // The environment that is only retained was made again too, and an index that is lost brings all of it back.
    ok_at(&world, &moved, &["reindex"]);
    ok_at(&world, &moved, &["rollback", "pack"]);
    assert_eq!(ok_at(&world, &moved, &["exec", "pack", "--", "tool"]), "tool 1.0");
    assert_eq!(fs::read_dir(moved.join("envs")).expect("lists").count(), 3, "the former directories are gone");
    assert!(ok_at(&world, &moved, &["relocate"]).contains("nothing to do"));
}

#[test]
fn a_copy_gets_an_id_of_its_own_and_leaves_the_originals_links_alone() {
    let world = world();
    let link = fs::read_link(world.path().join("venv")).expect("a link");
    let copy = copy(&world);
    is_refused(&world, &copy);
    ok_at(&world, &copy, &["gc"]);
    assert_eq!(fs::read_link(world.path().join("venv")).expect("a link"), link, "the copy touches no link");

    let undecided = at(&world, &copy, &["relocate"]);
    assert_eq!(undecided.code, 6, "{undecided:#?}");
    assert!(undecided.stderr.contains("--copy") && undecided.stderr.contains("--moved"), "{undecided:#?}");
    let done = json_at(&world, &copy, &["relocate", "--copy"]);
    assert_eq!((&done["is_copy"], &done["links"]), (&true.into(), &0.into()), "{done:#}");
    assert_eq!(done["dropped_links"][0], world.path().join("venv").to_str().expect("UTF-8"), "{done:#}");
    assert_eq!(fs::read_link(world.path().join("venv")).expect("a link"), link);

    let id = |store: &Path| json_at(&world, store, &["list"])["store_id"].clone();
    assert_ne!(id(&copy), id(&world.store()));
    assert_eq!(ok_at(&world, &copy, &["exec", "pack", "--", "tool"]), "tool 2.0");
    ok_at(&world, &copy, &["ensure", "pack", "--with", "tool==1.0"]);
    assert_eq!(fs::read_link(world.path().join("venv")).expect("a link"), link);
    assert_eq!(world.ok(["exec", "pack", "--", "tool"]), "tool 2.0", "the original is as it was");
    assert_eq!(world.run(["verify", "--full"]).code, 0);
}

#[test]
fn a_store_of_a_release_that_recorded_no_root_is_asked_by_its_environments() {
    let world = world();
    let path = world.store().join("store.json");
    let mut file: Value = serde_json::from_slice(&fs::read(&path).expect("reads")).expect("JSON");
    assert_eq!(file["root"], world.store().to_str().expect("UTF-8"));
    file.as_object_mut().expect("an object").remove("root");
    let text = serde_json::to_vec_pretty(&file).expect("JSON");
    fs::write(&path, &text).expect("writes");

    world.ok(["exec", "pack", "--", "tool"]);
    world.ok(["list"]);
    assert_eq!(fs::read(&path).expect("reads"), text, "commands that only read record nothing");
    is_refused(&world, &copy(&world));
    world.ok(["pin", "another", "pack"]);
    let file: Value = serde_json::from_slice(&fs::read(&path).expect("reads")).expect("JSON");
    assert_eq!(file["root"], world.store().to_str().expect("UTF-8"), "a command that writes does");
}

#[test]
fn a_link_to_a_store_is_the_store() {
    let world = world();
    let link = world.path().join("link");
    symlink(world.store(), &link).expect("links");
    let path = json_at(&world, &link, &["resolve", "pack"])["path"].clone();
    assert_eq!(path, world.json(["resolve", "pack"])["path"]);
    ok_at(&world, &link, &["ensure", "third", "--with", "tool==1.0"]);
    assert_eq!(world.json(["verify", "--full"])["findings"], Value::Array(vec![]));

    // Moved, with a link left where it was: the environments' path leads here, so they work.
    let moved = move_away(&world);
    symlink(&moved, world.store()).expect("links");
    assert_eq!(world.ok(["exec", "pack", "--", "tool"]), "tool 2.0");
    assert!(world.json(["doctor"])["findings"].to_string().contains("other_path"));
    world.ok(["relocate"]);
    fs::remove_file(world.store()).expect("removes the link");
    assert_eq!(ok_at(&world, &moved, &["exec", "pack", "--", "tool"]), "tool 2.0");
}

#[test]
fn a_bind_mount_of_a_store_is_the_store_while_its_own_path_leads_to_it() {
    let world = world();
    let point = world.path().join("mounted");
    fs::create_dir(&point).expect("a directory");
    let mounted = |hide: &str, args: &[&str]| {
        let script = format!("mount --bind \"$0\" \"$1\" && {hide} shift && exec \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]).arg(world.store()).arg(&point).arg(ENVSTORE);
        let outer = world.command::<&str>([]);
        command.env_clear().envs(outer.get_envs().filter_map(|(name, value)| Some((name, value?))));
        ran(command.arg("--store").arg(&point).args(args).output().expect("starts"))
    };
    if !nix::unistd::geteuid().is_root() {
        return skipped("mounting needs root");
    }
    let done = mounted("", &["ensure", "third", "--with", "tool==1.0"]);
    assert_eq!(done.code, 0, "{done:#?}");
    assert!(
        done.stdout.starts_with(world.store().to_str().expect("UTF-8")),
        "it names the store's own path: {done:#?}"
    );
    assert_eq!(world.ok(["exec", "third", "--", "tool"]), "tool 1.0");
    // Where only the mount is there, as in a container.
    let done = mounted("mount -t tmpfs none \"$0\" &&", &["--format", "json", "resolve", "pack"]);
    assert!(done.code == 6 && done.stdout.contains("moved_store"), "{done:#?}");
}

#[test]
fn what_cannot_be_made_again_is_named_and_the_rest_goes_on() {
    let world = World::new();
    // A binary that holds its environment's path is made of an sdist or by hand; here an object is taken away instead.
    world.wheel(&Wheel::new("whole", "1.0"));
    world.wheel(&Wheel::new("broken", "1.0").file("broken_data.txt", "only here"));
    world.ok(["ensure", "whole", "--with", "whole"]);
    world.ok(["ensure", "broken", "--with", "broken"]);
    let digest = blake3::hash(b"only here").to_hex();
    fs::remove_file(world.store().join("objects").join(&digest[..2]).join(digest.as_str())).expect("removes");
    let moved = move_away(&world);

    let done = at(&world, &moved, &["--format", "json", "relocate"]);
    let report: Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!((done.code, &report["environments"]), (1, &1.into()), "{report:#}");
    assert_eq!(report["not_relocated"][0]["packs"][0], "broken", "{report:#}");
    ok_at(&world, &moved, &["exec", "whole", "--", "python", "-c", "import whole"]);
    let refused = at(&world, &moved, &["resolve", "broken"]);
    assert_eq!(refused.code, 3, "an environment for another path is not handed out: {refused:#?}");
    ok_at(&world, &moved, &["ensure", "broken", "--rebuild"]);
    ok_at(&world, &moved, &["exec", "broken", "--", "python", "-c", "import broken"]);
}

#[test]
fn a_sealed_store_is_not_relocated() {
    let world = world();
    world.ok(["seal"]);
    let moved = move_away(&world);
    let refused = at(&world, &moved, &["relocate"]);
    assert!(
        refused.code == 6 && refused.stderr.contains("sealed") && refused.stderr.contains("unseal"),
        "{refused:#?}"
    );
    ok_at(&world, &moved, &["unseal"]);
    ok_at(&world, &moved, &["relocate"]);
    assert_eq!(ok_at(&world, &moved, &["exec", "pack", "--", "tool"]), "tool 2.0");
}

#[test]
fn a_path_that_no_environment_works_at_is_refused_at_creation() {
    let world = World::new();
    world.wheel(&Wheel::new("other", "1.0"));
    for name in ["with:colon", "with\nline", &"long/".repeat(90)] {
        let root = world.path().join(name);
        let refused = at(&world, &root, &["ensure", "pack", "--with", "other"]);
        assert_eq!(refused.code, 6, "{name:?}: {refused:#?}");
        assert!(!world.path().join(name.split('/').next().expect("a name")).exists(), "{name:?}: nothing is left");
    }
    let spaced = world.path().join("with a space");
    ok_at(&world, &spaced, &["ensure", "pack", "--with", "other"]);
    // A store that an earlier release made there, or that was moved there.
    let colon = world.path().join("a:b");
    fs::rename(&spaced, &colon).expect("moves");
    let refused = at(&world, &colon, &["list"]);
    assert!(refused.code == 6 && refused.stderr.contains("PATH"), "{refused:#?}");
}

#[test]
fn environments_that_were_made_through_a_link_do_not_survive_the_link_unnoticed() {
    let world = world();
    let big = world.path().join("big");
    fs::rename(world.store(), &big).expect("moves");
    symlink(&big, world.store()).expect("links");
    // It names the directory, the others name the link.
    world.ok(["ensure", "late", "--with", "tool==1.0", "--with", "other"]);
    assert_eq!(world.ok(["exec", "late", "--", "tool"]), "tool 1.0");
    assert_eq!(world.ok(["exec", "pack", "--", "tool"]), "tool 2.0");

    fs::remove_file(world.store()).expect("removes the link");
    assert_eq!(at(&world, &big, &["exec", "pack", "--", "tool"]).code, 6, "the link is gone");
    fs::rename(&big, world.store()).expect("moves back");
    assert_eq!(world.run(["exec", "late", "--", "tool"]).code, 6, "the directory is gone");
    world.ok(["relocate"]);
    for (pack, version) in [("pack", "tool 2.0"), ("late", "tool 1.0")] {
        assert_eq!(world.ok(["exec", pack, "--", "tool"]), version);
    }
    assert_eq!(world.json(["verify", "--full"])["findings"], Value::Array(vec![]));
}

/// Stops `relocate` before it ends.
fn stop_relocation(world: &World, store: &Path, args: &[&str]) {
    let trace = world.path().join("points");
    let copy = world.path().join("traced");
    assert!(Command::new("cp").arg("-a").arg(store).arg(&copy).status().expect("copies").success());
    let traced = world
        .command(["--store".as_ref(), copy.as_os_str()])
        .args(["relocate", "--copy"])
        .env("ENVSTORE_FAILPOINT_TRACE", &trace)
        .output();
    assert!(traced.expect("starts").status.success());
    let points = fs::read_to_string(&trace).expect("points");
    let rows: Vec<usize> = points
        .lines()
        .enumerate()
        .filter(|(_, point)| *point == "relocate: before the row")
        .map(|(at, _)| at + 1)
        .collect();
    let mut command = world.command(["--store".as_ref(), store.as_os_str()]);
    // Before the second environment is published.
    let stopped = command.arg("relocate").args(args).env("ENVSTORE_FAILPOINT", format!("kill@{}", rows[1])).output();
    assert!(!stopped.expect("starts").status.success());
}

#[test]
fn a_relocation_that_was_stopped_is_refused_wherever_the_store_is_and_goes_on_as_it_began() {
    let world = world();
    let moved = move_away(&world);
    stop_relocation(&world, &moved, &[]);
    let refused = at(&world, &moved, &["resolve", "second"]);
    assert!(refused.code == 6 && refused.stderr.contains("relocate"), "{refused:#?}");
    let other = at(&world, &moved, &["relocate", "--copy"]);
    assert!(other.code == 6 && other.stderr.contains("moved"), "it was begun as that of a moved store: {other:#?}");

    // Back where it was made: some environments name the other path by now.
    fs::rename(&moved, world.store()).expect("moves back");
    let refused = world.run(["resolve", "pack"]);
    assert!(refused.code == 6 && refused.stderr.contains("stopped before its end"), "{refused:#?}");
    world.ok(["relocate"]);
    assert_eq!(world.ok(["exec", "pack", "--", "tool"]), "tool 2.0");
    assert_eq!(world.json(["verify", "--full"])["findings"], Value::Array(vec![]));
    world.ok(["rollback", "pack"]);
    assert_eq!(world.ok(["exec", "pack", "--", "tool"]), "tool 1.0");
}

#[test]
fn a_copy_forgets_a_link_that_is_not_there_and_an_environment_that_names_nothing_is_made_again() {
    let world = world();
    let copy = copy(&world);
    let (link, aside) = (world.path().join("venv"), world.path().join("aside"));
    fs::rename(&link, &aside).expect("an unmounted directory looks like this");
    let env = PathBuf::from(world.json(["resolve", "second"])["path"].as_str().expect("a path"));
    let activate = copy.join(env.strip_prefix(world.store()).expect("inside")).join("bin/activate");
    fs::remove_file(&activate).expect("removes");

    let done = json_at(&world, &copy, &["relocate", "--copy"]);
    assert_eq!(
        (&done["environments"], &done["dropped_links"][0]),
        (&3.into(), &link.to_str().expect("UTF-8").into()),
        "{done:#}"
    );
    ok_at(&world, &copy, &["gc"]);
    assert!(!link.is_symlink(), "the copy makes no link in its place");
    fs::rename(&aside, &link).expect("moves back");
    ok_at(&world, &copy, &["ensure", "pack", "--with", "tool==1.0"]);
    assert!(fs::read_link(&link).expect("a link").starts_with(world.store()));
    assert_eq!(json_at(&world, &copy, &["verify", "--full"])["findings"], Value::Array(vec![]));
}

#[test]
fn a_copy_that_kept_no_times_is_relocated_from_what_its_objects_hold() {
    let world = world();
    let copy = world.path().join("copy");
    assert!(Command::new("cp").arg("-r").arg(world.store()).arg(&copy).status().expect("copies").success());
    let done = json_at(&world, &copy, &["relocate", "--copy"]);
    assert_eq!((&done["environments"], &done["not_relocated"]), (&3.into(), &Value::Array(vec![])), "{done:#}");
    assert_eq!(ok_at(&world, &copy, &["exec", "pack", "--", "tool"]), "tool 2.0");
}

#[test]
fn a_link_that_another_store_took_over_stays_that_stores() {
    let world = world();
    let moved = move_away(&world);
    world.ok(["ensure", "pack", "--with", "tool==1.0"]);
    world.ok(["link", "pack", "venv"]);
    let link = fs::read_link(world.path().join("venv")).expect("a link");
    let done = json_at(&world, &moved, &["relocate"]);
    assert_eq!(done["dropped_links"][0], world.path().join("venv").to_str().expect("UTF-8"), "{done:#}");
    assert_eq!(fs::read_link(world.path().join("venv")).expect("a link"), link);
}
