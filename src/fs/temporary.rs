//! New files under a name of their own, locked while they are written.
//!
//! # Locking
//! The writer holds the exclusive lock of its file until it closes it. A collector takes the shared lock, for which it need not be able to
//! write, and removes the file while it holds it: so a lock, and never a process id, says whether the writer lives. Between creating the file and locking
//! it a writer can be overtaken; it notices that, because the lock is taken or the file has lost its name, and takes another name.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::durable::unique;
use super::lock::{self, Mode};
use super::nofollow;
use crate::error::{Error, Result};

/// Creates a file in `dir` that this process alone writes, with mode 0600.
pub fn create(dir: &Path, prefix: &str) -> Result<(PathBuf, File)> {
    loop {
        let path = dir.join(unique(prefix));
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL;
        let file = nofollow::open(&path, flags, 0o600).map_err(Error::io("create", &path))?;
        if is_owned(&file, &path)? {
            return Ok((path, file));
        }
    }
}

fn is_owned(file: &File, path: &Path) -> Result<bool> {
    Ok(lock::try_lock(file, Mode::Exclusive).map_err(Error::errno("lock", path))?
        && file.metadata().map_err(Error::io("stat", path))?.nlink() > 0)
}

/// The file at a path, locked against its writer, if no process writes it. None: a process does, or it is gone.
pub fn try_take_abandoned(path: &Path) -> Result<Option<File>> {
    let file = match nofollow::open(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK, 0) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", path)(error)),
    };
    Ok(lock::try_lock(&file, Mode::Shared).map_err(Error::errno("lock", path))?.then_some(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_abandoned_once_its_writer_closed_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, file) = create(dir.path(), "write").expect("creates");
        assert!(try_take_abandoned(&path).expect("looks").is_none());
        drop(file);
        assert!(try_take_abandoned(&path).expect("looks").is_some());
        std::fs::remove_file(&path).expect("removes");
        assert!(try_take_abandoned(&path).expect("looks").is_none());
    }

    #[test]
    fn a_writer_that_a_collector_overtook_does_not_own_the_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("write");
        let writer = || File::options().read(true).write(true).create(true).truncate(false).open(&path).expect("opens");
        let file = writer();
        let taken = try_take_abandoned(&path).expect("looks").expect("its owner had not locked it yet");
        assert!(!is_owned(&file, &path).expect("looks"), "the collector holds it");
        std::fs::remove_file(&path).expect("removes");
        drop(taken);
        assert!(!is_owned(&file, &path).expect("looks"), "it has no name any more");
        assert!(is_owned(&writer(), &path).expect("looks"));
    }
}
