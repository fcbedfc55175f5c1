//! [`Interpreter`]: a real runtime binary and its identity.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::{Canonical, InterpreterDigest};
use crate::error::{Error, Result};
use crate::spec::RuntimeKind;

/// What a file was when it was last looked at: enough to see that it was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileStamp {
    /// The inode number.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Last change of the content, nanoseconds since 1970.
    pub mtime_ns: i64,
}

impl FileStamp {
    /// Takes the stamp of the file a path leads to. One `stat`.
    pub fn of(path: &Path) -> Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let meta = std::fs::metadata(path).map_err(Error::io("stat", path))?;
        Ok(Self {
            inode: meta.ino(),
            size: meta.size(),
            mtime_ns: meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec()),
        })
    }

    /// Whether the file at a path still has this stamp. A file that is gone or cannot be examined has another one. One `stat`.
    pub fn is_still_of(&self, path: &Path) -> bool {
        Self::of(path).is_ok_and(|now| now == *self)
    }
}

/// What an interpreter is, wherever it stands. Never a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InterpreterIdentity {
    /// The runtime it runs.
    pub runtime: RuntimeKind,
    /// `cpython`.
    pub implementation: String,
    /// The full version, e.g. `3.11.7` or `3.14.0rc1`.
    pub version: String,
    /// The ABI tag (`SOABI`), which tells debug and free-threaded builds apart.
    pub abi: String,
    /// The platform tag, e.g. `linux-x86_64`.
    pub platform: String,
    /// The machine, e.g. `x86_64`.
    pub machine: String,
    /// The libc family and version, e.g. `glibc 2.36`.
    pub libc: String,
    /// BLAKE3 of the executable and of its shared runtime library if it has one, hex.
    pub build_id: String,
}

impl InterpreterIdentity {
    /// The digest of domain `envstore/interpreter/v1`.
    pub fn digest(&self) -> InterpreterDigest {
        let mut canonical = Canonical::new("envstore/interpreter/v1");
        canonical.field(self.runtime.as_str());
        for field in
            [&self.implementation, &self.version, &self.abi, &self.platform, &self.machine, &self.libc, &self.build_id]
        {
            canonical.field(field);
        }
        canonical.digest()
    }
}

/// A runtime binary on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interpreter {
    /// What it is.
    pub identity: InterpreterIdentity,
    /// The real path of the executable: absolute, no symlinks, no shim.
    pub path: PathBuf,
    /// The executable when it was asked.
    pub stamp: FileStamp,
    /// What else the runtime needs to know of it, by name (for Python: `purelib`, `magic`, …).
    pub facts: BTreeMap<String, String>,
}

impl Interpreter {
    /// The digest of its identity.
    pub fn digest(&self) -> InterpreterDigest {
        self.identity.digest()
    }

    /// Whether the executable is still the one that was asked. One `stat`.
    pub fn is_unchanged(&self) -> bool {
        self.stamp.is_still_of(&self.path)
    }

    /// A fact by name.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.get(name).map(String::as_str)
    }
}

/// Remembers interpreters by real path and stamp, so that each is asked once.
pub trait InterpreterMemory {
    /// The interpreter that had this stamp at this path.
    fn recall(&self, path: &Path, stamp: FileStamp) -> Option<Interpreter>;
    /// Remembers it. Failing to is no error.
    fn remember(&self, interpreter: &Interpreter);
}
