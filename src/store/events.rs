//! `events`: what happened to packs, environments and pins, when, why and by whom.

use super::Store;
use super::report::Events;
use crate::error::Result;
use crate::index::events;
use crate::pack::PackRef;

impl Store {
    /// The newest events, newest first; with a pack only its own. They are bounded, and lost with the index.
    pub fn events(&self, pack: Option<&PackRef>, limit: u64) -> Result<Events> {
        let events = self.0.index.read("list events", |db| events::newest(db, pack, limit))?;
        Ok(Events { events })
    }
}
