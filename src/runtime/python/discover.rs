//! [`Finder`]: finds Python interpreters and picks one for a range.
//!
//! It looks no further than it must. The default interpreter is one candidate; only a range that it does not fit
//! makes the finder look at the others, and at those whose names promise a version that fits. A binary that was
//! asked before, in any process, is recalled by its real path and stamp and never started again. A shim has to
//! be asked in every process, because what it leads to depends on files that only it knows; so shims named
//! `python3.N` are asked last, where no binary has that version or a newer one.
//!
//! # Locking
//!
//! A map of cells, one for each executable, behind a mutex that is held for a `stat` at most; an executable is
//! started inside its cell, so that threads that want the same one wait, and others do not.

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use uv_pep440::Version;

use super::probe::{self, Probed, Refusal};
use super::sources::{self, Candidate, Kind};
use crate::error::{Error, Result};
use crate::interpreter::{FileStamp, Interpreter, InterpreterMemory};
use crate::settings::{PythonSettings, Settings};
use crate::spec::InterpreterRange;
use crate::store::runtime::FoundInterpreter;

/// How often an executable may lead to another: a shim to a copy in an environment to its base, and one to spare.
const MAX_LEAPS: usize = 4;

/// Finds interpreters; one for a process, shared by its threads.
#[derive(Debug)]
pub(crate) struct Finder {
    python: PythonSettings,
    path: Vec<PathBuf>,
    looked_at: Mutex<HashMap<PathBuf, Arc<OnceLock<Step>>>>,
}

/// What one start told.
#[derive(Debug, Clone)]
enum Step {
    Is(Box<Interpreter>),
    LeadsTo(PathBuf),
    LeadsNowhere,
    Refused(Refusal),
}

/// A candidate looked at: None where a shim leads nowhere.
type Looked = Result<Option<Interpreter>, Refusal>;

