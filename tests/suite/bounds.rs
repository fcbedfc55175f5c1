//! What is bounded: threads, descriptors, a pack's history, the places that verbs may write to, the patience with a server.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::{ENVSTORE, Wheel, World, can_start_python, ran, shared_world, skipped, uv_dir};

fn world() -> World {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0").file("alpha/data.txt", "data"));
    world.wheel(&Wheel::new("alpha", "2.0"));
    world
}

/// A declaration of each of so many packs, for `sync`.
fn fleet(world: &World, packs: usize) -> String {
    let line = |n| format!("{{\"pack_ref\": \"p{n}\", \"requirements\": \"alpha==1.0\"}}\n");
    let path = world.path().join("fleet.jsonl");
    fs::write(&path, (0..packs).map(line).collect::<String>()).expect("writes");
    path.display().to_string()
}

#[test]
fn more_packs_than_descriptors_are_synced() {
    let world = world();
    let fleet = fleet(&world, 120);
    world.ok(["sync", &fleet]);
    let again = world.run_limited("--nofile=64:64", ["sync", &fleet]);
    assert_eq!(again.code, 0, "{again:#?}");
}

#[test]
fn many_packs_that_are_missing_leave_together() {
    let world = world();
    let path = fleet(&world, 40);
    world.ok(["ensure", "other", "--with", "alpha==2.0"]);
    world.ok(["sync", &path, "--links", "links"]);
    let env = world.listed("envs").len();
    fs::write(&path, "{\"pack_ref\": \"new\", \"requirements\": \"\"}\n").expect("writes");
    // Somebody removed one of them meanwhile, and somebody's link keeps the environment of all.
    world.ok(["link", "p7", "kept"]);
    let report = world.json(["sync", &path, "--links", "links", "--remove-missing", "--yes"]);
    assert_eq!((&report["summary"]["removed"], &report["summary"]["failed"]), (&40.into(), &0.into()), "{report:#}");
    assert_eq!(world.listed("envs").len(), env + 1, "a link keeps the old one, `new` has its own");
    let packs = world.json(["list"]);
    assert_eq!(packs["packs"].as_array().map(Vec::len), Some(2), "{packs:#}");
    assert_eq!(fs::read_dir(world.path().join("links")).expect("lists").count(), 1);
    // Nothing of them comes back.
    world.ok(["reindex"]);
    assert_eq!(world.json(["list"])["packs"].as_array().map(Vec::len), Some(2));
    world.ok(["unlink", "kept"]);
    world.ok(["verify", "--full"]);
}

fn generations(world: &World) -> Vec<u64> {
    let history = world.json(["history", "pack"]);
    let all = history["generations"].as_array().unwrap_or_else(|| panic!("{history:#}"));
    all.iter().rev().map(|past| past["generation"].as_u64().expect("a number")).collect()
}

#[test]
fn a_history_is_bounded_in_the_index_and_on_disk() {
    let world = world();
    world.configure("[gc]\nmin_free = \"0\"\nhistory = 4\n");
    world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
    world.ok(["ensure", "pack", "--with", "alpha==2.0"]);
    for to in ["1", "2", "1", "2"] {
        world.ok(["rollback", "pack", "--to", to]);
    }
    // The newest four, and what the last one repeats.
    assert_eq!(generations(&world), [2, 3, 4, 5, 6]);
    let files: Vec<PathBuf> = walkdir::WalkDir::new(world.store().join("bindings"))
        .into_iter()
        .map(|entry| entry.expect("walks").into_path())
        .filter(|path| path.is_file())
        .collect();
    let file: Value = serde_json::from_slice(&fs::read(&files[0]).expect("reads")).expect("JSON");
    assert_eq!(file["generations"].as_array().map(Vec::len), Some(5), "{file:#}");
    world.ok(["reindex"]);
    assert_eq!(generations(&world), [2, 3, 4, 5, 6]);
    // More are retained than the history may have: they all stay.
    world.configure("[gc]\nmin_free = \"0\"\nhistory = 1\nretain_generations = 2\n");
    world.ok(["ensure", "pack", "--with", "alpha==2.0", "--with", "alpha"]);
    assert_eq!(generations(&world), [5, 6, 7]);
    world.ok(["gc", "--idle", "0s"]);
    world.ok(["rollback", "pack"]);
    world.ok(["verify", "--full"]);
}

