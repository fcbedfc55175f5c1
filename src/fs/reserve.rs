//! A file that takes room and holds nothing.

use std::path::Path;

use nix::fcntl::{FallocateFlags, fallocate};

use crate::error::{Error, Result};
use crate::fs::nofollow;

/// Makes a new file of so many bytes whose blocks are taken.
pub fn reserve(path: &Path, bytes: u64) -> Result<()> {
    let file = nofollow::create_new(path, 0o600).map_err(Error::io("create", path))?;
    let length = i64::try_from(bytes).unwrap_or(i64::MAX);
    fallocate(&file, FallocateFlags::empty(), 0, length).map_err(Error::errno("take room for", path)).inspect_err(
        |_| {
            let _ = nofollow::remove_file(path);
        },
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn its_blocks_are_taken() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("room");
        reserve(&path, 1 << 20).expect("takes");
        assert!(fs::metadata(&path).expect("stat").blocks() * 512 >= 1 << 20);
        reserve(&path, 1).expect_err("is there");
    }
}
