//! `resolve`: the environment a pack is bound to, leased.
//!
//! Correct by the index alone. With an epoch a handle is cached while its pack's counter is unchanged (`store::handles`): the
//! counter is taken before the query, and nothing is cached under an odd one.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use super::Store;
use super::report::Resolved;
use super::runtime::Distribution;
use crate::digest::EnvKey;
use crate::epoch::{Sample, Slot};
use crate::error::{Error, Result};
use crate::index::{Access, Bound, State, bindings, envs, sql};
use crate::lease::Lease;
use crate::manifest::Manifest;
use crate::pack::PackRef;
use crate::process::child;
use crate::spec::RuntimeKind;

/// Variables that change what a Python process sees; an action must not inherit them from its worker.
pub const DROPPED: [&str; 5] =
    ["PYTHONHOME", "PYTHONPATH", "PYTHONOPTIMIZE", "PYTHONPLATLIBDIR", "PYTHONPYCACHEPREFIX"];

/// An environment in use: while a handle or a process started with its lease lives, nothing deletes it.
/// Clones share one lease.
#[derive(Debug, Clone)]
pub struct EnvHandle(Arc<Held>);

#[derive(Debug)]
struct Held {
    bound: Bound,
    path: PathBuf,
    manifest: PathBuf,
    lease: Lease,
    interpreter_changed: bool,
}

impl EnvHandle {
    /// The interpreter to start: `bin/python` of the environment.
    pub fn interpreter(&self) -> PathBuf {
        interpreter(&self.0.path)
    }

    /// The environment's directory.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The environment's key.
    pub fn key(&self) -> EnvKey {
        self.0.bound.env.key
    }

    /// The runtime it is for.
    pub fn runtime(&self) -> RuntimeKind {
        self.0.bound.env.interpreter.identity.runtime
    }

    /// The binding's generation.
    pub fn generation(&self) -> u64 {
        self.0.bound.generation
    }