/// Everything under a store but what commands write as they run: paths, sizes, inodes and modes.
fn fingerprint(store: &Path) -> Vec<(PathBuf, u64, u64, u32)> {
    let tops = ["objects", "envs", "manifests", "locks", "store.json"];
    let entries = tops.iter().flat_map(|top| walkdir::WalkDir::new(store.join(top)).sort_by_file_name());
    let print = |entry: walkdir::Result<walkdir::DirEntry>| {
        let entry = entry.expect("walks");
        let meta = entry.path().symlink_metadata().expect("stat");
        (entry.into_path(), meta.len(), meta.ino(), meta.mode())
    };
    entries.map(print).collect()
}

#[test]
fn nothing_is_written_into_this_store_or_another() {
    let world = world();
    world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
    let other = world.path().join("other");
    world.ok(["--store", &other.display().to_string(), "ensure", "pack", "--with", "alpha==1.0"]);
    let env = world.ok(["resolve", "pack"]);
    let (python, env) = (env.clone(), Path::new(&env).ancestors().nth(2).expect("a directory").to_owned());
    symlink(&env, world.path().join("way-in")).expect("links");
    fs::create_dir(other.join("staging/sub")).expect("a directory");
    symlink(other.join("staging/sub"), world.path().join("way-out")).expect("links");
    let before = (fingerprint(&world.store()), fingerprint(&other));
    let store = |path: &str| world.store().join(path).display().to_string();
    let elsewhere = |path: &str| other.join(path).display().to_string();
    let within = |path: &str| env.join(path).display().to_string();
    for args in [
        &["export", "pack", "-o", &store("store.json")][..],
        &["export", "pack", "-o", &store("new")],
        &["export", "pack", "-o", &elsewhere("store.json")],
        &["export", "pack", "-o", &within("pyvenv.cfg")],
        &["export", "pack", "-o", "way-in/pyvenv.cfg"],
        &["export", "pack", "-o", "way-in/../x"],
        &["export", "--all", "-o", &store("bills")],
        &["export", "--all", "-o", "way-out"],
        &["link", "pack", &python],
        &["link", "pack", &elsewhere("link")],
        &["link", "pack", "way-in/link"],
        &["checkout", "pack", &store("copy")],
        &["checkout", "pack", &elsewhere("a/b/c")],
        &["checkout", "pack", "way-out"],
        &["checkout", "pack", "way-out/new"],
    ] {
        let refused = world.run(args);
        assert_eq!(refused.code, 6, "{args:?}: {refused:#?}");
        assert!(
            refused.stderr.contains("is within the store at") && refused.stderr.contains("outside every store"),
            "{refused:#?}"
        );
    }
    let list = world.path().join("list.jsonl");
    fs::write(&list, "{\"pack_ref\": \"pack\", \"requirements\": \"alpha==1.0\"}\n").expect("writes");
    let sync = world.run(["sync", &list.display().to_string(), "--links", &store("links")]);
    assert_eq!(sync.code, 6, "{sync:#?}");
    assert_eq!((fingerprint(&world.store()), fingerprint(&other)), before);
    world.ok(["link", "pack", "venv"]);
    world.ok(["verify", "--full"]);
}

#[test]
fn a_file_that_an_export_replaces_keeps_its_other_names_its_link_and_its_mode() {
    let world = world();
    world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
    let digest = blake3::hash(b"data").to_hex();
    let object = world.store().join(format!("objects/{}/{digest}", &digest[..2]));
    let at = |name: &str| world.path().join(name);
    fs::hard_link(&object, at("hard")).expect("links");
    fs::write(at("real"), "old").expect("writes");
    fs::set_permissions(at("real"), fs::Permissions::from_mode(0o600)).expect("chmod");
    symlink("real", at("soft")).expect("links");
    let text = world.ok(["export", "pack"]);
    for name in ["hard", "soft", "new"] {
        world.ok(["export", "pack", "-o", name]);
        assert_eq!(fs::read_to_string(at(name)).expect("reads").trim_end(), text, "{name}");
    }
    assert_eq!(fs::read(&object).expect("reads"), b"data");
    assert!(at("soft").is_symlink() && fs::metadata(at("real")).expect("stat").mode() & 0o777 == 0o600);
    assert_eq!(world.ok(["export", "pack", "-o", "/dev/stdout"]), text);
    world.ok(["verify", "--full"]);
}

