//! Removing trees without following a symlink (I9).
//!
//! Every step goes through a directory descriptor opened with `O_NOFOLLOW`, so a path swapped for a link
//! while we work leads nowhere. Read-only directories are made writable first.
//!
//! What another filesystem or a bind mount put into a tree is not part of it: a mount point is never entered. An entry that cannot be
//! removed does not keep the others: the rest goes, and the first failure is the error.

use std::ffi::{CStr, OsStr};
use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::NixPath;
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FchmodatFlags, Mode, fchmod, fchmodat, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::{durable, probe};
use crate::error::{Error, Result};
use crate::failpoint::reached;
use crate::fs::nofollow;

/// Deeper than any environment: a bound against a hostile tree.
const DEPTH_LIMIT: usize = 256;

/// Removes a file, link or directory tree and returns the bytes it held (each inode's own size, once its last
/// link is gone). A missing path is no error.
///
/// # Errors
/// The first entry that could not be removed. Everything else in the tree is gone all the same.
pub fn remove_tree(path: &Path) -> Result<u64> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(Error::io("stat", path)(error)),
    };
    reached("remove: before")?;
    if !meta.is_dir() {
        return match nofollow::remove_file(path) {
            Ok(()) => Ok(if meta.nlink() == 1 { meta.len() } else { 0 }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            Err(error) => Err(Error::io("remove", path)(error)),
        };
    }
    let mut removal = Removal { at: path.to_owned(), freed: 0, failed: None };
    let (above, name) = nofollow::parent(path).map_err(Error::io("open the directory of", path))?;
    match open_dir(above.as_fd(), name) {
        Ok(mut dir) => removal.empty(&mut dir, 0),
        Err(errno) => removal.note("remove", errno),
    }
    // One that is not empty was noted already.
    if removal.failed.is_none() {
        match nofollow::remove_dir(path) {
            Ok(()) => removal.freed += meta.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("remove", path)(error)),
        }
    }
    removal.failed.map_or(Ok(removal.freed), Err)
}

/// Removes a tree after it left for `trash` by one durable rename. A directory of an overlay's lower layer cannot be renamed (`EXDEV`): it is removed
/// where it is. A missing path is no error.
///
/// # Errors
/// If it could not be renamed, nothing is removed; else as for [`remove_tree`].
pub fn remove_through(trash: &Path, path: &Path) -> Result<u64> {
    match nofollow::rename(path, trash) {
        Ok(()) => {
            path.parent().map_or(Ok(()), durable::sync_dir)?;
            remove_tree(trash)
        }
        // Only if it is the tree that is gone, and not where `trash` would be.
        Err(error) if error.kind() == ErrorKind::NotFound && path.symlink_metadata().is_err() => Ok(0),
        Err(error) if error.kind() == ErrorKind::CrossesDevices && probe::is_overlay(path) => remove_tree(path),
        Err(error) => Err(Error::io("move to trash", path)(error)),
    }
}

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Opens a directory, readable or not, unless something is mounted there (`EXDEV`).
fn open_dir<P: ?Sized + NixPath>(above: BorrowedFd<'_>, name: &P) -> nix::Result<Dir> {
    match open_here(above, name) {
        // A directory without read permission: ours to open up.
        Err(Errno::EACCES) => {
            fchmodat(above, name, Mode::S_IRWXU, FchmodatFlags::NoFollowSymlink).map_err(|_| Errno::EACCES)?;
            open_here(above, name)
        }
        opened => opened,
    }
}

fn open_here<P: ?Sized + NixPath>(above: BorrowedFd<'_>, name: &P) -> nix::Result<Dir> {
    let how = OpenHow::new().flags(DIRECTORY).resolve(ResolveFlag::RESOLVE_NO_XDEV);
    match openat2(above, name, how) {
        Ok(opened) => Dir::from_fd(opened),
        // A kernel before 5.6, or a sandbox that does not know the call: device numbers tell other filesystems, though not bind mounts.
        Err(Errno::ENOSYS | Errno::EPERM) => {
            let dir = Dir::openat(above, name, DIRECTORY, Mode::empty())?;
            if fstat(dir.as_fd())?.st_dev == fstat(above)?.st_dev { Ok(dir) } else { Err(Errno::EXDEV) }
        }
        Err(errno) => Err(errno),
    }
}

/// A tree that is being removed.
struct Removal {
    /// Where it has got to.
    at: PathBuf,
    freed: u64,
    failed: Option<Error>,
}

impl Removal {
    /// Keeps the first failure. What another process removed meanwhile is none.
    fn note(&mut self, op: &'static str, errno: Errno) {
        let op = if errno == Errno::EXDEV { "remove what is mounted at" } else { op };
        if errno != Errno::ENOENT && self.failed.is_none() {
            self.failed = Some(Error::errno(op, &self.at)(errno));
        }
    }

