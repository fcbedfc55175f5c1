//! Every distinct file exists once; known artifacts are linked, not installed.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{NotingUv, Wheel, World, skipped};

const SAY: &str = "def main():\n    print('said')\n";

/// Alpha has a script, data, an empty file and needs beta; gamma needs alpha and has nothing else.
fn world() -> World {
    let world = World::new();
    let alpha = Wheel::new("alpha", "1.0").requires("beta").script("alpha-say = alpha.say:main");
    world.wheel(&alpha.file("alpha/say.py", SAY).file("alpha/data.bin", [0, 159, 146, 150]).file("alpha/empty.py", ""));
    world.wheel(&Wheel::new("beta", "2.0"));
    world.wheel(&Wheel::new("gamma", "3.0").requires("alpha"));
    world
}

fn path_of(world: &World, pack: &str) -> PathBuf {
    world.json(["resolve", pack])["path"].as_str().expect("a path").into()
}

/// A file of a pack's environment, by the end of its path.
fn file(world: &World, pack: &str, end: &str) -> PathBuf {
    let env = path_of(world, pack);
    let mut entries = walkdir::WalkDir::new(env).into_iter().flatten();
    entries.find(|entry| entry.path().ends_with(end)).unwrap_or_else(|| panic!("no {end}")).into_path()
}

fn inode(path: &Path) -> (u64, u64) {
    let meta = fs::symlink_metadata(path).expect("is there");
    (meta.dev(), meta.ino())
}

/// The tree digest that the same declaration has in a new store where everything is installed.
fn installed_digest(world: &World, with: &str) -> Value {
    let dir = tempfile::tempdir_in(world.path()).expect("a directory");
    let store = dir.path().join("store");
    let store = store.to_string_lossy();
    let ensured = world.json(["--store", &store, "ensure", "elsewhere", "--with", with]);
    assert_eq!(ensured["outcome"], "built", "{ensured:#}");
    world.json(["--store", &store, "show", "elsewhere"])["tree_digest"].clone()
}

#[test]
fn a_file_that_two_environments_hold_exists_once_and_is_named_by_its_digest() {
    let world = world();
    world.ok(["ensure", "one", "--with", "alpha"]);
    world.ok(["ensure", "two", "--with", "gamma"]);
    assert_ne!(path_of(&world, "one"), path_of(&world, "two"));
    if world.json(["show", "one"])["link_mode"] != "hardlink" {
        skipped("the filesystem of the tests has reflinks: inodes are not shared");
        return;
    }
    for end in ["alpha/say.py", "alpha/data.bin", "alpha-1.0.dist-info/RECORD", "alpha-1.0.dist-info/METADATA"] {
        let one = file(&world, "one", end);
        assert_eq!(inode(&one), inode(&file(&world, "two", end)), "{end}");
        let digest = blake3::hash(&fs::read(&one).expect("reads")).to_hex();
        let object = world.store().join("objects").join(&digest[..2]).join(digest.as_str());
        assert_eq!(inode(&object), inode(&one), "{end}");
    }
    // Scripts name their environment; empty files are not worth a link.
    for end in ["bin/alpha-say", "alpha/empty.py"] {
        assert_ne!(inode(&file(&world, "one", end)), inode(&file(&world, "two", end)), "{end}");
    }
    assert_eq!(world.ok(["exec", "two", "--", "alpha-say"]), "said");
}

#[test]
fn known_artifacts_are_linked_without_an_installer() {
    let world = world();
    let uv = NotingUv::new(&world);
    assert_eq!(uv.json(&world, &["ensure", "one", "--with", "gamma"])["outcome"], "built");
    let assembled = uv.json(&world, &["ensure", "two", "--with", "alpha"]);
    assert_eq!(assembled["outcome"], "assembled", "{assembled:#}");
    assert_eq!(uv.asked("pip sync"), 1);
    let shown = world.json(["show", "two"]);
    assert_eq!((&shown["installer"], &shown["notes"]), (&"none".into(), &Value::Array(vec![])), "{shown:#}");
    let names: Vec<_> = shown["distributions"].as_array().expect("a list").iter().map(|d| &d["name"]).collect();
    assert_eq!(names, ["alpha", "beta"]);
    assert_eq!(shown["tree_digest"], installed_digest(&world, "alpha"));
    assert_eq!(world.ok(["exec", "two", "--", "alpha-say"]), "said");
    assert_eq!(world.python_in("two", "import alpha, beta; print(beta.version)"), "2.0");
}

