//! F5, F13: what a kernel or a filesystem refuses. Descriptors run out, an inode takes no more links, a directory is another
//! filesystem, a mount is read-only: told, or gone round, and nothing is harmed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{Image, Wheel, World, skipped};

fn world() -> World {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0").file("alpha/data.txt", "data").script("alpha-say = alpha:main"));
    world.wheel(&Wheel::new("beta", "1.0").requires("alpha"));
    world
}

/// Whatever was refused, what was there is whole, and it goes on once nothing is refused any more.
fn goes_on(world: &World, what: &str) {
    assert_eq!(world.python_in("pack", "import alpha; print(alpha.version)"), "1.0", "{what}");
    world.ok(["ensure", "other", "--with", "beta"]);
    assert_eq!(world.python_in("other", "import beta; print(beta.version)"), "1.0", "{what}");
    world.ok(["gc", "--idle", "0s"]);
    assert_eq!((world.listed("staging"), world.listed("trash")), (vec![], vec![]), "{what}");
    let verified = world.run(["verify", "--full"]);
    assert_eq!(verified.code, 0, "{what}: {verified:#?}");
}

#[test]
fn descriptors_that_run_out_are_told_of_and_harm_nothing() {
    let world = world();
    world.ok(["ensure", "pack", "--with", "alpha"]);
    let mut told = 0;
    for limit in [4, 6, 8, 10, 12, 14, 16, 20, 24, 32, 64] {
        for args in [
            &["ensure", "other", "--with", "beta"][..],
            &["resolve", "pack"],
            &["verify", "--full"],
            &["ensure", "pack", "--rebuild"],
            &["gc", "--idle", "0s", "--drop-retained"],
            &["reindex"],
            &["remove", "other"],
        ] {
            let done = world.run_limited(&format!("--nofile={limit}:{limit}"), args);
            // Without descriptors the loader itself fails, with 127. Never a bug (70), never a signal; not found (5) after a failed ensure.
            assert!([0, 1, 3, 4, 5, 6, 127].contains(&done.code), "{limit} {args:?}: {done:#?}");
            told += u32::from(done.code != 0 && done.stderr.contains("Too many open files"));
        }
    }
    assert!(told > 0, "some limit is too low");
    goes_on(&world, "after all limits");
}

#[test]
fn who_may_not_make_files_longer_is_answered_all_the_same() {
    let world = world();
    world.ok(["ensure", "pack", "--with", "alpha"]);
    for _ in 0..2 {
        let done = world.run_limited("--fsize=1024:1024", ["exec", "pack", "--", "python", "-c", "print(1)"]);
        assert_eq!((done.code, done.stdout.is_empty()), (0, false), "{done:#?}");
    }
    assert!(!world.store().join("answers").exists(), "nothing is kept where that would end the process");
    goes_on(&world, "without a limit");
}

#[test]
fn an_inode_that_takes_no_more_links_is_followed_by_another() {
    let world = world();
    world.install_setting("link_mode = \"hardlink\"");
    world.ok(["ensure", "pack", "--with", "alpha"]);
    let digest = blake3::hash(b"data").to_hex();
    let object = world.store().join("objects").join(&digest[..2]).join(digest.as_str());
    let links = world.path().join("links");
    fs::create_dir(&links).expect("a directory");
    let refused = (0..70_000).find(|n| fs::hard_link(&object, links.join(n.to_string())).is_err());
    if refused.is_none() {
        return skipped("this filesystem has no limit for links");
    }
    let before = fs::metadata(&object).expect("stat").ino();
    goes_on(&world, "at the limit");
    assert_ne!(fs::metadata(&object).expect("stat").ino(), before, "another inode under the same name");
    let old: PathBuf = world.json(["resolve", "pack"])["path"].as_str().expect("a path").into();
    let mut files = walkdir::WalkDir::new(old).into_iter().flatten();
    let kept = files.find(|entry| entry.path().ends_with("alpha/data.txt")).expect("the file");
    assert_eq!(kept.metadata().expect("stat").ino(), before, "environments keep the old one");
}

#[test]
fn a_directory_that_is_another_filesystem_is_told_of_and_harms_nothing() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("mounting a filesystem needs root");
    }
    for dir in ["staging", "trash", "objects", "cache"] {
        let world = world();
        world.ok(["ensure", "pack", "--with", "alpha"]);
        let other = world.store().join(dir);
        // What is in it stays in sight: the same files, another mount.
        let mounted = Command::new("mount").args(["--bind"]).args([&other, &other]).status();
        if !mounted.is_ok_and(|status| status.success()) {
            return skipped("nothing can be mounted here");
        }
        let told: Vec<_> = [
            &["ensure", "other", "--with", "beta"][..],
            &["ensure", "pack", "--rebuild"],
            &["gc", "--idle", "0s", "--drop-retained"],
            &["verify", "--full"],
            &["remove", "other"],
        ]
        .iter()
        .map(|args| world.run(*args))
        .collect();
        let resolved = world.run(["resolve", "pack"]);
        let unmounted = Command::new("umount").arg(&other).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{dir}");
        for done in &told {
            assert!([0, 1, 4, 5].contains(&done.code), "{dir}: {done:#?}");
        }
        // What the installer keeps for itself may be anywhere.
        // A collection goes on, and names what it had to leave.
        let is_told = told.iter().any(|done| {
            let said = if done.code == 1 { &done.stderr } else { &done.stdout };
            said.contains("Invalid cross-device link")
        });
        assert_eq!(is_told, dir != "cache", "{dir}: {told:#?}");
        assert_eq!(resolved.code, 0, "{dir}: {resolved:#?}");
        goes_on(&world, dir);
    }
}

#[test]
fn a_filesystem_that_became_read_only_answers_and_refuses() {
    let world = world();
    let Some(image) = Image::new(world.path().join("image"), &["mkfs.ext4", "-q", "-F"], 64) else { return };
    fs::create_dir(world.store()).expect("a directory");
    if !image.mount(&world.store()) {
        return;
    }
    world.ok(["ensure", "pack", "--with", "alpha"]);
    let remount = |how: &str| {
        let done = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(world.store()).status();
        assert!(done.is_ok_and(|status| status.success()), "{how}");
    };
    remount("ro");
    let answered: Vec<_> = [
        &["resolve", "pack"][..],
        &["exec", "pack", "--", "python", "-c", "import alpha"],
        &["ensure", "pack", "--with", "alpha"],
        &["list"],
        &["verify", "--full"],
    ]
    .iter()
    .map(|args| world.run(*args))
    .collect();
    let refused: Vec<_> = [
        &["ensure", "other", "--with", "beta"][..],
        &["gc"],
        &["remove", "pack"],
        &["rollback", "pack"],
        &["pin", "release", "pack"],
        &["reindex"],
        &["verify", "--repair"],
    ]
    .iter()
    .map(|args| world.run(*args))
    .collect();
    remount("rw");
    for done in &answered {
        assert_eq!(done.code, 0, "{done:#?}");
    }
    for done in &refused {
        assert_eq!(done.code, 6, "{done:#?}");
    }
    goes_on(&world, "writable again");
    image.unmount(&world.store());
}
