//! The site's floor (`lock.minimum`), held against environments that were locked before it was raised.

use super::Store;
use super::runtime::Distribution;
use crate::error::Result;
use crate::index::envs;
use crate::spec::Selector;

impl Store {
    /// The distributions of an environment, by its row, that the floor does not allow. A line with markers or extras says
    /// nothing about an environment that stands: it counts when a declaration is locked.
    pub(super) fn below_floor(&self, env: i64) -> Result<Vec<Distribution>> {
        let floor: Vec<Selector> = self.0.settings.lock.minimum.iter().filter_map(|line| line.parse().ok()).collect();
        if floor.is_empty() {
            return Ok(Vec::new());
        }
        let mut held = self.0.index.read("look up distributions", |db| envs::distributions(db, env))?;
        held.retain(|held| floor.iter().any(|least| least.name() == held.name && !least.selects(&held.version)));
        Ok(held)
    }
}