#[test]
fn only_what_is_missing_is_installed() {
    let world = world();
    let uv = NotingUv::new(&world);
    uv.json(&world, &["ensure", "one", "--with", "alpha"]);
    // Where the wheels of known artifacts are gone, only the others can be installed.
    fs::create_dir(world.path().join("away")).expect("a directory");
    let away = |name: &str| (world.wheels().join(name), world.path().join("away").join(name));
    uv.json(&world, &["ensure", "two", "--with", "gamma"]);
    assert_eq!(uv.asked("pip sync"), 2);
    assert_eq!(world.json(["show", "two"])["tree_digest"], installed_digest(&world, "gamma"));
    // Installed from what is there: alpha's wheel is not touched again when gamma's environment is made anew.
    world.ok(["remove", "two", "--keep-history"]);
    let (from, to) = away("alpha-1.0-py3-none-any.whl");
    fs::rename(&from, &to).expect("moves");
    let path = world.store().join("envs").join(world.listed("envs").remove(0));
    assert!(path.exists());
    fs::rename(&to, &from).expect("moves back");
    assert_eq!(uv.json(&world, &["ensure", "two", "--with", "gamma"])["outcome"], "assembled");
    assert_eq!(uv.asked("pip sync"), 2);
}

#[test]
fn where_artifacts_claim_one_path_differently_the_installer_decides() {
    let world = World::new();
    for (name, text) in [("one", "x = 'one'\n"), ("two", "x = 'two'\n")] {
        world.wheel(&Wheel::new(name, "1.0").file("both/claimed.py", text));
    }
    world.ok(["ensure", "first", "--with", "one"]);
    world.ok(["ensure", "second", "--with", "two"]);
    let both = world.json(["ensure", "both", "--with", "one", "--with", "two"]);
    assert_eq!(both["outcome"], "built", "{both:#}");
    let notes = world.json(["show", "both"])["notes"].to_string();
    assert!(notes.contains("both/claimed.py` is claimed by one 1.0 and two 1.0"), "{notes}");
    // What was learnt of each alone is not what they became together.
    for pack in ["first", "second"] {
        world.ok(["remove", pack, "--keep-history"]);
        assert_eq!(world.json(["ensure", pack])["outcome"], "assembled");
    }
    assert_eq!(world.python_in("first", "import both.claimed as c; print(c.x)"), "one");
    assert_eq!(world.python_in("second", "import both.claimed as c; print(c.x)"), "two");
}

#[test]
fn an_object_that_is_lost_or_damaged_makes_its_artifact_be_installed_again() {
    for damage in ["lost", "written to"] {
        let world = world();
        world.install_setting("link_mode = \"hardlink\"");
        world.ok(["ensure", "one", "--with", "alpha"]);
        let digest = blake3::hash(SAY.as_bytes()).to_hex();
        let object = world.store().join("objects").join(&digest[..2]).join(digest.as_str());
        if damage == "lost" {
            fs::remove_file(&object).expect("removes");
        } else {
            fs::set_permissions(&object, fs::Permissions::from_mode(0o644)).expect("chmod");
            fs::write(&object, "def main():\n    print('evil')\n").expect("writes");
            fs::set_permissions(&object, fs::Permissions::from_mode(0o444)).expect("chmod");
        }
        let two = world.json(["ensure", "two", "--with", "gamma"]);
        assert_eq!(two["outcome"], "built", "{damage}: {two:#}");
        assert_eq!(world.ok(["exec", "two", "--", "alpha-say"]), "said", "{damage}");
        assert_eq!(fs::read_to_string(&object).expect("is back"), SAY, "{damage}");
    }
}

