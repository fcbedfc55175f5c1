//! The collector never gives up: what cannot be removed is kept and named, and does not stop the rest.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::support::{Overlay, Wheel, World, skipped};

/// Makes files and directories below one immutable (`chattr +i`) until the test ends.
pub struct Immutable(pub PathBuf);

impl Immutable {
    /// False: that cannot be done here, which was said loudly.
    pub fn add(&self, path: &Path) -> bool {
        let done = Command::new("chattr").arg("+i").arg(path).output();
        let is_done = done.is_ok_and(|done| done.status.success());
        if !is_done {
            skipped("`chattr +i` needs root and a filesystem that has it");
        }
        is_done
    }

    /// Wherever they are by now.
    fn release(&self) {
        let _ = Command::new("chattr").args(["-R", "-f", "-i"]).arg(&self.0).status();
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        self.release();
    }
}

fn age(path: &Path) {
    let then = SystemTime::now() - Duration::from_secs(60 * 24 * 3600);
    fs::File::open(path).and_then(|file| file.set_modified(then)).expect("sets the time");
}

fn skipped_paths(done: &serde_json::Value) -> BTreeSet<PathBuf> {
    let all = done["skipped"].as_array().expect("a list");
    all.iter().map(|one| one["path"].as_str().expect("a path").into()).collect()
}

/// Garbage of every kind, each twice: the first can be removed, the second is to stay.
fn garbage(world: &World) -> Vec<[PathBuf; 2]> {
    let store = world.store().canonicalize().expect("a root");
    let hex = |digit: &str| digit.repeat(64);
    let trees: [[PathBuf; 2]; 5] = [
        [store.join("trash/aaa-1"), store.join("trash/bbb-1")],
        [store.join("staging/build-1"), store.join("staging/build-2")],
        [store.join("envs").join("a".repeat(32)), store.join("envs").join("b".repeat(32))],
        [store.join("quarantine/old-1"), store.join("quarantine/old-2")],
        [store.join("cache/stray-1"), store.join("cache/stray-2")],
    ];
    let files = [
        [store.join("logs/one.log"), store.join("logs/two.log")],
        [store.join("guards/env-one"), store.join("guards/env-two")],
        [store.join("locks").join(hex("a") + ".toml"), store.join("locks").join(hex("b") + ".toml")],
        [store.join("objects/aa").join(hex("a")), store.join("objects/bb").join(hex("b"))],
        [store.join("staging/write-1"), store.join("staging/write-2")],
    ];
    for tree in trees.as_flattened() {
        fs::create_dir_all(tree.join("deep")).expect("a directory");
        fs::write(tree.join("deep/file"), "bytes").expect("a file");
        age(tree);
    }
    for file in files.as_flattened() {
        fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
        fs::write(file, "bytes").expect("a file");
        age(file);
    }
    trees.into_iter().chain(files).collect()
}

