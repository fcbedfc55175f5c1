//! [`Root`]: the directory in which the index was opened, and whether it still stands at its path.
//!
//! SQLite opens files by path. If the root was moved, or another directory was mounted over it, the same path leads to another store.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

use crate::error::{Error, Result};

/// SQLite refuses longer paths (`SQLITE_MAX_PATHLEN` is 512, of which it keeps 8 bytes for `-journal`).
const LONGEST_PATH: usize = 504;

/// A root that was opened.
#[derive(Debug)]
pub(super) struct Root {
    /// Held so that the inode's number is not given to another directory.
    _opened: File,
    inode: (u64, u64),
}

impl Root {
    /// Opens a root for looking at it only.
    ///
    /// # Errors
    /// [`Error::UnsupportedFilesystem`] if SQLite cannot open files there.
    pub fn open(path: &Path) -> Result<Self> {
        require_path(path)?;
        let opened = File::options().read(true).custom_flags((OFlag::O_PATH | OFlag::O_DIRECTORY).bits()).open(path);
        let opened = opened.map_err(Error::io("open", path))?;
        let inode = inode(&opened.metadata().map_err(Error::io("stat", path))?);
        Ok(Self { _opened: opened, inode })
    }

    /// Refuses to go on if another directory stands at the path. One `stat`.
    ///
    /// # Errors
    /// [`Error::NotPermitted`].
    pub fn require_at(&self, path: &Path) -> Result<()> {
        if inode(&fs::metadata(path).map_err(Error::io("stat", path))?) == self.inode {
            return Ok(());
        }
        let reason =
            format!("`{}` is another directory now than when the store was opened; open it again", path.display());
        Err(Error::NotPermitted { what: "use the index".into(), reason })
    }
}

/// Refuses to create a store at a root below which SQLite cannot open files, or could not rebuild the index in `staging/`.
///
/// # Errors
/// [`Error::UnsupportedFilesystem`].
pub(crate) fn require_root(root: &Path) -> Result<()> {
    require_path(root)?;
    let longest = root.join("staging/reindex-4294967295-4294967295-3b9ac9ff");
    require_path(&longest).map_err(|error| match error {
        Error::UnsupportedFilesystem { reason, .. } => Error::UnsupportedFilesystem { path: root.to_owned(), reason },
        other => other,
    })
}

/// Refuses a root below which SQLite cannot open files.
///
/// # Errors
/// [`Error::UnsupportedFilesystem`].
pub(super) fn require_path(root: &Path) -> Result<()> {
    let bytes = root.join("index.db").as_os_str().len();
    let reason = if root.to_str().is_none() {
        "its path is not UTF-8".into()
    } else if bytes > LONGEST_PATH {
        format!("the path of its index has {bytes} bytes, and SQLite opens paths of at most {LONGEST_PATH}")
    } else {
        return Ok(());
    };
    Err(Error::UnsupportedFilesystem { path: root.to_owned(), reason })
}

fn inode(meta: &fs::Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_directory_at_the_path_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("root");
        fs::create_dir(&path).expect("creates");
        let root = Root::open(&path).expect("opens");
        root.require_at(&path).expect("the same");
        fs::rename(&path, dir.path().join("moved")).expect("renames");
        fs::create_dir(&path).expect("creates");
        assert!(matches!(root.require_at(&path), Err(Error::NotPermitted { .. })));
    }

    #[test]
    fn paths_that_sqlite_cannot_open_are_refused_for_what_they_are() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        for bad in [OsStr::from_bytes(b"/a\xff"), OsStr::new(&format!("/{}", "l".repeat(LONGEST_PATH - 9)))] {
            assert!(matches!(require_path(Path::new(bad)), Err(Error::UnsupportedFilesystem { .. })), "{bad:?}");
        }
        let longest = format!("/{}", "l".repeat(LONGEST_PATH - 10));
        require_path(Path::new(&longest)).expect("the longest");
        assert!(
            matches!(require_root(Path::new(&longest)), Err(Error::UnsupportedFilesystem { .. })),
            "no room for a rebuild"
        );
        require_root(Path::new("/srv/store")).expect("a usual one");
    }
}
