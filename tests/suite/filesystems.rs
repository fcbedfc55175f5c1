//! Filesystems other than the tests' own: reflinks where there are any.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Mount, Wheel, World, skipped};

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

/// Two environments that share a big file by reflinks: it is weighed once, and freed once.
fn what_reflinks_share_weighs_once(mkfs: &[&str]) {
    let Some(mount) = Mount::new(mkfs, 512) else { return };
    let world = World::new();
    let big = 4_000_000;
    world.wheel(&Wheel::new("alpha", "1.0").file("alpha/big.txt", "data".repeat(big / 4)));
    world.wheel(&Wheel::new("beta", "1.0").requires("alpha"));
    let store = mount.path().join("store");
    let json =
        |args: &[&str]| world.json(["--store", &store.display().to_string()].into_iter().chain(args.iter().copied()));
    let bytes = |value: &serde_json::Value| value.as_u64().unwrap_or_else(|| panic!("{value:#}")) as usize;
    json(&["ensure", "one", "--with", "alpha"]);
    let one = json(&["du"]);
    json(&["ensure", "two", "--with", "beta"]);
    let two = json(&["du"]);
    assert_eq!(json(&["show", "two"])["link_mode"], "reflink");
    assert!(bytes(&one["by_kind"]["objects"]) > big && bytes(&one["by_kind"]["environments"]) < big / 10, "{one:#}");
    assert!(bytes(&two["total_bytes"]) - bytes(&one["total_bytes"]) < big / 2, "{one:#}\n{two:#}");
    assert!(bytes(&two["saved_by_sharing_files"]) > big, "{two:#}");
    for env in two["by_env"].as_array().expect("a list") {
        assert!(bytes(&env["unique_bytes"]) < big / 2 && bytes(&env["bytes"]) > big, "{two:#}");
    }
    // The first one alone frees little, as is said before and after.
    json(&["ensure", "one", "-r", "/dev/null"]);
    let gc = ["gc", "--idle", "0s", "--drop-retained"];
    let (planned, freed) = (json(&[&gc[..], &["--dry-run"]].concat()), json(&gc));
    for report in [&planned, &freed] {
        let freed = &report["freed_by_kind"];
        assert!(
            report["condemned"] == 1 && bytes(&freed["environments"]) + bytes(&freed["objects"]) < big / 2,
            "{report:#}"
        );
    }
    // With the last the file goes, once.
    let removed = json(&["remove", "two"]);
    assert!((big..big * 3 / 2).contains(&bytes(&removed["freed_bytes"])), "{removed:#}");
}

#[test]
fn what_reflinks_share_weighs_once_on_btrfs() {
    what_reflinks_share_weighs_once(&["mkfs.btrfs", "-q"]);
}

#[test]
fn what_reflinks_share_weighs_once_on_xfs() {
    what_reflinks_share_weighs_once(&["mkfs.xfs", "-q", "-m", "reflink=1"]);
}

/// Runs btrfs(8) and returns what it prints; none where it fails.
fn btrfs(args: &[&str], path: &Path) -> Option<String> {
    let output = Command::new("btrfs").args(args).arg(path).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_used_up_quota_is_told_as_such_and_the_ways_out_stay_open() {
    let Some(mount) = Mount::new(&["mkfs.btrfs", "-q"], 512) else { return };
    let place = mount.path().join("limited");
    if btrfs(&["subvolume", "create"], &place).is_none() || btrfs(&["quota", "enable"], &mount.path()).is_none() {
        return skipped("btrfs has no quotas here");
    }
    let world = World::new();
    for version in ["1.0", "2.0", "3.0"] {
        world.wheel(&Wheel::new("alpha", version).file("alpha/data.txt", version.repeat(200_000)));
    }
    let store = place.join("store").display().to_string();
    let run = |args: &[&str]| world.run(["--store", &store].into_iter().chain(args.iter().copied()));
    for version in ["alpha==1.0", "alpha==2.0"] {
        let done = run(&["ensure", "pack", "--with", version]);
        assert_eq!(done.code, 0, "{done:#?}");
    }
    // Nothing more than there is.
    let shown = btrfs(&["qgroup", "show", "--raw", "--sync", "-f"], &place).expect("shows");
    let used = shown.lines().rev().find_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    let limit = used.expect("a number").to_string();
    assert!(btrfs(&["qgroup", "limit", &limit], &place).is_some(), "{shown}");
    let refused = run(&["ensure", "other", "--with", "alpha==3.0"]);
    assert_eq!(refused.code, 4, "{refused:#?}");
    assert!(refused.stderr.contains("quota") && !refused.stderr.contains("reindex"), "{refused:#?}");
    for args in [
        &["resolve", "pack"][..],
        &["list"],
        &["rollback", "pack"],
        &["exec", "pack", "--", "python", "-c", "import alpha; assert alpha.version == '1.0'"],
        &["gc", "--idle", "0s", "--drop-retained"],
    ] {
        let done = run(args);
        assert_eq!(done.code, 0, "{args:?}: {done:#?}");
    }
}
