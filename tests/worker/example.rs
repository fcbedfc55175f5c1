//! `examples/worker.rs` as its users run it: jobs in, results out, upgrades meanwhile, and a clean end.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::{Wheel, World, uv_dir};
use crate::until;

/// The example, which cargo builds with the tests of the whole package, or now.
fn example() -> PathBuf {
    let test = std::env::current_exe().expect("this program");
    let built = test.parent().and_then(|deps| deps.parent()).expect("the build's directory").join("examples/worker");
    // Cargo tells its tests things that would make it build everything anew.
    let kept = ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "CARGO_TARGET_DIR"];
    let kept = kept.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let made = Command::new(env!("CARGO"))
        .env_clear()
        .envs(kept)
        .args(["build", "--quiet", "--offline", "--features", "worker", "--example", "worker", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .status()
        .expect("cargo starts");
    assert!(made.success() && built.exists(), "{}", built.display());
    built
}

fn start(world: &World) -> Child {
    let config = world.path().join("worker.yaml");
    fs::write(&config, "worker:\n  name: example\n  heartbeat_interval: 1\n  venv_base_dir: /no/such/dir\n")
        .expect("writes");
    Command::new(example())
        .args(["--jobs", "2", "--config"])
        .arg(config)
        .env_clear()
        .envs([("HOME", world.path().join("home")), ("ENVSTORE_CONFIG", world.config())])
        .env("ATTUNE__WORKER__VENV_BASE_DIR", world.store())
        .env("ATTUNE__WORKER__PYTHON_PATH", world.python())
        .env("PATH", format!("{}:/usr/bin:/bin", uv_dir().display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts")
}

#[tokio::test]
async fn the_example_works_and_ends_cleanly() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    let mut worker = start(&world);
    let mut jobs = worker.stdin.take().expect("a pipe");
    let mut results = BufReader::new(worker.stdout.take().expect("a pipe")).lines();
    let mut tell = |job: Value| writeln!(jobs, "{job}").expect("writes");
    let mut next = || serde_json::from_str::<Value>(&results.next().expect("a result").expect("reads")).expect("JSON");

    tell(json!({"id": 1, "ensure": "demo.pack", "dependencies": ["alpha"]}));
    assert_eq!(next()["environment"]["installed_dependencies"], json!(["alpha==1.0"]));
    let go = world.path().join("go");
    let code = format!(
        "import json, os, sys, time\nopen({go:?} + '.begun', 'w').close()\n\
         while not os.path.exists({go:?}): time.sleep(0.01)\nimport alpha\nprint(alpha.version, json.load(sys.stdin)['n'])"
    );
    tell(json!({"id": 2, "action": "demo.pack.wait", "code": code, "parameters": {"n": 7}}));
    until("it runs", || world.path().join("go.begun").exists()).await;
    world.wheel(&Wheel::new("alpha", "2.0"));
    world.ok(["upgrade", "demo.pack"]);
    world.ok(["gc", "--idle", "0s", "--drop-retained"]);
    tell(json!({"id": 3, "pack": "demo.pack", "action": "say", "code": "import alpha; print(alpha.version)"}));
    let newer = next();
    assert_eq!(
        (&newer["id"], &newer["result"]["stdout"], &newer["result"]["generation"]),
        (&3.into(), &"2.0\n".into(), &2.into())
    );
    tell(json!({"id": 4, "action": "nowhere.say", "code": ""}));
    assert!(next()["error"].as_str().expect("an error").contains("`nowhere`"));
    tell(json!({"id": 5}));
    assert!(next()["error"].is_string());

    // It ends when the action that runs has ended, and not before.
    kill(Pid::from_raw(worker.id().cast_signed()), Signal::SIGTERM).expect("asks");
    fs::write(&go, "").expect("writes");
    let older = next();
    assert_eq!(
        (&older["id"], &older["result"]["stdout"], &older["result"]["generation"]),
        (&2.into(), &"1.0 7\n".into(), &1.into())
    );
    let ended = worker.wait().expect("ends");
    assert!(ended.success(), "{ended:?}");
    let told = std::io::read_to_string(worker.stderr.take().expect("a pipe")).expect("reads");
    let beat: Value = serde_json::from_str(told.lines().next().expect("a heartbeat")).expect("JSON");
    assert_eq!(beat["heartbeat"]["worker"], "example");
    drop(jobs);
}
