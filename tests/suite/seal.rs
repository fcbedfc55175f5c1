//! A sealed store: everything answers, nothing is written, and changes are refused until it is unsealed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use envstore::store::What;
use envstore::{Error, PackRef, Store};

use crate::support::{IndexServer, Overlay, Wheel, World, as_nobody, can_start_python, shared_world, skipped};

/// Every name under the store with its inode, size and times.
fn traces(world: &World) -> BTreeMap<PathBuf, (u64, u64, i64, i64)> {
    let entries = walkdir::WalkDir::new(world.store()).into_iter().map(|entry| entry.expect("walks"));
    let of = |entry: walkdir::DirEntry| {
        let meta = fs::symlink_metadata(entry.path()).expect("stat");
        (entry.into_path(), (meta.ino(), meta.size(), meta.mtime_nsec(), meta.ctime_nsec()))
    };
    entries.map(of).collect()
}

#[test]
fn a_sealed_store_answers_and_refuses_and_nothing_in_it_moves() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.wheel(&Wheel::new("beta", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    world.ok(["ensure", "pack", "--with", "beta"]);
    let interpreter = world.ok(["resolve", "pack"]);
    let answers = world.store().join("answers");
    assert!(answers.exists());
    assert_eq!(world.json(["seal"])["changed"], true);
    assert!(!answers.exists());
    assert_eq!(world.json(["seal"])["changed"], false);
    let before = traces(&world);
    assert_eq!(world.ok(["resolve", "pack"]), interpreter);
    assert_eq!(world.python_in("pack", "import beta; print(beta.version)"), "1.0");
    assert_eq!(world.json(["ensure", "pack", "--with", "beta"])["outcome"], "hit");
    for reads in [
        &["list"][..],
        &["show", "pack"],
        &["history", "pack"],
        &["why", "pack"],
        &["who-uses", "alpha"],
        &["diff", "pack"],
        &["events"],
        &["du"],
        &["verify", "--full"],
        &["doctor"],
        &["doctor", "pack"],
        &["export", "pack"],
        &["logs", "pack"],
    ] {
        world.ok(reads);
    }
    for writes in [
        &["ensure", "new", "--with", "alpha"][..],
        &["ensure", "pack", "--rebuild"],
        &["upgrade", "pack"],
        &["rollback", "pack"],
        &["remove", "pack"],
        &["pin", "kept", "pack"],
        &["link", "pack", "link"],
        &["gc"],
        &["reindex"],
    ] {
        let ran = world.run(writes);
        assert_eq!(ran.code, 6, "{writes:?}: {ran:#?}");
        assert!(ran.stderr.contains("the store is sealed") && ran.stderr.contains("envstore unseal"), "{ran:#?}");
    }
    assert_eq!(traces(&world), before);
    assert_eq!(world.run(["--read-only", "unseal"]).code, 6);
    assert_eq!(world.json(["unseal"])["changed"], true);
    assert_eq!(world.json(["unseal"])["changed"], false);
    world.ok(["rollback", "pack"]);
    assert_eq!(world.python_in("pack", "import alpha; print(alpha.version)"), "1.0");
}

#[test]
fn eight_readers_of_another_user_write_nothing_into_the_layer_above() {
    let world = shared_world();
    world.ok(["ensure", "pack", "--with", "alpha", "--python", &world.python().display().to_string()]);
    world.ok(["seal"]);
    let Some(overlay) = Overlay::new(&world.store()) else { return };
    let mut asked = vec![&["resolve", "pack"][..], &["list"], &["show", "pack"], &["verify"]];
    if can_start_python(&world) {
        asked.push(&["exec", "pack", "--", "python", "-c", "import alpha"]);
        asked.push(&["ensure", "pack"]);
    } else {
        skipped("another user cannot start the interpreter");
    }
    std::thread::scope(|scope| {
        for reader in 0..8 {
            let (asked, world) = (&asked, &world);
            scope.spawn(move || {
                // Each begins elsewhere, so that all of it happens at once.
                for args in asked.iter().cycle().skip(reader).take(asked.len() * 3) {
                    let Some(ran) = as_nobody(world, args) else { return };
                    assert_eq!(ran.code, 0, "{args:?}: {ran:#?}");
                }
            });
        }
    });
    assert_eq!(world.run(["ensure", "new", "--with", "alpha"]).code, 6, "the owner as well");
    assert_eq!(overlay.written(), Vec::<PathBuf>::new());
    // The layer does show what is written.
    world.ok(["unseal"]);
    world.ok(["ensure", "other", "--with", "alpha"]);
    assert!(overlay.written().contains(&"store.json".into()));
}

#[test]
fn nothing_is_sealed_while_something_is_built() {
    let world = World::new();
    let server = IndexServer::new(&world.wheels());
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    server.fall_silent();
    world.configure_install("", &format!("[[index]]\nname = \"own\"\nurl = {:?}\ndefault = true\n", server.url()));
    let mut build = world.command(["ensure", "new", "--with", "beta"]);
    let mut build = build.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    let until = Instant::now() + Duration::from_secs(60);
    while server.seen().is_empty() {
        assert!(Instant::now() < until, "the installer asks");
        std::thread::yield_now();
    }
    let busy = world.run(["seal"]);
    assert_eq!(busy.code, 4, "{busy:#?}");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(build.id().cast_signed()), nix::sys::signal::SIGTERM)
        .expect("kills");
    build.wait().expect("waits");
    world.ok(["seal"]);
}

#[test]
fn a_process_that_is_open_finds_out() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.wheel(&Wheel::new("beta", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    let open = || Store::builder(world.store()).open().expect("opens");
    let (pack, name) = (PackRef::new("pack").expect("a ref"), PackRef::new("kept").expect("a ref"));
    let pin = |store: &Store| store.pin(&name, &What::Pack(pack.clone()), None);

    let writer = open();
    pin(&writer).expect("pins");
    world.ok(["seal"]);
    let error = pin(&writer).expect_err("it is sealed");
    assert!(matches!(error, Error::Sealed { .. }), "{error:?}");
    let reader = open();
    let first = reader.resolve(&pack).expect("resolves").key();

    world.ok(["unseal"]);
    pin(&writer).expect("pins again");
    world.ok(["ensure", "pack", "--with", "beta"]);
    assert_ne!(reader.resolve(&pack).expect("resolves").key(), first, "it sees what changed");
    assert!(matches!(pin(&reader), Err(Error::Sealed { .. } | Error::NotPermitted { .. })));
    assert_eq!(writer.resolve(&pack).expect("resolves").key(), reader.resolve(&pack).expect("resolves").key());
}
