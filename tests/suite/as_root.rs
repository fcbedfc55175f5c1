//! Root on a store of another user: it writes inside the store as the owner, reads without changing anything, and is refused where it would write
//! outside the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use envstore::{Cancel, Ensure, Error, PackRef, Store};

use crate::support::{
    INSTALLERS, IndexServer, NOBODY, Ran, Wheel, World, nobody, nobodys_command, nobodys_world, ran, skipped,
};

/// Runs a command as root.
fn root(world: &World, args: &[&str]) -> Ran {
    ran(nobodys_command(world, args).output().expect("envstore starts"))
}

/// Runs a command as root with other groups or capabilities.
fn privileged(world: &World, how: &str, args: &[&str]) -> Ran {
    let command = nobodys_command(world, args);
    let mut changed = Command::new("setpriv");
    changed.arg(how).arg(command.get_program()).args(command.get_args()).env_clear();
    changed.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(world.path());
    ran(changed.output().expect("setpriv starts"))
}

#[track_caller]
fn root_ok(world: &World, args: &[&str]) -> Ran {
    let ran = root(world, args);
    assert_eq!(ran.code, 0, "{args:?}: {ran:#?}");
    ran
}

/// Runs a command as the store's owner, which must succeed.
#[track_caller]
fn owner_ok(world: &World, args: &[&str]) -> Ran {
    let ran = ran(nobody(&nobodys_command(world, args)).expect("root").output().expect("starts"));
    assert_eq!(ran.code, 0, "{args:?}: {ran:#?}");
    ran
}

fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> {
    walkdir::WalkDir::new(dir).into_iter().map(|entry| entry.expect("it can be walked").into_path())
}

/// What below the store's root does not belong to this user.
fn foreign(world: &World, owner: u32) -> Vec<PathBuf> {
    entries(&world.store()).filter(|path| fs::symlink_metadata(path).expect("stat").uid() != owner).collect()
}

/// Everything below the store's root that a write would change: owner, mode, size, time, inode and bytes.
fn state(world: &World) -> BTreeMap<PathBuf, String> {
    let one = |path: PathBuf| {
        let meta = fs::symlink_metadata(&path).expect("stat");
        let bytes = if meta.is_file() { fs::read(&path).expect("reads") } else { Vec::new() };
        let (at, digest) = ((meta.mtime(), meta.mtime_nsec()), blake3::hash(&bytes));
        (path, format!("{} {} {:o} {} {at:?} {digest}", meta.ino(), meta.uid(), meta.mode(), meta.len()))
    };
    entries(&world.store()).map(one).collect()
}

#[test]
fn what_root_writes_belongs_to_the_owner_who_goes_on_with_it() {
    let Some(world) = nobodys_world() else { return };
    world.wheel(&Wheel::new("alpha", "2.0"));
    // Only root can read this declaration.
    let pack = world.pack("new", "alpha==2.0\n");
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o700)).expect("chmod");
    let (pack, packs) = (pack.display().to_string(), world.packs().display().to_string());
    for args in [
        &["ensure", "b", "--with", "alpha==2.0"][..],
        &["ensure", "b", "--with", "alpha==1.0"],
        &["rollback", "b"],
        &["ensure", "new", "--from", &pack],
        &["sync", &packs],
        &["upgrade", "--all"],
        &["pin", "here", "b"],
        &["unpin", "here"],
        &["ensure", "b", "--rebuild"],
        &["verify", "--repair"],
        &["reindex"],
        &["seal"],
        &["unseal"],
        &["migrate"],
        &["remove", "new"],
        &["gc", "--dry-run"],
        &["gc", "--idle", "0s"],
        &["ensure", "c", "--with", "alpha==2.0"],
    ] {
        root_ok(&world, args);
        assert_eq!(foreign(&world, NOBODY), [] as [PathBuf; 0], "{args:?}");
    }
    owner_ok(&world, &["remove", "b"]);
    owner_ok(&world, &["remove", "c"]);
    owner_ok(&world, &["ensure", "b", "--with", "alpha==2.0"]);
    owner_ok(&world, &["gc", "--idle", "0s", "--drop-retained"]);
    owner_ok(&world, &["doctor"]);
}

