//! F7: damage is found, named and made anew, and whoever shares it is told and repaired too.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Wheel, World};

/// What is done to a store, and its name.
type Damage = (&'static str, fn(&World));

/// Two packs share alpha's files; the third has nothing of them.
fn world(link_mode: &str) -> World {
    let world = World::new();
    let alpha = Wheel::new("alpha", "1.0").script("alpha-say = alpha:main");
    world.wheel(&alpha.file("alpha/data.bin", [7; 5000]).file("alpha/more.py", "more = 1\n"));
    world.wheel(&Wheel::new("beta", "1.0").requires("alpha"));
    world.wheel(&Wheel::new("gamma", "1.0").file("gamma/own.py", "own = 1\n"));
    world.install_setting(&format!("link_mode = {link_mode:?}"));
    world.ok(["ensure", "one", "--with", "alpha"]);
    world.ok(["ensure", "two", "--with", "beta"]);
    world.ok(["ensure", "also-two", "--with", "beta"]);
    world.ok(["ensure", "three", "--with", "gamma"]);
    world
}

fn path_of(world: &World, pack: &str) -> PathBuf {
    world.json(["resolve", pack])["path"].as_str().expect("a path").into()
}

fn file(world: &World, pack: &str, end: &str) -> PathBuf {
    let mut entries = walkdir::WalkDir::new(path_of(world, pack)).into_iter().flatten();
    entries.find(|entry| entry.path().ends_with(end)).unwrap_or_else(|| panic!("no {end}")).into_path()
}

/// Changes one byte and leaves size, mode and time as they were: what a disk does.
pub fn flip(path: &Path, at: u64) {
    let meta = fs::metadata(path).expect("stat");
    let mut bytes = fs::read(path).expect("reads");
    let at = usize::try_from(at % meta.len()).expect("fits");
    bytes[at] ^= 0x20;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("chmod");
    fs::write(path, &bytes).expect("writes in place");
    let file = fs::File::options().write(true).open(path).expect("opens");
    file.set_modified(meta.modified().expect("a time")).expect("sets the time");
    fs::set_permissions(path, meta.permissions()).expect("chmod");
}

/// The repairs that `verify --repair` tells, by the packs they are for.
fn repaired<'a>(report: &'a Value, pack: &str) -> &'a Value {
    let all = report["repaired"].as_array().expect("a list");
    let is_it = |one: &&Value| one["packs"].as_array().is_some_and(|packs| packs.iter().any(|name| name == pack));
    all.iter().find(is_it).unwrap_or_else(|| panic!("{pack} was not repaired: {report:#}"))
}

fn is_whole(world: &World, what: &str) {
    let verified = world.run(["verify", "--full"]);
    assert_eq!(verified.code, 0, "{what}: {verified:#?}");
    for (pack, code) in [
        ("one", "import alpha, alpha.more; print(alpha.more.more)"),
        ("two", "import alpha.more, beta; print(alpha.more.more)"),
        ("also-two", "import alpha.more, beta; print(alpha.more.more)"),
        ("three", "import gamma; print(1)"),
    ] {
        assert_eq!(world.python_in(pack, code), "1", "{what}: {pack}");
    }
}

#[test]
fn a_damaged_copy_is_assembled_anew_and_keeps_bindings_pins_and_links() {
    let world = world("copy");
    let link = world.path().join("link");
    world.ok(["pin", "release", "two"]);
    world.ok(["link".as_ref(), "two".as_ref(), link.as_os_str()]);
    let (before, old) = (world.json(["show", "two"]), path_of(&world, "two"));
    flip(&file(&world, "two", "alpha/more.py"), 0);
    assert_eq!(world.run(["verify"]).code, 0, "the stat walk cannot see it");
    let report = world.json(["verify", "two", "--full", "--repair"]);
    let two = repaired(&report, "two");
    assert_eq!((&two["from"], &two["quarantined"]), (&"objects".into(), &true.into()), "{report:#}");
    assert_eq!((&two["sharers"], &report["unrepaired"]), (&Value::Array(vec![]), &Value::Array(vec![])), "{report:#}");
    assert_eq!(two["packs"], serde_json::json!(["also-two", "two"]));
    let after = world.json(["show", "two"]);
    for same in ["env", "tree_digest", "generation"] {
        assert_eq!(after[same], before[same], "{same}");
    }
    assert_ne!(path_of(&world, "two"), old, "never mended in place");
    assert_eq!(fs::read_link(&link).expect("a link"), path_of(&world, "two"));
    let roots = world.json(["why", "two"])["roots"].to_string();
    assert!(roots.contains("release") && roots.contains("link"), "{roots}");
    assert!(!old.exists());
    let kept = world.listed("quarantine").remove(0);
    assert!(world.store().join("quarantine").join(&kept).join("env/pyvenv.cfg").exists());
    assert!(world.store().join("quarantine").join(&kept).join("manifest.json.gz").exists());
    is_whole(&world, "a copy");
}

