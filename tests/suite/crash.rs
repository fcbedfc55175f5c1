//! P4: a build that is killed leaves nothing that anybody sees.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Wheel, World};

#[test]
fn a_build_killed_at_twenty_moments_is_never_seen_half_made() {
    let world = World::new();
    // Enough files that a build has some length.
    for n in 0..6 {
        let mut wheel = Wheel::new(&format!("dist{n}"), "1.0");
        for m in 0..60 {
            wheel = wheel.file(&format!("dist{n}/m{m}.py"), format!("value = {m}\n").repeat(50));
        }
        world.wheel(&wheel);
    }
    let with: Vec<String> = (0..6).flat_map(|n| ["--with".to_owned(), format!("dist{n}")]).collect();
    let ensure = |pack: &str| [vec!["ensure".to_owned(), pack.to_owned()], with.clone()].concat();
    // How long it takes undisturbed, in a store of its own.
    let started = Instant::now();
    let other = world.path().join("other");
    assert!(world.command(ensure("pack")).env("ENVSTORE_STORE", &other).status().expect("runs").success());
    let whole = started.elapsed();
    world.ok(["ensure", "before", "--with", "dist0"]);
    let before = world.ok(["resolve", "before"]);
    for moment in 1..=20u32 {
        let mut child =
            world.command(ensure("pack")).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
        let until = Instant::now() + whole.mul_f64(f64::from(moment) / 20.5);
        let mut finished = false;
        while Instant::now() < until && !finished {
            finished = child.try_wait().expect("can be asked").is_some();
            std::thread::park_timeout(Duration::from_millis(1));
        }
        child.kill().expect("kills");
        child.wait().expect("waits");
        assert_eq!(world.ok(["resolve", "before"]), before, "the other pack is untouched");
        match world.run(["resolve", "pack"]) {
            // It was fast this time: whoever answers must be whole.
            ran if ran.code == 0 => {
                let code = "import importlib; print(sum(importlib.import_module(f'dist{n}.m{m}').value for n in range(6) for m in range(60)))";
                assert_eq!(world.python_in("pack", code), (6 * (0..60).sum::<u32>()).to_string());
                world.ok(["remove", "pack"]);
            }
            ran => assert_eq!(ran.code, 5, "{ran:#?}"),
        }
        let listed = world.json(["list", "--all"]);
        for env in listed["environments"].as_array().expect("environments") {
            assert!(world.store().join("manifests").join(format!("{}.json.gz", env_name(env))).exists(), "{env:#}");
        }
    }
    world.ok(ensure("pack"));
    assert_eq!(world.python_in("pack", "import dist5.m59; print(dist5.m59.value)"), "59");
    world.ok(["gc", "--idle", "0s"]);
    assert_eq!(world.listed("envs").len(), 2, "what the dead builders left is gone");
    assert!(world.listed("staging").is_empty() && world.listed("trash").is_empty());
}

fn env_name(env: &serde_json::Value) -> String {
    let path = env["path"].as_str().expect("a path");
    path.rsplit('/').next().expect("a name").to_owned()
}

#[test]
fn ctrl_c_takes_the_build_away_and_exits_130() {
    let world = World::new();
    let mut wheel = Wheel::new("big", "1.0");
    for m in 0..400 {
        wheel = wheel.file(&format!("big/m{m}.py"), format!("value = {m}\n").repeat(200));
    }
    world.wheel(&wheel);
    let mut command = world.command(["ensure", "pack", "--with", "big"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    // The moment there is something to be taken away.
    while world.listed("envs").is_empty() && child.try_wait().expect("can be asked").is_none() {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("signals");
    let status = child.wait().expect("waits");
    if status.success() {
        return crate::support::skipped("the build was faster than the signal");
    }
    assert_eq!(status.code(), Some(130));
    assert!(world.listed("envs").is_empty(), "{:?}", world.listed("envs"));
    assert!(world.listed("staging").is_empty() && world.listed("trash").is_empty());
    assert_eq!(world.run(["resolve", "pack"]).code, 5);
    world.ok(["ensure", "pack", "--with", "big"]);
}
