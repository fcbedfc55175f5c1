//! `staging/`: private directories for what is being made, and how a collector tells them from what dead processes left.
//!
//! # Locking
//! A private directory holds a guard that its owner locks before anything else is put there; a file is locked itself
//! ([`temporary`]). The collector takes that lock, then moves the entry away while it holds it. An owner that it overtakes
//! between creating the directory and locking the guard notices that the guard is taken or gone, and takes another name. Process ids
//! decide nothing: they mean nothing in another pid namespace.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Store;
use super::report::Collected;
use crate::error::{Error, Result};
use crate::fs::lock::Mode;
use crate::fs::{durable, nofollow, remove, temporary};
use crate::guard::Guard;
use crate::layout::Layout;

/// The name of the guard in a private directory.
const GUARD: &str = "guard";

/// A private directory under `staging/`, removed when dropped.
pub(super) struct Scratch {
    top: PathBuf,
    /// Where its owner puts what it makes.
    pub dir: PathBuf,
    _guard: Guard,
}

impl Scratch {
    /// Creates one. `what` is for people.
    pub fn new(layout: &Layout, what: &str) -> Result<Self> {
        loop {
            let top = layout.dir("staging").join(durable::unique(what));
            nofollow::create_dir(&top, 0o700).map_err(Error::io("create", &top))?;
            let guard = match Guard::try_take(&top.join(GUARD), Mode::Exclusive) {
                Ok(Some(guard)) => guard,
                // A collector was faster: it holds the guard, or moved the directory away.
                Ok(None) => continue,
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => continue,
                Err(error) => {
                    let _ = remove::remove_tree(&top);
                    return Err(error);
                }
            };
            let dir = top.join("work");
            let scratch = Self { top, dir, _guard: guard };
            nofollow::create_dir(&scratch.dir, 0o700).map_err(Error::io("create", &scratch.dir))?;
            return Ok(scratch);
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = remove::remove_tree(&self.top);
    }
}

impl Store {
    /// Removes what dead processes left in `staging/`.
    pub(super) fn clear_staging(&self, done: &mut Collected) {
        for path in done.children(&self.0.layout.dir("staging")) {
            let freed = clear(&self.0.layout, &path);
            done.freed_by_kind.staging += done.freed(&path, freed);
        }
    }
}

/// Removes an entry of `staging/` unless a process is making it.
fn clear(layout: &Layout, path: &Path) -> Result<u64> {
    let Some(abandoned) = Abandoned::take(path)? else { return Ok(0) };
    let Abandoned::Directory(_) = &abandoned else { return remove::remove_tree(path) };
    // In one step, so that an owner that is about to lock the guard finds it gone.
    let trash = layout.dir("trash").join(durable::unique("staging"));
    remove::remove_through(&trash, path)
}

/// An entry of `staging/` whose owner is gone, with the lock that proves it.
enum Abandoned {
    Directory(#[expect(dead_code, reason = "held")] Guard),
    File(#[expect(dead_code, reason = "held")] File),
    /// Neither a file nor a directory: nothing of ours.
    Stray,
}

impl Abandoned {
    /// None: its owner lives, or it is gone.
    fn take(path: &Path) -> Result<Option<Self>> {
        let meta = match fs::symlink_metadata(path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("stat", path)(error)),
        };
        if meta.is_file() {
            return Ok(temporary::try_take_abandoned(path)?.map(Self::File));
        }
        if !meta.is_dir() {
            return Ok(Some(Self::Stray));
        }
        match Guard::try_take(&path.join(GUARD), Mode::Exclusive) {
            Ok(taken) => Ok(taken.map(Self::Directory)),
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gc::children;
    use super::*;

    fn layout() -> (tempfile::TempDir, Layout) {
        let top = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(top.path());
        for name in ["staging", "trash"] {
            fs::create_dir(layout.dir(name)).expect("a directory");
        }
        (top, layout)
    }

    #[test]
    fn a_lock_and_no_process_id_says_that_something_is_being_made() {
        let (_top, layout) = layout();
        let staging = layout.dir("staging");
        let scratch = Scratch::new(&layout, "build").expect("creates");
        let (file, writer) = temporary::create(&staging, "write").expect("creates");
        // Named like this process's own, but not locked: it counts as abandoned.
        let ours = staging.join(format!("build-{}-0-x", std::process::id()));
        fs::create_dir_all(ours.join("work")).expect("a directory");
        let stray = staging.join("write-link");
        std::os::unix::fs::symlink("/etc/passwd", &stray).expect("links");
        for path in [&scratch.top, &file, &ours, &stray] {
            clear(&layout, path).expect("clears");
        }
        assert!(scratch.dir.is_dir() && file.exists());
        assert!(!ours.exists() && !stray.is_symlink());
        drop(writer);
        clear(&layout, &file).expect("clears");
        assert!(!file.exists());
        drop(scratch);
        assert_eq!(children(&staging).expect("lists").len() + children(&layout.dir("trash")).expect("lists").len(), 0);
    }

    #[test]
    fn an_owner_that_a_collector_overtook_takes_another_name() {
        let (_top, layout) = layout();
        let path = layout.dir("staging").join("build-1");
        fs::create_dir(&path).expect("a directory");
        let taken = Abandoned::take(&path).expect("looks");
        assert!(matches!(taken, Some(Abandoned::Directory(_))), "its owner had not locked it yet");
        assert!(Guard::try_take(&path.join(GUARD), Mode::Exclusive).expect("looks").is_none(), "the owner goes on");
        drop(taken);
        clear(&layout, &path).expect("clears");
        let error = Guard::try_take(&path.join(GUARD), Mode::Exclusive).expect_err("it is gone");
        assert!(matches!(error, Error::Io { source, .. } if source.kind() == ErrorKind::NotFound));
    }
}
