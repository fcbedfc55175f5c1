//! [`Layout`]: every name on disk. No other module spells one; `store-layout.md` says what each holds.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::{EnvKey, FileDigest, InterpreterDigest, LockDigest, SpecDigest};
use crate::pack::PackRef;

/// The format this release writes. Opening never changes a store's format.
pub const FORMAT: u32 = 1;

/// How a manifest's name ends.
const MANIFEST_SUFFIX: &str = ".json.gz";

/// The lock file inside each environment that leases are taken on.
pub const LEASE: &str = ".lease";

/// The name of the file that keeps room for the collector.
pub const BALLAST: &str = "ballast";

/// The name of the file that makes a directory a store.
pub const STORE_JSON: &str = "store.json";

/// The name of the file that stands there while a store is being created.
pub const CREATING: &str = "creating";

/// The directories under the root, made at creation. The second field: whether readers of another uid look in.
pub const DIRECTORIES: [(&str, bool); 13] = [
    ("bindings", true),
    ("cache", false),
    ("envs", true),
    ("guards", false),
    ("locks", true),
    ("logs", false),
    ("manifests", true),
    ("objects", true),
    ("pins", true),
    ("quarantine", false),
    ("staging", false),
    ("tools", true),
    ("trash", false),
];

/// The name of an environment's directory: `<first 32 characters of the key>[.n]`, never used for a second build.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvName(String);

impl EnvName {
    /// The `n`th name for a key; the 0th has no suffix.
    pub fn new(key: &EnvKey, n: u64) -> Self {
        let stem = key.stem();
        Self(if n == 0 { stem } else { format!("{stem}.{n}") })
    }

    /// The part before the suffix.
    pub fn stem(&self) -> &str {
        self.0.split('.').next().unwrap_or(&self.0)
    }

    /// The suffix, 0 without one.
    pub fn number(&self) -> u64 {
        self.0.split_once('.').and_then(|(_, n)| n.parse().ok()).unwrap_or(0)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EnvName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (stem, suffix) = text.split_once('.').map_or((text, None), |(s, n)| (s, Some(n)));
        let is_stem = stem.len() == 32 && stem.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'));
        let is_suffix = suffix.is_none_or(|n| !n.starts_with('0') && n.parse::<u64>().is_ok());
        if is_stem && is_suffix { Ok(Self(text.into())) } else { Err(format!("`{text}` names no environment")) }
    }
}

impl TryFrom<String> for EnvName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<EnvName> for String {
    fn from(name: EnvName) -> Self {
        name.0
    }
}

