//! Counts the tests that the other targets skipped. It has no tests and is named so that cargo runs it last.

#[allow(dead_code, reason = "tests skip, this one counts")]
mod skip;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn main() {
    let Some(record) = skip::record() else { return };
    let text = fs::read_to_string(&record).unwrap_or_default();
    remove_old(&record);
    // A test may skip several of its parts, and a helper may say so more than once.
    let skipped: BTreeSet<&str> = text.lines().collect();
    let tests: BTreeSet<&str> = skipped.iter().filter_map(|line| line.split(": ").next()).collect();
    for line in &skipped {
        println!("skipped {line}");
    }
    println!("tests skipped, wholly or in part: {}", tests.len());
}

/// Removes the record that was counted, and those of runs that ended before they were.
fn remove_old(counted: &Path) {
    let _ = fs::remove_file(counted);
    let beside = counted.parent().and_then(|dir| fs::read_dir(dir).ok());
    for entry in beside.into_iter().flatten().flatten() {
        let name = entry.file_name();
        let run = name.to_str().and_then(|name| name.strip_prefix(skip::RECORD));
        if run.is_some_and(|run| !Path::new("/proc").join(run).exists()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
