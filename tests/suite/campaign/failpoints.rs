//! F1: killed, or failing, at every step of every verb.

use std::collections::BTreeMap;
use std::fs;

use super::scenario::{SCENARIOS, Scenario, world};
use super::{Extent, Tally, extent};
use crate::support::{World, ran};

/// The points that an undisturbed run passes, in order.
pub fn points(scenario: &Scenario, world: &World) -> Vec<String> {
    let trace = world.path().join("points");
    let _ = fs::remove_file(&trace);
    let done = ran(world.command(scenario.command).env("ENVSTORE_FAILPOINT_TRACE", &trace).output().expect("runs"));
    assert_eq!(done.code, 0, "{}: {done:#?}", scenario.name);
    fs::read_to_string(trace).expect("points").lines().map(str::to_owned).collect()
}

/// Which occurrence of a point is tried where not all are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    First,
    Last,
}

/// Which points are tried: all, or one of each name.
pub fn chosen(points: &[String], extent: Extent, pick: Pick) -> Vec<(usize, &str)> {
    let all = points.iter().enumerate().map(|(n, name)| (n + 1, name.as_str()));
    if extent == Extent::Everything {
        return all.collect();
    }
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for (n, name) in all {
        match pick {
            Pick::First => {
                ends.entry(name).or_insert(n);
            }
            Pick::Last => {
                ends.insert(name, n);
            }
        }
    }
    let mut chosen: Vec<_> = ends.into_iter().map(|(name, n)| (n, name)).collect();
    chosen.sort_unstable();
    chosen
}

fn disturb(action: &str, pick: Pick) {
    let mut tally = Tally::new(action);
    for (scenario, extent) in SCENARIOS.iter().map(|s| (s, extent(s.name))).filter(|(_, e)| *e != Extent::Nothing) {
        let world = world();
        scenario.begin(&world);
        let aside = world.put_aside();
        let points = points(scenario, &world);
        assert!(!points.is_empty(), "{} passes no point", scenario.name);
        for (nth, point) in chosen(&points, extent, pick) {
            let what = format!("{}: {action} at {nth} of {}, `{point}`", scenario.name, points.len());
            tally.try_one(&what, || {
                world.bring_back(&aside);
                let mut command = world.command(scenario.command);
                let disturbed =
                    ran(command.env("ENVSTORE_FAILPOINT", format!("{action}@{nth}")).output().expect("runs"));
                if action == "kill" {
                    assert_eq!(disturbed.code, 128 + 9, "{what}: {disturbed:#?}");
                } else {
                    // A step that is not needed may fail without harm.
                    assert!([0, 1, 3, 4].contains(&disturbed.code), "{what}: {disturbed:#?}");
                }
                scenario.check(&world, &what);
            });
        }
    }
    tally.end();
}

#[test]
fn killed_at_every_point_nothing_is_lost_and_nothing_half_made_is_seen() {
    disturb("kill", Pick::Last);
}

#[test]
fn a_failure_at_every_point_is_told_and_loses_nothing() {
    disturb("error", Pick::First);
}
