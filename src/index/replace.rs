//! Puts a database that was made beside in the place of one that cannot be used.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Error, Result};
use crate::fs::{durable, nofollow};
use crate::layout::Layout;

/// Moves the index of `beside` to its place; what stood there goes to the new directory `aside`. The caller holds `guards/index` exclusive, and has
/// closed what is moved.
///
/// The database at the path is the old one or the new one at every instant, if there was one. Its log and shared memory are not the other
/// database's: those of the new one are empty, and stand there before it does. A process that opens the files meanwhile compares the
/// database's inode before and after (`index::open`).
pub(crate) fn replace(layout: &Layout, beside: &Layout, aside: &Path) -> Result<()> {
    fs::create_dir_all(aside).map_err(Error::io("create", aside))?;
    let [old, old_log, old_memory] = layout.index_files();
    let [new, new_log, new_memory] = beside.index_files();
    keep(&old, &aside.join("index.db"))?;
    for (from, name) in [(&old_log, "index.db-wal"), (&old_memory, "index.db-shm")] {
        move_away(from, &aside.join(name))?;
    }
    for (from, to) in [(new_log, old_log), (new_memory, old_memory)] {
        if from.exists() {
            nofollow::rename(&from, &to).map_err(Error::io("rename to", &to))?;
        }
    }
    durable::rename(&new, &old)
}

/// Moves what stands in the place of the log or the shared memory and is no regular file to the new directory `aside`: the database is
/// whole without it, but for what the log held. The caller holds `guards/index` exclusive.
pub(crate) fn clear_beside(layout: &Layout, aside: &Path) -> Result<()> {
    let [_, log, memory] = layout.index_files();
    for (path, name) in [(log, "index.db-wal"), (memory, "index.db-shm")] {
        if fs::symlink_metadata(&path).is_ok_and(|meta| !meta.is_file()) {
            fs::create_dir_all(aside).map_err(Error::io("create", aside))?;
            move_away(&path, &aside.join(name))?;
        }
    }
    Ok(())
}

/// Gives a database a second name, so that it keeps its first one until another takes that. What cannot have two names is moved.
fn keep(path: &Path, aside: &Path) -> Result<()> {
    let is_file = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file());
    if is_file && nofollow::hard_link(path, aside).is_ok() { Ok(()) } else { move_away(path, aside) }
}

fn move_away(path: &Path, aside: &Path) -> Result<()> {
    match nofollow::rename(path, aside) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("move away", path)(error)),
        _ => Ok(()),
    }
}