impl fmt::Display for EnvName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The paths of one store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout under a root, which should be absolute.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `store.json`: format, id, creation. Written last at creation.
    pub fn store_json(&self) -> PathBuf {
        self.root.join(STORE_JSON)
    }

    /// Stands there while the store is being created.
    pub fn creating(&self) -> PathBuf {
        self.root.join(CREATING)
    }

    /// Room set aside for the collector.
    pub fn ballast(&self) -> PathBuf {
        self.root.join(BALLAST)
    }

    /// The SQLite index.
    pub fn index_db(&self) -> PathBuf {
        self.root.join("index.db")
    }

    /// The index's files: the database, its write-ahead log, its shared memory.
    pub fn index_files(&self) -> [PathBuf; 3] {
        ["index.db", "index.db-wal", "index.db-shm"].map(|name| self.root.join(name))
    }

    /// The counters that tell what changed in the index.
    pub fn epoch(&self) -> PathBuf {
        self.root.join("epoch")
    }

    /// What commands that ask once were answered.
    pub fn answers(&self) -> PathBuf {
        self.root.join("answers")
    }

    /// One of [`DIRECTORIES`].
    pub fn dir(&self, name: &str) -> PathBuf {
        debug_assert!(DIRECTORIES.iter().any(|(known, _)| *known == name), "{name}");
        self.root.join(name)
    }

    /// A pack's binding file: the ref's BLAKE3 names it, the ref is inside.
    pub fn binding(&self, pack: &PackRef) -> PathBuf {
        let name = blake3::hash(pack.as_str().as_bytes()).to_hex();
        self.dir("bindings").join(&name[..2]).join(&name[2..])
    }

    /// A pin's file: the name's BLAKE3 names it, the name is inside.
    pub fn pin(&self, name: &str) -> PathBuf {
        self.dir("pins").join(blake3::hash(name.as_bytes()).to_hex().as_str())
    }

    /// A link's file: its path's BLAKE3 names it, the path is inside.
    pub fn link(&self, path: &Path) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        let name = blake3::hash(path.as_os_str().as_bytes()).to_hex();
        self.dir("pins").join(format!("{name}.link"))
    }

    /// Held while links are pointed at what they follow.
    pub fn guard_links(&self) -> PathBuf {
        self.dir("guards").join("links")
    }

    /// A lock file (PEP 751), named by its digest.
    pub fn lock(&self, digest: &LockDigest) -> PathBuf {
        self.dir("locks").join(format!("{digest}.toml"))
    }

    /// An environment's directory.
    pub fn env(&self, name: &EnvName) -> PathBuf {
        self.dir("envs").join(name.as_str())
    }

    /// An environment's lease file.
    pub fn lease(&self, name: &EnvName) -> PathBuf {
        self.env(name).join(LEASE)
    }

    /// An environment's manifest. It is written last: no manifest, no environment.
    pub fn manifest(&self, name: &EnvName) -> PathBuf {
        self.dir("manifests").join(format!("{name}{MANIFEST_SUFFIX}"))
    }

    /// The environment a file under `manifests/` is of, by its name.
    pub fn manifest_of(path: &Path) -> Option<EnvName> {
        path.file_name()?.to_str()?.strip_suffix(MANIFEST_SUFFIX)?.parse().ok()
    }

    /// A file's bytes, named by their digest; those of executable files end in `x`, for the mode belongs to the inode.
    pub fn object(&self, digest: &FileDigest, executable: bool) -> PathBuf {
        let name = digest.to_string();
        let suffix = if executable { "x" } else { "" };
        self.dir("objects").join(&name[..2]).join(format!("{name}{suffix}"))
    }

    /// What [`Layout::object`] says a file under `objects/` is, by its name.
    pub fn object_of(&self, name: &str) -> Option<(FileDigest, bool)> {
        let (hex, executable) = name.strip_suffix('x').map_or((name, false), |hex| (hex, true));
        hex.parse().ok().map(|digest| (digest, executable))
    }

    /// Held shared while objects are linked and not yet named by a row, exclusive while those that no row names are removed.
    pub fn guard_objects(&self) -> PathBuf {
        self.dir("guards").join("objects")
    }

    /// Held shared by whoever runs an installer, exclusive while its cache is trimmed.
    pub fn guard_cache(&self) -> PathBuf {
        self.dir("guards").join("cache")
    }

    /// The guard of everything that builds or deletes environments of one key.
    pub fn guard_env(&self, stem: &str) -> PathBuf {
        self.dir("guards").join(format!("env-{stem}"))
    }

    /// The guard of locking one spec for one interpreter.
    pub fn guard_spec(&self, spec: &SpecDigest, interpreter: &InterpreterDigest) -> PathBuf {
        let mut both = crate::digest::Canonical::new("envstore/guard/v1");
        both.field(spec.as_bytes()).field(interpreter.as_bytes());
        let name: EnvKey = both.digest();
        self.dir("guards").join(format!("spec-{}", name.stem()))
    }

    /// The log of locking one spec for one interpreter, and of what was built for it.
    pub fn log_of(&self, spec: &SpecDigest, interpreter: &InterpreterDigest) -> PathBuf {
        let guard = self.guard_spec(spec, interpreter);
        self.log(&guard.file_name().unwrap_or_default().to_string_lossy())
    }

    /// The log of making one environment again of its lock.
    pub fn log_of_env(&self, stem: &str) -> PathBuf {
        let guard = self.guard_env(stem);
        self.log(&guard.file_name().unwrap_or_default().to_string_lossy())
    }

    /// A build slot.
    pub fn guard_slot(&self, n: usize) -> PathBuf {
        self.dir("guards").join(format!("slot.{n}"))
    }

    /// The one collector's guard.
    pub fn guard_gc(&self) -> PathBuf {
        self.dir("guards").join("gc")
    }

    /// Held shared by each write to the index, exclusive while it is rebuilt.
    pub fn guard_index(&self) -> PathBuf {
        self.dir("guards").join("index")
    }

    /// The log of a build.
    pub fn log(&self, name: &str) -> PathBuf {
        self.dir("logs").join(format!("{name}.log"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_names_are_the_stem_and_a_number() {
        let key: EnvKey = blake3::hash(b"").into();
        let first = EnvName::new(&key, 0);
        let third = EnvName::new(&key, 2);
        assert_eq!(first.as_str(), key.stem());
        assert_eq!((third.stem(), third.number()), (first.stem(), 2));
        assert_eq!(third.as_str().parse(), Ok(third.clone()));
        for bad in
            ["", "x", &format!("{first}.0"), &format!("{first}.x"), &format!("{first}.1.1"), "../../../../etc/passwd"]
        {
            assert!(bad.parse::<EnvName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pack_ref_never_becomes_a_path() {
        let layout = Layout::new("/store");
        let path = layout.binding(&PackRef::new("../../etc/passwd").expect("a ref may look like a path"));
        assert!(path.starts_with("/store/bindings"));
        assert!(path.components().all(|c| c != std::path::Component::ParentDir));
    }
}
