//! Failures as a user meets them: exit code, kind, message and hint of each.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{INSTALLERS, IndexServer, Mount, Ran, Wheel, World, project, ran, skipped};

/// Runs a command that fails and returns what a user is told of it, without what differs from run to run.
#[track_caller]
fn told<'a>(world: &World, arguments: impl IntoIterator<Item = &'a str>) -> String {
    let arguments: Vec<&str> = arguments.into_iter().collect();
    told_by(world, |more| ran(world.command(more).args(&arguments).output().expect("envstore starts")))
}

/// The same of a command that `run` runs, with these arguments before its own.
#[track_caller]
fn told_by(world: &World, run: impl Fn(&[&str]) -> Ran) -> String {
    let answer = run(&["--format", "json"]);
    let answer: Value = serde_json::from_str(&answer.stdout).unwrap_or_else(|_| panic!("not one object: {answer:#?}"));
    let error = &answer["error"];
    let text = |field: &str| error[field].as_str().unwrap_or("none").to_owned();
    let ran = run(&[]);
    assert!(ran.stderr.contains("error: "), "{ran:#?}");
    assert!(["hint: ", "--help"].iter().any(|mend| ran.stderr.contains(mend)), "{ran:#?}");
    assert_eq!(ran.stdout, "", "nothing but an answer goes to standard output");
    let mut causes = String::new();
    for cause in error["causes"].as_array().into_iter().flatten().filter_map(|cause| cause.as_str()) {
        // The installer's own lines are many, and its own.
        let said = if cause.contains('\n') { "(the installer's last lines)" } else { cause };
        causes.push_str(&format!("caused by: {said}\n"));
    }
    let log = if error["log"].is_string() { ", with a log" } else { "" };
    let retry = if error["retryable"] == true { ", try again" } else { "" };
    let told =
        format!("exit {}, {}{retry}{log}\n{}\n{causes}hint: {}", ran.code, text("kind"), text("message"), text("hint"));
    neutral(&told, world)
}

/// Without this world's place, and process ids, seconds and ports.
fn neutral(text: &str, world: &World) -> String {
    let text = text.replace(&world.path().display().to_string(), "@");
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) =
        ["process ", "127.0.0.1:", "after "].iter().filter_map(|lead| Some(rest.find(lead)? + lead.len())).min()
    {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits > 0 {
            out.push('N');
            rest = &rest[digits..];
        }
    }
    out + rest
}

fn world() -> World {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0").requires("beta>=2"));
    world.wheel(&Wheel::new("beta", "1.0"));
    world.wheel(&Wheel::new("beta", "2.0"));
    world
}

fn online(world: &World, installer: &str, more: &str, url: &str) {
    world.configure_install(
        &format!("installer = {installer:?}\n{more}"),
        &format!("[[index]]\nname = \"corp\"\nurl = {url:?}\ndefault = true\ncredentials = {{ env = \"PATH\" }}\n"),
    );
}

