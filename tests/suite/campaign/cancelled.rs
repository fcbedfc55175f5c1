//! F15: Ctrl-C or SIGTERM at every step of every verb, and twice. Once, whoever builds or collects tidies up: nothing staged, nobody left behind,
//! and what was bound stays bound. Twice, it ends at once, and the next one tidies up; so do verbs that take moments, already with the first.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use memchr::memmem;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::failpoints::{Pick, chosen, points};
use super::powercut::stop_at;
use super::scenario::{SCENARIOS, world};
use super::{Extent, Tally, extent};
use crate::support::World;

/// Verbs that may take long.
const TIDY: [&str; 4] = ["ensure", "upgrade", "gc", "rollback"];

#[test]
fn interrupted_at_every_point_it_tidies_up_and_leaves_nobody() {
    let mut tally = Tally::new("interrupted");
    for (scenario, extent) in SCENARIOS.iter().map(|s| (s, extent(s.name))).filter(|(_, e)| *e != Extent::Nothing) {
        let world = world();
        scenario.begin(&world);
        let aside = world.put_aside();
        let points = points(scenario, &world);
        for (turn, (nth, point)) in chosen(&points, extent, Pick::First).into_iter().enumerate() {
            let signal = if turn % 2 == 0 { Signal::SIGINT } else { Signal::SIGTERM };
            let is_twice = turn % 3 == 2;
            let times = if is_twice { "twice" } else { "once" };
            let what = format!("{}: {signal} {times} at {nth} of {}, `{point}`", scenario.name, points.len());
            tally.try_one(&what, || {
                world.bring_back(&aside);
                let child = stop_at(&world, scenario, nth);
                let status = interrupt(child, signal, is_twice);
                let is_at_once = status.signal() == Some(signal as i32);
                // What was nearly done is done.
                let expected = if signal == Signal::SIGINT { 130 } else { 143 };
                assert!(is_at_once || [0, expected].map(Some).contains(&status.code()), "{what}: {status}");
                assert!(!is_at_once || !TIDY.contains(&scenario.command[0]), "{what}: it does not tidy up");
                if !is_twice && !is_at_once {
                    assert_eq!(world.listed("staging"), Vec::<String>::new(), "{what}");
                }
                assert_eq!(at_work_in(&world), Vec::<String>::new(), "{what}");
                scenario.check(&world, &what);
            });
        }
    }
    tally.end();
}

/// How a stopped process that ends that goes on with a signal, or two.
fn interrupt(mut child: Child, signal: Signal, is_twice: bool) -> ExitStatus {
    let pid = Pid::from_raw(child.id().cast_signed());
    kill(pid, signal).expect("signals");
    kill(pid, Signal::SIGCONT).expect("goes on");
    if is_twice {
        // Two at once would count as one.
        std::thread::park_timeout(Duration::from_millis(20));
        let _ = kill(pid, signal);
    }
    child.wait().expect("ends")
}

/// The command lines of processes that work on the store.
fn at_work_in(world: &World) -> Vec<String> {
    let store = world.store();
    let finder = memmem::Finder::new(store.as_os_str().as_bytes());
    let works = |pid: u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        finder.find(&line).map(|_| String::from_utf8_lossy(&line).replace('\0', " "))
    };
    let look = || {
        let pids = fs::read_dir("/proc").expect("lists").flatten();
        pids.filter_map(|entry| works(entry.file_name().to_str()?.parse().ok()?)).collect::<Vec<_>>()
    };
    // Whoever was killed a moment ago may still be leaving.
    for _ in 0..300 {
        if look().is_empty() {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
    look()
}