#[test]
fn commands_that_only_read_leave_no_trace_of_root() {
    let Some(world) = nobodys_world() else { return };
    world.pack("pack", "alpha==1.0\n");
    let packs = world.packs().display().to_string();
    let read = || {
        for args in [
            &["resolve", "pack"][..],
            &["exec", "pack", "--", "python", "-c", "import alpha"],
            &["list", "--all"],
            &["show", "pack"],
            &["history", "pack"],
            &["diff", "pack", "pack"],
            &["logs", "pack"],
            &["why", "pack"],
            &["who-uses", "alpha"],
            &["du"],
            &["events"],
            &["export", "pack"],
            &["verify", "--full"],
            &["doctor"],
            &["doctor", "pack"],
            &["doctor", "--repair"],
            &["config", "show"],
            &["sync", &packs, "--dry-run"],
            &["--read-only", "ensure", "pack"],
        ] {
            let before = state(&world);
            root_ok(&world, args);
            assert_eq!(state(&world), before, "{args:?}");
        }
    };
    read();
    // The file `answers`, which root neither makes nor uses up, and a log that a killed writer left.
    owner_ok(&world, &["resolve", "pack"]);
    let trace = world.path().join("trace");
    fs::write(&trace, "").expect("writes");
    fs::set_permissions(&trace, fs::Permissions::from_mode(0o666)).expect("chmod");
    let pin = |name: &str, value: &str| {
        let mut pin = nobody(&nobodys_command(&world, &["pin", "here", "pack"])).expect("root");
        ran(pin.env(name, value).output().expect("starts")).code
    };
    assert_eq!(pin("ENVSTORE_FAILPOINT_TRACE", &trace.display().to_string()), 0);
    owner_ok(&world, &["unpin", "here"]);
    let points = fs::read_to_string(&trace).expect("reads");
    let commit = points.lines().position(|point| point == "index: after a commit").expect("a commit") + 1;
    assert_eq!(pin("ENVSTORE_FAILPOINT", &format!("kill@{commit}")), 137);
    assert_ne!(fs::metadata(world.store().join("index.db-wal")).expect("stat").len(), 0, "the log holds a pin");
    read();
    // Files that a backup may leave out, as they are empty or can be made again: whatever root is answered, none of root's takes their place.
    for name in ["index.db-shm", "index.db-wal"] {
        fs::remove_file(world.store().join(name)).expect("removes");
        root(&world, &["list"]);
        assert_eq!(foreign(&world, NOBODY), [] as [PathBuf; 0], "{name}");
    }
}

#[test]
fn root_writes_nowhere_outside_in_the_name_of_the_owner() {
    let Some(world) = nobodys_world() else { return };
    world.pack("pack", "alpha==1.0\n");
    let packs = world.packs().display().to_string();
    let outside = world.path().join("out side");
    let target = outside.display().to_string();
    for args in [
        &["link", "pack", &target][..],
        &["unlink", &target],
        &["checkout", "pack", &target],
        &["export", "pack", "-o", &target],
        &["export", "--all", "-o", &target],
        &["sync", &packs, "--links", &target],
        &["--read-only", "export", "pack", "-o", &target],
    ] {
        let before = state(&world);
        let ran = root(&world, args);
        assert_eq!(ran.code, 6, "{args:?}: {ran:#?}");
        let hint = format!("runuser -u nobody -- envstore {}", args[..args.len() - 1].join(" "));
        assert!(ran.stderr.contains(&hint) && ran.stderr.contains(&format!("'{target}'")), "{}", ran.stderr);
        assert!(!outside.exists(), "{args:?}");
        assert_eq!(state(&world), before, "{args:?}");
    }
}

