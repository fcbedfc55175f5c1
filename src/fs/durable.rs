//! Writes that are on disk when they return.
//!
//! After any sync error the caller must discard what it built and never retry the sync: the kernel reports a
//! failed write-back once, the next fsync may succeed without the data (fsync(2), "BUGS").
//!
//! For paths below a store's root: no symbolic link is followed ([`nofollow`]).

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::temporary;
use crate::error::{Error, Result};
use crate::failpoint::reached;
use crate::fs::nofollow;

/// Replaces or creates a file: temporary file in `staging`, fsync, rename, fsync of the directory. `staging` is on
/// the same filesystem; readers see the old bytes or the new ones, also after a power cut.
pub fn write(staging: &Path, path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    reached("write: before the temporary file")?;
    let (temporary, file) = temporary::create(staging, "write")?;
    let result = write_then_rename(file, &temporary, path, bytes, mode);
    if result.is_err() {
        let _ = nofollow::remove_file(&temporary);
    }
    result
}

fn write_then_rename(mut file: File, temporary: &Path, path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    file.write_all(bytes).map_err(Error::io("write", temporary))?;
    nofollow::set_mode(&file, mode).map_err(Error::io("set the mode of", temporary))?;
    reached("write: before the sync")?;
    file.sync_all().map_err(Error::io("sync", temporary))?;
    rename(temporary, path)
}

/// Renames and makes it durable: fsync of the target's directory.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    reached("rename: before")?;
    nofollow::rename(from, to).map_err(Error::io("rename to", to))?;
    reached("rename: before the sync")?;
    to.parent().map_or(Ok(()), sync_dir)
}

/// Syncs a directory's entries.
pub fn sync_dir(dir: &Path) -> Result<()> {
    nofollow::open_dir(dir).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", dir))
}

/// Syncs the whole filesystem that holds a directory: 0.07 s for 3,000 new files where an fsync of each takes 3.1 s.
pub fn sync_filesystem(dir: &Path) -> Result<()> {
    let file = nofollow::open_dir(dir).map_err(Error::io("open", dir))?;
    reached("syncfs: before")?;
    nix::unistd::syncfs(&file).map_err(Error::errno("sync the filesystem of", dir))?;
    reached("syncfs: after")
}

/// A name that no other process uses, in whatever pid namespace or on whatever host it runs: 64 random bits.
pub fn unique(prefix: &str) -> String {
    use std::hash::{BuildHasher, RandomState};
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // Each `RandomState` has keys of its own, seeded by the kernel.
    let random = RandomState::new().hash_one((std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    format!("{prefix}-{random:016x}")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_other() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        write(dir.path(), &path, b"old", 0o644).expect("writes");
        let missing = dir.path().join("missing/file");
        write(dir.path(), &missing, b"new", 0o644).expect_err("no such directory");
        assert_eq!(fs::read(&path).expect("reads"), b"old");
        assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 1);
    }
}
