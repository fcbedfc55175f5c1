//! P3: one locking and one build, however many processes ask.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Child;
use std::sync::Arc;
use std::sync::mpsc::channel;

use envstore::store::report::Outcome;
use envstore::{Cancel, Ensure, PackRef};

use crate::support::{NotingUv, Ran, Wheel, World, library, ran, spec, uv_dir};

fn finish(children: Vec<Child>) -> Vec<Ran> {
    children.into_iter().map(|child| ran(child.wait_with_output().expect("it ends"))).collect()
}

#[test]
fn sixteen_processes_that_ask_for_one_new_key_lock_once_and_build_once() {
    let world = World::new();
    let uv = NotingUv::new(&world);
    world.wheel(&Wheel::new("alpha", "1.0").requires("beta"));
    world.wheel(&Wheel::new("beta", "2.0"));
    let names: Vec<String> = (0..16).map(|n| format!("pack{n}")).collect();
    let children = names.iter().map(|name| uv.start(&world, &["ensure", name, "--with", "alpha"])).collect();
    let mut built = 0;
    for ran in finish(children) {
        assert_eq!(ran.code, 0, "{ran:#?}");
        let answer: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
        built += usize::from(answer["outcome"] == "built");
    }
    assert_eq!((uv.asked("pip compile"), uv.asked("pip sync"), built), (1, 1, 1));
    assert_eq!(world.listed("envs").len(), 1);
    assert_eq!(world.json(["list"])["packs"].as_array().expect("packs").len(), 16);
    assert!(world.listed("staging").is_empty() && world.listed("trash").is_empty());
}

#[test]
fn sixteen_processes_over_fifty_keys_build_fifty() {
    let world = World::new();
    let uv = NotingUv::new(&world);
    let mut rows: Vec<String> = Vec::new();
    for n in 0..50 {
        world.wheel(&Wheel::new(&format!("dist{n}"), "1.0"));
        rows.push(format!("{{\"pack_ref\": \"pack{n}\", \"requirements\": \"dist{n}\\n\"}}\n"));
    }
    let children = (0..16)
        .map(|n| {
            rows.rotate_left(3);
            let list = world.path().join(format!("list{n}.jsonl"));
            fs::write(&list, rows.concat()).expect("a list");
            uv.start(&world, &["sync", &list.to_string_lossy(), "-j", "2"])
        })
        .collect();
    for ran in finish(children) {
        assert_eq!(ran.code, 0, "{ran:#?}");
    }
    assert_eq!((uv.asked("pip compile"), uv.asked("pip sync")), (50, 50));
    let keys: HashSet<String> = world.listed("envs").into_iter().collect();
    assert_eq!(keys.len(), 50);
}

#[test]
fn two_declarations_that_lock_alike_build_once_though_neither_knew_of_the_other() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    // The first one's installer waits, in the middle of the build, until somebody opens the pipe.
    let (dir, pipe) = (world.path().join("waiting"), world.path().join("pipe"));
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    fs::create_dir(&dir).expect("a directory");
    let uv = uv_dir().join("uv");
    let script = format!("#!/bin/sh\ncase \"$*\" in *\"pip sync\"*) read go < {pipe:?};; esac\nexec {uv:?} \"$@\"\n");
    fs::write(dir.join("uv"), script).expect("a script");
    fs::set_permissions(dir.join("uv"), fs::Permissions::from_mode(0o755)).expect("chmod");
    let mut first = world.command(["--format", "json", "ensure", "first", "--with", "alpha==1.0"]);
    first.env("PATH", format!("{}:/usr/bin:/bin", dir.display())).stdout(std::process::Stdio::piped());
    let first = first.spawn().expect("envstore starts");
    // Opening blocks until the installer reads: then the first has the guard of the key.
    let (sender, opened) = channel();
    let opening = pipe.clone();
    std::thread::spawn(move || sender.send(fs::File::options().write(true).open(opening)));
    let go = opened.recv().expect("sent").expect("opens");
    // The second one, of another declaration, finds no such environment, and waits for that guard.
    let (told, waits) = channel();
    let store = library(&world, uv_dir()).open().expect("opens");
    let second = std::thread::spawn(move || {
        let progress = Arc::new(move |what: &str| drop(told.send(what.to_owned())));
        let ask = Ensure::new(spec("alpha>=1")).on_progress(progress);
        let pack = PackRef::new("second").expect("a ref");
        store.ensure(&pack, &ask, &Cancel::new()).expect("ensured").report.outcome
    });
    assert!(waits.iter().any(|what| what.contains("for the same environment")), "it did not wait");
    drop(go);
    let first = ran(first.wait_with_output().expect("it ends"));
    assert!(first.stdout.contains("\"built\""), "{first:#?}");
    assert_eq!(second.join().expect("no panic"), Outcome::Shared);
    assert_eq!(world.listed("envs").len(), 1);
}
