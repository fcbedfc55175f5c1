//! F2: the power is cut at a point. Real filesystems on loop devices, shut down under a stopped process, so that what was
//! not written back is gone; then mounted again, which replays the journal. Btrfs cannot be shut down: its image is copied under the
//! stopped process, and the copy is what the power left.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::failpoints::{Pick, chosen, points};
use super::scenario::{SCENARIOS, Scenario, world};
use super::{Extent, Tally, extent};
use crate::support::{Image, World, skipped};

// The same number on every filesystem that has it: `FS_IOC_SHUTDOWN` of linux/fs.h.
nix::ioctl_read!(shut_down, b'X', 125, u32);

/// What becomes of the journal: written out first, or lost with the rest.
const FLAGS: [u32; 2] = [1, 2];

#[test]
fn after_a_power_cut_on_ext4_an_environment_is_whole_or_absent() {
    cut(&["mkfs.ext4", "-q", "-F"], 128, Pick::Last);
}

#[test]
fn after_a_power_cut_on_xfs_an_environment_is_whole_or_absent() {
    cut(&["mkfs.xfs", "-q", "-f"], 320, Pick::First);
}

/// Btrfs commits by itself every 30 s, and tells its device what it need not keep: neither while an image is copied.
const BTRFS: &str = "loop,commit=300,nodiscard";

#[test]
fn after_a_power_cut_on_btrfs_an_environment_is_whole_or_absent() {
    let mut tally = Tally::new("mkfs.btrfs");
    for scenario in SCENARIOS {
        let extent = extent(scenario.name);
        if extent == Extent::Nothing || extent == Extent::Sample && scenario.name != "build" {
            continue;
        }
        let mut world = world();
        let mount = |image: &Image, world: &World| {
            // Of two images of one filesystem the kernel takes the newer one, unless it forgets what it saw.
            let _ = Command::new("btrfs").args(["device", "scan", "--forget"]).stderr(Stdio::null()).status();
            image.mount(&world.store())
        };
        let Some(base) = Image::new(world.path().join("base"), &["mkfs.btrfs", "-q", "-f"], 256) else { return };
        let base = base.with_options(BTRFS);
        fs::create_dir(world.store()).expect("a directory");
        if !mount(&base, &world) {
            return;
        }
        scenario.begin(&world);
        base.unmount(&world.store());
        let traced = base.copy(world.path().join("traced"));
        assert!(mount(&traced, &world));
        let points = points(scenario, &world);
        traced.unmount(&world.store());
        // Where everything was said to be durable: the one cut of the normal tests.
        let is_chosen = |(_, point): &(usize, &str)| extent == Extent::Everything || *point == "index: after a commit";
        for (nth, point) in chosen(&points, extent, Pick::Last).into_iter().filter(is_chosen) {
            let what = format!("{}: power cut at {nth} of {}, `{point}`", scenario.name, points.len());
            let image = base.copy(world.path().join("cut"));
            assert!(mount(&image, &world));
            let stopped = stop_at(&world, scenario, nth);
            let left = image.copy(world.path().join("left"));
            kill(stopped);
            image.unmount(&world.store());
            assert!(mount(&left, &world), "the log is replayed");
            world.reboot();
            tally.try_one(&what, || scenario.check(&world, &what));
            world.reboot_undone();
            left.unmount(&world.store());
        }
    }
    tally.end();
}

fn cut(mkfs: &[&str], megabytes: u64, pick: Pick) {
    // In the normal tests what differs in how it becomes durable.
    let is_sampled = |scenario: &Scenario| ["build", "assemble", "gc", "rollback"].contains(&scenario.name);
    let mut tally = Tally::new(mkfs[0]);
    for scenario in SCENARIOS {
        let extent = extent(scenario.name);
        if extent == Extent::Nothing || extent == Extent::Sample && !is_sampled(scenario) {
            continue;
        }
        let mut world = world();
        let Some(base) = begin(scenario, &world, mkfs, megabytes) else { return };
        let points = {
            let image = base.copy(world.path().join("traced"));
            image.mount(&world.store());
            let points = points(scenario, &world);
            image.unmount(&world.store());
            points
        };
        for (turn, (nth, point)) in chosen(&points, extent, pick).into_iter().enumerate() {
            let flags = if extent == Extent::Everything { &FLAGS[..] } else { &FLAGS[turn % 2..][..1] };
            for flag in flags {
                let what = format!("{}: power cut {flag} at {nth} of {}, `{point}`", scenario.name, points.len());
                let image = base.copy(world.path().join("cut"));
                assert!(image.mount(&world.store()));
                let stopped = stop_at(&world, scenario, nth);
                shut_down_at(&world.store(), *flag);
                kill(stopped);
                image.unmount(&world.store());
                assert!(image.mount(&world.store()), "the journal is replayed");
                world.reboot();
                tally.try_one(&what, || scenario.check(&world, &what));
                world.reboot_undone();
                image.unmount(&world.store());
            }
        }
    }
    tally.end();
}

/// The scenario's store on a filesystem of its own, unmounted.
fn begin(scenario: &Scenario, world: &World, mkfs: &[&str], megabytes: u64) -> Option<Image> {
    let base = Image::new(world.path().join("base"), mkfs, megabytes)?;
    fs::create_dir(world.store()).expect("a directory");
    if !base.mount(&world.store()) {
        return None;
    }
    scenario.begin(world);
    base.unmount(&world.store());
    Some(base)
}

/// Runs the scenario's command until it stops itself at a point.
pub fn stop_at(world: &World, scenario: &Scenario, nth: usize) -> Child {
    let mut command = world.command(scenario.command);
    command.env("ENVSTORE_FAILPOINT", format!("stop@{nth}")).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().expect("starts");
    let pid = Pid::from_raw(child.id().cast_signed());
    match waitpid(pid, Some(WaitPidFlag::WUNTRACED)).expect("waits") {
        WaitStatus::Stopped(..) => child,
        other => panic!("{}: it did not stop at {nth}: {other:?}", scenario.name),
    }
}

fn kill(mut child: Child) {
    child.kill().expect("kills");
    child.wait().expect("waits");
}

#[allow(unsafe_code)]
fn shut_down_at(mounted: &Path, flag: u32) {
    let dir = File::open(mounted).expect("a mounted filesystem");
    let mut flag = flag;
    // SAFETY: the descriptor is open, and the kernel reads one u32.
    unsafe { shut_down(dir.as_raw_fd(), &mut flag) }.unwrap_or_else(|errno| {
        skipped("the filesystem cannot be shut down");
        panic!("{errno}")
    });
}
