//! The same bytes at a second place: as a reflink, a hard link or a copy.
//!
//! A reflink shares the blocks and has an inode of its own (`FICLONE`, ioctl_ficlone(2)): a write to one changes no other.
//! A hard link shares the inode. Which of them a filesystem has is tried, never judged by its name.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{canonical, durable, nofollow};
use crate::error::{Error, Result};

/// How a file is put at a second place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkMode {
    /// Shared blocks, an inode of its own.
    Reflink,
    /// The same inode.
    Hardlink,
    /// Bytes of its own.
    Copy,
}

impl LinkMode {
    /// The word for it, as in the configuration and the JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reflink => "reflink",
            Self::Hardlink => "hardlink",
            Self::Copy => "copy",
        }
    }
}

/// The best mode that works in a directory, where a file is made and removed again.
pub fn best(scratch: &Path) -> Result<LinkMode> {
    let [from, clone, link] = [(); 3].map(|()| scratch.join(durable::unique("link")));
    fs::write(&from, [0; 4096]).map_err(Error::io("write", &from))?;
    let reflinked = reflink(&from, &clone);
    let linked = fs::hard_link(&from, &link);
    for name in [&from, &clone, &link] {
        let _ = fs::remove_file(name);
    }
    Ok(if reflinked.is_ok() {
        LinkMode::Reflink
    } else if linked.is_ok() {
        LinkMode::Hardlink
    } else {
        LinkMode::Copy
    })
}

/// Makes a new file that shares its blocks with another.
pub fn reflink(from: &Path, to: &Path) -> io::Result<File> {
    let source = File::open(from)?;
    let target = nofollow::create_new(to, 0o600)?;
    match rustix::fs::ioctl_ficlone(&target, &source) {
        Ok(()) => Ok(target),
        Err(errno) => {
            drop(target);
            fs::remove_file(to)?;
            Err(errno.into())
        }
    }
}

/// Makes a new file with the bytes of another, by blocks shared or copied, with the canonical mode and time.
pub fn duplicate(from: &Path, to: &Path, executable: bool, mode: LinkMode) -> Result<()> {
    let file = match mode {
        LinkMode::Reflink => reflink(from, to).map_err(Error::io("clone to", to))?,
        LinkMode::Hardlink | LinkMode::Copy => {
            let mut source = File::open(from).map_err(Error::io("open", from))?;
            let mut target = nofollow::create_new(to, 0o600).map_err(Error::io("create", to))?;
            io::copy(&mut source, &mut target).map_err(Error::io("copy to", to))?;
            target
        }
    };
    canonical::seal_file(&file, to, executable)
}

/// What became of a hard link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linked {
    /// It is made.
    Made,
    /// Something stands there.
    Exists,
    /// There is nothing to link to, or no directory to put it in.
    Missing,
    /// The inode has as many links as the filesystem allows (65,000 on ext4).
    Full,
}

/// Makes a hard link.
pub fn hard_link(from: &Path, to: &Path) -> Result<Linked> {
    match nofollow::hard_link(from, to) {
        Ok(()) => Ok(Linked::Made),
        Err(error) => match error.kind() {
            ErrorKind::AlreadyExists => Ok(Linked::Exists),
            ErrorKind::NotFound => Ok(Linked::Missing),
            ErrorKind::TooManyLinks => Ok(Linked::Full),
            _ => Err(Error::io("link to", to)(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_best_mode_is_one_that_works_and_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let mode = best(dir.path()).expect("tries");
        assert_ne!(mode, LinkMode::Copy, "a test directory has links");
        assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 0);
    }

    #[test]
    fn a_duplicate_has_an_inode_of_its_own() {
        let dir = tempfile::tempdir().expect("a directory");
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, "bytes").expect("writes");
        duplicate(&from, &to, true, LinkMode::Copy).expect("copies");
        let meta = fs::metadata(&to).expect("stat");
        assert!(canonical::looks_sealed(&meta, true, 5) && meta.nlink() == 1);
        assert_eq!(hard_link(&from, &to).expect("no error"), Linked::Exists);
        assert_eq!(hard_link(&dir.path().join("gone"), &dir.path().join("x")).expect("no error"), Linked::Missing);
    }
}
