//! Tests that cannot run here: reported at once, counted at the end, and a failure where nothing may be skipped.
//!
//! A test that cannot run calls [`skipped`] and returns; the harness then counts it as passed. With `ENVSTORE_NO_SKIP=1`, which `.ci/run` sets, that is a
//! failure unless `tests/allowed-skips.txt` names the test. The last test target of a run, `zz_skipped`, counts what the others skipped: each skip is
//! a line of a file in the target directory, which is named after the process that runs the test targets.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::parent_id;
use std::path::PathBuf;

/// A line for each test that may be skipped everywhere: its name as the harness prints it, a blank, and the reason.
const ALLOWED: &str = include_str!("../allowed-skips.txt");

/// How the name of a record begins; the id of the process that runs the test targets follows.
pub const RECORD: &str = "skipped-tests-";

/// Reports that the calling test cannot run here, or a part of it, and why.
///
/// # Panics
/// Where tests may not be skipped, and this is none of those that may.
#[track_caller]
pub fn skipped(why: &str) {
    // The harness names the thread of a test after the test, unless it runs one test at a time.
    let test = std::thread::current().name().unwrap_or("a thread of a test").to_owned();
    // Past the harness, which keeps back what a passing test prints.
    let _ = std::io::stderr().write_all(format!("SKIPPED {test}: {why}\n").as_bytes());
    if let Some(record) = record() {
        let file = File::options().append(true).create(true).open(record);
        let _ = file.and_then(|mut file| file.write_all(format!("{test}: {why}\n").as_bytes()));
    }
    let is_strict = std::env::var_os("ENVSTORE_NO_SKIP").is_some_and(|value| !value.is_empty());
    assert!(
        !is_strict || is_allowed(&test),
        "{test} was skipped: {why}. Install what it needs, name it in tests/allowed-skips.txt, or unset ENVSTORE_NO_SKIP"
    );
}

fn is_allowed(test: &str) -> bool {
    ALLOWED.lines().any(|line| line.split_whitespace().next() == Some(test))
}

/// Where the test targets that one process runs record what they skip.
pub fn record() -> Option<PathBuf> {
    let target = std::env::current_exe().ok()?;
    Some(target.parent()?.parent()?.join(format!("{RECORD}{}", parent_id())))
}