#[test]
fn a_damaged_inode_is_repaired_in_every_environment_that_shares_it() {
    let world = world("hardlink");
    let (one, two) = (world.json(["show", "one"])["env"].clone(), world.json(["show", "two"])["env"].clone());
    let bad = file(&world, "one", "alpha/data.bin");
    assert!(fs::metadata(&bad).expect("stat").nlink() > 2);
    flip(&bad, 4000);
    // Only one is asked for; the other has the same inode.
    let report = world.json(["verify", "one", "--full", "--repair"]);
    assert_eq!(repaired(&report, "one")["sharers"], Value::Array(vec![two.clone()]), "{report:#}");
    assert_eq!(repaired(&report, "two")["sharers"], Value::Array(vec![one.clone()]), "{report:#}");
    let from: BTreeSet<_> = ["one", "two"].map(|pack| repaired(&report, pack)["from"].to_string()).into();
    assert!(from.contains("\"rebuilt\""), "the object was damaged: {report:#}");
    assert_eq!((&report["quarantined_objects"], &report["replaced_objects"]), (&1.into(), &1.into()), "{report:#}");
    assert_eq!(report["repaired"].as_array().map(Vec::len), Some(2), "{report:#}");
    is_whole(&world, "an inode");
    // The next environment with these files is linked again.
    assert_eq!(world.json(["ensure", "four", "--with", "alpha", "--with", "gamma"])["outcome"], "assembled");
}

#[test]
fn what_is_truncated_removed_added_remoded_or_lost_is_made_anew() {
    for link_mode in ["hardlink", "copy"] {
        let damage: [Damage; 8] = [
            ("truncated", |world| {
                let path = file(world, "one", "alpha/more.py");
                fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
                fs::File::options().write(true).open(&path).and_then(|file| file.set_len(0)).expect("truncates");
            }),
            ("removed", |world| fs::remove_file(file(world, "one", "alpha/more.py")).expect("removes")),
            ("added", |world| fs::write(path_of(world, "one").join("lib/added.py"), "").expect("writes")),
            ("re-moded", |world| {
                let path = file(world, "one", "alpha/more.py");
                fs::set_permissions(path, fs::Permissions::from_mode(0o666)).expect("chmod");
            }),
            ("led elsewhere", |world| {
                let path = path_of(world, "one").join("bin/python3");
                fs::set_permissions(path.parent().expect("bin"), fs::Permissions::from_mode(0o755)).expect("chmod");
                fs::remove_file(&path).expect("removes");
                std::os::unix::fs::symlink("/bin/false", path).expect("links");
            }),
            ("without a manifest", |world| {
                let name = path_of(world, "one").file_name().expect("a name").to_string_lossy().into_owned();
                fs::remove_file(world.store().join("manifests").join(name + ".json.gz")).expect("removes");
            }),
            ("without a lease file", |world| fs::remove_file(path_of(world, "one").join(".lease")).expect("removes")),
            ("gone", |world| fs::rename(path_of(world, "one"), world.path().join("gone")).expect("moves")),
        ];
        for (what, damage) in damage {
            let what = &format!("{what}, {link_mode}");
            let world = world(link_mode);
            damage(&world);
            let found = world.run(["verify"]);
            assert_eq!(found.code, 3, "{what}: {found:#?}");
            let report = world.json(["verify", "--repair"]);
            assert!(repaired(&report, "one")["from"].is_string(), "{what}: {report:#}");
            assert_eq!(report["unrepaired"], Value::Array(vec![]), "{what}: {report:#}");
            is_whole(&world, what);
            assert_eq!(world.listed("envs").len(), 3, "{what}");
        }
    }
}

#[test]
fn an_object_that_is_gone_comes_back_from_an_environment() {
    for link_mode in ["hardlink", "copy"] {
        let world = world(link_mode);
        let digest = blake3::hash(&[7; 5000]).to_hex();
        let object = world.store().join("objects").join(&digest[..2]).join(digest.as_str());
        fs::remove_file(&object).expect("removes");
        let found = world.json(["verify"]);
        assert_eq!(found["findings"][0]["kind"], "object_missing", "{found:#}");
        let report = world.json(["verify", "--repair"]);
        assert_eq!(
            (&report["replaced_objects"], &report["repaired"]),
            (&1.into(), &Value::Array(vec![])),
            "{report:#}"
        );
        assert_eq!(fs::read(&object).expect("is back"), [7; 5000]);
        is_whole(&world, link_mode);
        assert!(world.listed("staging").is_empty());
    }
}

