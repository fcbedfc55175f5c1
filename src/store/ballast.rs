//! The ballast: room set aside for the ways out of a full disk, `gc` and `rollback`.
//!
//! On a full disk, and beyond a quota, the index cannot write and no directory entry can be added, so that nothing could be freed. A small file that is
//! closed at all times goes first, and is made again once there is room.

use super::Store;
use super::report::Collected;
use crate::error::{Error, Kind, Result};
use crate::fs::{durable, nofollow, probe, reserve};
use crate::layout::Layout;

/// Its size, bytes: what a collection writes to the index before anything is freed.
const BYTES: u64 = 1 << 20;

/// Sets the room aside, where there is plenty.
pub(super) fn make(layout: &Layout) -> Result<()> {
    let path = layout.ballast();
    let space = probe::space(layout.root())?;
    if path.exists() || space.free_bytes < 16 * BYTES || space.free_inodes.is_some_and(|free| free < 16) {
        return Ok(());
    }
    reserve::reserve(&path, BYTES)
}

impl Store {
    /// Gives the room up if there is no other.
    pub(super) fn open_ballast(&self, is_rehearsal: bool, done: &mut Collected) -> Result<()> {
        if !is_rehearsal
            && self.is_short()?
            && let Err(error) = self.release_ballast()
        {
            done.skip(&self.0.layout.ballast(), &error);
        }
        Ok(())
    }

    /// Does something small that must work on a full disk, too: where there is no room for it, the ballast is given up and it is done again.
    pub(super) fn with_ballast<T>(&self, work: impl Fn() -> Result<T>) -> Result<T> {
        match work() {
            Err(error) if error.kind() == Kind::NoSpace && self.release_ballast()? => {
                let done = work();
                self.close_ballast();
                done
            }
            done => done,
        }
    }

    /// Whether little room is left, on the filesystem or of a quota, which only an attempt to take room tells.
    fn is_short(&self) -> Result<bool> {
        let space = probe::space(self.root())?;
        if space.free_bytes < 4 * BYTES || space.free_inodes.is_some_and(|free| free < 16) {
            return Ok(true);
        }
        let attempt = self.0.layout.dir("staging").join(durable::unique("room"));
        match reserve::reserve(&attempt, 4 * BYTES) {
            Ok(()) => nofollow::remove_file(&attempt).map_err(Error::io("remove", &attempt)).map(|()| false),
            Err(error) => Ok(error.kind() == Kind::NoSpace),
        }
    }

    /// Removes the ballast, and waits until the filesystem has its room. False: there was none.
    fn release_ballast(&self) -> Result<bool> {
        let path = self.0.layout.ballast();
        match nofollow::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Error::io("remove", &path)(error)),
        }
        // btrfs counts the room of a removed file against a quota until its transaction ends.
        if let Err(error) = durable::sync_filesystem(self.root()) {
            tracing::debug!(%error, "the room of the ballast may not be free yet");
        }
        Ok(true)
    }

    /// Sets it aside again.
    pub(super) fn close_ballast(&self) {
        if let Err(error) = make(&self.0.layout) {
            tracing::debug!(%error, "no room is set aside for the collector");
        }
    }
}
