//! Asking a filesystem whether it can hold a store, by trying: never by its name.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::fs::{durable, lock};

/// How the directory begins in which things are tried.
pub const PREFIX: &str = ".probe";

/// What may be in it.
pub const NAMES: [&str; 4] = ["file", "link", "renamed", "symlink"];

/// Tries what the store needs in an existing directory: locks that exclude, hard links, rename, syncfs. A few
/// milliseconds; leaves nothing behind.
///
/// # Errors
/// [`Error::UnsupportedFilesystem`] names what failed.
pub fn probe(dir: &Path) -> Result<()> {
    let scratch = dir.join(durable::unique(PREFIX));
    fs::create_dir(&scratch).map_err(Error::io("create", &scratch))?;
    let result = attempt(dir, &scratch);
    let _ = fs::remove_dir_all(&scratch);
    result
}

fn attempt(dir: &Path, scratch: &Path) -> Result<()> {
    let lacks = |what: &str| {
        let reason = format!("its filesystem {what}");
        Error::UnsupportedFilesystem { path: dir.to_owned(), reason }
    };
    let path = scratch.join("file");
    let open = || File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let (first, second) = (open().map_err(Error::io("create", &path))?, open().map_err(Error::io("open", &path))?);
    let mine = lock::try_lock(&first, lock::Mode::Exclusive).map_err(|_| lacks("has no file locks"))?;
    let theirs = lock::try_lock(&second, lock::Mode::Shared).map_err(|_| lacks("has no file locks"))?;
    if !mine || theirs {
        return Err(lacks("has file locks that do not exclude"));
    }
    fs::hard_link(&path, scratch.join("link")).map_err(|_| lacks("has no hard links"))?;
    std::os::unix::fs::symlink("file", scratch.join("symlink")).map_err(|_| lacks("has no symbolic links"))?;
    fs::rename(scratch.join("link"), scratch.join("renamed")).map_err(|_| lacks("cannot rename"))?;
    if fs::metadata(scratch.join("FILE")).is_ok() {
        return Err(lacks("does not tell upper from lower case"));
    }
    durable::sync_filesystem(scratch).map_err(|_| lacks("cannot be synced"))
}

/// Free and total bytes, and free inodes, of the filesystem that holds a path. One `statvfs`.
pub fn space(path: &Path) -> Result<Space> {
    let stat = nix::sys::statvfs::statvfs(path).map_err(Error::errno("ask for the free space of", path))?;
    let block = stat.fragment_size();
    Ok(Space {
        free_bytes: stat.blocks_available() * block,
        total_bytes: stat.blocks() * block,
        // Filesystems without a fixed number (btrfs) say 0 of 0.
        free_inodes: (stat.files() > 0).then(|| stat.files_available()),
    })
}

/// Whether a path is on an overlay filesystem, where directories of a lower layer cannot be renamed (`EXDEV`).
pub fn is_overlay(path: &Path) -> bool {
    let stat = nix::sys::statfs::statfs(path);
    stat.is_ok_and(|stat| stat.filesystem_type() == nix::sys::statfs::OVERLAYFS_SUPER_MAGIC)
}

/// Where the filesystem that holds a path is mounted, as far as device numbers tell.
pub fn mount_point(path: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| fs::metadata(path).ok().map(|meta| meta.dev());
    let here = device(path)?;
    path.ancestors().take_while(|above| device(above) == Some(here)).last().map(Path::to_owned)
}

/// What is left on a filesystem.
#[derive(Debug, Clone, Copy)]
pub struct Space {
    /// Bytes an ordinary user may still write.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Files that may still be made, where there is a limit.
    pub free_inodes: Option<u64>,
}
