//! Trimming `cache/`: artifacts that became components go first, for they will not be installed again; if the rest is above the limit
//! it goes as a whole, for it can be fetched again.
//!
//! # Locking
//! Whoever runs an installer holds `guards/cache` shared; trimming takes it exclusive without waiting, or leaves the cache to the next
//! run.

use super::Store;
use super::report::Collected;
use super::runtime::Upkeep;
use crate::cancel::Cancel;
use crate::error::Result;
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
        let guard = self.0.layout.guard_cache();
        let _guard = match Guard::try_take(&guard, Mode::Exclusive) {
            Ok(Some(guard)) => guard,
            Ok(None) => return Ok(()),
            Err(error) => {
                done.skip(&guard, &error);
                return Ok(());
            }
        };
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
            for runtime in &self.0.runtimes {
                if let Err(error) = runtime.trim_cache(&upkeep) {
                    if error.is_cancelled() {
                        return Err(error);
                    }
                    done.skip(&cache, &error);
                }
            }
        }
        if own_bytes(&cache) > limit {
            for path in done.children(&cache) {
                if path.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
                    let freed = remove::remove_tree(&path);
                    done.freed(&path, freed);
                }
            }
        }
        done.freed_by_kind.cache += before.saturating_sub(own_bytes(&cache));
        Ok(())
    }
}
