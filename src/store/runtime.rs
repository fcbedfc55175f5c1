//! [`Runtime`]: what the store asks of a language. The store knows bindings, keys, guards and publishing;
//! a runtime knows interpreters, locks and how a directory becomes an environment.

use std::collections::{HashMap, HashSet};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cancel::Cancel;
use crate::digest::{DerivedKey, FileDigest};
use crate::error::Result;
use crate::fs::read::Content;
use crate::fs::scan::Known;
use crate::interpreter::{Interpreter, InterpreterMemory};
use crate::lock::Lock;
use crate::placeholder::Placeholders;
use crate::process::{Limits, Log};
use crate::settings::Settings;
use crate::spec::{InterpreterRange, RuntimeKind, Spec};
use crate::store::finding::Finding;

/// One language's interpreters, locks and environments.
pub trait Runtime: Send + Sync + std::fmt::Debug {
    /// Which language.
    fn kind(&self) -> RuntimeKind;

    /// Picks the interpreter for a range: the default one when it fits, else the newest that fits.
    fn select(&self, range: &InterpreterRange, memory: &dyn InterpreterMemory) -> Result<Interpreter>;

    /// Every interpreter found, with the reason for each that cannot be used.
    fn interpreters(&self, memory: &dyn InterpreterMemory) -> Vec<FoundInterpreter>;

    /// What would be derived of files, relative, and of what it is made: nothing is started or read.
    fn derived_of(&self, interpreter: &Interpreter, sources: &[(&str, FileDigest)]) -> Vec<DerivedFile>;

    /// Locks a spec that is not empty.
    fn lock(&self, job: &Job<'_>, spec: &Spec) -> Result<Lock>;

    /// The lock as a file of the language's own format, for `locks/`. The same lock gives the same text.
    fn write_lock(&self, lock: &Lock, interpreter: &Interpreter) -> String;

    /// Reads back what [`Runtime::write_lock`] wrote.
    ///
    /// # Errors
    /// What is wrong with the text.
    fn read_lock(&self, text: &str) -> Result<Lock, String>;

    /// Writes what every environment of an interpreter has before anything is installed, into a directory that holds
    /// nothing but `.lease`. Starts nothing.
    fn skeleton(&self, interpreter: &Interpreter, env_dir: &Path) -> Result<Skeleton>;

    /// The lock as a requirements file, for other tools.
    fn write_requirements(&self, lock: &Lock, interpreter: &Interpreter) -> String;

    /// What package URLs call the index of the language's artifacts, e.g. `pypi`.
    fn purl_type(&self) -> &'static str;

    /// A file of the environment at `from`, which it names, as it is in a copy of the environment at `to`.
    fn moved(&self, bytes: Vec<u8>, from: &Path, to: &Path) -> Vec<u8>;

    /// Installs a lock's artifacts into a skeleton. On return every byte is final but modes and times, which the
    /// store sets. An empty lock starts no installer; the interpreter is started at least once.
    fn install(&self, job: &Job<'_>, lock: &Lock, env_dir: &Path) -> Result<Installed>;

    /// Looks at an environment that stands: whether it starts, whether its libraries load and what was declared imports. Its own processes
    /// run in it; nothing is written.
    ///
    /// # Errors
    /// Only [`crate::error::Error::Interrupted`]; what is wrong is a finding.
    fn examine(&self, exam: &Exam<'_>) -> Result<Vec<Finding>>;

    /// The installer that would be used, and where it is, for people; none: it is fetched when it is needed.
    fn installer(&self, settings: &Settings, tools: &Path, cancel: &Cancel) -> Result<Option<String>>;

    /// About how many bytes [`Runtime::trim_cache`] would free.
    fn trimmable(&self, upkeep: &Upkeep<'_>) -> u64;

    /// Lets its tools forget what they keep of known distributions and what nothing refers to.
    fn trim_cache(&self, upkeep: &Upkeep<'_>) -> Result<()>;
}

/// An environment to be looked at. Whoever asks holds its lease.
#[derive(Debug, Clone, Copy)]
pub struct Exam<'a> {
    /// Its directory.
    pub env_dir: &'a Path,
    /// The interpreter it was made for.
    pub interpreter: &'a Interpreter,
    /// What a pack declares.
    pub spec: &'a Spec,
    /// Its files and links, relative, sorted.
    pub paths: &'a [&'a str],
    /// Each distribution with its files, relative.
    pub distributions: &'a [(&'a Distribution, Vec<&'a str>)],
    /// Stops the work.
    pub cancel: &'a Cancel,
}

/// What a runtime needs to tidy its tools' cache. Nobody uses the cache meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct Upkeep<'a> {
    /// The site's settings.
    pub settings: &'a Settings,
    /// `<root>/cache`.
    pub cache: &'a Path,
    /// `<root>/tools`.
    pub tools: &'a Path,
    /// The distributions whose artifacts became components: the tools will not be asked for them again.
    pub known: &'a HashSet<String>,
    /// Stops the work.
    pub cancel: &'a Cancel,
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
    /// Derived files that the store has.
    pub derived: &'a dyn DerivedFiles,
    /// Versions the lock should prefer, as `name==version`, before what the settings' file prefers.
    pub preferences: &'a [String],
}

/// Derived files (bytecode) made before.
pub trait DerivedFiles: Sync {
    /// Puts the file made of this into an environment, if it is known, and says what it holds. Makes the directory it is
    /// put in.
    fn place(&self, key: &DerivedKey, target: &Path) -> Option<Content>;
}

/// Knows none.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoDerivedFiles;

impl DerivedFiles for NoDerivedFiles {
    fn place(&self, _: &DerivedKey, _: &Path) -> Option<Content> {
        None
    }
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

/// What an environment has before anything is installed.
#[derive(Debug, Clone, Default)]
pub struct Skeleton {
    /// Its files and links, relative.
    pub names: Vec<String>,
    /// Those of its files that name places on this host outside the environment, e.g. `pyvenv.cfg`.
    pub local_files: Vec<String>,
    /// Texts for the environment's own path, in whatever file.
    pub placeholders: Placeholders,
    /// Texts for every place on this host, in link targets and `local_files`: the tree digest does not depend on where an
    /// interpreter stands.
    pub local_placeholders: Placeholders,
}

/// What a runtime installed.
#[derive(Debug, Clone, Default)]
pub struct Installed {
    /// The installer, e.g. `uv 0.13.9`; empty where none was started. Provenance, not identity.
    pub installer: String,
    /// The distributions, sorted by name.
    pub distributions: Vec<InstalledDistribution>,
    /// Derived files, sorted by path.
    pub derived: Vec<DerivedFile>,
    /// Oddities worth keeping, such as files of no distribution.
    pub notes: Vec<String>,
    /// Files whose bytes were read and did not change since.
    pub known: HashMap<String, Known>,
}

/// A distribution as it was installed.
#[derive(Debug, Clone)]
pub struct InstalledDistribution {
    /// Which.
    pub distribution: Distribution,
    /// Its files, relative, sorted.
    pub paths: Vec<String>,
    /// Whether these files, and nothing else, are what its artifact becomes in whatever environment.
    pub is_shareable: bool,
    /// Source files that did not compile, relative.
    pub uncompiled: Vec<String>,
    /// Oddities worth keeping, such as `RECORD` lines without a file.
    pub notes: Vec<String>,
}

/// A derived file (bytecode): verified, but outside the tree digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DerivedFile {
    /// Relative.
    pub path: String,
    /// What it is made of.
    pub key: DerivedKey,
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