#[test]
fn a_patched_interpreter_gets_its_environments_again_without_an_installer_or_the_index() {
    let world = world();
    // A copy of an interpreter, so that it can be patched.
    let (home, bin) = (world.path().join("python"), world.path().join("python/bin"));
    fs::create_dir_all(&bin).expect("a directory");
    let name = world.python().file_name().expect("a name").to_owned();
    let python = bin.join(&name);
    fs::copy(world.python(), &python).expect("copies");
    let lib = world.python().parent().and_then(Path::parent).expect("a prefix").join("lib");
    std::os::unix::fs::symlink(lib, home.join("lib")).expect("links");
    let world = world.with_default(&python);
    let uv = NotingUv::new(&world);
    let before = uv.json(&world, &["ensure", "pack", "--with", "alpha"]);
    uv.json(&world, &["ensure", "other", "--with", "alpha"]);
    let asked = (uv.asked("pip compile"), uv.asked("pip sync"));

    let mut patched = fs::read(&python).expect("reads");
    patched.push(0);
    fs::remove_file(&python).expect("removes");
    fs::write(&python, patched).expect("writes");
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).expect("chmod");
    let resolved = uv.json(&world, &["resolve", "pack"]);
    assert_eq!((&resolved["env"], &resolved["interpreter_changed"]), (&before["env"], &true.into()));

    let after = uv.json(&world, &["ensure", "pack"]);
    assert_eq!((&after["outcome"], &after["generation"]), (&"assembled".into(), &2.into()), "{after:#}");
    assert_ne!(after["env"], before["env"]);
    assert_eq!(uv.json(&world, &["ensure", "other"])["outcome"], "shared");
    assert_eq!((uv.asked("pip compile"), uv.asked("pip sync")), asked, "no index and no installer");
    assert_eq!(world.ok(["exec", "pack", "--", "alpha-say"]), "said");
    assert_eq!(uv.json(&world, &["ensure", "pack"])["outcome"], "hit");
}

#[test]
fn a_binding_whose_environment_is_gone_gets_the_same_again() {
    let world = world();
    world.ok(["ensure", "pack", "--with", "beta>=1"]);
    let before = world.json(["show", "pack"]);
    world.wheel(&Wheel::new("beta", "9.0"));
    let env = path_of(&world, "pack");
    fs::rename(&env, world.path().join("gone")).expect("moves");
    assert_eq!(world.run(["resolve", "pack"]).code, 3);
    let again = world.json(["ensure", "pack"]);
    assert_eq!(again["outcome"], "assembled", "{again:#}");
    let after = world.json(["show", "pack"]);
    assert_eq!((&after["env"], &after["tree_digest"]), (&before["env"], &before["tree_digest"]));
    assert_eq!(world.python_in("pack", "import beta; print(beta.version)"), "2.0");
}

#[test]
fn the_index_that_comes_back_knows_the_components() {
    let world = world();
    let uv = NotingUv::new(&world);
    uv.json(&world, &["ensure", "one", "--with", "gamma"]);
    world.lose_index();
    assert_eq!(uv.json(&world, &["ensure", "two", "--with", "alpha"])["outcome"], "assembled");
    assert_eq!(uv.asked("pip sync"), 1);
}

#[test]
fn the_index_that_comes_back_knows_the_bytecode_and_what_stood_in_directories_that_are_gone() {
    let world = world();
    world.ok(["ensure", "one", "--with", "gamma"]);
    let known = || -> Vec<(Vec<u8>, Vec<u8>)> {
        let db = rusqlite::Connection::open(world.store().join("index.db")).expect("opens");
        let mut query = db.prepare("SELECT key, object FROM derived ORDER BY key").expect("prepares");
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("reads");
        rows.collect::<Result<_, _>>().expect("reads")
    };
    let before = known();
    assert!(before.len() >= 3, "one for each source");
    fs::rename(path_of(&world, "one"), world.path().join("gone")).expect("moves");
    world.lose_index();
    world.ok(["list"]);
    assert_eq!(known(), before);
    let uv = NotingUv::new(&world);
    assert_eq!(uv.json(&world, &["ensure", "two", "--with", "alpha"])["outcome"], "assembled");
    assert_eq!(uv.asked("pip sync"), 0);
}

#[test]
fn removing_the_last_user_frees_what_only_it_held() {
    let world = world();
    world.ok(["ensure", "one", "--with", "alpha"]);
    world.ok(["ensure", "two", "--with", "beta"]);
    let before = world.json(["du"])["total_bytes"].as_u64().expect("a number");
    let objects = || walkdir::WalkDir::new(world.store().join("objects")).into_iter().flatten().count();
    let many = objects();
    let removed = world.json(["remove", "one"]);
    assert_eq!(removed["env_removed"], true);
    let freed = removed["freed_bytes"].as_u64().expect("a number");
    assert!(objects() < many);
    let digest = blake3::hash(SAY.as_bytes()).to_hex();
    assert!(!world.store().join("objects").join(&digest[..2]).join(digest.as_str()).exists());
    let after = world.json(["du"])["total_bytes"].as_u64().expect("a number");
    // Beside what it held its binding, manifest and log went or stayed; no more than a few files' worth.
    assert!(freed > 0 && before - after >= freed, "{before} - {after}, said {freed}");
    assert_eq!(world.python_in("two", "import beta; print(beta.version)"), "2.0");
    assert_eq!(world.json(["gc", "--idle", "0s"])["freed_by_kind"]["objects"], 0);
}