#[test]
fn what_cannot_be_removed_is_kept_and_named_and_everything_else_is_collected() {
    let world = World::new();
    world.configure("[gc]\nmin_free = \"0\"\ncache_max_size = \"0\"\n");
    for version in ["1.0", "2.0", "3.0"] {
        world.wheel(&Wheel::new("alpha", version));
    }
    let path = |pack: &str| PathBuf::from(world.json(["resolve", pack])["path"].as_str().expect("a path"));
    world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
    let goes = path("pack");
    world.ok(["ensure", "pack", "--with", "alpha==2.0"]);
    let stays = path("pack");
    world.ok(["ensure", "pack", "--with", "alpha==3.0"]);
    let immutable = Immutable(world.store());
    let garbage = garbage(&world);
    for [_, stays] in &garbage {
        // In a tree something deep down, so that it is found while the rest goes.
        let inner = stays.join("deep/file");
        if !immutable.add(if inner.exists() { &inner } else { stays }) {
            return;
        }
    }
    assert!(immutable.add(&stays));

    let ran = world.run(["--format", "json", "gc", "--idle", "0s", "--drop-retained"]);
    let done: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(ran.code, 0, "what stays is no failure: {done:#}");
    let mut expected: BTreeSet<PathBuf> = garbage.iter().map(|[_, stays]| stays.clone()).collect();
    expected.insert(stays.clone());
    // What left its place for `trash/` in one step is named where it was.
    assert_eq!(skipped_paths(&done), expected, "{done:#}");
    for one in done["skipped"].as_array().expect("a list") {
        let reason = one["reason"].as_str().expect("a reason");
        assert!(reason.contains("cannot ") && reason.contains("Operation not permitted"), "{reason}");
    }
    for [goes, _] in &garbage {
        assert!(!goes.exists(), "{}: {done:#}", goes.display());
    }
    assert_eq!((&done["swept"], goes.exists(), stays.exists()), (&1.into(), false, true), "{done:#}");
    // What stays is as it was: an environment that could not be moved has its manifest, and is taken back by who wants it.
    let verified = world.json(["verify", "--full"]);
    let findings = verified["findings"].as_array().expect("a list");
    assert!(findings.iter().all(|one| one["kind"] == "object_damaged"), "only the object that is none: {verified:#}");
    let human = world.run(["gc", "--idle", "0s", "--drop-retained"]);
    assert_eq!(human.code, 0, "{human:#?}");
    assert!(human.stdout.contains("could not be inspected or removed and stay:"), "{human:#?}");
    let again = world.json(["ensure", "other", "--with", "alpha==2.0"]);
    assert_eq!((&again["outcome"], path("other")), (&"shared".into(), stays.clone()), "{again:#}");

    immutable.release();
    world.ok(["remove", "other"]);
    let done = world.json(["gc", "--idle", "0s", "--drop-retained"]);
    assert_eq!(skipped_paths(&done), BTreeSet::new(), "{done:#}");
    assert_eq!((world.listed("trash"), world.listed("staging")), (vec![], vec![]));
    assert_eq!((world.listed("envs").len(), world.listed("manifests").len()), (1, 1));
    for path in garbage.as_flattened() {
        assert!(!path.exists(), "{}: {done:#}", path.display());
    }
}

#[test]
fn a_directory_that_is_missing_holds_nothing() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    world.ok(["remove", "pack", "--keep-history"]);
    let store = world.store();
    // What a backup leaves out because it is empty.
    for dir in ["quarantine", "logs", "trash", "staging"] {
        fs::remove_dir_all(store.join(dir)).expect("removes");
    }
    fs::write(store.join("objects/stray"), "").expect("a file");
    let ran = world.run(["--format", "json", "gc", "--idle", "0s", "--drop-retained"]);
    let done: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((ran.code, skipped_paths(&done)), (0, BTreeSet::new()), "{done:#}");
    assert!(!store.join("objects/stray").exists());
}

#[test]
fn removing_a_pack_succeeds_although_its_environment_cannot_be_deleted() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    let env = PathBuf::from(world.json(["resolve", "pack"])["path"].as_str().expect("a path"));
    let immutable = Immutable(world.store());
    if !immutable.add(&env) {
        return;
    }
    let ran = world.run(["--format", "json", "remove", "pack"]);
    let removed: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((ran.code, &removed["env_removed"]), (0, &false.into()), "{removed:#}");
    assert_eq!(skipped_paths(&removed), BTreeSet::from([env]), "{removed:#}");
    immutable.release();
    assert_eq!(world.json(["gc", "--idle", "0s"])["swept"], 1);
}

