//! [`Guard`]: a lock file that lets one process at a time do something, or several with a limit.
//!
//! # Locking
//! A guard's file may be deleted and made anew by others, so after the lock the file held is compared with the
//! one at the path. The order in which guards are taken, to exclude deadlock:
//! spec → cache → env → slot → objects or links → (index, inside one transaction); `gc` → env, cache, objects or links → (index).

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};

use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::failpoint::reached;
use crate::fs::lock::{self, Mode};
use crate::fs::nofollow;

/// A held lock file. Dropping it closes the file, which lets go.
#[derive(Debug)]
pub struct Guard {
    file: File,
}

/// What the holder of an exclusive guard wrote into it, for those who wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// What it does, e.g. `building`.
    pub what: String,
    /// Its log, where there is one.
    pub log: Option<PathBuf>,
}

impl Guard {
    /// Takes a guard if nobody holds it.
    pub fn try_take(path: &Path, mode: Mode) -> Result<Option<Self>> {
        loop {
            let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NONBLOCK;
            let file = nofollow::open(path, flags, 0o600).map_err(Error::io("open the guard", path))?;
            if !lock::try_lock(&file, mode).map_err(Error::errno("lock", path))? {
                return Ok(None);
            }
            let held = file.metadata().map_err(Error::io("stat", path))?;
            match std::fs::symlink_metadata(path) {
                Ok(named) if lock::is_same_inode(&held, &named) => return Ok(Some(Self { file })),
                // Replaced or removed between open and lock: that one guards nothing.
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("stat", path)(error)),
            }
        }
    }

    /// Waits for any of the guards, in turns with jitter. `on_wait` is told every 5 s for how long and for whom.
    ///
    /// # Errors
    /// [`Error::Busy`] at the deadline, [`Error::Interrupted`] when cancelled.
    pub fn take_any(
        paths: &[PathBuf],
        mode: Mode,
        deadline: Instant,
        cancel: &Cancel,
        on_wait: &dyn Fn(Duration, Option<Holder>),
    ) -> Result<Self> {
        let started = Instant::now();
        let mut told = Duration::ZERO;
        let mut pause = Duration::from_millis(1);
        loop {
            for path in paths {
                if let Some(guard) = Self::try_take(path, mode)? {
                    reached("guard: taken")?;
                    return Ok(guard);
                }
            }
            cancel.check("waiting for another process")?;
            let waited = started.elapsed();
            if Instant::now() >= deadline {
                let what = paths.first().map_or_else(String::new, |path| format!("`{}`", path.display()));
                return Err(Error::Busy { what, holder: Self::holder(paths).map(|h| h.to_string()) });
            }
            if waited - told >= Duration::from_secs(5) {
                told = waited;
                on_wait(waited, Self::holder(paths));
            }
            std::thread::sleep(jittered(pause));
            pause = (pause * 2).min(Duration::from_millis(40));
        }
    }

    /// Waits for one guard.
    ///
    /// # Errors
    /// Those of [`Guard::take_any`].
    pub fn take(
        path: PathBuf,
        mode: Mode,
        deadline: Instant,
        cancel: &Cancel,
        on_wait: &dyn Fn(Duration, Option<Holder>),
    ) -> Result<Self> {
        Self::take_any(&[path], mode, deadline, cancel, on_wait)
    }

    /// The file that is locked.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Writes who holds it, for those who wait. Failing to is no error.
    pub fn sign(&mut self, what: &str, log: Option<&Path>) {
        let holder = Holder { pid: std::process::id(), what: what.into(), log: log.map(Path::to_owned) };
        if let Ok(text) = serde_json::to_vec(&holder) {
            let _ = self.file.set_len(0).and_then(|()| self.file.write_all(&text));
        }
    }

    /// Who holds the first of the guards that is signed.
    pub(crate) fn holder(paths: &[PathBuf]) -> Option<Holder> {
        paths.iter().find_map(|path| {
            let mut text = String::new();
            File::open(path).ok()?.take(4096).read_to_string(&mut text).ok()?;
            serde_json::from_str(&text).ok()
        })
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {}, {}", self.pid, self.what)
    }
}

/// Between half and one and a half of a pause, so that waiters do not march in step.
fn jittered(pause: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(0u8) % 1024;
    pause.mul_f64(0.5 + f64::from(u16::try_from(random).unwrap_or(512)) / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_whose_file_was_removed_excludes_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("guard");
        let old = Guard::try_take(&path, Mode::Exclusive).expect("no error").expect("free");
        assert!(Guard::try_take(&path, Mode::Exclusive).expect("no error").is_none());
        std::fs::remove_file(&path).expect("removes");
        let new = Guard::try_take(&path, Mode::Exclusive).expect("no error").expect("a new file");
        drop(old);
        assert!(Guard::try_take(&path, Mode::Exclusive).expect("no error").is_none());
        drop(new);
        assert!(Guard::try_take(&path, Mode::Exclusive).expect("no error").is_some());
    }

    #[test]
    fn waiting_ends_at_the_deadline_and_names_the_holder() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("guard");
        let mut held = Guard::try_take(&path, Mode::Exclusive).expect("no error").expect("free");
        held.sign("testing", None);
        let error = Guard::take(path, Mode::Exclusive, Instant::now(), &Cancel::new(), &|_, _| ()).expect_err("held");
        assert!(error.to_string().contains(&format!("process {}, testing", std::process::id())), "{error}");
    }

    #[test]
    fn slots_are_as_many_as_there_are_files() {
        let dir = tempfile::tempdir().expect("a directory");
        let slots: Vec<_> = (0..2).map(|n| dir.path().join(format!("slot.{n}"))).collect();
        let take = || Guard::take_any(&slots, Mode::Exclusive, Instant::now(), &Cancel::new(), &|_, _| ());
        let (_first, _second) = (take().expect("free"), take().expect("free"));
        assert!(matches!(take(), Err(Error::Busy { .. })));
    }
}