    /// What is installed in it, by name. Reads the environment's manifest.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or [`Error::Io`] where that cannot be read.
    pub fn distributions(&self) -> Result<Vec<Distribution>> {
        let manifest = Manifest::read(&self.0.manifest)?;
        let mut found: Vec<Distribution> = manifest.parts.into_iter().filter_map(|part| part.distribution).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// The pack it was resolved for.
    pub(super) fn pack(&self) -> &PackRef {
        &self.0.bound.pack.pack
    }

    /// The environment's row.
    pub(super) fn env_id(&self) -> i64 {
        self.0.bound.env.id
    }

    /// Whether the environment still stands where it was leased. Two `stat`s.
    pub(super) fn stands(&self) -> bool {
        self.0.lease.stands()
    }

    /// The binding it was made of.
    pub(super) fn bound(&self) -> &Bound {
        &self.0.bound
    }

    /// What `resolve` answers on the command line.
    pub fn summary(&self) -> Resolved {
        let bound = &self.0.bound;
        Resolved {
            pack: bound.pack.pack.clone(),
            env: bound.env.key,
            path: self.0.path.clone(),
            interpreter: self.interpreter(),
            generation: bound.generation,
            cause: bound.cause,
            stale: bound.is_stale(),
            interpreter_changed: self.0.interpreter_changed,
        }
    }

    /// Sets the variables of an activated environment on a command, and drops those that would change what
    /// Python sees. `path` is the caller's `PATH`.
    pub fn activate(&self, command: &mut Command, path: Option<&OsStr>) {
        activate(&self.0.path, command, path);
    }

    /// A command that runs a script with the environment's interpreter, with the variables of an activated environment and a lease that it
    /// and what it starts inherit. The process's own `PATH` comes behind the environment's.
    ///
    /// # Errors
    /// If the lease cannot be taken once more.
    pub fn command(&self, script: impl AsRef<OsStr>) -> Result<Command> {
        let mut command = Command::new(self.interpreter());
        command.arg(script);
        self.activate(&mut command, std::env::var_os("PATH").as_deref());
        self.lease_to(&mut command)?;
        Ok(command)
    }

    /// Gives whatever a command starts a lease of its own, which lasts as long as any process that inherits it. It is one descriptor, 100
    /// or above. The command itself keeps the lease too, until it is dropped.
    ///
    /// # Errors
    /// If the lease cannot be taken once more.
    pub fn lease_to(&self, command: &mut Command) -> Result<()> {
        child::inherit(command, self.0.lease.reopen()?);
        Ok(())
    }

    /// Leaves the lease open for a process that becomes its action by `execve`.
    pub fn leave_lease_open_for_exec(&self) -> Result<()> {
        self.0.lease.leave_open_for_exec()
    }

    /// Its lease alone.
    ///
    /// # Errors
    /// If it is shared and cannot be taken once more.
    #[cfg(feature = "cli")]
    pub(super) fn into_lease(self) -> Result<Lease> {
        Arc::try_unwrap(self.0).map_or_else(|shared| shared.lease.reopen(), |held| Ok(held.lease))
    }
}

/// The interpreter of an environment.
pub(super) fn interpreter(env: &Path) -> PathBuf {
    env.join("bin/python")
}

/// [`EnvHandle::activate`] of an environment's directory.
pub(super) fn activate(env: &Path, command: &mut Command, path: Option<&OsStr>) {
    let mut dirs = vec![env.join("bin")];
    dirs.extend(path.map(std::env::split_paths).into_iter().flatten());
    // Fails only for a directory with a colon in its name, which came from no PATH.
    if let Ok(joined) = std::env::join_paths(dirs) {
        command.env("PATH", joined);
    }
    command.env("VIRTUAL_ENV", env).env("ENVSTORE_ENV", env).env("PYTHONDONTWRITEBYTECODE", "1");
    for name in DROPPED {
        command.env_remove(name);
    }
}

impl Store {
    /// The environment a pack is bound to, leased. Builds nothing, writes nothing, starts nothing.
    ///
    /// Cost: nothing but memory while no binding of the pack's slot changed, and one `stat` in each second for all packs together; otherwise two queries
    /// and a lease.
    ///
    /// # Errors
    /// [`Error::NoPack`]; [`Error::Corrupt`] when the environment's directory is gone.
    pub fn resolve(&self, pack: &PackRef) -> Result<EnvHandle> {
        if let Some(handle) = self.resolve_kept(pack) {
            return Ok(handle);
        }
        self.require_home()?;
        let span = tracing::trace_span!("resolve", %pack);
        let _entered = span.enter();
        self.0.counters.missed();
        // Before the query: what changes from here on has another one.
        let counter = self.counter(pack);
        let last = counter.as_ref().and_then(|_| self.0.handles.last(pack));
        self.let_go_of_changed();
        let handle = self.look_up(pack, last, counter.as_ref())?;
        self.keep_handle(&handle, counter);
        self.record_uses();
        self.0.observed.tell(|observer| observer.resolved(pack, false));
        Ok(handle)
    }

    /// A pack's counter as it is now. None: there are none.
    pub(super) fn counter(&self, pack: &PackRef) -> Option<Sample> {
        self.0.index.epoch()?.sample(Slot::of(pack.as_str()))
    }

    /// Keeps what the index answered after the counter was taken.
    pub(super) fn keep_handle(&self, handle: &EnvHandle, counter: Option<Sample>) {
        if let Some(counter) = counter {
            self.0.handles.keep(handle, counter);
        }
    }

    /// [`Store::resolve`] where the answer is kept. One `stat` in each second, for all packs together; otherwise no system call.
    pub(crate) fn resolve_kept(&self, pack: &PackRef) -> Option<EnvHandle> {
        let handle = self.kept(pack)?;
        self.0.observed.tell(|observer| observer.resolved(pack, true));
        Some(handle)
    }

