//! What is looked at once a boot: the index when it is opened, and an older environment at its first lease.
//!
//! Nobody tells whether the machine went down in order, so each boot counts as one after a power cut: an environment that was not looked at in this boot
//! is compared with its manifest (the stat walk of `verify`) before this process uses it, and refused if it is damaged. What
//! was published in this boot needs no look. Only processes that may write look, for only they can note it; what one environment
//! passed is noted in the index and, for long-lived processes, in memory.
//! The index is checked page by page (SQLite's `quick_check`), and made again of what stands on disk if it is damaged.
//!
//! # Performance
//! Once a boot: a reading of the index. Once a boot and environment: a `stat` of each file. Afterwards one small read in `/proc` a process and environment.

use std::sync::PoisonError;

use super::Store;
use super::reindex::Rebuild;
use super::report::Reindexed;
use crate::error::{Error, Result};
use crate::index::{Access, EnvRow, Index, collection, envs, sql};

/// The name in `meta` of the boot in which the index was last found whole.
const CHECKED: &str = "checked_in";

/// Checks the index unless that was done in this boot, and makes it again if it is damaged. The caller may write.
pub(super) fn check_index(index: &Index, boot: &str, rebuild: &Rebuild<'_>) -> Result<Option<Reindexed>> {
    let looked = index.meta(CHECKED).and_then(|checked| {
        if checked.is_some_and(|checked| checked == boot) {
            return Ok(false);
        }
        index.check().map(|()| true)
    });
    let recovered = match looked {
        Ok(false) => return Ok(None),
        Ok(true) => None,
        Err(Error::Corrupt { reason, .. }) => {
            tracing::warn!(%reason, "the index is damaged and is rebuilt");
            rebuild.unless_it_is_sound(index)?
        }
        Err(error) => return Err(error),
    };
    let op = "note a look at the index";
    if let Err(error) = index.write(op, |tx| collection::set_meta(tx, CHECKED, boot).map_err(sql(op))) {
        tracing::debug!(%error, "the next process looks again");
    }
    Ok(recovered)
}

impl Store {
    /// Refuses an environment that did not survive the last boot as it was. The caller leases it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] names the first of what is damaged.
    pub(super) fn look_after_boot(&self, env: &EnvRow) -> Result<()> {
        if self.0.access != Access::Owner || !self.is_first_use(env) {
            return Ok(());
        }
        let Some(boot) = &self.0.boot else { return Ok(()) };
        if env.looked_at.as_ref() == Some(boot) {
            return Ok(());
        }
        let survey = self.survey(env, false)?;
        let damaged = survey.damage.len();
        if let Some(first) = survey.findings(&[]).next() {
            self.forget_use(env);
            let more = if damaged > 1 { format!(", and {} more", damaged - 1) } else { String::new() };
            let reason =
                format!("since the last start of the machine it is not as it was published: {}{more}", first.message);
            self.0.observed.tell(|observer| observer.damaged(&reason));
            return Err(Error::Corrupt { path: self.0.layout.env(&env.name), reason });
        }
        let op = "note a look at an environment";
        if let Err(error) = self.0.index.write(op, |tx| envs::set_looked_at(tx, env.id, boot).map_err(sql(op))) {
            tracing::debug!(%error, "the next process looks again");
        }
        Ok(())
    }

    fn is_first_use(&self, env: &EnvRow) -> bool {
        self.0.used.lock().unwrap_or_else(PoisonError::into_inner).insert(env.name.clone())
    }

    fn forget_use(&self, env: &EnvRow) {
        self.0.used.lock().unwrap_or_else(PoisonError::into_inner).remove(&env.name);
    }
}