    /// Empties a directory as far as that is possible.
    fn empty(&mut self, dir: &mut Dir, depth: usize) {
        if depth > DEPTH_LIMIT {
            return self.note("remove", Errno::ELOOP);
        }
        if reached("remove: inside a directory").is_err() {
            return self.note("remove", Errno::EIO);
        }
        // If this fails, so does what needs it.
        let _ = fchmod(dir.as_fd(), Mode::S_IRWXU);
        let mut entries = Vec::new();
        for entry in dir.iter() {
            match entry {
                Ok(entry) if [c".", c".."].contains(&entry.file_name()) => {}
                Ok(entry) => entries.push((entry.file_name().to_owned(), entry.file_type())),
                Err(errno) => return self.note("list", errno),
            }
        }
        for (name, kind) in entries {
            self.at.push(OsStr::from_bytes(name.to_bytes()));
            if let Err(errno) = self.entry(dir.as_fd(), &name, kind, depth) {
                self.note("remove", errno);
            }
            self.at.pop();
        }
    }

    fn entry(&mut self, dir: BorrowedFd<'_>, name: &CStr, kind: Option<Type>, depth: usize) -> nix::Result<()> {
        let stat = fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let is_dir =
            kind.map_or(stat.st_mode & nix::libc::S_IFMT == nix::libc::S_IFDIR, |kind| kind == Type::Directory);
        if !is_dir {
            unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)?;
            if stat.st_nlink == 1 {
                self.freed += stat.st_size.cast_unsigned();
            }
            return Ok(());
        }
        let mut child = open_dir(dir, name)?;
        let before = self.failed.is_some();
        self.empty(&mut child, depth + 1);
        match unlinkat(dir, name, UnlinkatFlags::RemoveDir) {
            Ok(()) => self.freed += stat.st_size.cast_unsigned(),
            // Something in it stayed, and was noted.
            Err(Errno::ENOTEMPTY) if self.failed.is_some() && !before => {}
            Err(errno) => return Err(errno),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn removal_follows_no_symlink() {
        let dir = tempfile::tempdir().expect("a directory");
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).expect("makes");
        fs::write(outside.join("precious"), "x").expect("writes");
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("a/b")).expect("makes");
        fs::write(tree.join("a/file"), "12345").expect("writes");
        symlink(&outside, tree.join("a/link")).expect("links");
        symlink("../../../../..", tree.join("a/b/up")).expect("links");
        fs::set_permissions(tree.join("a"), fs::Permissions::from_mode(0o555)).expect("chmod");
        assert!(remove_tree(&tree).expect("removes") >= 5);
        assert!(!tree.exists());
        assert!(outside.join("precious").exists());
        assert_eq!(remove_tree(&tree).expect("missing is fine"), 0);
    }

    #[test]
    fn a_link_given_is_removed_not_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).expect("makes");
        let link = dir.path().join("link");
        symlink(&outside, &link).expect("links");
        remove_tree(&link).expect("removes");
        assert!(outside.exists() && !link.is_symlink());
    }

    #[test]
    fn what_cannot_be_removed_keeps_nothing_else() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("SKIPPED: mounting a filesystem needs root");
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let (tree, outside) = (dir.path().join("tree"), dir.path().join("outside"));
        for name in ["a/before", "busy", "z/after"] {
            fs::create_dir_all(tree.join(name)).expect("makes");
        }
        fs::write(tree.join("z/file"), "12345").expect("writes");
        fs::create_dir(&outside).expect("makes");
        fs::write(outside.join("precious"), "x").expect("writes");
        let busy = tree.join("busy");
        let mount = |args: &[&std::ffi::OsStr]| {
            std::process::Command::new(args[0]).args(&args[1..]).status().is_ok_and(|status| status.success())
        };
        // A bind mount of the same filesystem, which device numbers do not tell.
        if !mount(&["mount".as_ref(), "--bind".as_ref(), outside.as_os_str(), busy.as_os_str()]) {
            eprintln!("SKIPPED: nothing can be mounted here");
            return;
        }
        let error = remove_tree(&tree).expect_err("something is mounted in it");
        let left: Vec<_> = fs::read_dir(&tree).expect("lists").flatten().map(|entry| entry.file_name()).collect();
        let again = remove_tree(&busy).expect_err("it is a mount point itself");
        assert!(mount(&["umount".as_ref(), busy.as_os_str()]));
        assert!(error.to_string().contains("mounted at") && error.to_string().contains("busy"), "{error}");
        assert!(again.to_string().contains("mounted at"), "{again}");
        assert_eq!(left, ["busy"]);
        assert!(outside.join("precious").exists());
        remove_tree(&tree).expect("removes the rest");
    }
}
