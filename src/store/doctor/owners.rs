//! Files below the root that do not belong to the store's owner, and how they are given back.
//!
//! Earlier releases left such files when root used another user's store. The owner can neither replace them nor delete what is in such a directory, so
//! `remove`, `gc` and `ensure` fail.
//!
//! Giving files away is root's work, in a tree that another user may change meanwhile. Each file is therefore opened without following a link,
//! compared with what was found, and changed through that descriptor. A file with several names is left alone unless all of them are below the root: another
//! name may be a file of root's elsewhere.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fmt::Display;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::libc::{S_IFDIR, S_IFLNK, S_IFMT, S_IFREG};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};
use nix::unistd::{Gid, Uid, fchownat};

use super::super::finding::{Finding, Level};
use super::super::{Store, foreign};
use crate::error::{Error, Result};
use crate::layout::{BALLAST, DIRECTORIES};

/// Deeper than any environment: a bound against a hostile tree.
const DEPTH_LIMIT: usize = 256;
/// How many files that could not be given back are reported one by one.
const REPORTED: usize = 20;
/// How a directory of the store is opened: never through a symbolic link.
const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// What a walk below the root found.
#[derive(Debug, Default)]
struct Walk {
    /// What belongs to others, each directory after everything in it.
    foreign: Vec<Foreign>,
    /// How many names below the root each file with several names has, by inode.
    names: HashMap<u64, u64>,
    /// Directories that this process cannot list.
    unreadable: u64,
}

/// A file, link or directory of another user.
#[derive(Debug)]
struct Foreign {
    /// Relative to the root.
    path: PathBuf,
    stat: FileStat,
}

impl Store {
    /// Reports what is below the root and does not belong to its owner.
    pub(super) fn look_at_owners(&self, findings: &mut Vec<Finding>) -> Result<()> {
        let owner = foreign::owner(self.root())?;
        let walk = Walk::of(self.root(), owner)?;
        if let Some(first) = walk.foreign.first() {
            let message = format!(
                "files and directories below the root that do not belong to its owner, uid {owner}, who can neither replace nor delete them: {}; the first is \
                 `{}`, of uid {}",
                walk.foreign.len(),
                first.path.display(),
                first.stat.st_uid
            );
            findings.push(
                Finding::new("foreign_owner", Level::Damage, message)
                    .hint("`envstore doctor --repair`, run by root, gives them to the owner"),
            );
        } else if walk.unreadable > 0 {
            let message =
                format!("whose files are in {} private directories can only be seen by the owner", walk.unreadable);
            findings.push(Finding::new("foreign_owner", Level::Note, message));
        } else {
            let message = "everything below the root belongs to its owner";
            findings.push(Finding::new("foreign_owner", Level::Ok, message));
        }
        Ok(())
    }

    /// Gives the owner of the root what is below it and belongs to others. Only root can; the ids of this process stay as they are. Says what was
    /// given back and what was left.
    ///
    /// # Errors
    /// [`Error::Sealed`], [`Error::NotPermitted`] for a store opened read-only; where the root cannot be listed.
    pub fn mend_owners(&self) -> Result<Vec<Finding>> {
        let what = "give files back to the store's owner";
        if self.0.sealed {
            return Err(Error::Sealed { what: what.into() });
        }
        if self.0.read_only {
            return Err(Error::NotPermitted { what: what.into(), reason: "the store is opened read-only".into() });
        }
        let root = self.root();
        let directory = open(root, DIRECTORY, Mode::empty()).map_err(Error::errno("open", root))?;
        let stat = fstat(&directory).map_err(Error::errno("stat", root))?;
        let (owner, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        let walk = Walk::of(root, owner)?;
        // Otherwise users may make names for files that are not theirs, and the names counted may be of another time.
        let are_names_certain = fs::read("/proc/sys/fs/protected_hardlinks").is_ok_and(|text| text.starts_with(b"1"));
        let (mut given, mut left) = (0_u64, Vec::new());
        for foreign in &walk.foreign {
            let names = walk.names.get(&foreign.stat.st_ino).copied().filter(|_| are_names_certain);
            match give(&directory, foreign, names, owner, group) {
                Ok(was_given) => given += u64::from(was_given),
                Err(reason) => left.push(Finding::new(
                    "foreign_owner",
                    Level::Damage,
                    format!("`{}` still belongs to uid {}: {reason}", foreign.path.display(), foreign.stat.st_uid),
                )),
            }
        }
        let more = left.len().saturating_sub(REPORTED);
        left.truncate(REPORTED);
        if more > 0 {
            left.push(Finding::new("foreign_owner", Level::Damage, format!("and {more} more")));
        }
        if given > 0 {
            let message = format!("files and directories given to the owner, uid {owner}: {given}");
            left.insert(0, Finding::new("owner_mended", Level::Note, message));
        }
        Ok(left)
    }
}

impl Walk {
    fn of(root: &Path, owner: Uid) -> Result<Self> {
        let mut walk = Self::default();
        let failed = || Error::errno("list", root);
        let mut directory = Dir::open(root, DIRECTORY, Mode::empty()).map_err(failed())?;
        let device = fstat(&directory).map_err(failed())?.st_dev;
        for name in names(&mut directory).map_err(failed())? {
            // What is not the store's own may be root's on purpose, as `lost+found` is.
            if is_of_store(&name) {
                walk.visit(&directory, &name, Path::new(""), (owner, device), 0);
            }
        }
        Ok(walk)
    }