#[test]
fn gc_keeps_young_components_and_frees_true_bytes() {
    let world = world();
    world.ok(["ensure", "one", "--with", "alpha"]);
    world.ok(["remove", "one", "--keep-history"]);
    let kept = world.json(["gc"]);
    assert_eq!((&kept["kept"]["components"], &kept["freed_by_kind"]["objects"]), (&2.into(), &0.into()), "{kept:#}");
    let would = world.json(["gc", "--idle", "0s", "--dry-run"]);
    let before = world.json(["du"])["by_kind"]["objects"].as_u64().expect("a number");
    let freed = world.json(["gc", "--idle", "0s"]);
    let after = world.json(["du"])["by_kind"]["objects"].as_u64().expect("a number");
    assert_eq!(freed["freed_by_kind"]["objects"].as_u64().expect("a number"), before - after);
    assert_eq!(freed["freed_by_kind"]["objects"], would["freed_by_kind"]["objects"]);
    assert_eq!(after, 0, "nothing names an object any more");
}

#[test]
fn young_components_beyond_their_limit_go_those_used_longest_ago_first() {
    let world = World::new();
    for (name, size) in [("older", 30_000), ("newer", 30_000)] {
        world.wheel(&Wheel::new(name, "1.0").file(&format!("{name}/big.bin"), vec![name.as_bytes()[0]; size]));
    }
    for name in ["older", "newer"] {
        world.ok(["ensure", name, "--with", name]);
        world.ok(["remove", name, "--keep-history"]);
    }
    assert_eq!(world.json(["gc"])["kept"]["components"], 2, "young, and few");
    world.configure("[gc]\nmin_free = \"0\"\ncomponents_max_size = \"40kB\"\n");
    let dry = world.json(["gc", "--dry-run"]);
    let done = world.json(["gc"]);
    assert_eq!(done["kept"]["components"], 1, "{done:#}");
    assert!(done["freed_by_kind"]["objects"].as_u64() >= Some(30_000), "{done:#}");
    assert_eq!(dry["freed_by_kind"]["objects"], done["freed_by_kind"]["objects"], "{dry:#}");
    for wheel in ["older-1.0-py3-none-any.whl", "newer-1.0-py3-none-any.whl"] {
        fs::remove_file(world.wheels().join(wheel)).expect("removes");
    }
    assert_eq!(world.json(["rollback", "newer"])["outcome"], "assembled");
}

#[test]
fn du_says_what_du_says() {
    let world = world();
    world.ok(["ensure", "one", "--with", "alpha"]);
    world.ok(["ensure", "two", "--with", "gamma"]);
    world.ok(["ensure", "three", "--with", "gamma"]);
    let ours = world.json(["du"]);
    let output = std::process::Command::new("du").arg("-sb").arg(world.store()).output().expect("du runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let theirs: u64 = text.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number");
    let total = ours["total_bytes"].as_u64().expect("a number");
    let directories = ours["by_kind"]["directories"].as_u64().expect("a number");
    // GNU du counts directories up to coreutils 9.1, files and links alone since.
    assert!(theirs == total || theirs == total - directories, "{theirs} is not {total}: {ours:#}");
    let kinds = ours["by_kind"].as_object().expect("an object");
    assert_eq!(kinds.values().filter_map(Value::as_u64).sum::<u64>(), total);
    let sizes: Vec<u64> =
        ["one", "two", "three"].map(|pack| world.json(["show", pack])["bytes"].as_u64().expect("a number")).into();
    assert_eq!(ours["logical_bytes"], sizes.iter().sum::<u64>());
    assert_eq!(ours["saved_by_sharing_environments"], sizes[2]);
    assert!(ours["saved_by_sharing_files"].as_u64().expect("a number") > 0, "{ours:#}");
}

