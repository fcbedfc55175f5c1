//! How one action runs: what it is given, what it is told of, and how it is stopped.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::kill;
use nix::unistd::Pid;

use envstore::runtime::DependencyManager;
use envstore::worker::{Action, RunError};

use crate::support::{Wheel, World};
use crate::{runtime, spec, until};

async fn bound(packs: &[&str]) -> World {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    let manager = crate::manager(&world);
    for pack in packs {
        manager.ensure_environment(pack, &spec("alpha")).await.expect("made");
    }
    world
}

fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z") && !stat.contains(") X"))
}

#[tokio::test]
async fn an_action_gets_its_parameters_variables_and_directory() {
    let world = bound(&["aws.s3"]).await;
    let script = world.path().join("list.py");
    let code = "import alpha, json, os, sys\nprint(json.dumps({'in': json.load(sys.stdin), 'args': sys.argv[1:], \
                'cwd': os.getcwd(), 'X': os.environ['X'], 'alpha': alpha.version, 'prefix': sys.prefix}))\n\
                print('said', file=sys.stderr)\nsys.exit(3)\n";
    fs::write(&script, code).expect("writes");
    let parameters = serde_json::json!({"bucket": "ü", "big": "x".repeat(200_000)});
    let action = Action::of_pack("aws.s3", "list")
        .script(&script)
        .args(["a b"])
        .parameters(parameters.clone())
        .env("X", "y")
        .working_dir(world.packs());
    let result = runtime(&world).run(&action).await.expect("runs");
    assert_eq!((result.exit_code, result.signal, result.is_success()), (Some(3), None, false));
    assert_eq!((result.pack.as_str(), result.action.as_str()), ("aws.s3", "list"));
    let told: serde_json::Value = serde_json::from_slice(&result.stdout.bytes).expect("JSON");
    assert_eq!((&told["in"], &told["X"], &told["alpha"]), (&parameters, &"y".into(), &"1.0".into()));
    assert_eq!((&told["args"][0], told["cwd"].as_str()), (&"a b".into(), world.packs().to_str()));
    assert_eq!(result.stderr.text(), "said\n");
    let resolved = world.json(["resolve", "aws.s3"]);
    assert_eq!(resolved["env"], result.env.expect("an environment").to_string());
    assert_eq!((result.generation, told["prefix"].as_str()), (Some(1), resolved["path"].as_str()));
    let as_json = serde_json::to_value(&result).expect("serialises");
    assert_eq!((&as_json["exit_code"], &as_json["stderr"]), (&3.into(), &"said\n".into()));
    assert!(as_json["duration_ms"].is_u64());
}

#[tokio::test]
async fn a_pack_that_is_not_bound_runs_with_the_configured_python() {
    let world = bound(&[]).await;
    let action = Action::of_pack("core", "echo").code("import sys; print(sys.prefix == sys.base_prefix)");
    let result = runtime(&world).run(&action).await.expect("runs");
    assert_eq!((result.stdout.text().trim(), result.env, result.generation), ("True", None, None));
    assert_eq!(result.interpreter, world.python());
    let missing = envstore::worker::PythonRuntime::new(crate::shared(&world), "/no/such/python");
    let error = missing.run(&action).await.expect_err("cannot start");
    assert!(matches!(error, RunError::Start { .. }), "{error}");
}

#[tokio::test]
async fn a_combined_reference_is_the_one_bound_pack_that_fits() {
    let world = bound(&["aws.s3"]).await;
    let runtime = runtime(&world);
    let run = |reference: &'static str| {
        let action = Action::combined(reference).code("import alpha; print(alpha.version)");
        let runtime = &runtime;
        async move { runtime.run(&action).await }
    };
    let result = run("aws.s3.buckets.list").await.expect("runs");
    assert_eq!((result.pack.as_str(), result.action.as_str()), ("aws.s3", "buckets.list"));
    assert_eq!(result.stdout.text().trim(), "1.0");
    let error = run("gcp.storage.list").await.expect_err("nothing fits");
    assert!(
        matches!(&error, RunError::NoPackFits { candidates, .. } if *candidates == ["gcp", "gcp.storage"]),
        "{error}"
    );
    assert!(error.to_string().contains("`gcp.storage`"), "{error}");
    runtime.manager().ensure_environment("aws", &spec("alpha")).await.expect("made");
    let error = run("aws.s3.list").await.expect_err("two fit");
    assert!(matches!(&error, RunError::Ambiguous { candidates, .. } if *candidates == ["aws", "aws.s3"]), "{error}");
    assert_eq!(run("aws.list").await.expect("only one fits").pack, "aws");
}

