//! The first lease of an older environment after a boot.
//!
//! Nobody tells whether the machine went down in order, so each boot counts as one after a power cut: an environment that was not looked at in this boot
//! is compared with its manifest (the stat walk of `verify`) before this process uses it, and refused if it is damaged. What
//! was published in this boot needs no look. Only processes that may write look, for only they can note it; what one environment
//! passed is noted in the index and, for long-lived processes, in memory.
//!
//! # Performance
//! Once a boot and environment: a `stat` of each file. Afterwards one small read in `/proc` a process and environment.

use std::sync::PoisonError;

use super::Store;
use crate::error::{Error, Result};
use crate::index::{Access, EnvRow, envs, sql};

impl Store {
    /// Refuses an environment that did not survive the last boot as it was. The caller leases it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] names the first of what is damaged.
    pub(super) fn look_after_boot(&self, env: &EnvRow) -> Result<()> {
        if self.0.access != Access::Owner || !self.is_first_use(env) {
            return Ok(());
        }
        let Some(boot) = self.0.clock.boot() else { return Ok(()) };
        if env.looked_at.as_ref() == Some(&boot) {
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
        if let Err(error) = self.0.index.write(op, |tx| envs::set_looked_at(tx, env.id, &boot).map_err(sql(op))) {
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
