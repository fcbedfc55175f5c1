//! [`Runtime`]: what the store asks of a language. The store knows bindings, keys, guards and publishing;
//! a runtime knows interpreters, locks and how a directory becomes an environment.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cancel::Cancel;
use crate::error::Result;
use crate::interpreter::{Interpreter, InterpreterMemory};
use crate::lock::Lock;
use crate::process::{Limits, Log};
use crate::settings::Settings;
use crate::spec::{InterpreterRange, RuntimeKind, Spec};

/// One language's interpreters, locks and environments.
pub trait Runtime: Send + Sync + std::fmt::Debug {
    /// Which language.
    fn kind(&self) -> RuntimeKind;

    /// Picks the interpreter for a range: the default one when it fits, else the newest that fits.
    fn select(&self, range: &InterpreterRange, memory: &dyn InterpreterMemory) -> Result<Interpreter>;

    /// Every interpreter found, with the reason for each that cannot be used.
    fn interpreters(&self, memory: &dyn InterpreterMemory) -> Vec<FoundInterpreter>;

    /// Locks a spec that is not empty.
    fn lock(&self, job: &Job<'_>, spec: &Spec) -> Result<Lock>;

    /// The lock as a file of the language's own format, for `locks/`. The same lock gives the same text.
    fn write_lock(&self, lock: &Lock, interpreter: &Interpreter) -> String;

    /// Reads back what [`Runtime::write_lock`] wrote.
    ///
    /// # Errors
    /// What is wrong with the text.
    fn read_lock(&self, text: &str) -> Result<Lock, String>;

    /// Makes the environment in an existing directory that holds nothing but `.lease`. On return every byte is
    /// final but modes and times, which the store sets. An empty lock makes the empty environment and
    /// starts no installer.
    fn install(&self, job: &Job<'_>, lock: &Lock, env_dir: &Path) -> Result<Installed>;
}

/// What a runtime needs to do its work in this store.
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations)]
pub struct Job<'a> {
    /// When to give up.
    pub limits: Limits,
    /// The site's settings.
    pub settings: &'a Settings,
    /// The interpreter to do it for.
    pub interpreter: &'a Interpreter,
    /// A private, empty directory on the store's filesystem, removed afterwards.
    pub scratch: &'a Path,
    /// `<root>/cache`: what can be fetched again, by tool.
    pub cache: &'a Path,
    /// `<root>/tools`: what the store keeps for itself.
    pub tools: &'a Path,
    /// Where every line of output goes.
    pub log: &'a Log,
    /// Stops the work.
    pub cancel: &'a Cancel,
    /// A lease that child processes inherit, so that an orphaned installer keeps collectors away.
    pub lease: Option<BorrowedFd<'a>>,
    /// Told what is being done, for people.
    pub progress: &'a (dyn Fn(&str) + Sync),
}

/// An interpreter looked at.
#[derive(Debug)]
pub struct FoundInterpreter {
    /// Where it was found (a shim or link keeps its own name here).
    pub found_at: PathBuf,
    /// What it is, or why it cannot be used.
    pub result: Result<Interpreter, String>,
    /// Whether it is the default.
    pub is_default: bool,
}

/// What a runtime did to a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// The installer, e.g. `uv 0.13.9`; `none` for the empty environment. Provenance, not identity.
    pub installer: String,
    /// The distributions found in it, sorted by name.
    pub distributions: Vec<Distribution>,
    /// Derived files (bytecode), relative, sorted: verified, but outside the tree digest.
    pub derived: Vec<String>,
    /// Source files that did not compile, relative.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncompiled: Vec<String>,
    /// Oddities worth keeping: paths claimed twice, `RECORD` lines without a file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Places on this host outside the environment and their neutral form, longest first: the tree digest
    /// replaces them in link targets and in `local_files`, so that it does not depend on where an interpreter
    /// stands. (The environment's own path is replaced in every text file.)
    pub placeholders: Vec<(String, String)>,
    /// Files that name such places, e.g. `pyvenv.cfg`.
    pub local_files: Vec<String>,
}

/// An installed distribution.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Distribution {
    /// Normalised name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Whether it was built from source here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_source: bool,
}
