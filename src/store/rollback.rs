//! `rollback`: an earlier generation's environment again.
//!
//! It writes a new generation: the old environment, *answering the declaration the pack has now*, so that the next `ensure`
//! is a hit and stays there. An environment that stands is bound; one that was collected is made again from the lock
//! that is kept for its generation, with the interpreter it was made for. What it is made of is not noted as what the
//! declaration becomes: other packs that declare the same are not concerned.

use std::sync::Arc;
use std::time::Instant;

use super::Store;
use super::bind::Binding;
use super::build::{Anew, Order};
use super::ensure::{Progress, changes};
use super::make::Made;
use super::report::{Cause, Outcome, RolledBack};
use super::runtime::Runtime;
use super::upgrade::distributions;
use crate::cancel::Cancel;
use crate::digest::{InterpreterDigest, LockDigest};
use crate::error::{Error, Result};
use crate::index::{Bound, EnvRow, Generation, bindings, envs};
use crate::interpreter::Interpreter;
use crate::lock::Lock;
use crate::pack::PackRef;
use crate::process::Limits;
use crate::spec::{RuntimeKind, Spec};

/// What `rollback` is asked for.
#[derive(Clone, Default)]
pub struct Rollback {
    to: Option<u64>,
    dry_run: bool,
    progress: Option<Progress>,
}

impl std::fmt::Debug for Rollback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rollback").field("to", &self.to).field("dry_run", &self.dry_run).finish_non_exhaustive()
    }
}

impl Rollback {
    /// Back to the environment before the current one. Each further rollback goes back further.
    pub fn new() -> Self {
        Self::default()
    }

    /// To this generation.
    pub fn to(mut self, generation: Option<u64>) -> Self {
        self.to = generation;
        self
    }

    /// Only says what would be done.
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

/// How the environment of a generation comes back.
enum Way {
    /// It stands, and its interpreter too.
    Stands(Box<EnvRow>),
    /// It is made again of its lock.
    Again { lock: Lock, interpreter: Arc<Interpreter>, outcome: Outcome, anew: Option<Anew> },
}

impl Store {
    /// Binds a pack to the environment of an earlier generation, which then answers the pack's declaration. What runs goes on
    /// with what it started with.
    ///
    /// Cost where the environment stands: three queries, one `stat`, one lease, one transaction.
    ///
    /// # Errors
    /// [`Error::NoPack`], [`Error::NoGeneration`]; [`Error::InterpreterGone`] when the environment has to be made again and
    /// its interpreter is not on this host any more. The pack keeps what it has.
    pub fn rollback(&self, pack: &PackRef, ask: &Rollback, cancel: &Cancel) -> Result<RolledBack> {
        let started = Instant::now();
        self.require_owner("roll a pack back")?;
        self.require_home()?;
        let (before, history) = self.0.index.read("look up a pack's history", |db| {
            let row = bindings::find_pack(db, pack)?;
            let history = row.map(|row| bindings::history(db, row.id)).transpose()?;
            Ok((bindings::resolve(db, pack)?, history))
        })?;
        let history = history.ok_or_else(|| Error::NoPack(pack.clone()))?;
        let current = before.as_ref().map(|bound| bound.generation);
        let target = choose(&history, current, ask.to).ok_or_else(|| Error::NoGeneration {
            pack: pack.clone(),
            wanted: ask.to,
            kept: history.iter().map(|past| past.generation).collect(),
        })?;
        let (spec, origin) = self.recorded(pack)?;
        let mut way = self.way_back(pack, target)?;
        let mut report = RolledBack {
            pack: pack.clone(),
            env: target.key,
            generation: current.unwrap_or(0),
            to: target.generation,
            outcome: match &way {
                Way::Stands(env) if before.as_ref().is_some_and(|bound| bound.env.id == env.id) => Outcome::Hit,
                Way::Stands(_) => Outcome::Shared,
                Way::Again { outcome, .. } => *outcome,
            },
            changes: self.changes_to(before.as_ref(), &way)?,
            dry_run: ask.dry_run,
            elapsed_ms: 0,
            log: None,
        };
        if !ask.dry_run {
            let (bound, made) = loop {
                let made = self.bring_back(&way, &spec, ask, cancel)?;
                let (origin, cause) = (origin.as_deref(), Cause::Rollback);
                // None: swept or made again between the look and the bind.
                let binding = Binding { pack, spec: &spec, origin, env: &made.env, cause };
                // A way out of an upgrade that was too much: it works on a full disk, too.
                if let Some(bound) = self.with_ballast(|| self.bind(binding))? {
                    break (bound, made);
                }
                way = self.way_back(pack, target)?;
            };
            if report.outcome != Outcome::Hit {
                report.outcome = made.outcome;
            }
            report.generation = bound.generation;
            report.log = made.log;
        }
        report.elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(report)
    }

