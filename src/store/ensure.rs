//! `ensure`: a pack's declaration becomes its environment.
//!
//! 1. The binding answers this declaration, with an interpreter that did not change: `hit`. Nothing is locked, nothing moves,
//!    nothing is written.
//! 2. The declaration became an environment before: bind it, `shared`.
//! 3. Lock, then assemble or build; bind (`shared`, when the lock is one whose environment stands). A binding that answers
//!    the declaration keeps its lock: only its environment is made again.
//!
//! A failure never unbinds: the pack keeps what it had, and the caller learns it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Store;
use super::bind::Binding;
use super::build::{Anew, Order};
use super::make::Made;
use super::report::{Cause, Change, Ensured, Likeness, Outcome};
use super::resolve::EnvHandle;
use super::runtime::Distribution;
use crate::cancel::Cancel;
use crate::component;
use crate::epoch::Sample;
use crate::error::{Error, Kind, Result};
use crate::index::failures::{self, PackFailure};
use crate::index::{Access, Bound, bindings, collection, envs, sql};
use crate::interpreter::Interpreter;
use crate::lock::Lock;
use crate::pack::PackRef;
use crate::process::Limits;
use crate::spec::{InterpreterRange, Spec};

/// How long a spec that cannot succeed is not tried again.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Told what is being done, for people.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// What `ensure` is asked for.
#[derive(Clone, Default)]
pub struct Ensure {
    spec: Option<Spec>,
    origin: Option<PathBuf>,
    upgrade: bool,
    only: Vec<String>,
    rebuild: bool,
    like: Option<Vec<String>>,
    retry_failed: bool,
    timeout: Option<Duration>,
    progress: Option<Progress>,
}

impl std::fmt::Debug for Ensure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ensure").field("spec", &self.spec).field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Ensure {
    /// The environment this declaration becomes.
    pub fn new(spec: Spec) -> Self {
        Self { spec: Some(spec), ..Self::default() }
    }

    /// The environment the pack's recorded declaration becomes.
    pub fn recorded() -> Self {
        Self::default()
    }

    /// Where the declaration was found.
    pub fn origin(mut self, origin: Option<PathBuf>) -> Self {
        self.origin = origin;
        self
    }

    /// Locks again, to the newest versions the declaration allows.
    pub fn upgrade(mut self, upgrade: bool) -> Self {
        self.upgrade = upgrade;
        self
    }

    /// With [`Ensure::upgrade`]: only these distributions, by normalised name; the others stay where that is possible. None: all.
    pub fn upgrade_only(mut self, names: Vec<String>) -> Self {
        self.only = names;
        self
    }

    /// Installs again, whatever there is: the same lock, if the pack's binding answers the declaration. All packs that share the environment move to the new one.
    pub fn rebuild(mut self, rebuild: bool) -> Self {
        self.rebuild = rebuild;
        self
    }

    /// Prefers these versions, `name==version`, where the declaration allows them, if there is anything to lock. Another
    /// pack's lock of the same declaration is not shared then.
    pub fn like(mut self, versions: Option<Vec<String>>) -> Self {
        self.like = versions;
        self
    }

    /// Tries again what failed a short while ago for a reason that cannot mend itself: for a person's command.
    pub fn retry_failed(mut self, retry: bool) -> Self {
        self.retry_failed = retry;
        self
    }

    /// The limit for the whole of it, instead of the settings'.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Is told what is being done.
    pub fn on_progress(mut self, progress: Progress) -> Self {
        self.progress = Some(progress);
        self
    }
}

/// An environment that is ready: the answer and the handle that keeps it.
#[derive(Debug)]
pub struct Ready {
    /// What was done.
    pub report: Ensured,
    /// The environment, leased.
    pub handle: EnvHandle,
}

struct Request<'a> {
    pack: &'a PackRef,
    spec: Spec,
    origin: Option<PathBuf>,
    ask: &'a Ensure,
    cancel: &'a Cancel,
    started: Instant,
}

/// Why an environment could not be made, and what the pack keeps.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct EnsureError {
    /// Why.
    #[source]
    pub error: Error,
    /// What the pack keeps (outcome `kept`), if it had a binding.
    pub kept: Option<Box<Ensured>>,
}

impl EnsureError {
    /// The environment the pack keeps: the last one that could be made.
    pub fn last_good(&self) -> Option<&Ensured> {
        self.kept.as_deref()
    }

    /// Whether what the pack keeps answers the declaration that was asked for: then only an upgrade failed.
    pub fn answers_current_spec(&self) -> bool {
        self.last_good().is_some_and(|kept| kept.answers_current_spec)
    }

    /// Where the whole output of the failed build is.
    pub fn log_path(&self) -> Option<&Path> {
        self.error.log_path()
    }
}

