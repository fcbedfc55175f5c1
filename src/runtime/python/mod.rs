//! Python environments: uv locks and installs, everything else is ours.
//!
//! `discover` finds interpreters (`sources` says where, `probe` asks each once). `uv` locks a spec into a
//! [`Lock`]: `pylock` reads and writes it, `pick` chooses the one artifact a package, by `tags`. `tool` has the uv
//! itself, fetched through `simple_api` where there is none. `skeleton` begins an environment, `uv` installs
//! into it, `finish` makes it independent of who installed.

pub(crate) mod bytecode;
pub(crate) mod check;
pub(crate) mod classify;
pub(crate) mod discover;
pub(crate) mod dist_info;
pub(crate) mod finish;
pub(crate) mod pick;
pub(crate) mod probe;
pub(crate) mod pylock;
pub(crate) mod record;
pub(crate) mod scripts;
pub(crate) mod simple_api;
pub(crate) mod skeleton;
pub(crate) mod source_dir;
pub(crate) mod sources;
pub(crate) mod tags;
pub(crate) mod tidy;
pub(crate) mod tool;
pub(crate) mod trust;
pub(crate) mod uv;

use std::path::Path;

use crate::error::Result;
use crate::interpreter::{Interpreter, InterpreterMemory};
use crate::lock::Lock;
use crate::settings::Settings;
use crate::spec::{InterpreterRange, RuntimeKind, Spec};
use crate::store::runtime::{FoundInterpreter, Installed, Job, Runtime};

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

    fn interpreters(&self, memory: &dyn InterpreterMemory) -> Vec<FoundInterpreter> {
        self.finder.all(memory)
    }

    fn lock(&self, job: &Job<'_>, spec: &Spec) -> Result<Lock> {
        let tool = tool::find_or_fetch(job)?;
        let tags = tags::tags(job.interpreter)?;
        uv::lock(job, &tool, spec, job.limits.deadline, &|file| tags::rank(&tags, file))
    }

    fn write_lock(&self, lock: &Lock, interpreter: &Interpreter) -> String {
        pylock::write(lock, interpreter)
    }

    fn read_lock(&self, text: &str) -> Result<Lock, String> {
        pylock::read(text).map_err(|error| error.to_string())
    }

    fn install(&self, job: &Job<'_>, lock: &Lock, env_dir: &Path) -> Result<Installed> {
        skeleton::create(env_dir, job.interpreter)?;
        let mut installer = "none".to_owned();
        if !lock.packages.is_empty() {
            let tool = tool::find_or_fetch(job)?;
            installer = format!("uv {}", tool.version);
            uv::install(job, &tool, lock, env_dir, job.limits.deadline)?;
        }
        let installed = finish::finish(job, lock, env_dir)?;
        Ok(Installed { installer, ..installed })
    }
}
