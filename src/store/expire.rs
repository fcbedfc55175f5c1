//! What ends by its age or number: logs, what is in quarantine, guards that nobody took for long.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::Store;
use super::report::Collected;
use crate::error::Error;
use crate::fs::lock::Mode;
use crate::fs::{remove, size};
use crate::guard::Guard;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long logs stay, and how many.
const LOGS_FOR: Duration = DAY.saturating_mul(30);
const LOGS: usize = 1000;
/// How long people have for what is in quarantine.
const QUARANTINE_FOR: Duration = DAY.saturating_mul(30);
/// How long the guard of one declaration or environment lies about unused.
const GUARDS_FOR: Duration = DAY;

impl Store {
    /// Removes what is past its age. The caller believes the clock.
    pub(super) fn expire(&self, is_rehearsal: bool, done: &mut Collected) {
        let free = |path: &Path| if is_rehearsal { Ok(size::own_bytes(path)) } else { remove::remove_tree(path) };
        for (path, age) in self.aged("quarantine", done) {
            if age >= QUARANTINE_FOR {
                done.freed_by_kind.quarantine += done.freed(&path, free(&path));
            }
        }
        let mut logs = self.aged("logs", done);
        logs.sort_by_key(|(_, age)| *age);
        for (at, (path, age)) in logs.iter().enumerate() {
            if at >= LOGS || *age >= LOGS_FOR {
                done.freed_by_kind.logs += done.freed(path, free(path));
            }
        }
        let is_of_one = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            ["env-", "spec-"].iter().any(|prefix| name.starts_with(prefix))
        };
        // Held while its name goes: a process that waits for it compares and takes a new one.
        let free_guard = |path: &Path| match Guard::try_take(path, Mode::Exclusive)? {
            Some(_guard) => free(path),
            None => Ok(0),
        };
        for (path, age) in self.aged("guards", done) {
            if age >= GUARDS_FOR && is_of_one(&path) {
                done.freed_by_kind.guards += done.freed(&path, free_guard(&path));
            }
        }
    }

    /// The entries of a directory, each with how long ago it was written. A modification time in the future counts as age zero.
    fn aged(&self, dir: &str, done: &mut Collected) -> Vec<(PathBuf, Duration)> {
        let now = self.0.clock.now();
        let paths = done.children(&self.0.layout.dir(dir));
        let age = |path: PathBuf| {
            let written = fs::symlink_metadata(&path).and_then(|meta| meta.modified());
            match written.map_err(Error::io("stat", &path)) {
                Ok(written) => {
                    let written = Timestamp::try_from(written).unwrap_or(Timestamp::MIN);
                    Some((path, Duration::try_from(now.duration_since(written)).unwrap_or_default()))
                }
                Err(error) => {
                    done.skip(&path, &error);
                    None
                }
            }
        };
        paths.into_iter().filter_map(age).collect()
    }
}