impl Finder {
    /// A finder for these settings. Looks at nothing yet.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { python: settings.python.clone(), path: settings.install.path.clone(), looked_at: Mutex::default() }
    }

    /// Picks the interpreter for a range: the default when it fits, else the newest that fits.
    ///
    /// Final releases come before pre-releases and ordinary builds before debug and free-threaded ones; of equal
    /// ones the first found is taken. A path is exactly the interpreter it leads to.
    ///
    /// # Errors
    ///
    /// [`Error::NoInterpreter`] with a list of what there is. [`Error::InvalidConfig`] when any interpreter will do
    /// and the configured default cannot be had. [`Error::Timeout`] or [`Error::Io`] when one that might be the
    /// answer does not answer now: another must not take its place because the host is busy.
    pub(crate) fn select(&self, range: &InterpreterRange, memory: &dyn InterpreterMemory) -> Result<Interpreter> {
        if let InterpreterRange::Path(path) = range {
            return self.exactly(path, memory).map_err(|refusal| match refusal.passing {
                Some(passing) => passing.into_error(path),
                None => Error::NoInterpreter { wanted: range.to_string(), found: vec![line(path, &Err(refusal))] },
            });
        }
        match self.preferred(memory) {
            Ok(Some(interpreter)) if range.accepts(&interpreter.identity.version) => return Ok(interpreter),
            Err(error @ Error::InvalidConfig { .. }) if !range.is_any() => {
                tracing::warn!(%error, "a pack that declares a range gets the newest interpreter that fits");
            }
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        self.newest(range, memory)?
            .ok_or_else(|| Error::NoInterpreter { wanted: range.to_string(), found: self.inventory(memory) })
    }

    /// Every interpreter found, in the order looked at, each once, with the reason for each that cannot be used.
    pub(crate) fn all(&self, memory: &dyn InterpreterMemory) -> Vec<FoundInterpreter> {
        let default = match self.preferred(memory) {
            Ok(None) => self.newest(&InterpreterRange::Any, memory),
            preferred => preferred,
        };
        let default = default.ok().flatten();
        let is_default = |found: &Interpreter| default.as_ref().is_some_and(|default| default.path == found.path);
        self.survey(memory)
            .into_iter()
            .map(|(found_at, result)| FoundInterpreter {
                found_at,
                is_default: result.as_ref().is_ok_and(is_default),
                result: result.map_err(|refusal| refusal.to_string()),
            })
            .collect()
    }

    /// The configured default, else the first usable `python3` on `PATH`.
    fn preferred(&self, memory: &dyn InterpreterMemory) -> Result<Option<Interpreter>> {
        let Some(default) = &self.python.default else {
            for path in sources::python3_on(&self.path) {
                match self.look(&path, memory) {
                    Ok(Some(interpreter)) => return Ok(Some(interpreter)),
                    Err(Refusal { passing: Some(passing), .. }) => return Err(passing.into_error(&path)),
                    Ok(None) | Err(_) => {}
                }
            }
            return Ok(None);
        };
        let invalid = |reason| Error::InvalidConfig { origin: "python.default".into(), reason };
        if let Some(path) = sources::default_path(default) {
            return self.exactly(&path, memory).map(Some).map_err(|refusal| match refusal.passing {
                Some(passing) => passing.into_error(&path),
                None => invalid(line(&path, &Err(refusal))),
            });
        }
        let range = default_range(default).ok_or_else(|| invalid(format!("`{default}` is no version and no path")))?;
        let newest = self.newest(&range, memory)?.ok_or_else(|| {
            let error = Error::NoInterpreter { wanted: default.clone(), found: self.inventory(memory) };
            invalid(error.to_string())
        });
        newest.map(Some)
    }

    fn exactly(&self, path: &Path, memory: &dyn InterpreterMemory) -> Result<Interpreter, Refusal> {
        self.look(path, memory)?.ok_or_else(|| Refusal::new("is a shim that leads to no interpreter"))
    }

    /// The newest interpreter that a range accepts, the first found of equal ones.
    fn newest(&self, range: &InterpreterRange, memory: &dyn InterpreterMemory) -> Result<Option<Interpreter>> {
        let mut best: Option<(Rank, Interpreter)> = None;
        let look = |candidate: &Candidate, best: &mut Option<(Rank, Interpreter)>| -> Result<()> {
            let interpreter = match self.look(&candidate.path, memory) {
                Ok(Some(interpreter)) => interpreter,
                Err(Refusal { passing: Some(passing), .. }) => return Err(passing.into_error(&candidate.path)),
                Ok(None) | Err(_) => return Ok(()),
            };
            let Some(rank) = Rank::of(&interpreter) else { return Ok(()) };
            let is_better = best.as_ref().is_none_or(|(other, _)| rank > *other);
            if is_better && range.accepts(&interpreter.identity.version) {
                *best = Some((rank, interpreter));
            }
            Ok(())
        };
        let mut shims = Vec::new();
        for candidate in sources::candidates(&self.python, &self.path) {
            match sources::kind(&candidate.path) {
                Ok(Kind::Python(real)) if may_fit(range, &real) => look(&candidate, &mut best)?,
                Ok(Kind::Shim) if may_fit(range, &candidate.path) => shims.push(candidate),
                _ => {}
            }
        }
        for shim in shims {
            let promised = sources::promised_version(&shim.path);
            let is_needed = match (promised, &best) {
                (Some(promised), Some((rank, _))) => !rank.covers(promised),
                _ => true,
            };
            if is_needed {
                look(&shim, &mut best)?;
            }
        }
        Ok(best.map(|(_, interpreter)| interpreter))
    }

    /// Looks at every candidate.
    fn survey(&self, memory: &dyn InterpreterMemory) -> Vec<(PathBuf, Result<Interpreter, Refusal>)> {
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        for Candidate { path, configured } in sources::candidates(&self.python, &self.path) {
            let result = match configured {
                true => self.exactly(&path, memory),
                false => match self.look(&path, memory).transpose() {
                    Some(result) => result,
                    None => continue,
                },
            };
            let real = match &result {
                Ok(interpreter) => interpreter.path.clone(),
                Err(_) => path.canonicalize().unwrap_or_else(|_| path.clone()),
            };
            if seen.insert(real) {
                found.push((path, result));
            }
        }
        found
    }

    /// What there is, for an error's message.
    fn inventory(&self, memory: &dyn InterpreterMemory) -> Vec<String> {
        self.survey(memory).iter().map(|(path, result)| line(path, result)).collect()
    }

    /// Follows a candidate to the interpreter it is or leads to.
    fn look(&self, path: &Path, memory: &dyn InterpreterMemory) -> Looked {
        let mut step = match sources::kind(path)? {
            Kind::Python(real) => self.step(&real, || ask(&real, memory)),
            Kind::Shim => self.step(path, || match probe::follow(path) {
                Ok(Some(path)) => Step::LeadsTo(path),
                Ok(None) => Step::LeadsNowhere,
                Err(refusal) => Step::Refused(refusal),
            }),
        };
        for _ in 0..MAX_LEAPS {
            match step {
                Step::Is(interpreter) => return Ok(Some(*interpreter)),
                Step::LeadsNowhere => return Ok(None),
                Step::Refused(refusal) => return Err(refusal),
                Step::LeadsTo(path) => {
                    let found = path.canonicalize().map_err(Error::io("find", &path));
                    let real = found.map_err(|error| Refusal::from_error(&error))?;
                    step = self.step(&real, || ask(&real, memory));
                }
            }
        }
        Err(Refusal::new("leads from one executable to another without end"))
    }

    /// What an executable told, asking it unless it was asked and that still holds.
    fn step(&self, key: &Path, ask: impl FnOnce() -> Step) -> Step {
        let cell = {
            let mut looked_at = self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
            let cell = looked_at.entry(key.to_owned()).or_default();
            if cell.get().is_some_and(|step| !step.still_holds()) {
                *cell = Arc::default();
            }
            Arc::clone(cell)
        };
        cell.get_or_init(ask).clone()
    }
}

