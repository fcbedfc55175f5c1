//! Reading a file once for everything that is asked of its bytes.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use memchr::memmem::Finder;
use nix::fcntl::OFlag;

use crate::error::{Error, Result};

const CHUNK: usize = 256 << 10;

/// What a file's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// BLAKE3 of the bytes.
    pub digest: blake3::Hash,
    /// Bytes.
    pub size: u64,
    /// Whether the text searched for is in them.
    pub found: bool,
}

/// Opens a regular file for reading; a symbolic link is not followed (I9), and a FIFO in its place is not waited for.
pub fn open(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.read(true).custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits());
    options.open(path).map_err(Error::io("open", path))
}

/// A whole file of limited size; a symbolic link is not followed (I9).
///
/// # Errors
/// [`Error::Corrupt`] for one that is larger than `limit` bytes, of which no more is read.
pub fn whole(path: &Path, limit: u64) -> Result<Vec<u8>> {
    // Most are small: one read, and one that finds the end.
    let mut bytes = Vec::with_capacity(1 << 10);
    open(path)?.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > limit {
        let reason = format!("it is larger than {} KiB, which nothing writes there", limit >> 10);
        return Err(Error::Corrupt { path: path.to_owned(), reason });
    }
    Ok(bytes)
}

/// Reads a file once: its digest, its size, whether a text is in it. `also` is shown every chunk in order.
pub fn content(
    mut file: &File,
    path: &Path,
    finder: Option<&Finder<'_>>,
    mut also: impl FnMut(&[u8]),
) -> Result<Content> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; CHUNK];
    // The end of the last chunk stays in front, so that a text across two chunks is found.
    let keep = finder.map_or(0, |finder| finder.needle().len().saturating_sub(1));
    let (mut filled, mut size, mut found) = (0, 0, false);
    loop {
        let n = file.read(&mut buffer[filled..]).map_err(Error::io("read", path))?;
        if n == 0 {
            break;
        }
        let fresh = &buffer[filled..filled + n];
        hasher.update(fresh);
        also(fresh);
        size += n as u64;
        filled += n;
        found = found || finder.is_some_and(|finder| finder.find(&buffer[..filled]).is_some());
        let start = filled.saturating_sub(keep);
        buffer.copy_within(start..filled, 0);
        filled -= start;
    }
    Ok(Content { digest: hasher.finalize(), size, found })
}
