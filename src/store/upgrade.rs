//! `upgrade`: a pack's declaration is locked again, to the newest versions it allows or to newer ones of a few distributions.
//!
//! Only the pack that is named moves, also when others share its environment or declare the same.

use std::time::Instant;

use super::build::Order;
use super::ensure::{Progress, changes};
use super::report::{Outcome, Upgraded};
use super::runtime::Distribution;
use super::{Ensure, EnsureError, Store};
use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::index::{Bound, bindings, envs};
use crate::lock::Lock;
use crate::pack::PackRef;
use crate::process::Limits;

/// What `upgrade` is asked for.
#[derive(Clone, Default)]
pub struct Upgrade {
    only: Vec<String>,
    dry_run: bool,
    progress: Option<Progress>,
}

impl std::fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upgrade").field("only", &self.only).field("dry_run", &self.dry_run).finish_non_exhaustive()
    }
}

impl Upgrade {
    /// To the newest of everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only these distributions, by normalised name; the others stay where that is possible. None: all.
    pub fn only(mut self, names: Vec<String>) -> Self {
        self.only = names;
        self
    }

    /// Locks, says what would change, builds nothing.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Is told what is being done.
    pub fn on_progress(mut self, progress: Progress) -> Self {
        self.progress = Some(progress);
        self
    }
}

impl Store {
    /// Locks a pack's recorded declaration again and binds the pack to what it becomes.
    ///
    /// # Errors
    /// [`EnsureError`]; the pack keeps its environment, and the error says which.
    pub fn upgrade(&self, pack: &PackRef, ask: &Upgrade, cancel: &Cancel) -> Result<Upgraded, EnsureError> {
        if ask.dry_run {
            return Ok(self.preview_upgrade(pack, ask, cancel)?);
        }
        let mut ensure = Ensure::recorded().upgrade(true).upgrade_only(ask.only.clone()).retry_failed(true);
        if let Some(progress) = &ask.progress {
            ensure = ensure.on_progress(progress.clone());
        }
        let done = self.ensure(pack, &ensure, cancel)?.report;
        Ok(Upgraded {
            pack: done.pack,
            env: done.env,
            generation: done.generation,
            outcome: done.outcome,
            changes: done.changes,
            dry_run: false,
            elapsed_ms: done.elapsed_ms,
            log: done.log,
        })
    }

    fn preview_upgrade(&self, pack: &PackRef, ask: &Upgrade, cancel: &Cancel) -> Result<Upgraded> {
        let started = Instant::now();
        self.require_owner("lock a declaration")?;
        self.require_home()?;
        let before = self.0.index.read("look up a binding", |db| bindings::resolve(db, pack))?;
        let before = before.ok_or_else(|| Error::NoPack(pack.clone()))?;
        let (spec, _) = self.recorded(pack)?;
        let runtime = self.runtime(spec.runtime)?;
        let interpreter = runtime.select(&spec.interpreter, &self.0.index)?;
        let stay = self.stay_at(Some(&before), &ask.only)?;
        let settings = &self.0.settings.install;
        let progress = |what: &str| {
            if let Some(progress) = &ask.progress {
                progress(what);
            }
        };
        let lock = self.lock_now(&Order {
            runtime,
            spec: &spec,
            interpreter: &interpreter,
            limits: Limits::starting_now(settings.timeout, settings.silence_timeout),
            cancel,
            progress: &progress,
            given: None,
            like: None,
            stay: &stay,
            relock: true,
            anew: None,
        })?;
        let env = lock.env_key(&interpreter.identity);
        let (from, standing) = self.0.index.read("look up an environment", |db| {
            Ok((envs::distributions(db, before.env.id)?, envs::by_key(db, &env)?))
        })?;
        let outcome = match standing {
            Some(standing) if standing.id == before.env.id => Outcome::Hit,
            Some(_) => Outcome::Shared,
            None if self.plan(&lock, &interpreter)?.is_assembly() => Outcome::Assembled,
            None => Outcome::Built,
        };
        Ok(Upgraded {
            pack: pack.clone(),
            env,
            generation: before.generation,
            outcome,
            changes: changes(&from, &distributions(&lock)),
            dry_run: true,
            elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            log: None,
        })
    }

    /// What a lock should leave where it is when only some distributions are upgraded: `name==version` of the others.
    pub(super) fn stay_at(&self, before: Option<&Bound>, only: &[String]) -> Result<Vec<String>> {
        let Some(before) = before.filter(|_| !only.is_empty()) else { return Ok(Vec::new()) };
        let held = self.0.index.read("look up distributions", |db| envs::distributions(db, before.env.id))?;
        let others = held.into_iter().filter(|held| !only.contains(&held.name));
        Ok(others.map(|held| format!("{}=={}", held.name, held.version)).collect())
    }
}

/// What a lock holds, by name.
pub(super) fn distributions(lock: &Lock) -> Vec<Distribution> {
    let held = lock.packages.iter().map(|package| Distribution {
        name: package.name.clone(),
        version: package.version.clone(),
        from_source: package.artifact.is_source(),
    });
    held.collect()
}