/// A user whose processes nobody else starts: the limit counts all of a user's.
const LONELY: u32 = 64_917;

#[test]
fn a_thread_that_cannot_be_had_is_no_mistake_of_ours() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("becoming another user needs root");
    }
    let world = shared_world();
    if !can_start_python(&world) {
        return skipped("another user cannot start the interpreter");
    }
    let store = world.path().join("of the lonely");
    fs::create_dir(&store).expect("a directory");
    std::os::unix::fs::chown(&store, Some(LONELY), Some(LONELY)).expect("chown");
    // Where the tests run others may not look.
    let bin = world.path().join("bin");
    fs::create_dir(&bin).expect("a directory");
    let copied = |from: &Path, name: &str| fs::copy(from, bin.join(name)).map(|_| bin.join(name)).expect("copies");
    copied(&uv_dir().join("uv"), "uv");
    let envstore = copied(Path::new(ENVSTORE), "envstore");
    let ensure = |limit: &str, pack: &str| {
        let plain =
            world.command(["--store", &store.display().to_string(), "ensure", pack, "--with", "alpha", "--rebuild"]);
        let mut command = Command::new("setpriv");
        let user = format!("--reuid={LONELY}");
        command.args([&user, &format!("--regid={LONELY}"), "--clear-groups", "prlimit", limit]);
        command.arg(&envstore).args(plain.get_args()).env_clear();
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        ran(command.current_dir("/").output().expect("setpriv starts"))
    };
    if ensure("--nproc=1000", "pack").code != 0 {
        return skipped("another user cannot reach what a build needs");
    }
    let mut told = 0;
    for limit in 1..12 {
        let done = ensure(&format!("--nproc={limit}"), &format!("p{limit}"));
        assert!([0, 1, 4].contains(&done.code), "{limit}: {done:#?}");
        told += u32::from(done.code != 0);
    }
    assert!(told > 0, "some limit is too low");
}

/// An index whose pages never end.
fn endless_index() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
                let mut next = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100000\r\n\r\n";
                while stream.write_all(next.as_bytes()).is_ok() && !stream.read(&mut [0; 1024]).is_ok_and(|n| n == 0) {
                    next = " ";
                }
            });
        }
    });
    format!("http://{address}/simple/")
}

#[test]
fn an_index_whose_page_never_ends_is_given_up() {
    let world = world();
    let index = format!("[[index]]\nname = \"slow\"\ndefault = true\nurl = \"{}\"\n", endless_index());
    world.configure_install("installer = \"uv\"\ntimeout = \"2s\"", &index);
    let mut command = world.command(["ensure", "pack", "--with", "alpha"]);
    // No uv but what would be fetched.
    let output = command.env("PATH", "/nowhere").output().expect("starts");
    let done = ran(output);
    assert_eq!(done.code, 4, "{done:#?}");
    assert!(done.stderr.contains("took too long"), "{done:#?}");
}

#[test]
fn a_uv_that_cannot_be_asked_is_told_with_the_true_cause() {
    let world = world();
    let bin = world.path().join("bin");
    fs::create_dir(&bin).expect("a directory");
    for (script, part) in [
        ("#!/bin/sh\necho uv 0.0.1\n", "is uv 0.0.1, older than"),
        ("#!/bin/sh\necho out of luck >&2\nexit 9\n", "out of luck"),
    ] {
        fs::write(bin.join("uv"), script).expect("writes");
        fs::set_permissions(bin.join("uv"), fs::Permissions::from_mode(0o755)).expect("chmod");
        let done =
            ran(world.command(["ensure", "pack", "--with", "alpha"]).env("PATH", &bin).output().expect("starts"));
        assert_eq!(done.code, 1, "{done:#?}");
        assert!(done.stderr.contains(part) && !done.stderr.contains("there is no uv"), "{done:#?}");
    }
}