#[test]
fn root_that_cannot_become_the_owner_writes_nothing() {
    let Some(world) = nobodys_world() else { return };
    let before = state(&world);
    // As in a container that was started without these capabilities.
    for lacking in ["--bounding-set=-setuid", "--bounding-set=-setgid"] {
        let ran = privileged(&world, lacking, &["ensure", "b", "--with", "alpha", "--rebuild"]);
        assert_eq!(ran.code, 6, "{lacking}: {ran:#?}");
        assert!(ran.stderr.contains("as its owner, user `nobody`: this process cannot become that user"), "{ran:#?}");
        assert_eq!(state(&world), before, "{lacking}");
    }
}

#[test]
fn an_installer_that_root_starts_has_nothing_of_root_left() {
    let Some(world) = nobodys_world() else { return };
    let uv = world.path().join("bin/uv");
    fs::rename(&uv, world.path().join("bin/real")).expect("renames");
    let noted = world.path().join("noted");
    fs::write(&noted, "").expect("writes");
    fs::set_permissions(&noted, fs::Permissions::from_mode(0o666)).expect("chmod");
    let script = format!(
        "#!/bin/sh\necho \"$(id -u) $(id -g) $(id -G) $HOME $(grep -c '^Cap[PE].*[^0]$' /proc/self/status)\" >> {noted:?}\nexec {:?} \"$@\"\n",
        world.path().join("bin/real")
    );
    fs::write(&uv, script).expect("a script");
    fs::set_permissions(&uv, fs::Permissions::from_mode(0o755)).expect("chmod");
    // Root has a group that the owner has not.
    let ran = privileged(&world, "--groups=0,4711", &["ensure", "b", "--with", "alpha", "--rebuild"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let noted = fs::read_to_string(&noted).expect("reads");
    // Asked for its version it has no home at all.
    let homes = ["65534 65534 65534 /nonexistent 0", "65534 65534 65534  0"];
    assert!(noted.lines().any(|line| line == homes[0]), "an installer ran: {noted}");
    assert!(noted.lines().all(|line| homes.contains(&line)), "{noted}");
}

#[test]
fn logins_that_only_root_can_read_reach_the_index() {
    let Some(world) = nobodys_world() else { return };
    let server = IndexServer::new(&world.wheels());
    server.only(&["__token__:of-a-file", "me:of-a-netrc"]);
    let home = world.path().join("home");
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).expect("chmod");
    fs::write(home.join("token"), "of-a-file\n").expect("writes");
    fs::write(home.join(".netrc"), "machine 127.0.0.1 login me password of-a-netrc\n").expect("writes");
    let token = home.join("token");
    let sources = [
        format!("{{ file = {token:?} }}"),
        format!("{{ command = [\"/bin/cat\", {token:?}] }}"),
        "{ netrc = true }".into(),
    ];
    let mut installers = INSTALLERS.to_vec();
    if ran(Command::new(world.python()).args(["-m", "pip", "--version"]).output().expect("starts")).code != 0 {
        skipped("the distribution's Python has no pip");
        installers.retain(|installer| *installer != "pip");
    }
    for (installer, credentials) in
        installers.iter().flat_map(|installer| sources.iter().map(move |source| (installer, source)))
    {
        let index = format!(
            "[[index]]\nname = \"corp\"\nurl = {:?}\ndefault = true\ncredentials = {credentials}\n",
            server.url()
        );
        world.configure_install(&format!("installer = {installer:?}\n"), &index);
        root_ok(&world, &["ensure", "b", "--with", "alpha", "--rebuild"]);
        assert_eq!(foreign(&world, NOBODY), [] as [PathBuf; 0], "{installer} {credentials}");
    }
}

#[test]
fn an_owner_without_an_account_is_acted_for_too() {
    let Some(world) = nobodys_world() else { return };
    let (uid, gid) = (471_147, 471_148);
    entries(&world.store()).for_each(|path| std::os::unix::fs::lchown(path, Some(uid), Some(gid)).expect("chown"));
    root_ok(&world, &["ensure", "b", "--with", "alpha"]);
    assert_eq!(foreign(&world, uid), [] as [PathBuf; 0]);
    let ran = root(&world, &["checkout", "pack", "there"]);
    assert_eq!(ran.code, 6, "{ran:#?}");
    let line = "setpriv --reuid=471147 --regid=471148 --clear-groups envstore checkout pack there";
    assert!(ran.stderr.contains(line), "{}", ran.stderr);
}

#[test]
fn root_creates_a_store_in_another_users_directory_as_that_user() {
    let Some(world) = nobodys_world() else { return };
    fs::remove_dir_all(world.store()).expect("removes");
    fs::create_dir(world.store()).expect("a directory");
    chown(world.store(), Some(NOBODY), Some(NOBODY)).expect("chown");
    let refused = Store::builder(world.store()).create(true).open().expect_err("not from the library");
    assert!(matches!(refused, Error::NotPermitted { .. }), "{refused}");
    assert_eq!(world.listed("."), [] as [&str; 0]);
    root_ok(&world, &["ensure", "b", "--with", "alpha"]);
    assert_eq!(foreign(&world, NOBODY), [] as [PathBuf; 0]);
}

#[test]
fn a_library_of_root_reads_another_users_store_and_refuses_to_write() {
    let Some(world) = nobodys_world() else { return };
    let before = state(&world);
    let store = Store::builder(world.store()).open().expect("opens");
    let pack = PackRef::new("pack").expect("a ref");
    assert_eq!(store.resolve(&pack).expect("bound").generation(), 1);
    let again = Ensure::recorded().rebuild(true);
    let refused = store.ensure(&pack, &again, &Cancel::new()).expect_err("refused").error;
    let text = refused.to_string();
    assert!(text.contains("uid 65534") && text.contains("root"), "{text}");
    assert!(matches!(store.remove(&pack, false), Err(Error::NotPermitted { .. })));
    drop(store);
    assert_eq!(state(&world), before);
}

#[test]
fn doctor_finds_what_root_left_and_gives_it_to_the_owner() {
    let Some(world) = nobodys_world() else { return };
    if fs::read_to_string("/proc/sys/fs/protected_hardlinks").is_ok_and(|text| text.trim() != "1") {
        return skipped("fs.protected_hardlinks is not 1: a file with several names is never given away");
    }
    let store = world.store();
    let env = world.json(["resolve", "pack"])["path"].as_str().map(PathBuf::from).expect("a path");
    let outside = world.path().join("outside");
    fs::write(&outside, "root's").expect("writes");
    // A whole environment, whose files are objects too; a link that leads out; a guard; a second name of a file outside.
    entries(&env).for_each(|path| std::os::unix::fs::lchown(path, Some(0), Some(0)).expect("chown"));
    symlink(&outside, store.join("trash/link")).expect("links");
    fs::write(store.join("guards/spec-x"), "").expect("writes");
    fs::hard_link(&outside, store.join("trash/name")).expect("links");
    let inode = |path: PathBuf| fs::symlink_metadata(path).expect("stat").ino();
    let left: BTreeSet<u64> = foreign(&world, NOBODY).into_iter().map(inode).collect();
    assert!(left.len() > 10, "{left:?}");
    let ran = root(&world, &["doctor"]);
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert!(
        ran.stdout.contains("do not belong to its owner, uid 65534") && ran.stdout.contains("--repair"),
        "{}",
        ran.stdout
    );
    let ran = root(&world, &["doctor", "--repair"]);
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert!(ran.stdout.contains(&format!("given to the owner, uid {NOBODY}: {}\n", left.len() - 1)), "{}", ran.stdout);
    assert!(ran.stdout.contains("`trash/name` still belongs to uid 0: it has another name"), "{}", ran.stdout);
    assert_eq!(foreign(&world, NOBODY), [store.join("trash/name")]);
    assert_eq!(fs::metadata(&outside).expect("stat").uid(), 0);
    fs::remove_file(store.join("trash/name")).expect("removes");
    root_ok(&world, &["doctor"]);
    owner_ok(&world, &["remove", "pack"]);
    owner_ok(&world, &["gc", "--idle", "0s", "--drop-retained"]);
    assert!(!env.exists());
}
