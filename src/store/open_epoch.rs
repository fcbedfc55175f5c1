//! The epoch ([`crate::epoch`]) of a store, as its owner, a reader, or a process that reads a sealed store opens it.

use crate::epoch::Epoch;
use crate::fs::probe;
use crate::index::Access;
use crate::layout::Layout;

/// Opens the epoch. None: the store is sealed, so there are no changes to tell of, or this is a reader on an overlay. Never fails: without an epoch every query goes to the index.
pub(super) fn open_epoch(layout: &Layout, access: Access, store_id: &str) -> Option<Epoch> {
    match access {
        Access::Owner => Some(Epoch::for_owner(&layout.epoch(), store_id)),
        // Its mapping would be of the lower layer, and stay that when the owner's first write copies the file up.
        Access::Reader if probe::is_overlay(layout.root()) => None,
        Access::Reader => Some(Epoch::for_reader(&layout.epoch(), store_id)),
        Access::Immutable => None,
    }
}
