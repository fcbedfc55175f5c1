//! Python environments: uv or pip locks and installs, everything else is ours.
//!
//! `discover` finds interpreters (`sources` says where, `probe` asks each once). An `installer` (`uv` or `pip`, each
//! started by `run`) locks a spec into a [`Lock`]: `pylock` reads and writes it, `pick` chooses the one artifact a
//! package, by `tags`. A lock that a pack brings is `declared`. `tool` has the uv itself, fetched by `fetch` through
//! `simple_api` where there is none. `archive` looks into wheels first, `skeleton` begins an environment, the installer installs into it, `finish` makes
//! it independent of who installed. `doctor` looks at one that stands.

pub(crate) mod archive;
pub(crate) mod bytecode;
pub(crate) mod check;
pub(crate) mod classify;
pub(crate) mod declared;
pub(crate) mod discover;
pub(crate) mod dist_info;
pub(crate) mod doctor;
pub(crate) mod executables;
pub(crate) mod export;
pub(crate) mod fetch;
pub(crate) mod finish;
pub(crate) mod from_source;
pub(crate) mod hashes;
pub(crate) mod indexes;
pub(crate) mod installer;
pub(crate) mod pick;
pub(crate) mod pip;
pub(crate) mod prefer;
pub(crate) mod probe;
pub(crate) mod pylock;
pub(crate) mod record;
pub(crate) mod run;
pub(crate) mod scripts;
pub(crate) mod shebang;
pub(crate) mod simple_api;
pub(crate) mod skeleton;
pub(crate) mod source_dir;
pub(crate) mod sources;
pub(crate) mod tags;
pub(crate) mod tidy;
pub(crate) mod tool;
pub(crate) mod trust;
pub(crate) mod uv;
pub mod venv;

use std::path::Path;

use self::finish::Wrong;
use self::installer::Installer;
use crate::cancel::Cancel;
use crate::digest::FileDigest;
use crate::error::{Error, InstallerCause, Phase, Result};
use crate::fs::remove::remove_tree;
use crate::interpreter::{Interpreter, InterpreterMemory};
use crate::lock::Lock;
use crate::settings::Settings;
use crate::spec::{InterpreterRange, RuntimeKind, Spec};
use crate::store::finding::Finding;
use crate::store::runtime::{DerivedFile, Exam, FoundInterpreter, Installed, Job, Runtime, Skeleton, Upkeep};

/// The Python runtime: CPython 3.8 and newer.
#[derive(Debug)]
pub struct Python {
    finder: discover::Finder,
}

impl Python {
    /// A runtime that looks for interpreters where the settings say. Nothing is looked at before it is needed.
    pub fn new(settings: &Settings) -> Self {
        Self { finder: discover::Finder::new(settings) }
    }
}

impl Runtime for Python {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Python
    }

    fn select(&self, range: &InterpreterRange, memory: &dyn InterpreterMemory) -> Result<Interpreter> {
        self.finder.select(range, memory)
    }

    fn derived_of(&self, interpreter: &Interpreter, sources: &[(&str, FileDigest)]) -> Vec<DerivedFile> {
        bytecode::of_sources(interpreter, sources.iter().copied())
    }

    fn interpreters(&self, memory: &dyn InterpreterMemory) -> Vec<FoundInterpreter> {
        self.finder.all(memory)
    }

    fn lock(&self, job: &Job<'_>, spec: &Spec) -> Result<Lock> {
        if let Some(pylock) = &spec.pylock {
            return declared::lock(job, spec, pylock);
        }
        if spec.is_empty() {
            return Ok(Lock::default());
        }
        prefer::lock(installer::choose(job)?.as_ref(), job, spec)
    }

    fn write_lock(&self, lock: &Lock, interpreter: &Interpreter) -> String {
        pylock::write(lock, interpreter)
    }

    fn read_lock(&self, text: &str) -> Result<Lock, String> {
        pylock::read(text).map_err(|error| error.to_string())
    }

    fn skeleton(&self, interpreter: &Interpreter, env_dir: &Path) -> Result<Skeleton> {
        skeleton::create(env_dir, interpreter)
    }

    fn write_requirements(&self, lock: &Lock, interpreter: &Interpreter) -> String {
        export::requirements(lock, interpreter)
    }

    fn purl_type(&self) -> &'static str {
        "pypi"
    }

    fn moved(&self, bytes: Vec<u8>, from: &Path, to: &Path) -> Vec<u8> {
        scripts::moved(bytes, from, to)
    }

    fn install(&self, job: &Job<'_>, lock: &Lock, env_dir: &Path) -> Result<Installed> {
        if lock.packages.is_empty() {
            return finish::finish(job, lock, env_dir, Wrong::Refused);
        }
        archive::check(lock)?;
        let chosen = installer::choose(job)?;
        tracing::debug_span!("install").in_scope(|| chosen.install(job, lock, env_dir))?;
        let installed = match finish::finish(job, lock, env_dir, Wrong::Refused) {
            Err(error) if is_other_than_recorded(&error) => afresh(job, chosen.as_ref(), lock, env_dir, error)?,
            finished => finished?,
        };
        Ok(Installed { installer: chosen.label(), ..installed })
    }

    fn examine(&self, exam: &Exam<'_>) -> Result<Vec<Finding>> {
        doctor::examine(exam)
    }

    fn installer(&self, settings: &Settings, tools: &Path, cancel: &Cancel) -> Result<Option<String>> {
        installer::found(settings, tools, cancel)
    }

    fn trimmable(&self, upkeep: &Upkeep<'_>) -> u64 {
        uv::cache::trimmable(upkeep)
    }

    fn trim_cache(&self, upkeep: &Upkeep<'_>) -> Result<()> {
        uv::cache::trim(upkeep)
    }
}

fn is_other_than_recorded(error: &Error) -> bool {
    matches!(error, Error::Installer { phase: Phase::Finish, cause: InstallerCause::HashMismatch, .. })
}

/// Installs again from an empty cache what has other bytes than its `RECORD` says. Either the installer's cache was damaged: then it
/// forgets what it has of these artifacts. Or the artifact is as it is, and its `RECORD` merely wrong: that is noted.
fn afresh(job: &Job<'_>, chosen: &dyn Installer, lock: &Lock, env_dir: &Path, error: Error) -> Result<Installed> {
    job.log.line(&format!("{error}: installing again from an empty cache"));
    for entry in std::fs::read_dir(env_dir).map_err(Error::io("list", env_dir))?.flatten() {
        if entry.file_name() != crate::layout::LEASE {
            remove_tree(&entry.path())?;
        }
    }
    skeleton::create(env_dir, job.interpreter)?;
    let (cache, scratch) = (job.scratch.join("empty-cache"), job.scratch.join("afresh"));
    std::fs::create_dir(&scratch).map_err(Error::io("create", &scratch))?;
    let fresh = Job { cache: &cache, scratch: &scratch, ..*job };
    if let Err(why) = chosen.install(&fresh, lock, env_dir) {
        job.log.line(&format!("that failed too: {why}"));
        return Err(error);
    }
    let mut installed = finish::finish(job, lock, env_dir, Wrong::Noted)?;
    if !installed.notes.iter().any(|note| note.ends_with(finish::OTHER_BYTES)) {
        installed.notes.push(format!("the installer's cache was damaged and not used: {error}"));
        if let Err(why) = chosen.forget(job, lock) {
            job.log.line(&format!("the installer keeps its damaged cache: {why}"));
        }
    }
    Ok(installed)
}
