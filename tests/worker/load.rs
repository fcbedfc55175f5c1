//! An upgrade under load: actions run on what they started with, and afterwards only what is kept remains.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use envstore::runtime::DependencyManager;
use envstore::worker::{Action, ActionResult};

use crate::support::{Wheel, World};
use crate::{runtime, spec, until};

const ACTIONS: usize = 50;
/// How many of them are short, one after the other.
const SHORT: usize = 5;
const MODULES: usize = 20;
const ROUNDS: usize = 10;

/// A distribution of many modules, each of which knows its version, as does a data file beside it.
fn large(version: &str) -> Wheel {
    let mut wheel = Wheel::new("alpha", version);
    for n in 0..MODULES {
        wheel = wheel.file(&format!("alpha/part{n}.py"), format!("version = {version:?}\n"));
        wheel = wheel.file(&format!("alpha/data{n}.txt"), version);
    }
    wheel
}

/// Says that it began; then imports module after module and reads file after file until it is told to stop, then the rest. All must be of one
/// version, also seen by a child.
fn script(dir: &Path) -> String {
    format!(
        "import alpha, importlib, os, pathlib, subprocess, sys, time\n\
         here, stop = pathlib.Path(alpha.__file__).parent, pathlib.Path({stop:?})\n\
         version = alpha.version\n\
         def look(n):\n\
         \x20   part = importlib.import_module(f'alpha.part{{n}}').version\n\
         \x20   data = (here / f'data{{n}}.txt').read_text()\n\
         \x20   assert (part, data) == (version, version), (part, data, version)\n\
         pathlib.Path({dir:?}, f'begun-{{os.getpid()}}').touch()\n\
         for n in range({MODULES}):\n\
         \x20   if sys.argv[1] == 'short': time.sleep(0.01)\n\
         \x20   else:\n\
         \x20       while n > {MODULES} // 2 and not stop.exists(): time.sleep(0.05)\n\
         \x20   look(n)\n\
         code = 'import alpha.part3; print(alpha.part3.version)'\n\
         assert subprocess.check_output([sys.executable, '-c', code], text=True).strip() == version\n\
         print(version)\n",
        stop = dir.join("stop")
    )
}

fn check(result: &ActionResult) -> String {
    assert!(result.is_success(), "{result:#?}");
    result.stdout.text().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_actions_are_not_disturbed_by_ten_upgrades_and_rollbacks() {
    let world = Arc::new(World::new());
    world.wheel(&large("1.0"));
    let runtime = runtime(&world);
    runtime.manager().ensure_environment("pack", &spec("alpha")).await.expect("made");
    world.wheel(&large("2.0"));
    let dir = world.path().join("run");
    fs::create_dir(&dir).expect("a directory");
    let file = world.path().join("action.py");
    fs::write(&file, script(&dir)).expect("writes");

    let is_over = Arc::new(AtomicBool::new(false));
    // Most of them last throughout, some are started again and again.
    let tasks: Vec<_> = (0..ACTIONS)
        .map(|n| {
            let (runtime, file, is_over) = (runtime.clone(), file.clone(), Arc::clone(&is_over));
            tokio::spawn(async move {
                let length = if n >= SHORT { "long" } else { "short" };
                let action = Action::of_pack("pack", "work").script(file).args([length]);
                let mut versions = Vec::new();
                loop {
                    versions.push(check(&runtime.run(&action).await.expect("runs")));
                    if length == "long" || is_over.load(Ordering::SeqCst) {
                        return versions;
                    }
                }
            })
        })
        .collect();
    let begun = || fs::read_dir(&dir).expect("lists").count();
    until("all have begun", || begun() >= ACTIONS).await;

    let rounds = {
        let world = Arc::clone(&world);
        tokio::task::spawn_blocking(move || {
            for _ in 0..ROUNDS {
                let up = world.json(["upgrade", "pack"]);
                assert_eq!(up["upgrades"][0]["changes"][0]["to"], "2.0", "{up:#}");
                world.json(["gc", "--idle", "0s", "--drop-retained"]);
                let back = world.json(["rollback", "pack"]);
                assert_eq!(back["changes"][0]["to"], "1.0", "{back:#}");
                world.json(["gc", "--idle", "0s", "--drop-retained"]);
            }
        })
    };
    rounds.await.expect("no panic");
    assert!(runtime.running() >= (ACTIONS - SHORT) as u64, "the long ones still run");
    is_over.store(true, Ordering::SeqCst);
    fs::write(dir.join("stop"), "").expect("writes");
    let mut seen = std::collections::BTreeSet::new();
    let mut count = 0;
    for task in tasks {
        let versions = task.await.expect("no panic");
        count += versions.len();
        seen.extend(versions);
    }
    eprintln!("{count} actions saw {seen:?}");
    assert_eq!(seen.len(), 2, "both versions ran: {seen:?}");

    // What the pack had when its last action began is kept until the worker looks again.
    fs::write(&file, "print('one more')").expect("writes");
    check(&runtime.run(&Action::of_pack("pack", "work").script(&file)).await.expect("runs"));
    // What the manager handed out is the first environment, which is what the pack has again.
    until("only what is kept is there", || {
        world.json(["gc", "--idle", "0s", "--drop-retained"]);
        world.listed("envs").len() == 1
    })
    .await;
    assert_eq!(world.python_in("pack", "import alpha; print(alpha.version)"), "1.0");
    assert_eq!(world.json(["verify", "--full"])["findings"], serde_json::json!([]));
}
