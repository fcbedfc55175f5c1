//! Python environments: uv or pip locks and installs, everything else is ours.
//!
//! `discover` finds interpreters (`sources` says where, `probe` asks each once). An `installer` (`uv` or `pip`, each
//! started by `run`) locks a spec into a [`Lock`]: `pylock` reads and writes it, `pick` chooses the one artifact a
//! package, by `tags`. A lock that a pack brings is `declared`. `tool` has the uv itself, fetched by `fetch` through
//! `simple_api` where there is none, each `request` on a thread of its own. `archive` looks into wheels first, `skeleton` begins an environment, the installer installs into it, `finish` makes
//! it independent of who installed; `afresh` does both again from an empty cache when the cache is to blame. `doctor` looks at one that stands.

pub(crate) mod afresh;
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
mod request;
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
use crate::cancel::Cancel;
use crate::digest::FileDigest;
use crate::error::Result;
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
        afresh::lock(job, installer::choose(job)?.as_ref(), spec)
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
        let installed = afresh::install(job, chosen.as_ref(), lock, env_dir)?;
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
