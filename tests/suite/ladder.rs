//! P13: everything has a limit, and a full disk is got out of; a clock that jumps takes nothing.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use envstore::cancel::Cancel;
use envstore::clock::Clock;
use envstore::store::{Gc, Store};
use jiff::{SignedDuration, Timestamp};

use crate::support::{Mount, Wheel, World};

const DAY: u64 = 24 * 3600;

#[derive(Debug)]
struct Moved(SignedDuration);

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        let now = Timestamp::from_second(Timestamp::now().as_second()).expect("a time");
        now.checked_add(self.0).expect("a time")
    }
}

fn age(path: &Path, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * DAY);
    fs::File::open(path).and_then(|file| file.set_modified(then)).expect("sets the time");
}

#[test]
fn a_clock_that_jumps_ten_years_collects_nothing() {
    for years in [10, -10] {
        let world = World::new();
        for name in ["alpha", "beta", "gamma"] {
            world.wheel(&Wheel::new(name, "1.0"));
        }
        world.ok(["ensure", "pack", "--with", "alpha"]);
        world.ok(["ensure", "pack", "--with", "beta"]);
        world.ok(["ensure", "kept", "--with", "gamma"]);
        world.ok(["pin", "release", "kept", "--until", "2031-01-01"]);
        world.ok(["remove", "kept", "--keep-history"]);
        let moved = SignedDuration::from_hours(years * 365 * 24);
        let store = Store::builder(world.store()).clock(Arc::new(Moved(moved))).open().expect("opens");
        let done = store.gc(&Gc::default(), &Cancel::new()).expect("collects");
        assert_eq!((done.swept, done.mark_only), (0, true), "{years}: {done:?}");
        assert_eq!(done.freed_by_kind.objects + done.freed_by_kind.logs, 0, "{years}: {done:?}");
        drop(store);
        assert_eq!(world.listed("envs").len(), 3, "{years}");
        assert_eq!(world.json(["history", "pack"])["generations"][1]["present"], true, "{years}");
        assert!(
            world.json(["why", "kept"]).to_string().contains("release") || world.listed("pins").len() == 1,
            "{years}"
        );
        // The clock is right again, which is a jump as well; then all is as ever.
        assert_eq!(world.json(["gc"])["mark_only"], true, "{years}");
        assert_eq!(world.json(["gc"])["mark_only"], false, "{years}");
        world.ok(["rollback", "pack"]);
        assert_eq!(world.python_in("pack", "import alpha; print(alpha.version)"), "1.0");
    }
}

#[test]
fn logs_quarantine_guards_and_locks_end() {
    let world = World::new();
    for name in ["alpha", "beta"] {
        world.wheel(&Wheel::new(name, "1.0"));
    }
    world.ok(["ensure", "one", "--with", "alpha"]);
    world.ok(["ensure", "two", "--with", "beta"]);
    let store = world.store();
    fs::create_dir(store.join("quarantine/old")).expect("a directory");
    fs::create_dir(store.join("quarantine/young")).expect("a directory");
    age(&store.join("quarantine/old"), 31);
    let logs = world.listed("logs");
    age(&store.join("logs").join(&logs[0]), 31);
    for guard in world.listed("guards") {
        age(&store.join("guards").join(guard), 2);
    }
    let stray = store.join("locks").join(format!("{}.toml", "0".repeat(64)));
    fs::write(&stray, "x").expect("a file");
    let dry = world.json(["gc", "--dry-run"]);
    assert!(stray.exists() && store.join("quarantine/old").exists());
    let done = world.json(["gc"]);
    for kind in ["logs", "quarantine", "locks"] {
        assert!(done["freed_by_kind"][kind].as_u64() > Some(0), "{kind}: {done:#}");
        assert_eq!(done["freed_by_kind"][kind], dry["freed_by_kind"][kind], "{kind}");
    }
    assert_eq!(world.listed("quarantine"), ["young"]);
    assert_eq!(world.listed("logs"), logs[1..]);
    assert_eq!(world.listed("locks").len(), 2);
    let left = world.listed("guards");
    assert!(left.iter().all(|name| !name.starts_with("env-") && !name.starts_with("spec-")), "{left:?}");
    assert_eq!(world.json(["ensure", "one"])["outcome"], "hit");
    assert_eq!(world.json(["ensure", "two", "--rebuild"])["outcome"], "built");
}

#[test]
fn the_lock_and_the_log_of_a_removed_pack_go_when_nothing_names_them() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "one", "--with", "alpha"]);
    world.ok(["ensure", "two", "--with", "alpha"]);
    world.ok(["remove", "one"]);
    assert_eq!((world.listed("locks").len(), world.listed("logs").len()), (1, 1), "the other pack has them");
    world.ok(["remove", "two", "--keep-history"]);
    assert_eq!(world.listed("locks").len(), 1, "its history needs it");
    world.ok(["rollback", "two"]);
    world.ok(["remove", "two"]);
    assert_eq!((world.listed("locks").len(), world.listed("logs").len()), (0, 0));
}

