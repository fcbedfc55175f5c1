//! [`Lock`]: the exact artifacts a spec becomes for one interpreter, one artifact a distribution.
//!
//! A lock is kept as a `pylock.toml` (PEP 751) under `locks/`. Only what decides the installed bytes goes
//! into the env key: name, version, kind and digest (or commit) of each artifact. Where it came from
//! (URL, index) is provenance: the same wheel from a mirror makes the same environment.

use serde::{Deserialize, Serialize};

use crate::digest::{Canonical, EnvKey};
use crate::interpreter::InterpreterIdentity;

/// What an artifact is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Artifact {
    /// A wheel, installed as it is.
    Wheel {
        /// File name, e.g. `six-1.17.0-py2.py3-none-any.whl`.
        file: String,
        /// URL (http, https or file) without userinfo and query.
        url: String,
        /// SHA-256 of the file, hex.
        sha256: String,
    },
    /// A source archive, built here.
    Sdist {
        /// File name.
        file: String,
        /// URL without userinfo and query.
        url: String,
        /// SHA-256 of the file, hex.
        sha256: String,
        /// A directory inside the archive.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subdirectory: Option<String>,
    },
    /// A commit of a repository, built here.
    Vcs {
        /// `git`.
        vcs: String,
        /// The repository without userinfo.
        url: String,
        /// The full commit id.
        commit: String,
        /// A directory inside the repository.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subdirectory: Option<String>,
    },
    /// A local directory, built here.
    Directory {
        /// Absolute path.
        path: String,
        /// Digest of its content, hex.
        digest: String,
    },
}

impl Artifact {
    /// Whether installing it runs code of its own (a build backend).
    pub fn is_source(&self) -> bool {
        !matches!(self, Self::Wheel { .. })
    }

    /// The kind's name and the digest or commit that decides its bytes.
    pub(crate) fn identity(&self) -> (&'static str, &str, &str) {
        match self {
            Self::Wheel { sha256, .. } => ("wheel", sha256, ""),
            Self::Sdist { sha256, subdirectory, .. } => ("sdist", sha256, subdirectory.as_deref().unwrap_or("")),
            Self::Vcs { commit, subdirectory, .. } => ("vcs", commit, subdirectory.as_deref().unwrap_or("")),
            Self::Directory { digest, .. } => ("directory", digest, ""),
        }
    }
}

/// One locked distribution.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Locked {
    /// Normalised name (PEP 503).
    pub name: String,
    /// Version (PEP 440), empty where only a build can tell.
    pub version: String,
    /// The one artifact that will be installed.
    pub artifact: Artifact,
    /// The name of the index it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
}

/// The artifacts of one environment, sorted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Sorted by name, then version.
    pub packages: Vec<Locked>,
}

impl Lock {
    /// Sorts the packages.
    pub fn new(mut packages: Vec<Locked>) -> Self {
        packages.sort();
        Self { packages }
    }

    /// The key of the environment this lock becomes under an interpreter: domain `envstore/env/v1`, the
    /// interpreter's digest, then each package's name, version, kind, digest and subdirectory.
    pub fn env_key(&self, interpreter: &InterpreterIdentity) -> EnvKey {
        let mut packages: Vec<_> = self
            .packages
            .iter()
            .map(|p| {
                let (kind, digest, subdirectory) = p.artifact.identity();
                [p.name.as_str(), p.version.as_str(), kind, digest, subdirectory]
            })
            .collect();
        packages.sort_unstable();
        let mut canonical = Canonical::new("envstore/env/v1");
        canonical.field(interpreter.runtime.as_str()).field(interpreter.digest().as_bytes()).count(packages.len());
        for fields in packages {
            for field in fields {
                canonical.field(field);
            }
        }
        canonical.digest()
    }
}