#[test]
fn copies_share_nothing_and_are_the_same() {
    let world = world();
    world.install_setting("link_mode = \"copy\"");
    world.ok(["ensure", "one", "--with", "gamma"]);
    assert_eq!(world.json(["ensure", "two", "--with", "alpha"])["outcome"], "assembled");
    let shown = world.json(["show", "two"]);
    assert_eq!(shown["link_mode"], "copy");
    assert_eq!(shown["tree_digest"], installed_digest(&world, "alpha"));
    assert_ne!(inode(&file(&world, "one", "alpha/say.py")), inode(&file(&world, "two", "alpha/say.py")));
}

/// Files of uv's cache by the end of their path.
fn cached(world: &World, end: &str) -> Vec<PathBuf> {
    let cache = walkdir::WalkDir::new(world.store().join("cache")).into_iter().flatten();
    cache.map(walkdir::DirEntry::into_path).filter(|path| path.ends_with(end)).collect()
}

#[test]
fn bytes_that_somebody_put_into_the_installers_cache_reach_no_environment() {
    let world = world();
    world.ok(["ensure", "one", "--with", "alpha"]);
    let poisoned = cached(&world, "alpha/say.py");
    assert!(!poisoned.is_empty(), "the installer keeps what it unpacked");
    for path in &poisoned {
        fs::write(path, "def main():\n    print('evil')\n").expect("writes");
    }
    let rebuilt = world.json(["ensure", "one", "--rebuild"]);
    assert_eq!(rebuilt["outcome"], "built", "{rebuilt:#}");
    assert_eq!(world.ok(["exec", "one", "--", "alpha-say"]), "said");
    let notes = world.json(["show", "one"])["notes"].to_string();
    assert!(notes.contains("the installer's cache was damaged"), "{notes}");
    world.ok(["ensure", "one", "--rebuild"]);
    let notes = world.json(["show", "one"])["notes"].to_string();
    assert_eq!(notes, "[]", "it forgot what was damaged");
}

/// Takes unpacked wheels away under the pointers that lead to them.
fn take_from_the_cache(world: &World) {
    let files = cached(world, "alpha/say.py");
    assert!(!files.is_empty(), "the installer keeps what it unpacked");
    for path in &files {
        fs::remove_dir_all(path.ancestors().nth(2).expect("an unpacked wheel")).expect("removes");
    }
}

#[test]
fn what_is_gone_from_the_installers_cache_is_had_again() {
    let world = world();
    world.wheel(&Wheel::new("delta", "1.0").requires("alpha"));
    world.ok(["ensure", "one", "--with", "alpha"]);

    take_from_the_cache(&world);
    world.ok(["ensure", "two", "--with", "delta"]);
    assert_eq!(world.ok(["exec", "two", "--", "alpha-say"]), "said");
    let log = world.ok(["logs", "two"]);
    assert!(log.contains("once more, from an empty cache"), "locked afresh: {log}");

    world.ok(["ensure", "one", "--rebuild"]);
    take_from_the_cache(&world);
    assert_eq!(world.json(["ensure", "one", "--rebuild"])["outcome"], "built");
    assert_eq!(world.ok(["exec", "one", "--", "alpha-say"]), "said");
    let notes = world.json(["show", "one"])["notes"].to_string();
    assert!(notes.contains("the installer's cache was damaged"), "{notes}");
}

#[test]
fn a_wheel_whose_record_is_wrong_is_installed_and_noted() {
    let world = World::new();
    let wheel = Wheel::new("wrong", "1.0").file("wrong/x.py", "x = 1\n").recorded_as("wrong/x.py", "sha256=AAAA");
    world.wheel(&wheel);
    let built = world.json(["ensure", "pack", "--with", "wrong"]);
    assert_eq!(built["outcome"], "built", "{built:#}");
    let notes = world.json(["show", "pack"])["notes"].to_string();
    assert!(notes.contains("wrong/x.py` of wrong 1.0 has not the bytes its RECORD says"), "{notes}");
    assert_eq!(world.python_in("pack", "import wrong.x; print(wrong.x.x)"), "1");
}

