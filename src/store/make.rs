//! Making environments: which one a declaration becomes, made at most once however many processes ask.
//!
//! # Locking
//! The guard of (declaration, interpreter) is held while it is locked, the guard of the key while its environment
//! is built; each waiter looks again once it has a guard (P3).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Store;
use super::build::{Built, Order};
use super::report::Outcome;
use super::workshop::Workshop;
use crate::digest::EnvKey;
use crate::error::{Error, Kind, Result};
use crate::fs::lock::Mode;
use crate::guard::{Guard, Holder};
use crate::index::{EnvRow, State, envs, sql};
use crate::interpreter::Interpreter;
use crate::lease::Lease;
use crate::lock::Lock;
use crate::settings::Prefer;

/// An environment that is ready, leased.
pub(super) struct Made {
    pub env: EnvRow,
    pub lease: Lease,
    pub outcome: Outcome,
    pub log: Option<PathBuf>,
}

impl Store {
    /// The environment an order asks for: the one there is, or a new one. N processes that ask at once lock and build
    /// once; the others wait and share.
    pub(super) fn make(&self, order: &Order<'_>) -> Result<Made> {
        self.require_home()?;
        let mut made = match order.given {
            Some(lock) => self.make_given(order, lock),
            None => self.make_declared(order),
        }
        .map_err(|error| self.with_what_is_missing(error))?;
        self.recognise(&mut made.env, order.interpreter)?;
        Ok(made)
    }

    /// An interpreter that was put back with the same bytes (another inode, another time) is the one it was.
    fn recognise(&self, env: &mut EnvRow, interpreter: &Interpreter) -> Result<()> {
        let known = &env.interpreter;
        let is_same = known.path == interpreter.path && known.identity == interpreter.identity;
        if is_same && known.stamp != interpreter.stamp {
            let op = "recognise an interpreter";
            self.0.index.write(op, |tx| envs::set_interpreter(tx, env.id, interpreter).map_err(sql(op)))?;
            env.interpreter = interpreter.clone().into();
        }
        Ok(())
    }

    /// A full filesystem says of itself only that it is full: what is missing, and where, is worth more.
    fn with_what_is_missing(&self, error: Error) -> Error {
        match self.require_room() {
            Err(missing @ Error::NoSpace { .. }) if error.kind() == Kind::NoSpace && !error.is_quota() => missing,
            _ => error,
        }
    }

    fn make_declared(&self, order: &Order<'_>) -> Result<Made> {
        let again = order.relock || order.anew.is_some() || order.like.is_some();
        let (spec, interpreter) = (order.spec.digest(), order.interpreter.digest());
        let find = || -> Result<Option<EnvRow>> {
            if again {
                return Ok(None);
            }
            if order.spec.is_empty() {
                // Every empty declaration becomes the one empty environment: no alias is needed to know it.
                return self.existing(&Lock::default().env_key(&order.interpreter.identity));
            }
            let found = self.0.index.read("look up an alias", |db| envs::by_alias(db, &spec, &interpreter))?;
            // What was locked before the floor was raised answers no new pack.
            Ok(match found {
                Some(env) if self.below_floor(env.id)?.is_empty() => Some(env),
                _ => None,
            })
        };
        if let Some(made) = self.shared(find()?)? {
            return Ok(made);
        }
        let guard_path = self.0.layout.guard_spec(&spec, &interpreter);
        let mut guard = self.wait(vec![guard_path.clone()], Mode::Exclusive, "the same declaration", order)?;
        if let Some(made) = self.shared(find()?)? {
            return Ok(made);
        }
        let mut workshop = Workshop::new(self, &guard_name(&guard_path), order)?;
        workshop.preferences = self.preferences(order)?;
        guard.sign("locking and building", workshop.log.path());
        let lock = if order.spec.is_empty() {
            Lock::default()
        } else {
            (order.progress)("locking");
            tracing::debug_span!("lock").in_scope(|| workshop.lock(order))?
        };
        // What the declaration became is noted before its guard is let go: whoever waited must not lock again.
        match self.make_locked(order, &workshop, &lock) {
            Err(error) if !workshop.preferences.is_empty() && lies_in_an_artifact(&error) => {
                workshop.log.line(&format!("{error}: locking again without preferences"));
                workshop.preferences.clear();
                let other = workshop.lock(order)?;
                if other == lock { Err(error) } else { self.make_locked(order, &workshop, &other) }
            }
            made => made,
        }
    }

    /// The versions that a lock prefers.
    fn preferences(&self, order: &Order<'_>) -> Result<Vec<String>> {
        if let Some(like) = order.like {
            return Ok(like.to_vec());
        }
        if !order.stay.is_empty() {
            return Ok(order.stay.to_vec());
        }
        Ok(match &self.0.settings.lock.prefer {
            Prefer::Newest => Vec::new(),
            Prefer::Store => {
                let interpreter = order.interpreter.digest();
                let held = self.0.index.read("look up distributions", |db| envs::held_wheels(db, &interpreter))?;
                held.into_iter().map(|(name, version)| format!("{name}=={version}")).collect()
            }
            Prefer::File(path) => {
                let text = fs::read_to_string(path).map_err(Error::io("read the preferred versions in", path))?;
                text.lines().map(str::to_owned).collect()
            }
        })
    }

