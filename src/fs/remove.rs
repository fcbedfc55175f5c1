//! Removing trees without following a symlink (I9).
//!
//! Every step goes through a directory descriptor opened with `O_NOFOLLOW`, so a path swapped for a link
//! while we work leads nowhere. Read-only directories are made writable first.

use std::ffi::CStr;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, fchmod, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::error::{Error, Result};
use crate::failpoint::reached;

/// Deeper than any environment: a bound against a hostile tree.
const DEPTH_LIMIT: usize = 256;

/// Removes a file, link or directory tree and returns the bytes it held (each inode's own size, once its last
/// link is gone). A missing path is no error.
pub fn remove_tree(path: &Path) -> Result<u64> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(Error::io("stat", path)(error)),
    };
    reached("remove: before")?;
    if !meta.is_dir() {
        fs::remove_file(path).map_err(Error::io("remove", path))?;
        return Ok(if meta.nlink() == 1 { meta.len() } else { 0 });
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut freed = 0;
    let dir = Dir::open(path, flags, Mode::empty()).or_else(|errno| match errno {
        // A directory without read permission: ours to open up.
        Errno::EACCES => {
            nix::sys::stat::fchmodat(
                nix::fcntl::AT_FDCWD,
                path,
                Mode::S_IRWXU,
                nix::sys::stat::FchmodatFlags::FollowSymlink,
            )?;
            Dir::open(path, flags, Mode::empty())
        }
        errno => Err(errno),
    });
    dir.and_then(|mut dir| empty(&mut dir, &mut freed, 0)).map_err(Error::errno("remove", path))?;
    fs::remove_dir(path).map_err(Error::io("remove", path))?;
    Ok(freed + meta.len())
}

fn empty(dir: &mut Dir, freed: &mut u64, depth: usize) -> nix::Result<()> {
    if depth > DEPTH_LIMIT {
        return Err(Errno::ELOOP);
    }
    fchmod(dir.as_fd(), Mode::S_IRWXU)?;
    let mut entries = Vec::new();
    for entry in dir.iter() {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if name != c"." && name != c".." {
            entries.push((name.to_owned(), entry.file_type()));
        }
    }
    reached("remove: inside a directory").map_err(|_| Errno::EIO)?;
    for (name, kind) in entries {
        let name = name.as_c_str();
        let stat = fstatat(dir.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let is_dir =
            kind.map_or(stat.st_mode & nix::libc::S_IFMT == nix::libc::S_IFDIR, |kind| kind == Type::Directory);
        if is_dir {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let mut child = Dir::openat(dir.as_fd(), name, flags, Mode::empty())?;
            empty(&mut child, freed, depth + 1)?;
            unlinkat(dir.as_fd(), name, UnlinkatFlags::RemoveDir)?;
            *freed += stat.st_size.cast_unsigned();
        } else {
            unlinkat(dir.as_fd(), name, UnlinkatFlags::NoRemoveDir)?;
            if stat.st_nlink == 1 {
                *freed += stat.st_size.cast_unsigned();
            }
        }
    }
    Ok(())
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
}
