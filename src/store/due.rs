//! Collection by itself: after a build, at most once a day, when `gc.max_size` or `gc.min_free` is passed.
//!
//! It never makes an `ensure` fail, and waits for nobody.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Store;
use super::clock_jump::CLOCK;
use super::gc::Gc;
use crate::cancel::Cancel;
use crate::error::Result;
use crate::index::{collection, sql};

/// The name in `meta` of when the last collection ended.
const COLLECTED: &str = "collected_at";
const DAY: SignedDuration = SignedDuration::from_hours(24);

impl Store {
    /// Collects if it is time to. What goes wrong is told to whoever reads the logs of this process.
    pub(super) fn collect_if_due(&self, cancel: &Cancel) {
        match self.is_due().and_then(|due| due.map(|ask| self.collect(&ask, Duration::ZERO, cancel)).transpose()) {
            Ok(None) => {}
            Ok(Some(done)) => tracing::info!(
                freed_bytes = done.freed_bytes,
                target_reached = done.target_reached,
                "collected by itself: a limit was passed"
            ),
            Err(error) => tracing::warn!(%error, "a limit is passed, and collecting by itself failed"),
        }
    }

    /// What is to be collected now, if a limit is passed and a day is over.
    fn is_due(&self) -> Result<Option<Gc>> {
        let settings = &self.0.settings.gc;
        let ask = Gc { max_size: settings.max_size, min_free: Some(settings.min_free), ..Gc::default() };
        let last = self.0.index.meta(COLLECTED)?.and_then(|at| at.parse::<Timestamp>().ok());
        // Either way: a clock that went back must not put it off for years.
        let is_young = last.is_some_and(|last| self.0.clock.now().duration_since(last).abs() < DAY);
        Ok((!is_young && self.missing_bytes(&ask)? > 0).then_some(ask))
    }

    /// Notes that a collection ended, and what the clocks said.
    pub(super) fn note_collection(&self) -> Result<()> {
        let op = "note a collection";
        let (now, clock) = (self.0.clock.now().to_string(), self.reading().to_string());
        self.0.index.write(op, |tx| {
            collection::set_meta(tx, COLLECTED, &now).map_err(sql(op))?;
            collection::set_meta(tx, CLOCK, &clock).map_err(sql(op))
        })
    }
}
