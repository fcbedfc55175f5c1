//! [`Error`]: what can go wrong, split where callers act differently.
//!
//! A message says what was being done to what, and why it failed; it never repeats its source, which is
//! kept and reached through [`std::error::Error::source`]. What to do about it (hints, exit codes) is the
//! command line's business; [`Kind`] is the closed list that the JSON names.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::pack::{InvalidPackRef, PackRef};

/// The result of everything that touches the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it is: `error.kind` in the command line's JSON. The list is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Wrong arguments.
    Usage,
    /// A declaration that cannot be read or is not allowed.
    InvalidSpec,
    /// A configuration that cannot be read or contradicts itself.
    InvalidConfig,
    /// No interpreter fits the declaration.
    NoInterpreter,
    /// No set of versions satisfies the declaration.
    NoSolution,
    /// An artifact's digest is not the one expected.
    HashMismatch,
    /// The index or a host could not be reached.
    Network,
    /// An index refused the credentials, or they could not be had.
    Credentials,
    /// Something would be needed that is not here while working offline.
    Offline,
    /// A source distribution did not build.
    SourceBuild,
    /// The installer failed for another reason, or could not be had.
    Installer,
    /// An artifact does something an environment must not hold.
    UnsafeArtifact,
    /// It took longer than the limit.
    Timeout,
    /// Another process holds what is needed.
    Busy,
    /// Stopped by its caller.
    Interrupted,
    /// No such pack, environment or generation.
    NotFound,
    /// The store is read-only, sealed, or belongs to another user.
    NotPermitted,
    /// The store was moved, copied or mounted elsewhere: its environments name another path.
    MovedStore,
    /// The filesystem lacks what the store needs.
    UnsupportedFilesystem,
    /// The store was written in a format this release does not know.
    UnsupportedFormat,
    /// Something under the root is not what was written there.
    Corrupt,
    /// No space or no inodes left.
    NoSpace,
    /// An input or output error.
    Io,
    /// The index refused an operation.
    Index,
    /// A mistake in envstore itself.
    Bug,
}

/// Why the installer gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallerCause {
    /// No versions satisfy the declaration, or a package does not exist.
    NoSolution,
    /// An artifact's bytes are not the ones locked.
    HashMismatch,
    /// DNS, connection, TLS, server errors.
    Network,
    /// 401 or 403.
    Credentials,
    /// Needed the network while offline.
    Offline,
    /// Building a source distribution failed.
    SourceBuild,
    /// No space left on device.
    NoSpace,
    /// A disk quota is used up.
    Quota,
    /// Anything else.
    Other,
}

/// What was being done with an installer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Getting the installer itself.
    Fetch,
    /// Making a lock of a declaration.
    Lock,
    /// Installing a lock's artifacts.
    Install,
    /// Compiling bytecode and checking the result.
    Finish,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Fetch => "get the installer",
            Self::Lock => "lock the declaration",
            Self::Install => "install the locked artifacts",
            Self::Finish => "finish the environment",
        })
    }
}

