//! Open-file-description locks (fcntl(2), `F_OFD_SETLK`).
//!
//! They belong to the open file description: they follow a directory's rename, survive the process that took
//! them as long as a descendant holds the descriptor, and are inherited over exec. A write lock needs a
//! descriptor opened for writing, so a reader of another uid can never hold one.
//!
//! **Never unlock**: an unlock frees everybody who shares the description. Let go by closing.

use std::fs::File;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// How a file is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Beside other shared locks; needs a descriptor open for reading.
    Shared,
    /// Alone; needs a descriptor open for writing.
    Exclusive,
}

/// The whole file. Length 0: up to the end and whatever may be appended.
fn request(mode: Mode) -> libc::flock {
    let kind = match mode {
        Mode::Shared => libc::F_RDLCK,
        Mode::Exclusive => libc::F_WRLCK,
    };
    // The pid must be 0 for OFD locks.
    libc::flock {
        l_type: libc::c_short::try_from(kind).unwrap_or_default(),
        l_whence: libc::c_short::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// Tries to lock a file. False: somebody holds a lock that excludes it.
pub fn try_lock(file: &File, mode: Mode) -> Result<bool, Errno> {
    set(file, &request(mode))
}

fn set(file: &File, lock: &libc::flock) -> Result<bool, Errno> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(lock)) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Whether two descriptors or paths lead to the same inode.
pub fn is_same_inode(a: &std::fs::Metadata, b: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &std::path::Path) -> File {
        File::options().read(true).write(true).create(true).truncate(false).open(path).expect("opens")
    }

    #[test]
    fn a_lock_lives_as_long_as_its_description() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lock");
        let (a, b) = (open(&path), open(&path));
        assert_eq!(try_lock(&a, Mode::Shared), Ok(true));
        assert_eq!(try_lock(&b, Mode::Shared), Ok(true));
        assert_eq!(try_lock(&b, Mode::Exclusive), Ok(false));
        let kept = a.try_clone().expect("duplicates");
        drop(a);
        assert_eq!(try_lock(&b, Mode::Exclusive), Ok(false), "a duplicate keeps the lock");
        drop(kept);
        assert_eq!(try_lock(&b, Mode::Exclusive), Ok(true));
    }

    #[test]
    fn a_reader_cannot_take_the_write_lock() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lock");
        open(&path);
        let reader = File::open(&path).expect("opens");
        assert_eq!(try_lock(&reader, Mode::Exclusive), Err(Errno::EBADF));
    }
}