impl From<Error> for EnsureError {
    fn from(error: Error) -> Self {
        Self { error, kept: None }
    }
}

impl Store {
    /// Makes sure that a pack is bound to the environment its declaration becomes.
    ///
    /// Cost of a hit: one `stat` of the interpreter; one query and one lease more where no handle of the pack is kept.
    ///
    /// # Errors
    /// [`EnsureError`]; where the pack had an environment it keeps it, and the error says which.
    pub fn ensure(&self, pack: &PackRef, ask: &Ensure, cancel: &Cancel) -> Result<Ready, EnsureError> {
        let started = Instant::now();
        let span = tracing::debug_span!("ensure", %pack);
        let _entered = span.enter();
        let ready = match self.kept_hit(pack, ask, started) {
            Some(ready) => Ok(ready),
            None => self.ensure_by_index(pack, ask, started, cancel),
        };
        self.0.counters.ensured(ready.as_ref().ok().map(|ready| ready.report.outcome));
        ready
    }

    fn ensure_by_index(
        &self,
        pack: &PackRef,
        ask: &Ensure,
        started: Instant,
        cancel: &Cancel,
    ) -> Result<Ready, EnsureError> {
        self.require_home()?;
        // Before the query: what changes from here on has another one.
        let counter = self.counter(pack);
        let before = self.0.index.read("look up a binding", |db| bindings::resolve(db, pack))?;
        let (spec, origin) = match &ask.spec {
            Some(spec) => (spec.clone(), ask.origin.clone()),
            None => self.recorded(pack)?,
        };
        let request = Request { pack, spec, origin, ask, cancel, started };
        let mut ready = match self.hit(&request, before.as_ref(), counter.as_ref())? {
            Some(ready) => {
                self.0.counters.missed();
                self.keep_handle(&ready.handle, counter);
                ready
            }
            None => {
                self.require_owner("make an environment")?;
                self.0.index.stay_open()?;
                self.0.observed.tell(|observer| observer.build_started(pack));
                let made = self.miss(&request, before.as_ref());
                self.0.observed.tell(|observer| {
                    observer.build_finished(pack, made.as_ref().map(|made| made.report.outcome));
                });
                made.map_err(|error| {
                    self.note_failure(pack, &error);
                    let kept = before.and_then(|before| self.keep(&request, &before));
                    EnsureError { error, kept: kept.map(Box::new) }
                })?
            }
        };
        if let Some(like) = &ask.like {
            ready.report.like = Some(self.likeness(pack, like)?);
        }
        Ok(ready)
    }

    /// What became of the versions to prefer in what a pack is bound to.
    fn likeness(&self, pack: &PackRef, like: &[String]) -> Result<Likeness> {
        let now = self.0.index.read("look up distributions", |db| {
            let bound = bindings::resolve(db, pack)?;
            bound.map_or(Ok(Vec::new()), |bound| envs::distributions(db, bound.env.id))
        })?;
        let preferred = |name: &str| {
            let mut versions = like.iter().filter_map(|line| line.split_once("=="));
            versions.find(|(preferred, _)| *preferred == name).map(|(_, version)| version.to_owned())
        };
        let changes =
            now.iter().map(|d| Change { name: d.name.clone(), from: preferred(&d.name), to: Some(d.version.clone()) });
        let changes: Vec<Change> = changes.filter(|change| change.from != change.to).collect();
        Ok(Likeness { stayed: now.len() - changes.len(), changes })
    }

    /// Whether a binding answers a declaration as it stands, so that `ensure` would be a hit. Starts nothing, writes nothing.
    pub fn answers(&self, pack: &PackRef, spec: &Spec) -> Result<bool> {
        let bound = self.0.index.read("look up a binding", |db| bindings::resolve(db, pack))?;
        Ok(bound.is_some_and(|bound| is_hit(&bound, spec)))
    }

    pub(super) fn recorded(&self, pack: &PackRef) -> Result<(Spec, Option<PathBuf>)> {
        let found = self.0.index.read("look up a declaration", |db| {
            let row = bindings::find_pack(db, pack)?;
            let spec = row.as_ref().map(|row| bindings::spec(db, &row.spec)).transpose()?.flatten();
            Ok(row.zip(spec))
        })?;
        found.map(|(row, spec)| (spec, row.origin)).ok_or_else(|| Error::NoPack(pack.clone()))
    }