/// A failure of the library.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A pack reference that is none.
    #[error(transparent)]
    PackRef(#[from] InvalidPackRef),

    /// A declaration that cannot be read or is not allowed.
    #[error("cannot read the declaration {}{}: {reason}", origin, line.map(|n| format!(", line {n}")).unwrap_or_default())]
    InvalidSpec {
        /// The file, or a name such as `--with`.
        origin: String,
        /// Line in that file, from 1.
        line: Option<usize>,
        /// What is wrong, naming the text.
        reason: String,
    },

    /// A configuration that cannot be read or contradicts itself.
    #[error("cannot use the configuration {origin}: {reason}")]
    InvalidConfig {
        /// The file or variable.
        origin: String,
        /// What is wrong.
        reason: String,
    },

    /// No interpreter fits.
    #[error("no interpreter fits `{wanted}`{}", found_list(found))]
    NoInterpreter {
        /// The range asked for.
        wanted: String,
        /// What there is, one line each.
        found: Vec<String>,
    },

    /// The installer gave up.
    #[error("cannot {phase}: {summary}")]
    Installer {
        /// What was being done.
        phase: Phase,
        /// Why it gave up.
        cause: InstallerCause,
        /// One sentence.
        summary: String,
        /// The installer's last lines, secrets masked.
        tail: Vec<String>,
        /// The whole output.
        log: Option<PathBuf>,
    },

    /// An artifact does something an environment must not hold.
    #[error("refused `{artifact}`: {reason}")]
    UnsafeArtifact {
        /// Name and version.
        artifact: String,
        /// What it does.
        reason: String,
    },

    /// A spec that failed a short while ago for a reason that cannot mend itself.
    #[error("not tried again, it failed {} s ago: {message}", ago.as_secs())]
    FailedBefore {
        /// The kind it failed with.
        kind: Kind,
        /// The message then.
        message: String,
        /// How long ago.
        ago: Duration,
    },

    /// It took longer than the limit.
    #[error("gave up {what} after {} s", after.as_secs())]
    Timeout {
        /// What was being done.
        what: String,
        /// How long.
        after: Duration,
    },

    /// Another process holds what is needed.
    #[error("{what} is held by another process{}", holder.as_ref().map(|h| format!(" ({h})")).unwrap_or_default())]
    Busy {
        /// The guard or lease.
        what: String,
        /// Who holds it, where known.
        holder: Option<String>,
    },

    /// Stopped by its caller.
    #[error("interrupted while {what}")]
    Interrupted {
        /// What was being done.
        what: String,
    },

    /// No such pack.
    #[error("no environment is bound to pack `{0}`")]
    NoPack(PackRef),

    /// No such environment.
    #[error("no environment matches `{0}`")]
    NoEnv(String),

    /// No such pin.
    #[error("there is no pin `{0}`")]
    NoPin(String),

    /// No such link.
    #[error("`{}` is no link that follows a pack", .0.display())]
    NoLink(PathBuf),

    /// A pack has no such generation.
    #[error("{}", no_generation(pack, *wanted, kept))]
    NoGeneration {
        /// The pack.
        pack: PackRef,
        /// The generation asked for; none: one before the current.
        wanted: Option<u64>,
        /// Those there are.
        kept: Vec<u64>,
    },

    /// The interpreter an earlier generation was made for is not on this host any more.
    #[error(
        "cannot make generation {generation} of pack `{pack}` again: its interpreter is not on this host any more: {which}"
    )]
    InterpreterGone {
        /// The pack.
        pack: PackRef,
        /// The generation.
        generation: u64,
        /// What it was.
        which: String,
    },

    /// No log of a pack is left.
    #[error("there is no log of pack `{0}`: nothing was built for it, or it was collected")]
    NoLog(PackRef),

    /// There is no store.
    #[error("there is no store at `{}`", path.display())]
    NoStore {
        /// The root.
        path: PathBuf,
    },

    /// The store is read-only, sealed, or belongs to another user.
    #[error("cannot {what}: {reason}")]
    NotPermitted {
        /// What was asked for.
        what: String,
        /// Why not here.
        reason: String,
    },

    /// The store's environments were made for another path.
    #[error("{}", moved(path, named))]
    MovedStore {
        /// The root.
        path: PathBuf,
        /// The root that the environments name.
        named: PathBuf,
    },

    /// It cannot be told whether a store was moved or copied.
    #[error("the store at `{}` may be the one at `{}`, moved, or a copy of it: both have the same id", path.display(), named.display())]
    MovedOrCopied {
        /// The root.
        path: PathBuf,
        /// The root that the environments name, where a store with the same id is.
        named: PathBuf,
    },

    /// There are a store's files and no `store.json` that says of which store.
    #[error("`store.json` is missing at `{}`, which holds a store's files", path.display())]
    LostStoreFile {
        /// The root.
        path: PathBuf,
    },

    /// A verb that writes outside the store was given a place within one.
    #[error("cannot {what}: it is within the store at `{}`", store.display())]
    WithinStore {
        /// What was asked for.
        what: String,
        /// The store's root, or a directory of it that is mounted elsewhere.
        store: PathBuf,
    },

    /// The store is sealed.
    #[error("cannot {what}: the store is sealed")]
    Sealed {
        /// What was asked for.
        what: String,
    },

    /// The filesystem lacks what the store needs.
    #[error("cannot keep a store at `{}`: {reason}", path.display())]
    UnsupportedFilesystem {
        /// The root.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },

    /// The store was written in a format this release does not know.
    #[error("the store at `{}` has format {found}, this release knows up to {known}", path.display())]
    UnsupportedFormat {
        /// The root.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },

    /// Something under the root is not what was written there.
    #[error("`{}` is damaged: {reason}", path.display())]
    Corrupt {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },

    /// Too little space or too few inodes are left to begin.
    #[error("too little room at `{}`: {reason}", path.display())]
    NoSpace {
        /// The root.
        path: PathBuf,
        /// What is left and what is wanted.
        reason: String,
    },

    /// An input or output error.
    #[error("cannot {op} `{}`", path.display())]
    Io {
        /// The operation, an infinitive: `open`, `rename`.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },

    /// The index refused an operation.
    #[error("the index cannot {op}")]
    Index {
        /// What was being done.
        op: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn kind_of(error: &io::Error) -> Kind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::NoSpace,
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Kind::NotPermitted,
        _ => Kind::Io,
    }
}

fn moved(path: &Path, named: &Path) -> String {
    if path == named {
        return format!("the relocation of the store at `{}` was stopped before its end", path.display());
    }
    format!("the store at `{}` was made at `{}`, the path that its environments name", path.display(), named.display())
}

fn no_generation(pack: &PackRef, wanted: Option<u64>, kept: &[u64]) -> String {
    let Some(wanted) = wanted else {
        return format!("pack `{pack}` has no generation with another environment before the current one");
    };
    let kept: Vec<_> = kept.iter().map(u64::to_string).collect();
    format!("pack `{pack}` has no generation {wanted}; it has {}", kept.join(", "))
}

fn found_list(found: &[String]) -> String {
    if found.is_empty() {
        return "; none was found at all".into();
    }
    format!("; found: {}", found.join(", "))
}

impl Error {
    /// An [`Error::Io`] maker for `map_err`.
    pub fn io(op: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { op, path, source }
    }

    /// The same for `nix` calls.
    pub(crate) fn errno(op: &'static str, path: impl AsRef<Path>) -> impl FnOnce(nix::errno::Errno) -> Self {
        let path = path.as_ref().to_owned();
        move |errno| Self::Io { op, path, source: errno.into() }
    }

    /// The kind, as the JSON names it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::PackRef(_) => Kind::Usage,
            Self::InvalidSpec { .. } => Kind::InvalidSpec,
            Self::InvalidConfig { .. } => Kind::InvalidConfig,
            Self::NoInterpreter { .. } | Self::InterpreterGone { .. } => Kind::NoInterpreter,
            Self::Installer { cause, .. } => match cause {
                InstallerCause::NoSolution => Kind::NoSolution,
                InstallerCause::HashMismatch => Kind::HashMismatch,
                InstallerCause::Network => Kind::Network,
                InstallerCause::Credentials => Kind::Credentials,
                InstallerCause::Offline => Kind::Offline,
                InstallerCause::SourceBuild => Kind::SourceBuild,
                InstallerCause::NoSpace | InstallerCause::Quota => Kind::NoSpace,
                InstallerCause::Other => Kind::Installer,
            },
            Self::UnsafeArtifact { .. } => Kind::UnsafeArtifact,
            Self::FailedBefore { kind, .. } => *kind,
            Self::Timeout { .. } => Kind::Timeout,
            Self::Busy { .. } => Kind::Busy,
            Self::Interrupted { .. } => Kind::Interrupted,
            Self::NoPack(_)
            | Self::NoEnv(_)
            | Self::NoPin(_)
            | Self::NoLink(_)
            | Self::NoGeneration { .. }
            | Self::NoLog(_)
            | Self::NoStore { .. } => Kind::NotFound,
            Self::NotPermitted { .. } | Self::MovedOrCopied { .. } | Self::WithinStore { .. } | Self::Sealed { .. } => {
                Kind::NotPermitted
            }
            Self::MovedStore { .. } => Kind::MovedStore,
            Self::UnsupportedFilesystem { .. } => Kind::UnsupportedFilesystem,
            Self::UnsupportedFormat { .. } => Kind::UnsupportedFormat,
            Self::Corrupt { .. } | Self::LostStoreFile { .. } => Kind::Corrupt,
            Self::NoSpace { .. } => Kind::NoSpace,
            Self::Io { source, .. } => kind_of(source),
            // What the system refused SQLite, where that is known.
            Self::Index { source, .. } => source.downcast_ref().map_or(Kind::Index, kind_of),
        }
    }

    /// The message with everything that caused it, in one line.
    pub(crate) fn explained(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        text
    }

    /// Whether the same call may succeed later without anything being changed.
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }

    /// Whether it was stopped by its caller.
    pub fn is_cancelled(&self) -> bool {
        self.kind() == Kind::Interrupted
    }

    /// Whether a disk quota is used up. There may be room on the filesystem all the same.
    pub fn is_quota(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::QuotaExceeded,
            Self::Index { source, .. } => {
                source.downcast_ref::<io::Error>().is_some_and(|source| source.kind() == io::ErrorKind::QuotaExceeded)
            }
            Self::Installer { cause, .. } => *cause == InstallerCause::Quota,
            _ => false,
        }
    }

    /// Whether the pack, environment or store does not exist.
    pub fn is_not_found(&self) -> bool {
        self.kind() == Kind::NotFound
    }

    /// Where the whole output of the failed build is.
    pub fn log_path(&self) -> Option<&Path> {
        match self {
            Self::Installer { log, .. } => log.as_deref(),
            _ => None,
        }
    }
}

impl Kind {
    /// Whether the same call may succeed later without anything being changed.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Network | Self::Credentials | Self::Timeout | Self::Busy | Self::NoSpace | Self::Index)
    }

    /// Whether the failure lies in the declaration, so that trying again soon cannot help.
    pub fn is_final_for_spec(self) -> bool {
        matches!(self, Self::NoSolution | Self::HashMismatch)
    }
}
