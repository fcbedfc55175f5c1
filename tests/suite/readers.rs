//! Owner and readers: another uid may look and run, never write.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use envstore::store::Gc;
use envstore::{Cancel, PackRef, Store};

use crate::support::{Ran, Wheel, World, as_nobody, can_start_python, nobody, ran, shared_world, skipped};

/// Runs a command as one kind of reader; none where that cannot be done here.
type Reader<'a> = dyn Fn(&[&str]) -> Option<Ran> + Sync + 'a;

#[test]
fn another_user_resolves_and_lists_and_writes_nothing() {
    let world = shared_world();
    let binary = fs::metadata(crate::support::ENVSTORE).expect("stat").permissions().mode();
    assert!(binary & 0o005 == 0o005);
    let Some(resolved) = as_nobody(&world, &["resolve", "pack"]) else { return };
    if resolved.code == 126 || resolved.stderr.contains("setpriv") {
        return skipped("another user cannot reach the binary under test");
    }
    assert_eq!(resolved.code, 0, "{resolved:#?}");
    assert_eq!(resolved.stdout.trim(), world.ok(["resolve", "pack"]));
    for allowed in [&["list"][..], &["show", "pack"], &["why", "pack"], &["who-uses", "alpha"], &["verify", "--full"]] {
        let ran = as_nobody(&world, allowed).expect("ran");
        assert_eq!(ran.code, 0, "{allowed:?}: {ran:#?}");
    }
    for refused in [&["ensure", "new", "--with", "alpha"][..], &["remove", "pack"], &["gc"], &["reindex"]] {
        let ran = as_nobody(&world, refused).expect("ran");
        assert_eq!(ran.code, 6, "{refused:?}: {ran:#?}");
    }
    if can_start_python(&world) {
        let hit = as_nobody(&world, &["ensure", "pack", "--with", "alpha"]).expect("ran");
        assert_eq!(hit.code, 0, "an ensure that is a hit writes nothing: {hit:#?}");
        let ran = as_nobody(&world, &["exec", "pack", "--", "python", "-c", "import alpha"]).expect("ran");
        assert_eq!(ran.code, 0, "{ran:#?}");
    } else {
        skipped("another user cannot start the interpreter");
    }
}

#[test]
fn a_store_is_private_to_its_group_unless_shared() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    let mode = |path: &std::path::Path| fs::metadata(path).expect("stat").permissions().mode() & 0o7777;
    assert_eq!(mode(&world.store()), 0o750);
    assert_eq!(mode(&shared_world().store()), 0o755);
}

#[test]
fn a_root_others_may_write_to_is_refused() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    fs::set_permissions(world.store(), fs::Permissions::from_mode(0o777)).expect("chmod");
    let ran = world.run(["resolve", "pack"]);
    assert_eq!(ran.code, 6, "{ran:#?}");
    assert!(ran.stderr.contains("777"), "{}", ran.stderr);
}

#[test]
fn read_only_answers_and_refuses() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    world.ok(["--read-only", "resolve", "pack"]);
    assert_eq!(world.run(["--read-only", "ensure", "pack"]).code, 0, "a hit writes nothing");
    assert_eq!(world.run(["--read-only", "gc"]).code, 6);
}

/// A directory mounted a second time, read-only, unmounted with the test.
struct ReadOnlyMount(std::path::PathBuf);

impl ReadOnlyMount {
    /// None, loudly, where that cannot be done.
    fn of(dir: &Path) -> Option<Self> {
        let point = dir.with_file_name("read-only");
        fs::create_dir(&point).expect("a directory");
        let done = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
        if !done(Command::new("mount").arg("--bind").arg(dir).arg(&point)) {
            skipped("bind mounts cannot be made here");
            return None;
        }
        let mounted = Self(point);
        if !done(Command::new("mount").args(["-o", "remount,ro,bind"]).arg(&mounted.0)) {
            skipped("bind mounts cannot be made read-only here");
            return None;
        }
        Some(mounted)
    }
}

