//! `migrate`: a store of an earlier format becomes one of this release's.
//!
//! Opening changes no format, so that a release works beside the previous one on one store; this does, one format at a time. Each step may be
//! killed and begun again: `store.json` says the new format once all of it is done.

use super::report::Migrated;
use super::{Store, reindex};
use crate::error::{Error, Result};
use crate::fs::durable;
use crate::layout::FORMAT;
use crate::store_file::StoreFile;

/// What makes of a store of one format one of the next. The caller holds `guards/index` exclusive.
type Step = fn(&Store) -> Result<()>;

/// By the format each begins with. There is none before the first.
const STEPS: &[(u32, Step)] = &[];

impl Store {
    /// Brings the store to the newest format this release knows. Nothing is done to one that has it.
    ///
    /// # Errors
    /// [`Error::NotPermitted`] where this process may not write, and there is something to do.
    pub fn migrate(&self) -> Result<Migrated> {
        let layout = &self.0.layout;
        let read = || StoreFile::read(layout)?.ok_or_else(|| Error::NoStore { path: self.root().to_owned() });
        let from = read()?.format;
        if from < FORMAT {
            self.require_owner("migrate the store")?;
            let _index = reindex::exclusive(layout)?;
            for (_, step) in STEPS.iter().filter(|(begins_with, _)| *begins_with >= from) {
                step(self)?;
                durable::sync_filesystem(self.root())?;
                let before = read()?;
                StoreFile { format: before.format + 1, ..before }.write(layout)?;
            }
        }
        Ok(Migrated { path: self.root().to_owned(), from, to: read()?.format })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_step_from_every_earlier_format() {
        let from: Vec<u32> = STEPS.iter().map(|(from, _)| *from).collect();
        assert_eq!(from, (1..FORMAT).collect::<Vec<_>>());
    }
}
