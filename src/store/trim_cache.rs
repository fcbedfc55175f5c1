//! Trimming `cache/`: artifacts that became components go first, for they will not be installed again; if the rest is above the limit
//! it goes as a whole, for it can be fetched again.
//!
//! # Locking
//! Whoever runs an installer holds `guards/cache` shared; trimming takes it exclusive without waiting, or leaves the cache to the next
//! run.

use std::fs;

use super::Store;
use super::report::Collected;
use super::runtime::Upkeep;
use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::fs::lock::Mode;
use crate::fs::remove;
use crate::fs::size::own_bytes;
use crate::guard::Guard;
use crate::index::components;

impl Store {
    /// Trims the cache to a limit. A rehearsal says about what that would free.
    pub(super) fn trim_cache(
        &self,
        limit: u64,
        is_rehearsal: bool,
        cancel: &Cancel,
        done: &mut Collected,
    ) -> Result<()> {
        let Some(_guard) = Guard::try_take(&self.0.layout.guard_cache(), Mode::Exclusive)? else { return Ok(()) };
        let cache = self.0.layout.dir("cache");
        let known = self.0.index.read("list components", components::distributions)?;
        let tools = self.0.layout.dir("tools");
        let upkeep = Upkeep { settings: &self.0.settings, cache: &cache, tools: &tools, known: &known, cancel };
        let trimmable: u64 = self.0.runtimes.iter().map(|runtime| runtime.trimmable(&upkeep)).sum();
        let before = own_bytes(&cache);
        if is_rehearsal {
            done.freed_by_kind.cache += if before - trimmable.min(before) > limit { before } else { trimmable };
            return Ok(());
        }
        if trimmable > 0 {
            self.0.runtimes.iter().try_for_each(|runtime| runtime.trim_cache(&upkeep))?;
        }
        if own_bytes(&cache) > limit {
            for entry in fs::read_dir(&cache).map_err(Error::io("list", &cache))?.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    remove::remove_tree(&entry.path())?;
                }
            }
        }
        done.freed_by_kind.cache += before.saturating_sub(own_bytes(&cache));
        Ok(())
    }
}
