//! The time after a loss in which nothing is collected (I10): what is not yet back must not be taken for garbage.

use jiff::{SignedDuration, Timestamp};
use rusqlite::Transaction;

use super::Store;
use super::gc::GRACE;
use crate::error::Result;
use crate::index::{collection, sql};

/// The name in `meta` of why nothing is collected.
const REASON: &str = "collect_after_reason";

const PERIOD: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Why nothing is collected, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grace {
    pub until: Timestamp,
    pub reason: String,
}

/// Collects nothing for a week from now on.
pub(super) fn begin(tx: &Transaction<'_>, now: Timestamp, reason: &str) -> Result<Option<Timestamp>> {
    let op = "note a loss";
    let Ok(until) = now.checked_add(PERIOD) else { return Ok(None) };
    collection::set_meta(tx, GRACE, &until.to_string()).map_err(sql(op))?;
    collection::set_meta(tx, REASON, reason).map_err(sql(op))?;
    Ok(Some(until))
}

impl Store {
    /// The grace period that is active now, if any. A time that cannot be read counts as one that never ends.
    pub(super) fn grace(&self) -> Result<Option<Grace>> {
        let until = self.0.index.meta(GRACE)?.map(|at| at.parse::<Timestamp>().unwrap_or(Timestamp::MAX));
        let Some(until) = until.filter(|until| self.0.clock.now() < *until) else { return Ok(None) };
        let reason = self.0.index.meta(REASON)?.unwrap_or_else(|| "the index was lost".into());
        Ok(Some(Grace { until, reason }))
    }

    /// Lets collections begin again before the time is over.
    pub(super) fn end_grace(&self) -> Result<()> {
        let op = "end the time in which nothing is collected";
        self.0.index.write(op, |tx| collection::remove_meta(tx, &[GRACE, REASON]).map_err(sql(op)))
    }
}
