//! [`Lease`]: the kernel's proof that a process uses an environment.
//!
//! # Locking
//! A shared open-file-description lock on the environment's `.lease` (0644, the owner's). It follows the
//! directory's rename, needs no clock, and lives as long as any process that holds the descriptor, also when
//! the one that took it is dead. A collector needs the exclusive lock, for which a reader of another uid
//! lacks the permission: it can keep an environment, never block others (I5).
//!
//! An action gets its *own* description ([`Lease::reopen`]), never a duplicate, and keeps it by inheriting it.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::error::{Error, Result};
use crate::failpoint::reached;
use crate::fs::lock::{self, Mode};
use crate::fs::nofollow;

/// How long a sweeper may hold the exclusive lock before a lease gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Shell scripts use small descriptor numbers themselves (bash: 3 to 9, 10 and above for its own).
pub(crate) const LOWEST_INHERITED: i32 = 100;

/// A shared lock on an environment. Dropping it lets go, unless a process inherited the description.
#[derive(Debug)]
pub struct Lease {
    file: File,
    path: PathBuf,
}

impl Lease {
    /// Leases the environment whose lease file this is. None: it is gone.
    ///
    /// The caller must ask the index *after* this whether the environment is still `ready`.
    ///
    /// # Errors
    /// [`Error::Busy`] when a collector holds it for longer than 10 s.
    pub fn acquire(path: &Path) -> Result<Option<Self>> {
        let started = Instant::now();
        loop {
            let file = match nofollow::open(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK, 0) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(Error::io("open", path)(error)),
            };
            reached("lease: opened")?;
            if lock::try_lock(&file, Mode::Shared).map_err(Error::errno("lease", path))? {
                reached("lease: locked")?;
                let held = file.metadata().map_err(Error::io("stat", path))?;
                match std::fs::metadata(path) {
                    Ok(named) if lock::is_same_inode(&held, &named) => {
                        return Ok(Some(Self { file, path: path.to_owned() }));
                    }
                    // Renamed to trash between open and lock: look again at what stands there now.
                    Ok(_) => continue,
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(Error::io("stat", path)(error)),
                }
            }
            if started.elapsed() > PATIENCE {
                return Err(Error::Busy { what: format!("`{}`", path.display()), holder: Some("a collector".into()) });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Creates a lease file in a new environment and leases it.
    pub fn create(path: &Path) -> Result<Self> {
        reached("lease: before its file")?;
        let file = nofollow::create_new(path, 0o644).map_err(Error::io("create", path))?;
        // Whatever the umask is: readers of another uid must be able to lock it.
        nofollow::set_mode(&file, 0o644).map_err(Error::io("set the mode of", path))?;
        drop(file);
        Self::acquire(path)?.ok_or_else(|| Error::Corrupt { path: path.into(), reason: "it vanished".into() })
    }

    /// A second lease with a description of its own, for a process to be started.
    pub fn reopen(&self) -> Result<Self> {
        let through = PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()));
        let file = File::open(&through).map_err(Error::io("open again", &self.path))?;
        // We hold a shared lock, so nobody can hold the exclusive one.
        lock::try_lock(&file, Mode::Shared).map_err(Error::errno("lease", &self.path))?;
        Ok(Self { file, path: self.path.clone() })
    }

    /// Whether the environment still stands at its path. Two `stat`s.
    pub fn stands(&self) -> bool {
        let held = self.file.metadata();
        held.is_ok_and(|held| std::fs::metadata(&self.path).is_ok_and(|named| lock::is_same_inode(&held, &named)))
    }

    /// Leaves a descriptor of this lease open across `execve`, for a process that becomes its action.
    pub fn leave_open_for_exec(&self) -> Result<()> {
        // F_DUPFD, unlike F_DUPFD_CLOEXEC, makes a descriptor that exec keeps; nobody closes it before.
        fcntl(&self.file, FcntlArg::F_DUPFD(LOWEST_INHERITED)).map(drop).map_err(Error::errno("keep open", &self.path))
    }

    /// Takes the exclusive lock of a lease file nobody holds. None: somebody does, or it is gone.
    pub fn try_exclusive(path: &Path) -> Result<Option<File>> {
        let file = match nofollow::open(path, OFlag::O_RDWR | OFlag::O_NONBLOCK, 0) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", path)(error)),
        };
        let free = lock::try_lock(&file, Mode::Exclusive).map_err(Error::errno("lock", path))?;
        Ok(free.then_some(file))
    }
}

impl AsFd for Lease {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_excludes_the_sweeper_until_its_last_holder_is_gone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(".lease");
        let lease = Lease::create(&path).expect("creates");
        assert!(Lease::try_exclusive(&path).expect("no error").is_none());
        let own = lease.reopen().expect("reopens");
        drop(lease);
        assert!(Lease::try_exclusive(&path).expect("no error").is_none());
        drop(own);
        assert!(Lease::try_exclusive(&path).expect("no error").is_some());
    }

    #[test]
    fn a_child_that_inherited_it_keeps_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(".lease");
        let lease = Lease::create(&path).expect("creates");
        let mut child = {
            lease.leave_open_for_exec().expect("stays open");
            std::process::Command::new("sleep").arg("60").spawn().expect("starts")
        };
        // The descriptor left open is ours too: close every one of them that leads to the lease.
        for entry in std::fs::read_dir("/proc/self/fd").expect("lists").flatten() {
            let number: i32 = entry.file_name().to_string_lossy().parse().expect("a number");
            if number >= LOWEST_INHERITED && std::fs::read_link(entry.path()).is_ok_and(|target| target == path) {
                nix::unistd::close(number).expect("closes");
            }
        }
        drop(lease);
        assert!(Lease::try_exclusive(&path).expect("no error").is_none());
        child.kill().expect("kills");
        child.wait().expect("waits");
        assert!(Lease::try_exclusive(&path).expect("no error").is_some());
    }

    #[test]
    fn a_missing_environment_has_no_lease() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(Lease::acquire(&dir.path().join("gone/.lease")).expect("no error").is_none());
    }
}