    /// The handle kept for a pack, if nothing changed since it was resolved. Costs what [`Store::resolve_kept`] does.
    pub(crate) fn kept(&self, pack: &PackRef) -> Option<EnvHandle> {
        self.0.index.epoch()?.look();
        self.0.handles.hit(pack)
    }

    /// Lets go of what is kept for a pack, and of what is kept although it changed.
    #[cfg(feature = "worker")]
    pub(crate) fn let_go_of(&self, pack: &PackRef) {
        self.0.handles.forget(pack);
        self.let_go_of_changed();
    }

    /// Lets go of the kept environments that are not what their packs are bound to any more.
    pub(super) fn let_go_of_changed(&self) {
        self.0.handles.let_go();
    }

    /// Asks the index. The handle resolved before is the answer again if it is the same binding: its lease still holds.
    fn look_up(&self, pack: &PackRef, last: Option<EnvHandle>, counter: Option<&Sample>) -> Result<EnvHandle> {
        let mut missing = None;
        loop {
            let bound = self.0.index.read("look up a binding", |db| bindings::resolve(db, pack))?;
            let bound = bound.ok_or_else(|| Error::NoPack(pack.clone()))?;
            if let Some(last) = last.as_ref().filter(|last| last.bound().is_same(&bound) && last.stands()) {
                return Ok(last.clone());
            }
            if let Some(lease) = self.lease_bound(&bound, counter)? {
                return Ok(self.handle(bound, lease));
            }
            // Replaced between the query and the lease: ask again. Still the same row: its directory is gone.
            if missing == Some(bound.env.id) {
                let reason = format!("the environment of pack `{pack}` is gone");
                return Err(Error::Corrupt { path: self.0.layout.env(&bound.env.name), reason });
            }
            missing = Some(bound.env.id);
        }
    }

    /// Records which environments were used, in one transaction every five minutes at most. Failing to is no error: what is bound, pinned or leased
    /// is kept without.
    fn record_uses(&self) {
        if self.0.access != Access::Owner {
            return;
        }
        let now = self.0.clock.now();
        let Some(used) = self.0.handles.take_uses(now).filter(|used| !used.is_empty()) else { return };
        let op = "record the use of environments";
        let recorded = self
            .0
            .index
            .write(op, |tx| used.into_iter().try_for_each(|env| envs::touch(tx, env, now)).map_err(sql(op)));
        if let Err(error) = recorded {
            tracing::debug!(%error, "the use of environments is not recorded");
        }
    }

    pub(super) fn handle(&self, bound: Bound, lease: Lease) -> EnvHandle {
        let (path, manifest) = (self.0.layout.env(&bound.env.name), self.0.layout.manifest(&bound.env.name));
        let interpreter_changed = !bound.env.interpreter.is_unchanged();
        EnvHandle(Arc::new(Held { bound, path, manifest, lease, interpreter_changed }))
    }

    /// Leases what a pack is bound to. If the counter taken before the query still stands after the lock, the pack is still bound to it:
    /// then it was not condemned (I4), and the index need not be asked again.
    pub(super) fn lease_bound(&self, bound: &Bound, counter: Option<&Sample>) -> Result<Option<Lease>> {
        let Some(before) = counter.filter(|counter| counter.is_settled() && bound.env.state == State::Ready) else {
            return self.lease(&bound.env);
        };
        let lease = Lease::acquire(&self.0.layout.lease(&bound.env.name))?;
        if !before.is_current() {
            return self.lease(&bound.env);
        }
        if lease.is_some() {
            self.look_after_boot(&bound.env)?;
        }
        Ok(lease)
    }

    /// Leases an environment, then asks again whether it is ready. None: it is on its way out.
    pub(super) fn lease(&self, env: &envs::EnvRow) -> Result<Option<Lease>> {
        let Some(lease) = Lease::acquire(&self.0.layout.lease(&env.name))? else { return Ok(None) };
        let ready = self.0.index.read("look up an environment", |db| envs::is_ready(db, env.id))?;
        if !ready {
            return Ok(None);
        }
        self.look_after_boot(env)?;
        Ok(Some(lease))
    }
}