#[test]
fn what_is_in_use_or_cannot_be_moved_does_not_count_towards_a_target() {
    let world = World::new();
    world.configure("[gc]\nmin_free = \"0\"\ncache_max_size = \"0\"\n");
    for name in ["alpha", "beta"] {
        world.wheel(&Wheel::new(name, "1.0").file(&format!("{name}/big"), vec![7; 3 << 20]));
    }
    world.wheel(&Wheel::new("gamma", "1.0"));
    world.ok(["ensure", "first", "--with", "alpha"]);
    let env = PathBuf::from(world.json(["resolve", "first"])["path"].as_str().expect("a path"));
    world.ok(["ensure", "second", "--with", "beta"]);
    world.ok(["ensure", "second", "--with", "gamma"]);
    let immutable = Immutable(world.store());
    if !immutable.add(&env) {
        return;
    }
    world.ok(["remove", "first", "--keep-history"]);
    // What the cache holds would be enough.
    world.ok(["gc"]);
    let total = world.json(["du"])["total_bytes"].as_u64().expect("bytes");
    // The one used longest ago is big enough for the target, and cannot go.
    let limit = (total - (1 << 20)).to_string();
    let done = world.json(["gc", "--idle", "0s", "--drop-retained", "--max-size", &limit]);
    assert_eq!(skipped_paths(&done), BTreeSet::from([env]), "{done:#}");
    assert_eq!((&done["swept"], &done["condemned"]), (&1.into(), &2.into()), "{done:#}");
}

#[test]
fn a_store_in_the_lower_layer_of_an_overlay_is_collected_as_far_as_that_can_be() {
    let world = World::new();
    for version in ["1.0", "2.0"] {
        world.wheel(&Wheel::new("alpha", version));
    }
    world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
    let store = world.store();
    for left in ["trash/old/deep", "staging/build-1/work", "staging/write-1", "quarantine/old/env"] {
        fs::create_dir_all(store.join(left)).expect("a directory");
    }
    age(&store.join("quarantine/old"));
    let lower = PathBuf::from(world.json(["resolve", "pack"])["path"].as_str().expect("a path"));
    let Some(_overlay) = Overlay::new(&store) else { return };
    world.ok(["ensure", "pack", "--with", "alpha==2.0"]);
    for _ in 0..2 {
        let ran = world.run(["--format", "json", "gc", "--idle", "0s", "--drop-retained"]);
        let done: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
        assert_eq!((ran.code, &done["kept"]["lower_layer"], &done["swept"]), (0, &1.into(), &0.into()), "{done:#}");
        assert_eq!(skipped_paths(&done), BTreeSet::new(), "it is no failure: {done:#}");
        for dir in ["trash", "staging", "quarantine"] {
            assert_eq!(world.listed(dir), Vec::<String>::new(), "{dir}: {done:#}");
        }
    }
    assert_eq!(world.run(["verify", "--full"]).code, 0);
    assert_eq!(world.run(["doctor"]).code, 0);
    // It names no pack any more, and a pack that wants it takes it back.
    let again = world.json(["ensure", "other", "--with", "alpha==1.0"]);
    assert_eq!(again["outcome"], "shared", "{again:#}");
    assert_eq!(world.json(["resolve", "other"])["path"].as_str().map(Path::new), Some(lower.as_path()));
    // A damaged one is made again, and stays where it is.
    let file =
        walkdir::WalkDir::new(&lower).into_iter().flatten().find(|entry| entry.path().ends_with("alpha/__init__.py"));
    let file = file.expect("a file").into_path();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("chmod");
    fs::write(&file, "damaged").expect("writes");
    let repaired = world.run(["verify", "other", "--repair"]);
    assert_eq!(repaired.code, 0, "{repaired:#?}");
    world.python_in("other", "import alpha; alpha.version");
    let done = world.json(["gc", "--idle", "0s", "--drop-retained"]);
    assert_eq!(done["kept"]["lower_layer"], 1, "{done:#}");
    // The damaged one is not taken back, although nothing else of its key is there.
    assert_eq!(world.json(["remove", "other"])["env_removed"], true);
    world.ok(["ensure", "third", "--with", "alpha==1.0"]);
    assert_ne!(world.json(["resolve", "third"])["path"].as_str().map(Path::new), Some(lower.as_path()));
    world.python_in("third", "import alpha; alpha.version");
}
