//! Which processes use which environments: those that hold a lease, and those that only show signs of it.
//!
//! `/proc/locks` names the process that took a lock, which may be dead while a descendant holds it; the holders are those
//! whose `/proc/<pid>/fdinfo` has the lock. What another uid keeps to itself is not seen.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::in_use;
use super::report::Process;
use crate::layout::{LEASE, Layout};

/// Processes by the name of the environment's directory.
pub(super) fn by_env(layout: &Layout) -> HashMap<String, Vec<Process>> {
    let own = std::process::id();
    let mut found: HashMap<String, Vec<Process>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if pid == own {
            continue;
        }
        for name in leased_by(&entry.path(), layout) {
            let processes = found.entry(name).or_default();
            if processes.iter().all(|process| process.pid != pid) {
                processes.push(process(pid, true));
            }
        }
    }
    for (name, pid) in in_use::scan(layout).by_name {
        let processes = found.entry(name).or_default();
        if processes.iter().all(|process| process.pid != pid) {
            processes.push(process(pid, false));
        }
    }
    for processes in found.values_mut() {
        processes.sort_by_key(|process| process.pid);
    }
    found
}

/// The environments on whose lease a process holds a lock.
fn leased_by(process: &Path, layout: &Layout) -> Vec<String> {
    let mut names = Vec::new();
    for descriptor in fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
        let Ok(target) = fs::read_link(descriptor.path()) else { continue };
        if target.file_name().is_none_or(|name| name != LEASE) {
            continue;
        }
        // By device and inode: a container knows the store by another path.
        let Some(name) = in_use::leased(layout, &descriptor.path(), &target) else { continue };
        let info = fs::read_to_string(process.join("fdinfo").join(descriptor.file_name())).unwrap_or_default();
        if info.lines().any(|line| line.starts_with("lock:")) {
            names.push(name);
        }
    }
    names
}

fn process(pid: u32, leased: bool) -> Process {
    let dir = Path::new("/proc").join(pid.to_string());
    let command = fs::read(dir.join("cmdline")).unwrap_or_default();
    let words: Vec<_> = command.split(|byte| *byte == 0).filter(|word| !word.is_empty()).collect();
    let command = words.iter().map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>().join(" ");
    Process { pid, command, since: started_at(&dir), leased }
}

/// When a process started: field 22 of its `stat`, in ticks after the boot (proc(5)).
fn started_at(dir: &Path) -> Option<Timestamp> {
    let stat = fs::read_to_string(dir.join("stat")).ok()?;
    // The command's name stands in parentheses and may hold any of them.
    let ticks: i64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    let system = fs::read_to_string("/proc/stat").ok()?;
    let boot: i64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Timestamp::from_second(boot).ok()?.checked_add(SignedDuration::from_secs(ticks / per_second)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_when_it_started() {
        let started = started_at(Path::new("/proc/self")).expect("procfs");
        assert!(started > Timestamp::from_second(0).expect("1970"), "{started}");
        assert!(started <= Timestamp::now() + SignedDuration::from_secs(2), "{started}");
    }
}
