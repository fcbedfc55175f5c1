//! [`Settings`]: everything a site may set, with its defaults. Where the values come from (files, flags,
//! environment) is the command line's business; the library only takes the result.

use std::path::PathBuf;
use std::time::Duration;

use crate::credentials::Callback;
use crate::fs::link::LinkMode;

/// The settings of one store as one process uses it.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Package indexes in the order given. Empty: PyPI alone.
    pub indexes: Vec<Index>,
    /// Installing.
    pub install: InstallSettings,
    /// Locking.
    pub lock: LockSettings,
    /// Collecting.
    pub gc: GcSettings,
    /// Finding Python interpreters.
    pub python: PythonSettings,
}

/// A package index (PEP 503/691 simple API).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Its identity in specs and audit.
    pub name: String,
    /// The simple API's URL, without credentials.
    pub url: String,
    /// Whether it replaces PyPI.
    pub default: bool,
    /// How to be let in.
    pub credentials: Option<CredentialSource>,
}

/// Where an index's credentials come from. They are fetched for each build and kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    /// A program that prints the secret.
    Command {
        /// The program and its arguments.
        argv: Vec<String>,
        /// The user name, `__token__` if none is given.
        username: Option<String>,
        /// How long its answer may be used again.
        ttl: Option<Duration>,
    },
    /// An environment variable of the calling process.
    Env {
        /// The variable's name.
        variable: String,
        /// The user name, `__token__` if none is given.
        username: Option<String>,
    },
    /// A function of the process that uses the library.
    Callback(Callback),
    /// The user's netrc.
    Netrc,
    /// A file that holds the secret.
    File {
        /// Its path.
        path: PathBuf,
        /// The user name, `__token__` if none is given.
        username: Option<String>,
    },
}

/// Which installer is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Installer {
    /// uv from `PATH` when it is new enough, else one the store fetches for itself.
    #[default]
    Auto,
    /// uv, the same way; said expressly.
    Uv,
    /// The interpreter's own pip when it is new enough, else one the store fetches for itself.
    Pip,
}

/// Whether index options inside a pack's own files count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PackOptions {
    /// They are ignored, with a warning: a pack must not choose where shared artifacts come from.
    #[default]
    Ignore,
    /// They become part of the spec.
    Allow,
}

/// Which distributions may be built from source (from a source distribution, a directory or a commit).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AllowSource {
    /// All.
    #[default]
    All,
    /// None: wheels only.
    None,
    /// These, by name, and only where they have no wheel that fits.
    Only(Vec<String>),
}

/// `[install]`.
#[derive(Debug, Clone)]
pub struct InstallSettings {
    /// Which installer.
    pub installer: Installer,
    /// Never open a socket.
    pub offline: bool,
    /// Directories (or URLs of pages) with wheels.
    pub find_links: Vec<String>,
    /// A PEM file whose certificates are trusted beside the system's.
    pub ca_bundle: Option<PathBuf>,
    /// The limit for one build, locking included.
    pub timeout: Duration,
    /// The limit for the installer saying nothing.
    pub silence_timeout: Duration,
    /// How many builds run at once on this store, over all processes; none: one a core ([`InstallSettings::jobs`]).
    pub jobs: Option<usize>,
    /// Which distributions may be built from source.
    pub allow_source: AllowSource,
    /// Limits for what builds need, PEP 508 lines such as `setuptools<82`.
    pub build_constraints: Vec<String>,
    /// What every declaration gets beside its own, PEP 508 lines such as `setuptools<82`.
    pub seed: Vec<String>,
    /// Whether index options inside packs count.
    pub pack_options: PackOptions,
    /// How environments share files with objects; none: the best the filesystem has.
    pub link_mode: Option<LinkMode>,
    /// The directories of the caller's `PATH`, where `uv` and interpreters are looked for.
    pub path: Vec<PathBuf>,
    /// The home directory of what is run to install; none: this process's own. With one, no netrc of this process's user is used.
    pub home: Option<PathBuf>,
}

impl InstallSettings {
    /// How many builds run at once. Asking how many cores there are takes a dozen system calls in a container.
    pub fn jobs(&self) -> usize {
        self.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1)
    }
}

impl Default for InstallSettings {
    fn default() -> Self {
        Self {
            installer: Installer::Auto,
            offline: false,
            find_links: Vec::new(),
            ca_bundle: None,
            timeout: Duration::from_secs(20 * 60),
            silence_timeout: Duration::from_secs(10 * 60),
            jobs: None,
            allow_source: AllowSource::All,
            build_constraints: Vec::new(),
            seed: Vec::new(),
            pack_options: PackOptions::Ignore,
            link_mode: None,
            path: Vec::new(),
            home: None,
        }
    }
}

/// What the lock prefers where several versions will do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Prefer {
    /// The newest the declaration allows.
    #[default]
    Newest,
    /// What this store holds, where the declaration allows it: fewer environments, but results depend on its history.
    Store,
    /// The `name==version` lines of a file, where the declaration allows them.
    File(PathBuf),
}

/// `[lock]`.
#[derive(Debug, Clone, Default)]
pub struct LockSettings {
    /// Which version wins.
    pub prefer: Prefer,
    /// A floor for every pack, PEP 508 lines such as `urllib3>=2.2.2`.
    pub minimum: Vec<String>,
    /// Files uploaded at this time or later do not exist for the lock: a date or a time as RFC 3339.
    pub exclude_newer: Option<String>,
}

/// `[gc]`.
#[derive(Debug, Clone)]
pub struct GcSettings {
    /// The root's size above which collection starts by itself, bytes.
    pub max_size: Option<u64>,
    /// Free space below which collection starts by itself.
    pub min_free: MinFree,
    /// How many generations of each pack are remembered. More, where more are retained.
    pub history: u32,
    /// How many earlier generations of each pack keep their environments.
    pub retain_generations: u32,
    /// For how long.
    pub retain_for: Duration,
    /// How long an environment without a root must have been idle.
    pub idle: Duration,
    /// The limit of `cache/`, bytes.
    pub cache_max_size: u64,
    /// The limit of what components hold that no environment has, bytes.
    pub components_max_size: u64,
}

impl GcSettings {
    /// How many generations of a pack its history may have, the current one and the retained ones among them.
    pub fn history_limit(&self) -> u32 {
        self.history.max(self.retain_generations.saturating_add(1))
    }
}

/// A floor for free space.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MinFree {
    /// Bytes.
    Bytes(u64),
    /// Percent of the filesystem.
    Percent(f64),
}

impl MinFree {
    /// The floor in bytes on a filesystem of this size.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn bytes(self, total: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => (total as f64 * percent.clamp(0.0, 100.0) / 100.0) as u64,
        }
    }
}

impl Default for GcSettings {
    fn default() -> Self {
        Self {
            max_size: None,
            min_free: MinFree::Percent(10.0),
            history: 200,
            retain_generations: 1,
            retain_for: Duration::from_secs(14 * 24 * 3600),
            idle: Duration::from_secs(3600),
            cache_max_size: 2 << 30,
            components_max_size: 2 << 30,
        }
    }
}

/// `[python]`: where interpreters are looked for.
#[derive(Debug, Clone, Default)]
pub struct PythonSettings {
    /// The default: a version such as `3.11` or a path. None: the first `python3` on `PATH`.
    pub default: Option<String>,
    /// More executables, looked at first.
    pub interpreters: Vec<PathBuf>,
    /// Directories whose children are installations (`*/bin/python3`): pyenv's `versions`, uv's `python`.
    pub installations: Vec<PathBuf>,
}