    fn way_back(&self, pack: &PackRef, target: &Generation) -> Result<Way> {
        let env = self.0.index.read("look up an environment", |db| envs::by_key(db, &target.key))?;
        let env = env.filter(|env| self.0.layout.lease(&env.name).exists());
        if let Some(env) = env.as_ref().filter(|env| env.interpreter.is_unchanged()) {
            return Ok(Way::Stands(Box::new(env.clone())));
        }
        let interpreter = self.interpreter_again(pack, target)?;
        let lock = self.kept_lock_of(&target.lock, self.runtime(interpreter.identity.runtime)?)?;
        let plan = self.plan(&lock, &interpreter)?;
        let outcome = if plan.is_assembly() { Outcome::Assembled } else { Outcome::Built };
        Ok(Way::Again { lock, interpreter: interpreter.into(), outcome, anew: env.map(|_| Anew::Assembled) })
    }

    /// The interpreter a generation was made for: where it was, else wherever one of the same identity stands.
    fn interpreter_again(&self, pack: &PackRef, target: &Generation) -> Result<Interpreter> {
        let remembered = self.0.index.interpreters_of(&target.interpreter)?;
        if let Some(there) = remembered.iter().find(|one| one.is_unchanged()) {
            return Ok(there.clone());
        }
        let kind = remembered.first().map_or(RuntimeKind::Python, |one| one.identity.runtime);
        let is_it = |one: &Interpreter| -> bool { one.digest() == target.interpreter };
        let found = self.interpreters(kind)?.into_iter().filter_map(|found| found.result.ok()).find(is_it);
        found.ok_or_else(|| Error::InterpreterGone {
            pack: pack.clone(),
            generation: target.generation,
            which: describe(remembered.first(), &target.interpreter),
        })
    }

    /// A lock from `locks/`.
    pub(super) fn kept_lock_of(&self, digest: &LockDigest, runtime: &dyn Runtime) -> Result<Lock> {
        let path = self.0.layout.lock(digest);
        let corrupt = |reason: String| Error::Corrupt { path: path.clone(), reason };
        let text = std::fs::read(&path).map_err(Error::io("read", &path))?;
        if *digest != blake3::hash(&text).into() {
            return Err(corrupt("its content is not the one it is named after".into()));
        }
        let text = String::from_utf8(text).map_err(|error| corrupt(error.to_string()))?;
        runtime.read_lock(&text).map_err(corrupt)
    }

    fn bring_back(&self, way: &Way, spec: &Spec, ask: &Rollback, cancel: &Cancel) -> Result<Made> {
        let (lock, interpreter, anew) = match way {
            Way::Stands(env) => {
                if let Some(made) = self.shared(Some(env.as_ref().clone()))? {
                    return Ok(made);
                }
                let runtime = self.runtime(env.interpreter.identity.runtime)?;
                let lock = self.kept_lock_of(&env.lock, runtime)?;
                (lock, Arc::clone(&env.interpreter), None)
            }
            Way::Again { lock, interpreter, anew, .. } => (lock.clone(), Arc::clone(interpreter), *anew),
        };
        let settings = &self.0.settings.install;
        let progress = |what: &str| {
            if let Some(progress) = &ask.progress {
                progress(what);
            }
        };
        self.make(&Order {
            runtime: self.runtime(interpreter.identity.runtime)?,
            spec,
            interpreter: &interpreter,
            limits: Limits::starting_now(settings.timeout, settings.silence_timeout),
            cancel,
            progress: &progress,
            given: Some(&lock),
            like: None,
            stay: &[],
            relock: false,
            anew,
        })
    }