    fn hit(&self, request: &Request<'_>, bound: Option<&Bound>, counter: Option<&Sample>) -> Result<Option<Ready>> {
        let Some(bound) = bound else { return Ok(None) };
        if request.ask.upgrade || request.ask.rebuild || !is_hit(bound, &request.spec) {
            return Ok(None);
        }
        let Some(lease) = self.lease_bound(bound, counter)? else { return Ok(None) };
        if bound.pack.spec != bound.answers && self.0.access == Access::Owner {
            // Back to the declaration before one that failed: that is the last one given now.
            self.record_declaration(request.pack, &request.spec, request.origin.as_deref())?;
        }
        let handle = self.handle(bound.clone(), lease);
        Ok(Some(Ready { report: report(request.pack, &request.spec, request.started, &handle, Outcome::Hit), handle }))
    }

    /// A hit without a query: nothing changed since a declaration's environment was resolved here.
    fn kept_hit(&self, pack: &PackRef, ask: &Ensure, started: Instant) -> Option<Ready> {
        let spec = ask.spec.as_ref().filter(|_| !ask.upgrade && !ask.rebuild && ask.like.is_none())?;
        let handle = self.kept(pack)?;
        let bound = handle.bound();
        let is_answer = bound.pack.spec == bound.answers && is_hit(bound, spec) && handle.stands();
        is_answer.then(|| Ready { report: report(pack, spec, started, &handle, Outcome::Hit), handle })
    }

    fn miss(&self, request: &Request<'_>, before: Option<&Bound>) -> Result<Ready> {
        let runtime = self.runtime(request.spec.runtime)?;
        let interpreter = runtime.select(&request.spec.interpreter, &self.0.index)?;
        if !request.ask.retry_failed {
            self.refuse_what_failed(&request.spec, &interpreter)?;
        }
        let kept = self.kept_lock(request, before, &interpreter);
        let stay = self.stay_at(before, &request.ask.only)?;
        let settings = &self.0.settings.install;
        let progress = |what: &str| {
            if let Some(progress) = &request.ask.progress {
                progress(what);
            }
            self.0.observed.tell(|observer| observer.build_phase(request.pack, what));
        };
        let mut order = Order {
            runtime,
            spec: &request.spec,
            interpreter: &interpreter,
            limits: Limits::starting_now(request.ask.timeout.unwrap_or(settings.timeout), settings.silence_timeout),
            cancel: request.cancel,
            progress: &progress,
            given: kept.as_ref(),
            like: request.ask.like.as_deref(),
            stay: &stay,
            relock: request.ask.upgrade,
            anew: request.ask.rebuild.then_some(Anew::Installed),
        };
        loop {
            let made =
                self.make(&order).inspect_err(|error| self.remember_failure(&request.spec, &interpreter, error))?;
            let binding = Binding {
                pack: request.pack,
                spec: &request.spec,
                origin: request.origin.as_deref(),
                env: &made.env,
                cause: if request.ask.upgrade { Cause::Upgrade } else { Cause::Ensure },
            };
            // Between `make` and `bind` the environment was collected, or another process replaced it. A replacement is as new as ours.
            let Some(bound) = self.bind(binding)? else {
                order.anew = None;
                continue;
            };
            let moved = |b: &Bound| b.cause != Cause::Rollback && b.env.interpreter.digest() != interpreter.digest();
            if kept.is_some() && before.is_some_and(moved) {
                // What the pack moved to answers for the declaration under this interpreter, for every pack.
                self.note_alias(&order, &made.env)?;
            }
            let is_new = matches!(made.outcome, Outcome::Built | Outcome::Assembled);
            let ready = self.bound(request, before, bound, made)?;
            if is_new {
                self.collect_if_due(request.cancel);
            }
            return Ok(ready);
        }
    }

    /// The lock of a binding that answers the declaration. What it is bound to may be gone, or its interpreter patched: it is made
    /// again of the same artifacts, for nothing moves by itself (P14).
    fn kept_lock(&self, request: &Request<'_>, before: Option<&Bound>, interpreter: &Interpreter) -> Option<Lock> {
        let before = before.filter(|before| !request.ask.upgrade && before.answers == request.spec.digest())?;
        if request.spec.is_empty() || !component::serves(&before.env.interpreter, interpreter) {
            return None;
        }
        let text = std::fs::read_to_string(self.0.layout.lock(&before.env.lock)).ok()?;
        self.runtime(request.spec.runtime).ok()?.read_lock(&text).ok()
    }

    fn bound(&self, request: &Request<'_>, before: Option<&Bound>, bound: Bound, made: Made) -> Result<Ready> {
        let unmoved = before.is_some_and(|b| b.generation == bound.generation && b.env.id == bound.env.id);
        let outcome = if unmoved { Outcome::Hit } else { made.outcome };
        let handle = self.handle(bound.clone(), made.lease);
        let mut report = report(request.pack, &request.spec, request.started, &handle, outcome);
        report.log = made.log;
        if let Some(before) = before {
            let (from, to) = self.0.index.read("compare environments", |db| {
                Ok((envs::distributions(db, before.env.id)?, envs::distributions(db, bound.env.id)?))
            })?;
            report.changes = changes(&from, &to);
        }
        Ok(Ready { report, handle })
    }