#[tokio::test]
async fn a_timeout_stops_the_whole_process_group() {
    let world = bound(&["pack"]).await;
    let pids = world.path().join("pids");
    // Neither the action nor its child listens to TERM.
    let code = format!(
        "import os, signal, subprocess, sys, time\n\
         signal.signal(signal.SIGTERM, lambda *_: print('asked', flush=True))\n\
         child = subprocess.Popen([sys.executable, '-c', \
         'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)'], stdout=subprocess.PIPE)\n\
         child.stdout.readline()\n\
         with open({pids:?} + '.part', 'w') as file: file.write(f'{{os.getpid()}} {{child.pid}}')\n\
         os.rename({pids:?} + '.part', {pids:?})\n\
         print('begun', flush=True)\n\
         while True: time.sleep(600)\n"
    );
    let timeout = Duration::from_secs(3);
    let action = Action::of_pack("pack", "hang").code(code).timeout(timeout).grace(Duration::from_millis(300));
    let result = runtime(&world).run(&action).await.expect("runs");
    assert!(result.timed_out && !result.cancelled && !result.is_success());
    assert_eq!((result.exit_code, result.signal), (None, Some(9)));
    assert_eq!(result.stdout.text(), "begun\nasked\n", "TERM came first");
    assert!(result.duration >= timeout);
    let pids = fs::read_to_string(&pids).expect("pids");
    for pid in pids.split(' ').map(|pid| pid.parse().expect("a pid")) {
        until("the group is gone", || !is_alive(pid)).await;
    }
}

#[tokio::test]
async fn an_action_nobody_waits_for_is_stopped() {
    let world = bound(&["pack"]).await;
    let pid_file = world.path().join("pid");
    let code = format!(
        "import os, time\nopen({pid_file:?} + '.part', 'w').write(str(os.getpid()))\n\
         os.rename({pid_file:?} + '.part', {pid_file:?})\ntime.sleep(600)"
    );
    let runtime = runtime(&world);
    let action = Action::of_pack("pack", "hang").code(code);
    let task = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.run(&action).await }
    });
    until("it runs", || pid_file.exists()).await;
    assert_eq!(runtime.running(), 1);
    task.abort();
    let pid = fs::read_to_string(&pid_file).expect("a pid").parse().expect("a pid");
    until("it is gone", || !is_alive(pid)).await;
    until("it is not counted", || runtime.running() == 0).await;
}

#[tokio::test]
async fn output_is_bounded_while_the_action_runs() {
    let world = bound(&["pack"]).await;
    let code = "import sys\nfor n in range(3000): sys.stdout.write('x' * 10000)\n\
                sys.stderr.write('y' * 50)\nsys.stdout.write('end')\n";
    let action = Action::of_pack("pack", "talk").code(code).max_output(1000, 10);
    let result = runtime(&world).run(&action).await.expect("runs");
    assert!(result.is_success());
    assert_eq!(result.stdout.bytes, vec![b'x'; 1000]);
    assert!(result.stdout.is_cut() && result.stdout_dropped_bytes > 0);
    assert_eq!((result.stderr.text().as_ref(), result.stderr_dropped_bytes), ("yyyyyyyyyy", 40));
}

#[tokio::test]
async fn what_an_action_leaves_running_keeps_the_environment() {
    let world = bound(&["pack"]).await;
    let runtime = runtime(&world);
    // The child closes what it inherited, as Python's children do: only its process group tells that it is the action's.
    let code =
        "import subprocess, sys\nchild = subprocess.Popen(['/bin/sleep', '600'], env={}, cwd='/')\nprint(child.pid)";
    let result = runtime.run(&Action::of_pack("pack", "leave").code(code)).await.expect("runs");
    assert!(result.is_success(), "{result:?}");
    let pid: i32 = result.stdout.text().trim().parse().expect("a pid");
    runtime.manager().remove_environment("pack").await.expect("removed");
    assert_eq!(world.json(["gc", "--idle", "0s"])["kept"]["leased"], 1);
    assert_eq!(world.listed("envs").len(), 1);
    kill(Pid::from_raw(pid), nix::sys::signal::SIGKILL).expect("kills");
    until("the environment is free", || {
        world.ok(["gc", "--idle", "0s"]);
        world.listed("envs").is_empty()
    })
    .await;
}

const STORE: &str = "ENVSTORE_TEST_ACTION_STORE";

