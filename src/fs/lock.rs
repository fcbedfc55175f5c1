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

/// Length 0: up to the end and whatever may be appended.
fn request(mode: Mode, start: u64, length: u64) -> libc::flock {
    let kind = match mode {
        Mode::Shared => libc::F_RDLCK,
        Mode::Exclusive => libc::F_WRLCK,
    };
    // The pid must be 0 for OFD locks.
    libc::flock {
        l_type: libc::c_short::try_from(kind).unwrap_or_default(),
        l_whence: libc::c_short::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: start.cast_signed(),
        l_len: length.cast_signed(),
        l_pid: 0,
    }
}

/// Tries to lock a file. False: somebody holds a lock that excludes it.
pub fn try_lock(file: &File, mode: Mode) -> Result<bool, Errno> {
    set(file, &request(mode, 0, 0))
}

/// Tries to lock one byte of a file, which need not be there.
pub fn try_lock_byte(file: &File, at: u64, mode: Mode) -> Result<bool, Errno> {
    set(file, &request(mode, at, 1))
}

/// Whether nobody has locked a byte of a file, this process included.
pub fn is_free_byte(file: &File, at: u64) -> Result<bool, Errno> {
    let mut lock = request(Mode::Exclusive, at, 1);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock))?;
    Ok(i32::from(lock.l_type) == libc::F_UNLCK)
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
    fn bytes_are_locked_one_by_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lock");
        let (a, b) = (open(&path), open(&path));
        assert_eq!(try_lock_byte(&a, 5, Mode::Shared), Ok(true));
        assert_eq!((is_free_byte(&b, 5), is_free_byte(&b, 6)), (Ok(false), Ok(true)));
        assert_eq!(try_lock_byte(&b, 5, Mode::Exclusive), Ok(false));
        assert_eq!(try_lock_byte(&b, 6, Mode::Exclusive), Ok(true));
        drop(a);
        assert_eq!(is_free_byte(&File::open(&path).expect("opens"), 5), Ok(true));
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