    /// What a pack keeps after a failure. Its declaration is recorded, so that `resolve` can say that the binding answers another one.
    fn keep(&self, request: &Request<'_>, bound: &Bound) -> Option<Ensured> {
        if let Err(error) = self.record_declaration(request.pack, &request.spec, request.origin.as_deref()) {
            tracing::warn!(%error, pack = %request.pack, "the changed declaration is not recorded");
        }
        let lease = self.lease(&bound.env).ok().flatten()?;
        let handle = self.handle(bound.clone(), lease);
        Some(report(request.pack, &request.spec, request.started, &handle, Outcome::Kept))
    }

    fn refuse_what_failed(&self, spec: &Spec, interpreter: &Interpreter) -> Result<()> {
        let Some((kind, message, at)) = self.0.index.failure(&spec.digest(), &interpreter.digest())? else {
            return Ok(());
        };
        // A clock that went back makes the failure old, not eternal.
        let ago = Duration::try_from(self.0.clock.now().duration_since(at)).unwrap_or(REMEMBERED);
        if ago >= REMEMBERED {
            return Ok(());
        }
        let kind = serde_json::from_value(serde_json::Value::String(kind)).unwrap_or(Kind::NoSolution);
        Err(Error::FailedBefore { kind, message, ago })
    }

    /// Keeps what a pack's environment failed with, for whoever looks later.
    fn note_failure(&self, pack: &PackRef, error: &Error) {
        if error.is_cancelled() {
            return;
        }
        let op = "note a failure";
        let failure = PackFailure {
            at: self.0.clock.now(),
            kind: error.kind(),
            message: error.to_string(),
            log: error.log_path().map(Path::to_owned),
        };
        if let Err(error) = self.0.index.write(op, |tx| failures::note(tx, pack, &failure).map_err(sql(op))) {
            tracing::debug!(%error, "a failure is not noted");
        }
    }

    fn remember_failure(&self, spec: &Spec, interpreter: &Interpreter, error: &Error) {
        let kind = error.kind();
        if !kind.is_final_for_spec() || matches!(error, Error::FailedBefore { .. }) {
            return;
        }
        let op = "remember a failure";
        let now = self.0.clock.now();
        let name = serde_json::to_value(kind).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
        let noted = self.0.index.write(op, |tx| {
            let (spec, interpreter) = (spec.digest(), interpreter.digest());
            collection::note_failure(tx, &spec, &interpreter, &name, &error.to_string(), now).map_err(sql(op))
        });
        if let Err(error) = noted {
            tracing::debug!(%error, "a failure is not remembered");
        }
    }
}

/// The binding answers this very declaration and its interpreter is the one it was made for.
fn is_hit(bound: &Bound, spec: &Spec) -> bool {
    bound.answers == spec.digest()
        && bound.env.interpreter.is_unchanged()
        && leads_to(&spec.interpreter, &bound.env.interpreter.path)
}

/// Whether an interpreter given by its path is still the one that stands there.
fn leads_to(range: &InterpreterRange, interpreter: &Path) -> bool {
    match range {
        // A shim is a script that may choose otherwise today; only a path that leads to the binary itself is known without a start.
        InterpreterRange::Path(path) => std::fs::canonicalize(path).is_ok_and(|real| real == interpreter),
        _ => true,
    }
}

fn report(pack: &PackRef, spec: &Spec, started: Instant, handle: &EnvHandle, outcome: Outcome) -> Ensured {
    let (spec, bound) = (spec.digest(), handle.bound());
    Ensured {
        pack: pack.clone(),
        env: bound.env.key,
        path: handle.path().to_owned(),
        interpreter: handle.interpreter(),
        generation: bound.generation,
        outcome,
        answers_current_spec: bound.answers == spec,
        spec,
        changes: Vec::new(),
        like: None,
        elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        log: None,
    }
}

/// What differs between two environments, by name. Both lists are sorted by name.
pub fn changes(from: &[Distribution], to: &[Distribution]) -> Vec<Change> {
    let mut names: Vec<&str> = from.iter().chain(to).map(|d| d.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let version = |list: &[Distribution], name: &str| list.iter().find(|d| d.name == name).map(|d| d.version.clone());
    names
        .into_iter()
        .map(|name| Change { name: name.into(), from: version(from, name), to: version(to, name) })
        .filter(|change| change.from != change.to)
        .collect()
}