#[test]
fn gc_lets_the_installers_copy_of_a_component_go_first() {
    let world = world();
    world.ok(["ensure", "one", "--with", "alpha"]);
    assert!(!cached(&world, "alpha/say.py").is_empty());
    let would = world.json(["gc", "--dry-run"])["freed_by_kind"]["cache"].clone();
    let freed = world.json(["gc"])["freed_by_kind"]["cache"].clone();
    assert!([&freed, &would].iter().all(|bytes| bytes.as_u64() > Some(0)), "{freed} and {would}");
    assert!(cached(&world, "alpha/say.py").is_empty());
    // The installer does without.
    assert_eq!(world.json(["ensure", "one", "--rebuild"])["outcome"], "built");
    assert_eq!(world.ok(["exec", "one", "--", "alpha-say"]), "said");
}

#[test]
fn verify_finds_what_was_changed_removed_and_added() {
    let world = world();
    world.ok(["ensure", "one", "--with", "alpha"]);
    world.ok(["ensure", "two", "--with", "gamma"]);
    let whole = world.json(["verify", "--full"]);
    assert_eq!((&whole["environments"], &whole["findings"]), (&2.into(), &Value::Array(vec![])), "{whole:#}");
    assert_eq!(world.run(["verify", "one"]).code, 0);

    let say = file(&world, "one", "alpha/say.py");
    let (meta, dir) = (fs::metadata(&say).expect("stat"), say.parent().expect("a directory").to_owned());
    fs::set_permissions(&say, fs::Permissions::from_mode(0o644)).expect("chmod");
    fs::write(&say, "def main():\n    print('soid')\n").expect("writes");
    // As somebody does who does not want to be found: the size, mode and time are what they were.
    let hidden = fs::File::options().write(true).open(&say).expect("opens");
    hidden.set_modified(meta.modified().expect("a time")).expect("sets the time");
    fs::set_permissions(&say, fs::Permissions::from_mode(0o444)).expect("chmod");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("chmod");
    fs::write(dir.join("added.py"), "").expect("writes");
    fs::remove_file(dir.join("data.bin")).expect("removes");

    let kinds = |found: &Value| -> Vec<String> {
        let findings = found["findings"].as_array().expect("a list");
        findings.iter().map(|f| format!("{} {}", f["kind"].as_str().expect("a kind"), f["message"])).collect()
    };
    let short = world.run(["--format", "json", "verify"]);
    assert_eq!(short.code, 3, "{short:#?}");
    let short = kinds(&serde_json::from_str(&short.stdout).expect("JSON"));
    assert!(short.iter().any(|found| found.starts_with("file_added") && found.contains("alpha/added.py")), "{short:?}");
    assert!(short.iter().any(|found| found.starts_with("file_damaged") && found.contains("data.bin` is missing")));
    let full = kinds(&world.json(["verify", "--full"]));
    let damaged = |pack: &str| {
        let name = path_of(&world, pack).file_name().expect("a name").to_string_lossy().into_owned();
        full.iter().any(|found| found.contains(&name) && found.contains("say.py` holds other bytes"))
    };
    assert!(damaged("one"), "{full:#?}");
    if world.json(["show", "one"])["link_mode"] == "hardlink" {
        assert!(damaged("two"), "the inode is shared: {full:#?}");
        assert!(full.iter().any(|found| found.starts_with("object_damaged") && found.contains("as in")), "{full:#?}");
    }
}

#[test]
fn a_lock_that_prefers_what_the_store_holds_takes_neither_what_is_newer_nor_a_pre_release() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.wheel(&Wheel::new("beta", "1.0"));
    world.wheel(&Wheel::new("beta", "2.0rc1"));
    let config = fs::read_to_string(world.path().join("config.toml")).expect("a configuration");
    let config = format!("[lock]\nprefer = \"store\"\n{config}");
    fs::write(world.path().join("config.toml"), config).expect("a configuration");
    // Nothing is held yet.
    world.ok(["ensure", "one", "--with", "alpha"]);
    world.ok(["ensure", "candidate", "--with", "beta==2.0rc1"]);
    world.wheel(&Wheel::new("alpha", "2.0"));
    world.ok(["ensure", "two", "--with", "alpha>=1"]);
    assert_eq!(world.python_in("two", "import alpha; print(alpha.version)"), "1.0");
    world.ok(["ensure", "three", "--with", "alpha>1"]);
    assert_eq!(world.python_in("three", "import alpha; print(alpha.version)"), "2.0");
    world.ok(["ensure", "four", "--with", "beta>=1"]);
    assert_eq!(world.python_in("four", "import beta; print(beta.version)"), "1.0");
}
