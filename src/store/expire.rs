//! What ends by its age or number: logs, what is in quarantine, guards that nobody took for long.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::Store;
use super::gc::children;
use super::report::Collected;
use crate::error::{Error, Result};
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
    pub(super) fn expire(&self, is_rehearsal: bool, done: &mut Collected) -> Result<()> {
        let free = |path: &Path| if is_rehearsal { Ok(size::own_bytes(path)) } else { remove::remove_tree(path) };
        for (path, age) in self.aged("quarantine")? {
            if age >= QUARANTINE_FOR {
                done.freed_by_kind.quarantine += free(&path)?;
            }
        }
        let mut logs = self.aged("logs")?;
        logs.sort_by_key(|(_, age)| *age);
        for (at, (path, age)) in logs.iter().enumerate() {
            if at >= LOGS || *age >= LOGS_FOR {
                done.freed_by_kind.logs += free(path)?;
            }
        }
        let is_of_one = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            ["env-", "spec-"].iter().any(|prefix| name.starts_with(prefix))
        };
        for (path, age) in self.aged("guards")? {
            if age < GUARDS_FOR || !is_of_one(&path) {
                continue;
            }
            // Held while its name goes: whoever waits for it compares and takes a new one.
            if let Some(_guard) = Guard::try_take(&path, Mode::Exclusive)? {
                done.freed_by_kind.guards += free(&path)?;
            }
        }
        Ok(())
    }

    /// What stands in a directory, each with how long ago it was written. The future is now.
    fn aged(&self, dir: &str) -> Result<Vec<(PathBuf, Duration)>> {
        let now = self.0.clock.now();
        let age = |path: PathBuf| {
            let meta = fs::symlink_metadata(&path).map_err(Error::io("stat", &path))?;
            let written = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let written = Timestamp::try_from(written).unwrap_or(Timestamp::MIN);
            Ok((path, Duration::try_from(now.duration_since(written)).unwrap_or_default()))
        };
        children(&self.0.layout.dir(dir))?.into_iter().map(age).collect()
    }
}