#[test]
fn a_damaged_environment_in_use_stays_until_a_collection_finds_it_free() {
    let world = world("copy");
    let old = path_of(&world, "one");
    let mut action =
        world.command(["exec", "one", "--", "python", "-c", "import sys; print('up', flush=True); sys.stdin.read()"]);
    let mut action = action.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    let mut up = [0; 3];
    std::io::Read::read_exact(action.stdout.as_mut().expect("a pipe"), &mut up).expect("is up");
    flip(&file(&world, "one", "alpha/more.py"), 3);
    let report = world.json(["verify", "one", "--full", "--repair"]);
    assert_eq!(repaired(&report, "one")["quarantined"], false, "{report:#}");
    assert!(old.exists(), "what runs goes on");
    is_whole(&world, "in use");
    assert_eq!(world.json(["gc", "--idle", "0s"])["kept"]["leased"], 1);
    drop(action.stdin.take());
    action.wait().expect("ends");
    assert_eq!(world.json(["gc", "--idle", "0s"])["swept"], 1);
    assert!(!old.exists());
}

#[test]
fn what_cannot_be_made_again_stays_damaged_and_bound_and_says_why() {
    let world = world("hardlink");
    flip(&file(&world, "three", "gamma/own.py"), 3);
    fs::remove_file(world.wheels().join("gamma-1.0-py3-none-any.whl")).expect("removes");
    for cached in world.listed("cache") {
        let _ = fs::remove_dir_all(world.store().join("cache").join(cached));
    }
    let before = path_of(&world, "three");
    let ran = world.run(["--format", "json", "verify", "--full", "--repair"]);
    assert_eq!(ran.code, 3, "{ran:#?}");
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(report["unrepaired"][0]["packs"], serde_json::json!(["three"]), "{report:#}");
    assert!(report["unrepaired"][0]["message"].as_str().is_some_and(|why| why.contains("gamma")), "{report:#}");
    assert_eq!(path_of(&world, "three"), before);
}

#[test]
fn two_hundred_flipped_bytes_are_found_named_and_repaired() {
    for link_mode in ["hardlink", "copy"] {
        let world = World::new();
        world.install_setting(&format!("link_mode = {link_mode:?}"));
        for n in 0..12 {
            let mut wheel = Wheel::new(&format!("d{n}"), "1.0");
            for m in 0..10 {
                wheel = wheel.file(&format!("d{n}/m{m}.py"), format!("x = '{n} {m}'\n# {}\n", "text ".repeat(m)));
            }
            world.wheel(&wheel);
        }
        for pack in 0..6 {
            let with: Vec<String> = (0..12).filter(|n| n % 6 != pack).map(|n| format!("--with=d{n}")).collect();
            world.ok(["ensure".to_owned(), format!("p{pack}")].into_iter().chain(with));
        }
        let mut files: Vec<PathBuf> = walkdir::WalkDir::new(world.store().join("envs"))
            .into_iter()
            .flatten()
            .filter(|entry| entry.file_type().is_file() && entry.metadata().is_ok_and(|meta| meta.len() > 0))
            .map(walkdir::DirEntry::into_path)
            .collect();
        // The order of digests is as good as any, and the same on each run.
        files.sort_by_key(|path| {
            *blake3::hash(path.strip_prefix(world.store()).expect("below").as_os_str().as_encoded_bytes()).as_bytes()
        });
        let mut flipped = BTreeSet::new();
        let mut inodes = BTreeSet::new();
        for path in files.iter().filter(|path| inodes.insert(fs::metadata(path).expect("stat").ino())).take(200) {
            flip(path, flipped.len() as u64 * 7);
            flipped.insert(path.clone());
        }
        assert_eq!(flipped.len(), 200);
        let ran = world.run(["--format", "json", "verify", "--full", "--repair"]);
        assert_eq!(ran.code, 0, "{ran:#?}");
        let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        let said = report["findings"].to_string();
        for path in &flipped {
            let path = path.strip_prefix(world.store().join("envs")).expect("below");
            let (name, entry) = (path.iter().next().expect("a name"), path.iter().skip(1).collect::<PathBuf>());
            assert!(said.contains(&format!("`{}`", entry.display())), "{}: {said}", path.display());
            assert!(said.contains(&name.to_string_lossy().into_owned()), "{}", path.display());
        }
        let shared =
            report["repaired"].as_array().expect("a list").iter().any(|one| one["sharers"] != Value::Array(vec![]));
        assert_eq!(shared, link_mode == "hardlink", "{report:#}");
        assert_eq!(world.run(["verify", "--full"]).code, 0);
        for pack in 0..6 {
            let import = (0..12).filter(|n| n % 6 != pack).map(|n| format!("import d{n}.m3\n")).collect::<String>();
            world.python_in(&format!("p{pack}"), &import);
        }
    }
}