    fn changes_to(&self, before: Option<&Bound>, way: &Way) -> Result<Vec<super::report::Change>> {
        self.0.index.read("compare environments", |db| {
            let from = before.map(|bound| envs::distributions(db, bound.env.id)).transpose()?.unwrap_or_default();
            let to = match way {
                Way::Stands(env) => envs::distributions(db, env.id)?,
                Way::Again { lock, .. } => distributions(lock),
            };
            Ok(changes(&from, &to))
        })
    }
}

/// The generation to go back to: the one that was asked for, else the newest with another environment before the one that the
/// current generation repeats. A pack that was removed goes back to its last.
fn choose(history: &[Generation], current: Option<u64>, to: Option<u64>) -> Option<&Generation> {
    if let Some(to) = to {
        return history.iter().find(|past| past.generation == to);
    }
    let Some(current) = current else { return history.last() };
    let now = history.iter().find(|past| past.generation == current)?;
    let origin = history
        .iter()
        .rev()
        .find(|past| past.generation <= current && past.key == now.key && past.cause != Cause::Rollback)
        .unwrap_or(now);
    history.iter().rev().find(|past| past.generation < origin.generation && past.key != now.key)
}

fn describe(remembered: Option<&Interpreter>, digest: &InterpreterDigest) -> String {
    match remembered {
        Some(one) => format!(
            "{} {} ({}), which was `{}`",
            one.identity.implementation,
            one.identity.version,
            one.identity.platform,
            one.path.display()
        ),
        None => format!("the one of identity {digest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Canonical;

    fn history(of: &[(char, Cause)]) -> Vec<Generation> {
        let made = |(at, (env, cause)): (usize, &(char, Cause))| Generation {
            generation: at as u64 + 1,
            key: Canonical::new(&env.to_string()).digest(),
            interpreter: Canonical::new("i").digest(),
            lock: blake3::hash(b"lock").into(),
            answers: Canonical::new("s").digest(),
            at: jiff::Timestamp::UNIX_EPOCH,
            cause: *cause,
            uid: None,
            present: true,
        };
        of.iter().enumerate().map(made).collect()
    }

    #[test]
    fn each_rollback_goes_back_further_and_never_to_what_was_left() {
        use Cause::{Ensure, Rollback, Upgrade};
        let forward = [('a', Ensure), ('b', Upgrade), ('c', Upgrade)];
        let cases = [
            (forward.to_vec(), Some(2)),
            (vec![forward[0], forward[1], forward[2], ('b', Rollback)], Some(1)),
            (vec![forward[0], forward[1], forward[2], ('b', Rollback), ('a', Rollback)], None),
            (vec![('a', Ensure)], None),
            (vec![('a', Ensure), ('b', Upgrade), ('a', Rollback), ('c', Upgrade)], Some(3)),
            (vec![('a', Ensure), ('a', Ensure)], None),
        ];
        for (of, expected) in cases {
            let history = history(&of);
            let chosen = choose(&history, Some(history.len() as u64), None);
            assert_eq!(chosen.map(|past| past.generation), expected, "{of:?}");
        }
    }

    #[test]
    fn a_generation_is_taken_by_its_number_and_a_removed_pack_goes_back_to_its_last() {
        let history = history(&[('a', Cause::Ensure), ('b', Cause::Upgrade)]);
        let number = |to, current| choose(&history, current, to).map(|past| past.generation);
        assert_eq!(number(Some(1), Some(2)), Some(1));
        assert_eq!(number(Some(2), Some(2)), Some(2));
        assert_eq!(number(Some(3), Some(2)), None);
        assert_eq!(number(None, None), Some(2));
    }
}