    /// The lock a declaration becomes now. Builds nothing, notes nothing.
    pub(super) fn lock_now(&self, order: &Order<'_>) -> Result<Lock> {
        if order.spec.is_empty() {
            return Ok(Lock::default());
        }
        let interpreter = order.interpreter.digest();
        let guard_path = self.0.layout.guard_spec(&order.spec.digest(), &interpreter);
        let mut guard = self.wait(vec![guard_path.clone()], Mode::Exclusive, "the same declaration", order)?;
        let mut workshop = Workshop::new(self, &guard_name(&guard_path), order)?;
        workshop.preferences = self.preferences(order)?;
        guard.sign("locking", workshop.log.path());
        workshop.lock(order)
    }

    fn make_given(&self, order: &Order<'_>, lock: &Lock) -> Result<Made> {
        let key = lock.env_key(&order.interpreter.identity);
        if order.anew.is_none()
            && let Some(made) = self.shared(self.existing(&key)?)?
        {
            return Ok(made);
        }
        let workshop = Workshop::new(self, &guard_name(&self.0.layout.guard_env(&key.stem())), order)?;
        self.make_locked(order, &workshop, lock)
    }

    /// The environment of a lock.
    fn make_locked(&self, order: &Order<'_>, workshop: &Workshop, lock: &Lock) -> Result<Made> {
        let key = lock.env_key(&order.interpreter.identity);
        let find = || -> Result<Option<EnvRow>> {
            let env = if order.anew.is_some() { None } else { self.existing(&key)? };
            if let Some(env) = &env
                && order.is_alias()
            {
                self.note_alias(order, env)?;
            }
            Ok(env)
        };
        if let Some(made) = self.shared(find()?)? {
            return Ok(made);
        }
        let mut guard =
            self.wait(vec![self.0.layout.guard_env(&key.stem())], Mode::Exclusive, "the same environment", order)?;
        guard.sign("building", workshop.log.path());
        if let Some(made) = self.shared(find()?)? {
            return Ok(made);
        }
        let slots = (0..self.0.settings.install.jobs()).map(|n| self.0.layout.guard_slot(n)).collect();
        let mut slot = self.wait(slots, Mode::Exclusive, "a build slot", order)?;
        slot.sign("building", workshop.log.path());
        let Built { env, lease, outcome } =
            tracing::debug_span!("build", env = %key).in_scope(|| self.build(order, workshop, &key, lock))?;
        // What it takes the place of, if anything, may have links of several packs.
        self.follow_links(None)?;
        Ok(Made { env, lease, outcome, log: workshop.log.path().map(Path::to_owned) })
    }

    fn existing(&self, key: &EnvKey) -> Result<Option<EnvRow>> {
        self.0.index.read("look up an environment", |db| envs::by_key(db, key))
    }

    pub(super) fn note_alias(&self, order: &Order<'_>, env: &EnvRow) -> Result<()> {
        let op = "note what a declaration became";
        let (spec, interpreter) = (order.spec.digest(), order.interpreter.digest());
        self.0.index.write(op, |tx| envs::set_alias(tx, &spec, &interpreter, env.id).map_err(sql(op)))
    }

    /// Leases an environment that stands. A condemned one counts: binding takes it back. None: there is none, its directory
    /// is gone, or its interpreter is: one with the same identity elsewhere needs an environment that leads there.
    pub(super) fn shared(&self, env: Option<EnvRow>) -> Result<Option<Made>> {
        let Some(env) = env.filter(|env| env.interpreter.path.exists()) else { return Ok(None) };
        let Some(lease) = Lease::acquire(&self.0.layout.lease(&env.name))? else {
            self.mark_gone(&env)?;
            return Ok(None);
        };
        self.look_after_boot(&env)?;
        Ok(Some(Made { env, lease, outcome: Outcome::Shared, log: None }))
    }

    /// A row whose directory is gone answers no longer; what was bound to it finds that out when it asks.
    fn mark_gone(&self, env: &EnvRow) -> Result<()> {
        if self.0.layout.env(&env.name).exists() {
            return Ok(());
        }
        let op = "mark an environment";
        self.0.index.write(op, |tx| {
            envs::set_state(tx, env.id, &[State::Ready, State::Condemned], State::Corrupt).map(drop).map_err(sql(op))
        })
    }

    pub(super) fn wait(&self, guards: Vec<PathBuf>, mode: Mode, what: &str, order: &Order<'_>) -> Result<Guard> {
        let told = |waited: Duration, holder: Option<Holder>| {
            let by = holder.map(|holder| format!(": {holder}{}", last_line(holder.log.as_deref()))).unwrap_or_default();
            self.0.observed.tell(|observer| observer.waiting_for(&format!("{what}{by}")));
            (order.progress)(&format!("waiting {} s for {what}{by}", waited.as_secs()));
        };
        let deadline = order.limits.deadline;
        Guard::take_any(&guards, mode, deadline, order.cancel, &told).map_err(|error| match error {
            Error::Busy { holder, .. } => Error::Busy { what: what.into(), holder },
            other => other,
        })
    }
}

/// The last line of the log that a holder signed with.
fn last_line(log: Option<&Path>) -> String {
    let text = log.and_then(|log| fs::read(log).ok()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(4096)..]).into_owned();
    text.lines().rfind(|line| !line.trim().is_empty()).map(|line| format!(": {}", line.trim())).unwrap_or_default()
}

/// Whether another lock may do where this one failed.
fn lies_in_an_artifact(error: &Error) -> bool {
    matches!(error.kind(), Kind::SourceBuild | Kind::HashMismatch | Kind::UnsafeArtifact | Kind::Installer)
}

fn guard_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