    /// Looks at one entry of a directory, and at everything below it. What vanishes meanwhile is of no interest.
    fn visit(&mut self, parent: &Dir, name: &CStr, above: &Path, of: (Uid, nix::libc::dev_t), depth: usize) {
        let Ok(stat) = fstatat(parent.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW) else { return };
        let path = above.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
        let (owner, device) = of;
        if stat.st_mode & S_IFMT == S_IFDIR {
            // What is mounted there is no part of the store.
            if stat.st_dev != device {
                return;
            }
            if depth > DEPTH_LIMIT {
                self.unreadable += 1;
                return;
            }
            match Dir::openat(parent.as_fd(), name, DIRECTORY, Mode::empty()) {
                Ok(mut directory) => match names(&mut directory) {
                    Ok(names) => names.iter().for_each(|name| self.visit(&directory, name, &path, of, depth + 1)),
                    Err(_) => self.unreadable += 1,
                },
                Err(Errno::ENOENT) => return,
                Err(_) => self.unreadable += 1,
            }
        } else if stat.st_nlink > 1 {
            *self.names.entry(stat.st_ino).or_default() += 1;
        }
        if stat.st_uid != owner.as_raw() {
            self.foreign.push(Foreign { path, stat });
        }
    }
}

/// The names in a directory but `.` and `..`.
fn names(directory: &mut Dir) -> nix::Result<Vec<CString>> {
    let names = directory.iter().map(|entry| Ok(entry?.file_name().to_owned()));
    names.filter(|name| !name.as_ref().is_ok_and(|name| name.as_c_str() == c"." || name.as_c_str() == c"..")).collect()
}

/// Whether an entry of the root is one that a store has.
fn is_of_store(name: &CStr) -> bool {
    name.to_str().is_ok_and(|name| {
        DIRECTORIES.iter().any(|(directory, _)| *directory == name)
            || name.starts_with("index.db")
            || ["store.json", "epoch", "answers", BALLAST].contains(&name)
    })
}

/// Gives away one file; false if it was given away already, by another of its names. `names`: how many it has below the root; none if that is not
/// certain. The error says why it was left.
fn give(root: &OwnedFd, foreign: &Foreign, names: Option<u64>, owner: Uid, group: Gid) -> Result<bool, String> {
    let failed = |error: &dyn Display| error.to_string();
    let mut at = root.try_clone().map_err(|error| failed(&error))?;
    let handle = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    for name in &foreign.path {
        // Opening an entry of what is no directory fails, also of a symbolic link.
        at = openat(&at, name, handle, Mode::empty()).map_err(|errno| failed(&errno.desc()))?;
    }
    let now = fstat(&at).map_err(|errno| failed(&errno.desc()))?;
    if (now.st_dev, now.st_ino) != (foreign.stat.st_dev, foreign.stat.st_ino) {
        return Err("it was replaced meanwhile".into());
    }
    if now.st_uid == owner.as_raw() {
        return Ok(false);
    }
    match now.st_mode & S_IFMT {
        S_IFDIR => {}
        S_IFREG | S_IFLNK if now.st_nlink <= 1 => {}
        S_IFREG | S_IFLNK => match names {
            Some(names) if names == now.st_nlink => {}
            Some(_) => return Err("it has another name outside the store".into()),
            None => {
                return Err("it has several names, and fs.protected_hardlinks is not 1: users here may give names to \
                            files that are not theirs"
                    .into());
            }
        },
        _ => return Err("it is neither a file, a link nor a directory".into()),
    }
    fchownat(&at, c"", Some(owner), Some(group), AtFlags::AT_EMPTY_PATH).map_err(|errno| failed(&errno.desc()))?;
    Ok(true)
}