/// The kinds of what `verify` or `doctor` found, where it is worse than worth knowing.
fn kinds(report: &Value) -> BTreeSet<String> {
    let all = report["findings"].as_array().expect("a list");
    let bad = all.iter().filter(|one| one["level"] == "damage" || one["level"] == "warning");
    bad.map(|one| one["kind"].as_str().expect("a kind").to_owned()).collect()
}

#[test]
fn a_lost_lock_is_found_and_written_again_from_a_manifest() {
    type Damage = fn(&Path);
    let damage: [(&str, &str, Damage); 3] = [
        ("removed", "lock_missing", |path| fs::remove_file(path).expect("removes")),
        ("emptied", "lock_damaged", |path| fs::write(path, "").expect("writes")),
        ("changed", "lock_damaged", |path| fs::write(path, "version = 1\n").expect("writes")),
    ];
    for (mend, is_repair) in [(&["verify", "--repair"][..], true), (&["reindex"][..], false)] {
        for (what, kind, damage) in damage {
            let world = world("hardlink");
            world.ok(["ensure", "one", "--with", "gamma"]);
            let read = |world: &World| -> Vec<(String, Vec<u8>)> {
                let path = |name: &String| world.store().join("locks").join(name);
                world.listed("locks").iter().map(|name| (name.clone(), fs::read(path(name)).expect("reads"))).collect()
            };
            let before = read(&world);
            assert!(before.len() >= 3);
            for (name, _) in &before {
                let path = world.store().join("locks").join(name);
                fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
                damage(&path);
            }
            for command in [&["verify"][..], &["doctor"], &["doctor", "one"]] {
                let ran = world.run([&["--format", "json"], command].concat());
                let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
                assert_eq!(ran.code, 3, "{what}, {command:?}: {report:#}");
                assert!(kinds(&report).contains(kind), "{what}, {command:?}: {report:#}");
            }
            let mended = world.json(mend);
            if is_repair {
                assert_eq!(mended["restored_locks"], before.len(), "{what}: {mended:#}");
                assert_eq!(mended["unrepaired"], Value::Array(vec![]), "{what}: {mended:#}");
            }
            assert_eq!(read(&world), before, "{what}, {mend:?}");
            assert_eq!(world.run(["verify", "--full"]).code, 0, "{what}, {mend:?}");
        }
    }
}

#[test]
fn a_lost_lock_that_no_manifest_holds_is_told_with_the_generation_it_was_for() {
    let world = world("hardlink");
    world.ok(["ensure", "three", "--with", "gamma", "--with", "alpha"]);
    let first = world.json(["history", "three"])["generations"][1]["lock"].as_str().expect("a digest").to_owned();
    world.ok(["gc", "--idle", "0s", "--drop-retained"]);
    fs::remove_file(world.store().join("locks").join(first.clone() + ".toml")).expect("the lock of a generation stays");
    let report = world.json(["verify"]);
    assert_eq!(kinds(&report), BTreeSet::from(["lock_missing".into()]), "{report:#}");
    let finding = &report["findings"][0];
    let message = finding["message"].as_str().expect("a message");
    assert!(message.contains(&first) && message.contains("pack `three` (generation 1)"), "{message}");
    assert_eq!(
        (&finding["level"], &finding["hint"]),
        (&"warning".into(), &Value::Null),
        "nothing can be done: {report:#}"
    );
    assert_eq!(world.run(["verify", "--repair"]).code, 0);
}

#[test]
fn a_lost_manifest_is_found_by_doctor_and_its_environment_made_again() {
    for is_lock_lost in [false, true] {
        let world = world("hardlink");
        let name = path_of(&world, "one").file_name().expect("a name").to_string_lossy().into_owned();
        let lock = world.json(["history", "one"])["generations"][0]["lock"].as_str().expect("a digest").to_owned();
        fs::remove_file(world.store().join("manifests").join(name + ".json.gz")).expect("removes");
        if is_lock_lost {
            fs::remove_file(world.store().join("locks").join(lock + ".toml")).expect("removes");
        }
        let report = world.json(["doctor"]);
        assert!(kinds(&report).contains("manifest_missing"), "{report:#}");
        assert_eq!(world.run(["doctor"]).code, 3);
        let repaired = world.run(["verify", "--repair"]);
        // Without its lock nothing says what it was made of: it stays, and that is told.
        assert_eq!(repaired.code, if is_lock_lost { 3 } else { 0 }, "{repaired:#?}");
        world.python_in("one", "import alpha.more");
        assert_eq!(world.run(["doctor"]).code, if is_lock_lost { 3 } else { 0 });
    }
}
