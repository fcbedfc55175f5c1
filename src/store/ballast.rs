//! The ballast: room set aside for the collector.
//!
//! On a full disk the index cannot write and no directory entry can be added, so that nothing could be freed. A small file that is closed at all times
//! goes first, and is made again once there is room.

use std::fs;

use super::Store;
use super::report::Collected;
use crate::error::{Error, Result};
use crate::fs::{probe, reserve};
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
        let space = probe::space(self.root())?;
        let is_full = space.free_bytes < 4 * BYTES || space.free_inodes.is_some_and(|free| free < 16);
        let path = self.0.layout.ballast();
        if is_rehearsal || !is_full || !path.exists() {
            return Ok(());
        }
        if let Err(error) = fs::remove_file(&path).map_err(Error::io("remove", &path)) {
            done.skip(&path, &error);
        }
        Ok(())
    }

    /// Sets it aside again.
    pub(super) fn close_ballast(&self) {
        if let Err(error) = make(&self.0.layout) {
            tracing::debug!(%error, "no room is set aside for the collector");
        }
    }
}