#[test]
fn a_build_beyond_a_limit_collects_by_itself_once_a_day() {
    let world = World::new();
    for name in ["alpha", "beta", "gamma"] {
        world.wheel(&Wheel::new(name, "1.0").file(&format!("{name}/big.bin"), vec![name.as_bytes()[0]; 300_000]));
    }
    world.configure("[gc]\nmin_free = \"0\"\nidle = \"0s\"\nmax_size = \"1kB\"\n");
    world.ok(["ensure", "one", "--with", "alpha"]);
    // What the installer keeps of components is what goes first.
    assert!(
        fs::read_dir(world.store().join("cache"))
            .expect("lists")
            .flatten()
            .all(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
    );
    world.ok(["remove", "one", "--keep-history"]);
    world.ok(["ensure", "two", "--with", "beta"]);
    let cached = walkdir::WalkDir::new(world.store().join("cache")).into_iter().flatten().count();
    assert!(cached > 5, "not twice a day");
    assert_eq!(world.python_in("two", "import beta; print(beta.version)"), "1.0");
}

/// A full disk: told by whoever runs into it, got out of by `gc`, and the next build succeeds.
fn a_full_filesystem(mkfs: &[&str], fill: impl Fn(&Path)) {
    let Some(mount) = Mount::new(mkfs, 64) else { return };
    let world = World::new();
    let store = mount.path().join("store");
    let store_text = store.to_string_lossy().into_owned();
    let args = |more: &[&str]| -> Vec<String> {
        ["--store", &store_text].iter().chain(more).map(|text| (*text).to_owned()).collect()
    };
    for name in ["alpha", "beta", "gamma"] {
        let mut wheel = Wheel::new(name, "1.0").file(&format!("{name}/big.bin"), vec![name.as_bytes()[0]; 2_000_000]);
        for n in 0..60 {
            wheel = wheel.file(&format!("{name}/m{n}.py"), format!("{name} = {n}\n"));
        }
        world.wheel(&wheel);
    }
    world.ok(args(&["ensure", "one", "--with", "alpha"]));
    world.ok(args(&["ensure", "two", "--with", "beta"]));
    world.ok(args(&["remove", "two", "--keep-history"]));
    assert!(store.join("ballast").exists());
    fill(&mount.path());
    let failed = world.run(args(&["ensure", "three", "--with", "gamma"]));
    assert_eq!(failed.code, 4, "{failed:#?}");
    assert!(failed.stderr.contains(" free on its filesystem"), "{}", failed.stderr);
    assert!(failed.stderr.contains(&format!("mounted at `{}`", mount.path().display())), "{}", failed.stderr);
    // What is there needs no room.
    world.ok(args(&["exec", "one", "--", "python", "-c", "import alpha.m7"]));
    assert_eq!(world.run(args(&["ensure", "one", "--with", "alpha"])).code, 0);
    let done = world.run(args(&["--format", "json", "gc", "--idle", "0s"]));
    assert_eq!(done.code, 0, "{done:#?}");
    let done: serde_json::Value = serde_json::from_str(&done.stdout).expect("JSON");
    for kind in ["cache", "objects"] {
        assert!(done["freed_by_kind"][kind].as_u64() > Some(0), "{done:#}");
    }
    fs::remove_file(mount.path().join("filler")).expect("somebody else's files go too");
    let _ = fs::remove_dir_all(mount.path().join("fillers"));
    world.ok(args(&["gc"]));
    assert!(store.join("ballast").exists(), "made again");
    world.ok(args(&["ensure", "three", "--with", "gamma"]));
    for (pack, module) in [("one", "alpha"), ("three", "gamma")] {
        let code = format!("import {module}.m7");
        world.ok(args(&["exec", pack, "--", "python", "-c", &code]));
    }
}

/// Fills a filesystem to its last block.
fn fill(root: &Path) {
    use std::io::Write;
    let mut filler = fs::File::create(root.join("filler")).expect("a file");
    for size in [1 << 20, 4096, 1024, 1] {
        while filler.write_all(&vec![1; size]).and_then(|()| filler.sync_data()).is_ok() {}
    }
}

#[test]
fn a_full_filesystem_is_told_of_and_got_out_of() {
    a_full_filesystem(&["mkfs.ext4", "-q", "-F", "-m", "0", "-b", "4096"], fill);
}

/// The index's shared memory is made with holes there, and a write to a mapped hole on a full filesystem is SIGBUS.
#[test]
fn a_full_filesystem_of_small_blocks_kills_nobody() {
    a_full_filesystem(&["mkfs.ext4", "-q", "-F", "-m", "0", "-b", "1024"], fill);
}

#[test]
fn a_filesystem_without_inodes_is_told_of_and_got_out_of() {
    a_full_filesystem(&["mkfs.ext4", "-q", "-F", "-m", "0", "-b", "4096", "-N", "1600"], |root| {
        fs::write(root.join("filler"), "x").expect("a file");
        fs::create_dir(root.join("fillers")).expect("a directory");
        let mut made = 0;
        while fs::write(root.join(format!("fillers/{made}")), "").is_ok() {
            made += 1;
        }
        assert!(made > 10);
    });
}
