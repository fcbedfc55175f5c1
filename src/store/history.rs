//! `history`: every generation a pack had.

use super::Store;
use super::report::{GenerationSummary, History};
use crate::error::{Error, Result};
use crate::index::{Generation, bindings};
use crate::pack::PackRef;

impl Store {
    /// A pack's generations, also of one that was removed with its history kept.
    ///
    /// # Errors
    /// [`Error::NoPack`].
    pub fn history(&self, pack: &PackRef) -> Result<History> {
        let found = self.0.index.read("look up a pack's history", |db| {
            let Some(row) = bindings::find_pack(db, pack)? else { return Ok(None) };
            let current = bindings::resolve(db, pack)?.map(|bound| bound.generation);
            let mut generations = newest_first(bindings::history(db, row.id)?);
            for past in &mut generations {
                past.declaration = bindings::spec(db, &past.answers)?;
            }
            Ok(Some(History { pack: pack.clone(), spec: row.spec, current, generations }))
        })?;
        found.ok_or_else(|| Error::NoPack(pack.clone()))
    }
}

/// A history as it is told.
pub(super) fn newest_first(history: Vec<Generation>) -> Vec<GenerationSummary> {
    let told = |past: Generation| GenerationSummary {
        generation: past.generation,
        env: past.key,
        lock: past.lock,
        answers: past.answers,
        at: past.at,
        cause: past.cause,
        uid: past.uid,
        declaration: None,
        present: past.present,
    };
    history.into_iter().rev().map(told).collect()
}
