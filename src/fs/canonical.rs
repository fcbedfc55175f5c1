//! The one mode and the one time of everything published: 0444 or 0555, 1980-01-02.

use std::fs::{File, Metadata};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{FchmodatFlags, Mode, UtimensatFlags, fchmod, fchmodat, futimens, utimensat};
use nix::sys::time::TimeSpec;

use crate::error::{Error, Result};

/// 1980-01-02 UTC: zip refuses anything before 1980, in whatever time zone.
pub const MTIME_SECS: i64 = 315_619_200;
const MTIME: TimeSpec = TimeSpec::new(MTIME_SECS, 0);

/// The mode of a published file.
pub fn file_mode(executable: bool) -> u32 {
    if executable { 0o555 } else { 0o444 }
}

/// Gives an open file its mode and time.
pub fn seal_file(file: &File, path: &Path, executable: bool) -> Result<()> {
    let mode = Mode::from_bits_truncate(file_mode(executable));
    fchmod(file.as_fd(), mode).map_err(Error::errno("set the mode of", path))?;
    futimens(file.as_fd(), &MTIME, &MTIME).map_err(Error::errno("set the times of", path))
}

/// Gives a directory its mode (0555) and time.
pub fn seal_dir(path: &Path) -> Result<()> {
    fchmodat(AT_FDCWD, path, Mode::from_bits_truncate(0o555), FchmodatFlags::FollowSymlink)
        .map_err(Error::errno("set the mode of", path))?;
    utimensat(AT_FDCWD, path, &MTIME, &MTIME, UtimensatFlags::NoFollowSymlink)
        .map_err(Error::errno("set the times of", path))
}

/// Gives a symbolic link its time.
pub fn seal_link(path: &Path) -> Result<()> {
    utimensat(AT_FDCWD, path, &MTIME, &MTIME, UtimensatFlags::NoFollowSymlink)
        .map_err(Error::errno("set the times of", path))
}

/// Whether a published file still looks as it did: kind, mode, time and size. A write in place changes the time.
pub fn looks_sealed(meta: &Metadata, executable: bool, size: u64) -> bool {
    meta.is_file()
        && meta.len() == size
        && meta.mtime() == MTIME_SECS
        && meta.mtime_nsec() == 0
        && meta.mode() & 0o7777 == file_mode(executable)
}
