//! Filesystems other than the tests' own: reflinks where there are any.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::support::{Mount, Wheel, World};

/// A file of an environment, by the end of its path.
fn find(env: &Path, end: &str) -> PathBuf {
    let mut entries = walkdir::WalkDir::new(env).into_iter().flatten();
    entries.find(|entry| entry.path().ends_with(end)).unwrap_or_else(|| panic!("no {end}")).into_path()
}

/// Two environments that share files by reflinks: a write in place to one of them changes no other, nor the object.
fn a_write_in_place_stays_where_it_is(mkfs: &[&str]) {
    let Some(mount) = Mount::new(mkfs, 512) else { return };
    let world = World::new();
    let big = "x = 1\n# ".to_owned() + &"data ".repeat(50_000);
    world.wheel(&Wheel::new("alpha", "1.0").file("alpha/big.py", &big));
    world.wheel(&Wheel::new("beta", "1.0").requires("alpha"));
    let store = mount.path().join("store");
    let store = store.to_string_lossy();
    let path = |pack: &str| -> PathBuf {
        world.json(["--store", &store, "resolve", pack])["path"].as_str().expect("a path").into()
    };
    world.ok(["--store", &store, "ensure", "one", "--with", "alpha"]);
    let two = world.json(["--store", &store, "ensure", "two", "--with", "beta"]);
    assert_eq!(two["outcome"], "built", "{two:#}");
    let three = world.json(["--store", &store, "ensure", "three", "--with", "beta", "--with", "alpha"]);
    assert_eq!(three["outcome"], "shared", "{three:#}");
    assert_eq!(world.json(["--store", &store, "show", "one"])["link_mode"], "reflink");

    let (one, two) = (find(&path("one"), "alpha/big.py"), find(&path("two"), "alpha/big.py"));
    let meta = |path: &Path| fs::metadata(path).expect("stat");
    assert_eq!((meta(&one).nlink(), meta(&two).nlink()), (1, 1));
    assert_ne!(meta(&one).ino(), meta(&two).ino());
    fs::set_permissions(&one, fs::Permissions::from_mode(0o644)).expect("chmod");
    fs::write(&one, "x = 2\n").expect("writes in place");
    assert_eq!(fs::read_to_string(&two).expect("reads"), big);
    let found = world.json(["--store", &store, "verify", "--full"]);
    let findings = found["findings"].as_array().expect("a list");
    assert_eq!(findings.len(), 1, "{found:#}");
    assert!(findings[0]["message"].as_str().is_some_and(|said| said.contains("alpha/big.py")), "{found:#}");
    let rebuilt = world.json(["--store", &store, "ensure", "one", "--rebuild"]);
    assert_eq!(rebuilt["outcome"], "built", "{rebuilt:#}");
    assert_eq!(fs::read_to_string(find(&path("one"), "alpha/big.py")).expect("reads"), big);
}

#[test]
fn a_write_in_place_on_btrfs_changes_no_other_environment() {
    a_write_in_place_stays_where_it_is(&["mkfs.btrfs", "-q"]);
}

#[test]
fn a_write_in_place_on_xfs_changes_no_other_environment() {
    a_write_in_place_stays_where_it_is(&["mkfs.xfs", "-q", "-m", "reflink=1"]);
}