#[test]
fn no_set_of_versions_fits() {
    insta::assert_snapshot!(told(&world(), ["ensure", "pack", "--with", "alpha", "--with", "beta<2"]), @r#"
    exit 1, no_solution, with a log
    cannot lock the declaration: because all versions of alpha depend on beta>=2 and you require alpha, we can conclude that you require beta>=2. And because you require beta<2
    caused by: (the installer's last lines)
    hint: loosen a requirement, or ask for another interpreter with --python
    "#);
    let world = world();
    let server = IndexServer::new(&world.wheels());
    online(&world, "uv", "", &server.url());
    insta::assert_snapshot!(told(&world, ["ensure", "pack", "--with", "no-such-thing"]), @r#"
    exit 1, no_solution, with a log
    cannot lock the declaration: because no-such-thing was not found in the package registry and you require no-such-thing
    caused by: (the installer's last lines)
    hint: loosen a requirement, or ask for another interpreter with --python
    "#);
}

#[test]
fn a_source_distribution_does_not_build() {
    let world = world();
    let source = world.path().join("source");
    project(&source, "1.0");
    fs::write(source.join("backend.py"), "raise RuntimeError('this pack needs a bridge')\n").expect("writes");
    insta::assert_snapshot!(told(&world, ["ensure", "pack", "--with", "./source"]), @r#"
    exit 1, source_build, with a log
    cannot lock the declaration: `local @ file://@/source` did not build: RuntimeError: this pack needs a bridge
    caused by: (the installer's last lines)
    hint: the log has the build's whole output; a version with a wheel for this interpreter needs no build
    "#);
}

#[test]
fn bytes_are_not_the_ones_expected() {
    let world = world();
    let digest = "0".repeat(64);
    let pack = world.pack("pack", format!("beta==2.0 --hash=sha256:{digest}\n")).display().to_string();
    insta::assert_snapshot!(told(&world, ["ensure", "pack", "--from", &pack]), @r#"
    exit 1, hash_mismatch, with a log
    cannot lock the declaration: no artifact of `beta` has a digest that the declaration names
    caused by: (the installer's last lines)
    hint: an artifact is not the one its digest names; ask whoever publishes it or runs the index before changing the digest
    "#);
}

#[test]
fn an_index_cannot_be_reached() {
    let world = world();
    let [uv, pip] = INSTALLERS.map(|installer| {
        online(&world, installer, "", "http://127.0.0.1:9/simple/");
        told(&world, ["ensure", "pack", "--with", "alpha"])
    });
    insta::assert_snapshot!(uv, @r#"
    exit 4, network, try again, with a log
    cannot lock the declaration: cannot reach `http://127.0.0.1:N/simple/alpha/`: Connection refused (os error 111)
    caused by: (the installer's last lines)
    hint: check the connection, proxy and index; behind a site's own CA set `install.ca_bundle`
    "#);
    insta::assert_snapshot!(pip, @r#"
    exit 4, network, try again, with a log
    cannot lock the declaration: cannot reach `http://127.0.0.1:N/simple/alpha/`
    caused by: (the installer's last lines)
    hint: check the connection, proxy and index; behind a site's own CA set `install.ca_bundle`
    "#);
}

#[test]
fn an_index_refuses_the_credentials() {
    let world = world();
    let server = IndexServer::new(&world.wheels());
    server.only(&["nobody:here"]);
    let [uv, pip] = INSTALLERS.map(|installer| {
        online(&world, installer, "", &server.url());
        told(&world, ["ensure", "pack", "--with", "alpha"])
    });
    insta::assert_snapshot!(uv, @r#"
    exit 4, credentials, try again, with a log
    cannot lock the declaration: `http://127.0.0.1:N/simple/` refused the credentials
    caused by: (the installer's last lines)
    hint: check `credentials` of the `[[index]]` in the configuration
    "#);
    insta::assert_snapshot!(pip, @r#"
    exit 4, credentials, try again, with a log
    cannot lock the declaration: `http://127.0.0.1:N/simple/alpha/` refused the credentials
    caused by: (the installer's last lines)
    hint: check `credentials` of the `[[index]]` in the configuration
    "#);
}

#[test]
fn credentials_cannot_be_had() {
    let world = world();
    world.configure_install(
        "",
        "[[index]]\nname = \"corp\"\nurl = \"http://127.0.0.1:9/simple/\"\ncredentials = { env = \"CORP_TOKEN\" }\n",
    );
    insta::assert_snapshot!(told(&world, ["ensure", "pack", "--with", "alpha"]), @r#"
    exit 4, credentials, try again
    cannot lock the declaration: there are no credentials for index `corp`: the variable `CORP_TOKEN` is not set
    hint: check `credentials` of the `[[index]]` in the configuration
    "#);
}

#[test]
fn what_is_needed_is_not_here_offline() {
    let world = world();
    insta::assert_snapshot!(told(&world, ["ensure", "pack", "--with", "x @ https://h.invalid/x-1.0-py3-none-any.whl"]), @r#"
    exit 1, offline, with a log
    cannot lock the declaration: `x @ https://h.invalid/x-1.0-py3-none-any.whl` is not in the cache, and working offline
    caused by: (the installer's last lines)
    hint: run it once without --offline (ENVSTORE_OFFLINE, `install.offline`)
    "#);
}

#[test]
fn it_is_not_permitted_here() {
    let world = world();
    world.ok(["ensure", "pack", "--with", "beta"]);
    insta::assert_snapshot!(told(&world, ["--read-only", "ensure", "other", "--with", "alpha"]), @r#"
    exit 6, not_permitted
    cannot make an environment: the store is opened read-only
    hint: a store is written by the user who owns it, without --read-only (ENVSTORE_READ_ONLY); others can resolve, exec, list and show
    "#);
}

#[test]
fn the_filesystem_lacks_what_a_store_needs() {
    let world = world();
    if Command::new("strace").arg("-V").output().is_err() {
        return skipped("needs strace, which makes hard links fail as on a filesystem without");
    }
    let run = |more: &[&str]| {
        let inner = world.command(more);
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=linkat", "-e", "inject=linkat:error=EPERM"]);
        command.arg(inner.get_program()).args(more).args(["ensure", "pack", "--with", "alpha"]);
        command.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        ran(command.current_dir(world.path()).output().expect("strace starts"))
    };
    if run(&[]).stderr.contains("ptrace") {
        return skipped("strace may not trace here");
    }
    insta::assert_snapshot!(told_by(&world, run), @r#"
    exit 6, unsupported_filesystem
    cannot keep a store at `@/store`: its filesystem has no hard links
    hint: choose a directory on a local filesystem such as ext4, xfs or btrfs with --store
    "#);
    assert!(!world.store().join("store.json").exists());
}

#[test]
fn the_store_is_of_a_newer_release() {
    let world = world();
    world.ok(["ensure", "pack", "--with", "beta"]);
    let path = world.store().join("store.json");
    let mut marker: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("reads")).expect("JSON");
    marker["format"] = 99.into();
    fs::remove_file(&path).expect("removes");
    fs::write(&path, marker.to_string()).expect("writes");
    insta::assert_snapshot!(told(&world, ["resolve", "pack"]), @r#"
    exit 6, unsupported_format
    the store at `@/store` has format 99, this release knows up to 1
    hint: use a newer release of envstore
    "#);
}

#[test]
fn a_pack_has_no_such_name() {
    insta::assert_snapshot!(told(&world(), ["ensure", "@envstore/mine", "--with", "alpha"]), @r#"
    exit 2, usage
    invalid value '@envstore/mine' for '<PACK>': pack refs that begin with `@envstore/` are the store's own, `@envstore/mine` cannot be used
    hint: `envstore help` explains the commands
    "#);
}

#[test]
fn a_pack_is_unknown() {
    let world = world();
    world.ok(["ensure", "pack", "--with", "beta"]);
    insta::assert_snapshot!(told(&world, ["resolve", "other"]), @r#"
    exit 5, not_found
    no environment is bound to pack `other`
    hint: `envstore list` shows the packs there are; `envstore ensure` makes one
    "#);
    insta::assert_snapshot!(told(&world, ["ensure", "other"]), @r#"
    exit 5, not_found
    no environment is bound to pack `other`
    hint: `envstore list` shows the packs there are; `envstore ensure` makes one
    "#);
}

#[test]
fn somebody_else_builds_for_too_long() {
    let world = world();
    let server = IndexServer::new(&world.wheels());
    server.fall_silent();
    online(&world, "uv", "", &server.url());
    let mut builder = world.command(["ensure", "first", "--with", "alpha"]);
    let mut builder = builder.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("envstore starts");
    while server.seen().is_empty() {
        assert!(builder.try_wait().expect("waits").is_none(), "the index was not asked");
        std::thread::yield_now();
    }
    online(&world, "uv", "timeout = \"1s\"\n", &server.url());
    let told = told(&world, ["ensure", "second", "--with", "alpha"]);
    let _ = builder.kill();
    let _ = builder.wait();
    insta::assert_snapshot!(told, @r#"
    exit 4, busy, try again
    the same declaration is held by another process (process N, locking and building)
    hint: try again in a moment; `install.timeout` is how long a process waits for another
    "#);
}

#[test]
fn the_disk_is_full() {
    let world = world();
    let Some(mount) = Mount::new(&["mkfs.ext4", "-q"], 96) else { return };
    world.wheel(&Wheel::new("big", "1.0").file("big/data.bin", vec![b'x'; 90 << 20]));
    let store = mount.path().join("store").display().to_string();
    let told = told(&world, ["--store", &store, "ensure", "pack", "--with", "big"]);
    let told = told.replace(&store, "@/store").replace(&mount.path().display().to_string(), "@mounted");
    insta::with_settings!({ filters => vec![(r"\d+\.\d MB", "N MB"), (r"\d+ inodes", "N inodes")] }, {
        insta::assert_snapshot!(told, @r#"
        exit 4, no_space, try again, with a log
        cannot lock the declaration: no space is left on the device
        caused by: (the installer's last lines)
        hint: the filesystem at `@mounted` has N MB of N MB free now and N inodes; `envstore gc` frees what nothing keeps, with --drop-retained also what only rollbacks need; `envstore du` says what takes the room
        "#);
    });
    // Others are unharmed, and so is what comes next.
    world.ok(["--store", &store, "ensure", "small", "--with", "beta"]);
    assert_eq!(world.ok(["--store", &store, "exec", "small", "--", "python", "-c", "import beta"]), "");
}