impl Step {
    /// Whether asking again would tell the same, as far as one or two `stat` show.
    fn still_holds(&self) -> bool {
        match self {
            Self::Is(interpreter) => interpreter.is_unchanged() && probe::is_complete(interpreter),
            Self::Refused(refusal) => refusal.passing.is_none(),
            Self::LeadsTo(_) | Self::LeadsNowhere => true,
        }
    }
}

/// Recalls an executable by its real path, or starts it and remembers what it told.
fn ask(real: &Path, memory: &dyn InterpreterMemory) -> Step {
    let recalled = FileStamp::of(real).ok().and_then(|stamp| memory.recall(real, stamp));
    if let Some(interpreter) = recalled.filter(probe::is_complete) {
        return Step::Is(Box::new(interpreter));
    }
    match probe::probe(real) {
        Ok(Probed::Interpreter(interpreter)) => {
            memory.remember(&interpreter);
            Step::Is(interpreter)
        }
        Ok(Probed::Elsewhere(path)) => Step::LeadsTo(path),
        Err(refusal) => Step::Refused(refusal),
    }
}

/// How good an interpreter is as a choice nobody made: the greater the better.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    is_final: bool,
    is_ordinary: bool,
    version: Version,
}

impl Rank {
    fn of(interpreter: &Interpreter) -> Option<Self> {
        let version: Version = interpreter.identity.version.parse().ok()?;
        let is_set = |fact| interpreter.fact(fact) == Some("1");
        Some(Self {
            is_final: !version.any_prerelease(),
            is_ordinary: !is_set("gil_disabled") && !is_set("debug"),
            version,
        })
    }

    /// Whether an executable of this minor version could only be as good, but for its patch release.
    fn covers(&self, (major, minor): (u8, u8)) -> bool {
        self.is_final && self.is_ordinary && *self.version.release() >= [u64::from(major), u64::from(minor)][..]
    }
}

/// Whether an executable may have a version in a range, as far as its name tells.
fn may_fit(range: &InterpreterRange, path: &Path) -> bool {
    if sources::is_foreign(path) {
        return false;
    }
    let Some((major, minor)) = sources::promised_version(path) else { return true };
    if (major, minor) < (3, 8) {
        return false;
    }
    // Where the range does not mention the series no bound lies within it, and one version speaks for all.
    range.to_string().contains(&format!("{major}.{minor}")) || range.accepts(&format!("{major}.{minor}.1"))
}

/// The range that a default's version stands for: `3.11` is any 3.11, `3.14.0rc1` is only that.
fn default_range(default: &str) -> Option<InterpreterRange> {
    let version: Version = default.trim().parse().ok()?;
    let series = if version.any_prerelease() { "" } else { ".*" };
    Some(InterpreterRange::Versions(vec![format!("=={version}{series}")]))
}

fn line(path: &Path, result: &Result<Interpreter, Refusal>) -> String {
    match result {
        Ok(interpreter) => format!("{} ({})", interpreter.identity.version, path.display()),
        Err(Refusal { version: Some(version), reason, .. }) => format!("{version} ({}): {reason}", path.display()),
        Err(refusal) => format!("{}: {refusal}", path.display()),
    }
}
