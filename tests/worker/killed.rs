//! A worker that is killed leaves its actions running, with their leases.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use envstore::runtime::{DependencyManager, PythonVenvManager};
use envstore::worker::{Action, PythonRuntime};

use crate::support::{Wheel, World};
use crate::{manager, spec, until};

const ACTIONS: usize = 8;
const STORE: &str = "ENVSTORE_TEST_KILLED_STORE";
const SCRIPT: &str = "ENVSTORE_TEST_KILLED_SCRIPT";

/// Runs alone only as the other test's child: a worker with eight actions.
#[tokio::test]
async fn worker() {
    let (Some(store), Some(script)) = (std::env::var_os(STORE), std::env::var_os(SCRIPT)) else { return };
    let manager = std::sync::Arc::new(PythonVenvManager::new(store.into()));
    let runtime = PythonRuntime::new(manager, "python3");
    let tasks: Vec<_> = (0..ACTIONS)
        .map(|n| {
            let action = Action::of_pack("pack", "work").script(PathBuf::from(&script)).args([n.to_string()]);
            let runtime = runtime.clone();
            tokio::spawn(async move { runtime.run(&action).await })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic").expect("runs");
    }
}

fn names(dir: &Path, begin: &str) -> usize {
    let entries = fs::read_dir(dir).expect("lists").flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(begin)).count()
}

#[tokio::test]
async fn its_actions_finish_and_nothing_of_theirs_is_collected() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0").file("alpha/late.py", "value = 42\n"));
    manager(&world).ensure_environment("pack", &spec("alpha")).await.expect("made");
    let dir = world.path().join("run");
    fs::create_dir(&dir).expect("a directory");
    let script = world.path().join("action.py");
    // It goes on talking when nobody listens any more.
    let code = format!(
        "import pathlib, sys, time\ndir = pathlib.Path({dir:?})\nprint('begun', flush=True)\n\
         (dir / f'begun-{{sys.argv[1]}}').touch()\n\
         while not (dir / 'go').exists():\n\x20   print('x' * 1000, flush=True)\n\x20   time.sleep(0.01)\n\
         import alpha.late\nprint(alpha.late.value, flush=True)\n(dir / f'done-{{sys.argv[1]}}-{{alpha.late.value}}').touch()\n"
    );
    fs::write(&script, code).expect("writes");
    let mut worker = Command::new(std::env::current_exe().expect("this program"))
        .args(["killed::worker", "--exact", "--nocapture"])
        .env_clear()
        .envs([("HOME", world.path().join("home")), ("ENVSTORE_CONFIG", world.config())])
        .envs([(STORE, world.store()), (SCRIPT, script)])
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("starts");
    until("all run", || names(&dir, "begun") == ACTIONS).await;
    worker.kill().expect("kills");
    worker.wait().expect("waits");

    assert_eq!(world.json(["remove", "pack"])["env_removed"], false);
    let kept = world.json(["gc", "--idle", "0s", "--drop-retained"]);
    assert_eq!((&kept["swept"], &kept["kept"]["leased"]), (&0.into(), &1.into()), "{kept:#}");
    fs::write(dir.join("go"), "").expect("writes");
    until("all are done", || names(&dir, "done") == ACTIONS).await;
    assert_eq!((0..ACTIONS).filter(|n| dir.join(format!("done-{n}-42")).exists()).count(), ACTIONS);
    until("the environment is free", || {
        world.json(["gc", "--idle", "0s"]);
        world.listed("envs").is_empty()
    })
    .await;
}