/// Runs alone only as the next test's child.
#[tokio::test]
async fn child() {
    let Some(store) = std::env::var_os(STORE) else { return };
    let manager = envstore::runtime::PythonVenvManager::new(store.into());
    let runtime = envstore::worker::PythonRuntime::new(
        std::sync::Arc::new(manager),
        crate::support::interpreters()[0].path.clone(),
    );
    let code = "import json, os, sys\nprint('told', json.dumps({'vars': sorted(n for n in os.environ if n.startswith('PYTHON')), \
                'venv': os.environ.get('VIRTUAL_ENV'), 'env': os.environ.get('ENVSTORE_ENV'), 'path': os.environ['PATH'], \
                'sys': sys.path, 'flags': [sys.flags.optimize, sys.flags.dev_mode, sys.flags.inspect], 'bytecode': sys.dont_write_bytecode, \
                'own': os.environ.get('MINE'), 'fds': sorted(os.listdir('/proc/self/fd'))}))";
    for pack in ["pack", "unbound"] {
        let result = runtime.run(&Action::of_pack(pack, "tell").code(code)).await.expect("runs");
        assert!(result.is_success(), "{result:?}");
        println!("{}", result.stdout.text());
    }
    let own = Action::of_pack("pack", "tell")
        .code("import os; print('own', os.environ['PYTHONHASHSEED'])")
        .env("PYTHONHASHSEED", "7");
    println!("{}", runtime.run(&own).await.expect("runs").stdout.text());
}

#[tokio::test]
async fn nothing_of_the_workers_environment_reaches_python() {
    let world = bound(&["pack"]).await;
    let worker_venv = world.path().join("worker-venv");
    let child = Command::new("/bin/sh")
        // A descriptor without CLOEXEC that is nobody's business.
        .args(["-c", "exec 7</etc/hostname; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().expect("this program"))
        .args(["actions::child", "--exact", "--nocapture"])
        .env_clear()
        .envs([("HOME", world.path().join("home")), ("ENVSTORE_CONFIG", world.config()), (STORE, world.store())])
        .env("PATH", format!("{}/bin:/usr/bin:/bin", worker_venv.display()))
        .envs([
            ("PYTHONPATH", "/no/such/dir"),
            ("PYTHONOPTIMIZE", "2"),
            ("PYTHONDEVMODE", "1"),
            ("PYTHONSTARTUP", "/no/such/file"),
            ("PYTHONWARNINGS", "error"),
            ("PYTHONUSERBASE", "/no/such/dir"),
            ("PYTHONSAFEPATH", "1"),
            ("PYTHONINSPECT", "1"),
            ("ENVSTORE_ENV", "/no/such/env"),
            ("MINE", "kept"),
        ])
        .env("VIRTUAL_ENV", &worker_venv)
        .stdin(Stdio::null())
        .output()
        .expect("starts");
    let said = String::from_utf8_lossy(&child.stdout);
    let told: Vec<serde_json::Value> = said
        .lines()
        .filter_map(|line| line.split_once("told ").map(|(_, json)| serde_json::from_str(json).expect("JSON")))
        .collect();
    assert_eq!(told.len(), 2, "{child:?}");
    let path = world.json(["resolve", "pack"])["path"].clone();
    assert_eq!(told[0]["vars"], serde_json::json!(["PYTHONDONTWRITEBYTECODE"]));
    assert_eq!((&told[0]["venv"], &told[0]["env"]), (&path, &path));
    assert_eq!(told[1]["vars"], serde_json::json!([]));
    assert_eq!((&told[1]["venv"], &told[1]["env"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    for one in &told {
        assert_eq!(one["flags"], serde_json::json!([0, false, 0]));
        assert_eq!(one["own"], "kept");
        assert!(!one["path"].as_str().expect("a path").contains("worker-venv"), "{one}");
        assert!(!one["sys"].to_string().contains("/no/such"), "{one}");
        let fds: Vec<u32> =
            one["fds"].as_array().expect("a list").iter().map(|n| n.as_str().expect("n").parse().expect("n")).collect();
        // Standard ones, the directory being listed, and a lease at 100 or above.
        assert!(fds.iter().all(|fd| *fd <= 3 || *fd >= 100), "{fds:?}");
        assert_eq!(fds.iter().filter(|fd| **fd >= 100).count(), usize::from(one["env"].is_string()), "{fds:?}");
    }
    let bin = Path::new(path.as_str().expect("a path")).join("bin");
    assert!(told[0]["path"].as_str().expect("a path").starts_with(bin.to_str().expect("text")));
    assert!(said.contains("own 7"), "what the action asks for it gets: {said}");
}
