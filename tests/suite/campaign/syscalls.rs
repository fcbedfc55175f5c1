//! F1, F3, F4: killed at the N-th of each system call that changes a disk or a lock, and the same call failing with "no space" or "input/output
//! error". strace injects it into our main thread; what an installer does is its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::scenario::{SCENARIOS, Scenario, world};
use super::{Extent, Tally, extent};
use crate::support::{World, ran, skipped};

/// What changes a disk or a lock.
const CALLS: [&str; 15] = [
    "mkdir",
    "mkdirat",
    "openat",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "syncfs",
    "rename",
    "renameat2",
    "linkat",
    "unlink",
    "unlinkat",
    "fchmod",
    "fcntl",
];
/// What may fail for want of space or by a broken disk.
const FAILING: [(&str, &str); 9] = [
    ("mkdir", "ENOSPC"),
    ("openat", "ENOSPC"),
    ("write", "ENOSPC"),
    ("pwrite64", "ENOSPC"),
    ("linkat", "ENOSPC"),
    ("rename", "EIO"),
    ("fsync", "EIO"),
    ("fdatasync", "EIO"),
    ("syncfs", "EIO"),
];

#[test]
fn killed_at_any_system_call_nothing_is_lost() {
    let kill: Vec<_> = CALLS.iter().map(|call| (*call, "signal=KILL")).collect();
    sweep(&kill);
}

#[test]
fn a_full_or_broken_disk_at_any_system_call_loses_nothing() {
    let errors: Vec<_> = FAILING.iter().map(|(call, error)| (*call, format!("error={error}"))).collect();
    let errors: Vec<_> = errors.iter().map(|(call, error)| (*call, error.as_str())).collect();
    sweep(&errors);
}

fn sweep(injections: &[(&str, &str)]) {
    if !Command::new("strace").arg("-V").output().is_ok_and(|said| said.status.success()) {
        return skipped("needs strace");
    }
    let mut tally = Tally::new(injections[0].1);
    for scenario in SCENARIOS {
        let extent = extent(scenario.name);
        let is_sampled = ["build", "gc"].contains(&scenario.name);
        if extent == Extent::Nothing || extent == Extent::Sample && !is_sampled {
            continue;
        }
        let world = world();
        scenario.begin(&world);
        let aside = world.put_aside();
        let counts = counts(scenario, &world);
        for (call, fault) in injections {
            let count = counts.get(*call).copied().unwrap_or(0);
            let every: Vec<usize> = match extent {
                Extent::Everything => (1..=count).collect(),
                _ => vec![1, count.div_ceil(2), count],
            };
            let mut every: Vec<_> = every.into_iter().filter(|n| *n > 0).collect();
            every.dedup();
            for nth in every {
                let what = format!("{}: {fault} at {call} {nth} of {count}", scenario.name);
                tally.try_one(&what, || {
                    world.bring_back(&aside);
                    let inject = format!("inject={call}:{fault}:when={nth}");
                    let disturbed =
                        ran(traced(scenario, &world, &["-e", &inject], Path::new("/dev/null")).output().expect("runs"));
                    // 137 when it was killed; the counts may differ by a few from run to run. A file that cannot be opened may be the
                    // configuration (2), or the index, which SQLite then opens for reading only (6).
                    let is_told =
                        [0, 1, 3, 4].contains(&disturbed.code) || *call == "openat" && [2, 6].contains(&disturbed.code);
                    assert!(is_told || disturbed.code == 137 && fault.contains("KILL"), "{what}: {disturbed:#?}");
                    scenario.check(&world, &what);
                });
            }
        }
    }
    tally.end();
}

/// How often our main thread makes each call, undisturbed.
fn counts(scenario: &Scenario, world: &World) -> BTreeMap<String, usize> {
    let log = world.path().join("calls");
    let done =
        ran(traced(scenario, world, &["-e", &format!("trace={}", CALLS.join(","))], &log).output().expect("runs"));
    assert_eq!(done.code, 0, "{}: {done:#?}", scenario.name);
    let mut counts = BTreeMap::new();
    for line in fs::read_to_string(log).expect("calls").lines() {
        if let Some((call, _)) = line.split_once('(') {
            *counts.entry(call.to_owned()).or_default() += 1;
        }
    }
    counts
}

fn traced(scenario: &Scenario, world: &World, options: &[&str], log: &Path) -> Command {
    let plain = world.command(scenario.command);
    let mut command = Command::new("strace");
    command
        .args(["-o".as_ref(), log.as_os_str()])
        .args(options)
        .arg("--")
        .arg(plain.get_program())
        .args(plain.get_args());
    command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(world.path()).stdin(std::process::Stdio::null());
    command
}