impl Drop for ReadOnlyMount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn each_kind_of_reader_sees_what_a_writer_beside_it_commits() {
    const ROUNDS: u64 = 12;
    let world = shared_world();
    world.wheel(&Wheel::new("alpha", "2.0"));
    let mount = ReadOnlyMount::of(&world.store());
    let as_mounted = |args: &[&str]| {
        let mut command = world.command(args);
        command.env("ENVSTORE_STORE", &mount.as_ref()?.0);
        Some(ran(command.output().expect("runs")))
    };
    let readers: [&Reader<'_>; 3] =
        [&|args| Some(world.run([&["--read-only"], args].concat())), &as_mounted, &|args| {
            as_nobody(&world, args).filter(|ran| !ran.stderr.contains("setpriv"))
        }];
    // Also where the log and its memory are missing at first, and cannot be created.
    for gone in [&[][..], &["index.db-shm"], &["index.db-wal", "index.db-shm"]] {
        for file in gone {
            fs::remove_file(world.store().join(file)).expect("removes");
        }
        for reader in readers {
            let Some(shown) = reader(&["--format", "json", "show", "pack"]) else { continue };
            assert_eq!(shown.code, 0, "{gone:?}: {shown:#?}");
            assert!(gone.iter().all(|file| !world.store().join(file).exists()), "{gone:?}: it writes nothing");
        }
        let committed = AtomicU64::new(world.json(["show", "pack"])["generation"].as_u64().expect("a number"));
        let last = committed.load(Ordering::SeqCst) + ROUNDS;
        std::thread::scope(|scope| {
            for reader in readers {
                let committed = &committed;
                scope.spawn(move || {
                    loop {
                        let before = committed.load(Ordering::SeqCst);
                        let Some(shown) = reader(&["--format", "json", "show", "pack"]) else { return };
                        assert_eq!(shown.code, 0, "{shown:#?}");
                        let shown: serde_json::Value = serde_json::from_str(&shown.stdout).expect("JSON");
                        let seen = shown["generation"].as_u64().expect("a number");
                        assert!(seen >= before, "it saw generation {seen}, and {before} had been committed");
                        if before == last {
                            return;
                        }
                    }
                });
            }
            for _ in 0..ROUNDS {
                let version = if committed.load(Ordering::SeqCst) % 2 == 1 { "2.0" } else { "1.0" };
                world.ok(["ensure", "pack", "--with", &format!("alpha=={version}")]);
                committed.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
}

#[test]
fn a_long_lived_reader_sees_what_others_bind_and_collect() {
    let world = World::new();
    for version in ["1.0", "2.0"] {
        world.wheel(&Wheel::new("alpha", version));
    }
    world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
    let mount = ReadOnlyMount::of(&world.store());
    let mounted = mount.as_ref().map(|mount| Store::builder(&mount.0).open().expect("opens"));
    let readers: Vec<Store> =
        mounted.into_iter().chain([Store::builder(world.store()).read_only(true).open().expect("opens")]).collect();
    let generations = |pack: &str| -> Vec<u64> {
        let pack = PackRef::new(pack).expect("a ref");
        readers.iter().map(|store| store.resolve(&pack).expect("bound").generation()).collect()
    };
    let all = |generation: u64| vec![generation; readers.len()];
    assert_eq!(generations("pack"), all(1));
    world.ok(["ensure", "pack", "--with", "alpha==2.0"]);
    world.ok(["ensure", "new", "--with", "alpha==2.0"]);
    assert_eq!((generations("pack"), generations("new")), (all(2), all(1)));
    world.ok(["gc", "--idle", "0s", "--drop-retained"]);
    assert_eq!(generations("pack"), all(2));
    for store in &readers {
        assert!(store.gc(&Gc::default(), &Cancel::new()).is_err(), "it may only read");
    }
}

#[test]
fn a_root_that_sqlite_cannot_open_is_refused_for_what_it_is() {
    use std::os::unix::ffi::OsStringExt;
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    let name = "l".repeat(200);
    let long = world.path().join(&name).join(&name).join(&name);
    let odd = world.path().join(std::ffi::OsString::from_vec(b"a\xff".to_vec()));
    for (root, cause) in [(long, "bytes, and SQLite opens paths of at most"), (odd, "not UTF-8")] {
        let mut command = world.command(["ensure", "pack", "--with", "alpha"]);
        let refused = ran(command.env("ENVSTORE_STORE", &root).output().expect("runs"));
        assert_eq!(refused.code, 6, "{refused:#?}");
        assert!(refused.stderr.contains(cause) && !refused.stderr.contains("try again"), "{refused:#?}");
        assert!(!root.join("store.json").exists());
    }
}

#[test]
fn a_directory_that_is_no_store_is_not_taken() {
    let world = World::new();
    fs::create_dir(world.store()).expect("a directory");
    fs::write(world.store().join("thesis.txt"), "x").expect("a file");
    let ran = world.run(["ensure", "pack", "--with", "alpha"]);
    assert_eq!(ran.code, 6, "{ran:#?}");
    assert_eq!(world.listed("."), ["thesis.txt"]);
}

/// What a reader may try: to lock for itself alone, to write, to replace, to add, to remove. Says which of it worked.
const MISCHIEF: &str = r#"
import fcntl, os, sys
store, env = sys.argv[1:]
done = []
def attempt(name, what):
    try:
        what()
        done.append(name)
    except OSError:
        pass
files = [os.path.join(store, name) for name in ("store.json", "index.db", "index.db-wal", "index.db-shm")]
files += [os.path.join(env, ".lease"), os.path.join(env, "pyvenv.cfg")]
for top in ("bindings", "manifests", "locks", "objects"):
    for folder, _, names in os.walk(os.path.join(store, top)):
        files += [os.path.join(folder, name) for name in names][:1]
for file in files:
    attempt("wrote " + file, lambda: open(file, "r+b"))
    attempt("removed " + file, lambda: os.remove(file))
    attempt("changed the mode of " + file, lambda: os.chmod(file, 0o666))
    def exclusive():
        fcntl.lockf(os.open(file, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    attempt("locked " + file, exclusive)
for folder in [store, env] + [os.path.join(store, name) for name in os.listdir(store)]:
    attempt("added to " + folder, lambda: open(os.path.join(folder, "mine"), "x"))
attempt("replaced the environment", lambda: os.rename(env, env + ".mine"))
# What any reader may: this kind of lock, which nobody else asks for.
held = os.open(os.path.join(env, ".lease"), os.O_RDONLY)
fcntl.flock(held, fcntl.LOCK_EX)
print("\n".join(done), flush=True)
sys.stdin.read()
"#;

#[test]
fn a_reader_cannot_lock_write_or_replace_and_blocks_no_writer() {
    use std::io::{BufRead, BufReader, Read};
    let world = shared_world();
    if !can_start_python(&world) {
        return skipped("another user cannot start the interpreter");
    }
    let env = world.json(["resolve", "pack"])["path"].as_str().expect("a path").to_owned();
    let mut command = Command::new(world.python());
    command.args(["-c", MISCHIEF]).arg(world.store()).arg(&env);
    let Some(mut command) = nobody(&command) else { return };
    let piped = std::process::Stdio::piped;
    let mut reader = command.stdin(piped()).stdout(piped()).stderr(piped()).spawn().expect("starts");
    let mut said = BufReader::new(reader.stdout.take().expect("a pipe"));
    let mut first = String::new();
    said.read_line(&mut first).expect("reads");
    assert_eq!(first, "\n", "it could do something, or failed: {}", {
        let mut more = String::new();
        let _ = reader.stderr.take().expect("a pipe").read_to_string(&mut more);
        more
    });
    // It goes on holding what it could get hold of.
    assert_eq!(world.json(["ensure", "pack", "--rebuild"])["outcome"], "built");
    world.ok(["ensure", "other", "--with", "alpha"]);
    world.ok(["gc", "--idle", "0s", "--drop-retained"]);
    assert!(Path::new(&env).exists(), "it can keep what it uses");
    world.ok(["remove", "other"]);
    drop(reader.stdin.take());
    assert!(reader.wait().expect("waits").success());
    world.ok(["gc", "--idle", "0s", "--drop-retained"]);
    assert!(!Path::new(&env).exists(), "and no longer");
    assert_eq!(world.run(["verify", "--full"]).code, 0);
}

#[test]
fn links_planted_in_the_store_are_not_followed() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    let outside = world.path().join("outside");
    fs::create_dir(&outside).expect("a directory");
    fs::write(outside.join("thesis.txt"), "years of work").expect("writes");
    fs::set_permissions(outside.join("thesis.txt"), fs::Permissions::from_mode(0o640)).expect("chmod");
    let stem = "a".repeat(32);
    let planted = [
        "trash/x".into(),
        "staging/build-1-x".into(),
        "cache/uv-old".into(),
        "quarantine/x".into(),
        "objects/00".into(),
        "bindings/00".into(),
        format!("envs/{stem}"),
        format!("envs/{stem}.2"),
        "tools/old".into(),
        "logs/old".into(),
    ];
    for path in &planted {
        let path = world.store().join(path);
        let _ = fs::remove_dir_all(&path);
        std::os::unix::fs::symlink(&outside, path).expect("links");
    }
    std::os::unix::fs::symlink(outside.join("thesis.txt"), world.store().join(format!("manifests/{stem}.json.gz")))
        .expect("links");
    std::os::unix::fs::symlink(outside.join("thesis.txt"), world.store().join(format!("pins/{}", "b".repeat(64))))
        .expect("links");
    for command in [
        &["gc", "--idle", "0s"][..],
        &["verify", "--full"],
        &["du"],
        &["reindex"],
        &["gc", "--idle", "0s"],
        &["list", "--all"],
    ] {
        let ran = world.run(command);
        assert_ne!(ran.code, 70, "{command:?}: {ran:#?}");
    }
    world.ok(["ensure", "other", "--with", "alpha"]);
    world.ok(["remove", "other"]);
    let names: Vec<_> =
        fs::read_dir(&outside).expect("lists").map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(names, ["thesis.txt"]);
    let meta = fs::metadata(outside.join("thesis.txt")).expect("stat");
    assert_eq!(meta.permissions().mode() & 0o7777, 0o640);
    assert_eq!(fs::read_to_string(outside.join("thesis.txt")).expect("reads"), "years of work");
    assert_eq!(world.python_in("pack", "import alpha; print(alpha.version)"), "1.0");
}
