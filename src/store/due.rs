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
/// The name in `meta` of when the store was last weighed for `gc.max_size`.
const WEIGHED: &str = "weighed_at";
/// Weighing walks the whole store: not after every build.
const HOUR: SignedDuration = SignedDuration::from_hours(1);
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
        if self.is_within(COLLECTED, DAY)? {
            return Ok(None);
        }
        if self.missing_bytes(&Gc { max_size: None, ..ask })? > 0 {
            return Ok(Some(ask));
        }
        if ask.max_size.is_none() || self.is_within(WEIGHED, HOUR)? {
            return Ok(None);
        }
        let (op, now) = ("note when the store was weighed", self.0.clock.now().to_string());
        self.0.index.write(op, |tx| collection::set_meta(tx, WEIGHED, &now).map_err(sql(op)))?;
        Ok((self.missing_bytes(&ask)? > 0).then_some(ask))
    }

    /// Whether something was noted less than so long ago. Either way: a clock that went back must not put it off for years.
    fn is_within(&self, name: &str, span: SignedDuration) -> Result<bool> {
        let last = self.0.index.meta(name)?.and_then(|at| at.parse::<Timestamp>().ok());
        Ok(last.is_some_and(|last| self.0.clock.now().duration_since(last).abs() < span))
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
