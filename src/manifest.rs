//! [`Manifest`]: what an environment holds, byte for byte, and where it came from.
//!
//! # Layout
//! `manifests/<env name>.json`, one JSON object. It is written and synced after every byte of its
//! environment; an environment without one does not exist (I1). Reading one back gives the index everything
//! it knows of the environment (P10).

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::{Canonical, EnvKey, FileDigest, LockDigest, TreeDigest};
use crate::error::{Error, Result};
use crate::fs::scan::{Node, NodeKind};
use crate::interpreter::Interpreter;
use crate::layout::EnvName;
use crate::lock::Lock;
use crate::spec::Spec;
use crate::store::runtime::Installed;

/// The version of the manifest's own format.
pub const VERSION: u32 = 1;

/// What stands for an environment's own path in placeholder form.
pub const ENV_PLACEHOLDER: &str = "@ENV@";

/// A file or link of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Relative, `/`-separated.
    pub path: String,
    /// What stands there.
    #[serde(flatten)]
    pub content: Content,
}

/// What an [`Entry`] is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// A file.
    File {
        /// BLAKE3 of its bytes.
        digest: FileDigest,
        /// Bytes.
        size: u64,
        /// Whether it is executable.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        exec: bool,
        /// Whether it is derived (bytecode): verified, but outside the tree digest.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        derived: bool,
        /// BLAKE3 of its placeholder form, where it holds a place on this host.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        canonical: Option<FileDigest>,
    },
    /// A symbolic link.
    Link {
        /// Where it points.
        link: String,
        /// The target in placeholder form, where it is a place on this host.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        canonical_link: Option<String>,
    },
}

/// An environment's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`VERSION`].
    pub version: u32,
    /// The full env key.
    pub key: EnvKey,
    /// The directory's name.
    pub name: EnvName,
    /// When it was published.
    pub created_at: Timestamp,
    /// The spec it was first made for.
    pub spec: Spec,
    /// The interpreter it was made for, as it was then.
    pub interpreter: Interpreter,
    /// The digest of the lock's file under `locks/`.
    pub lock_digest: LockDigest,
    /// The lock.
    pub lock: Lock,
    /// What was installed, by what.
    pub installed: Installed,
    /// Whether a binary holds the environment's path, so that it can live nowhere else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub host_bound: bool,
    /// The digest of the entries, derived ones left out.
    pub tree_digest: TreeDigest,
    /// Bytes of all files.
    pub bytes: u64,
    /// Every file and link, sorted by path, without `.lease`.
    pub entries: Vec<Entry>,
}

/// The entries of a sealed tree, with placeholders where a place on this host stands.
#[derive(Debug, Default)]
pub struct Tree {
    /// Sorted by path.
    pub entries: Vec<Entry>,
    /// Whether a binary holds the environment's path.
    pub host_bound: bool,
    /// Bytes of all files.
    pub bytes: u64,
}

impl Tree {
    /// Turns the nodes of a sealed tree into entries. Files in which the environment's path was found are read a second time.
    pub fn new(env_dir: &Path, nodes: Vec<Node>, installed: &Installed) -> Result<Self> {
        let own = (env_dir.to_string_lossy().into_owned(), ENV_PLACEHOLDER.to_owned());
        let mut tree = Self::default();
        for node in nodes {
            let content = match node.kind {
                NodeKind::Link { target } => {
                    let neutral = replaced(target.as_bytes(), std::iter::once(&own).chain(&installed.placeholders));
                    let canonical_link = neutral.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                    Content::Link { link: target, canonical_link }
                }
                NodeKind::File { size, executable, digest, found } => {
                    tree.bytes += size;
                    let derived = installed.derived.binary_search(&node.path).is_ok();
                    let local = installed.local_files.contains(&node.path);
                    let mut canonical = None;
                    if !derived && (found || local) {
                        let path = env_dir.join(&node.path);
                        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
                        let places = if local { installed.placeholders.as_slice() } else { &[] };
                        if std::str::from_utf8(&bytes).is_ok() && !bytes.contains(&0) {
                            canonical = replaced(&bytes, std::iter::once(&own).chain(places))
                                .map(|bytes| blake3::hash(&bytes).into());
                        } else {
                            tree.host_bound = true;
                        }
                    }
                    Content::File { digest: digest.into(), size, exec: executable, derived, canonical }
                }
            };
            tree.entries.push(Entry { path: node.path, content });
        }
        Ok(tree)
    }

    /// The digest of domain `envstore/tree/v1`: of each entry that is not derived its path, its kind (`file`,
    /// `exec`, `link`) and its canonical digest (hex) or target.
    pub fn digest(&self) -> TreeDigest {
        let mut canonical = Canonical::new("envstore/tree/v1");
        let entries: Vec<_> =
            self.entries.iter().filter(|e| !matches!(e.content, Content::File { derived: true, .. })).collect();
        canonical.count(entries.len());
        for entry in entries {
            canonical.field(&entry.path);
            match &entry.content {
                Content::File { digest, exec, canonical: neutral, .. } => {
                    canonical.field(if *exec { "exec" } else { "file" });
                    canonical.field(neutral.unwrap_or(*digest).to_string())
                }
                Content::Link { link, canonical_link } => {
                    canonical.field("link").field(canonical_link.as_ref().unwrap_or(link))
                }
            };
        }
        canonical.digest()
    }
}

/// The bytes with every place replaced; None when there was none.
fn replaced<'a>(bytes: &[u8], places: impl Iterator<Item = &'a (String, String)>) -> Option<Vec<u8>> {
    let mut current: Option<Vec<u8>> = None;
    for (place, neutral) in places {
        let from = current.as_deref().unwrap_or(bytes);
        let hits: Vec<_> = memchr::memmem::find_iter(from, place.as_bytes()).collect();
        if hits.is_empty() || place.is_empty() {
            continue;
        }
        let mut out = Vec::with_capacity(from.len());
        let mut end = 0;
        for hit in hits {
            out.extend_from_slice(&from[end..hit]);
            out.extend_from_slice(neutral.as_bytes());
            end = hit + place.len();
        }
        out.extend_from_slice(&from[end..]);
        current = Some(out);
    }
    current
}

impl Manifest {
    /// Reads one.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it cannot be parsed or names another environment than its file;
    /// [`Error::UnsupportedFormat`] when a newer release wrote it.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let corrupt = |reason: String| Error::Corrupt { path: path.to_owned(), reason };
        let version = serde_json::from_slice::<Versioned>(&bytes).map_err(|e| corrupt(e.to_string()))?.version;
        if version > VERSION {
            return Err(Error::UnsupportedFormat { path: path.to_owned(), found: version, known: VERSION });
        }
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|error| corrupt(error.to_string()))?;
        if path.file_stem().and_then(|name| name.to_str()) != Some(manifest.name.as_str()) {
            return Err(corrupt(format!("it is the manifest of `{}`", manifest.name)));
        }
        if manifest.name.stem() != manifest.key.stem() {
            return Err(corrupt("its key does not begin with its name".into()));
        }
        Ok(manifest)
    }

    /// Number of files, links not counted.
    pub fn files(&self) -> u64 {
        self.entries.iter().filter(|entry| matches!(entry.content, Content::File { .. })).count() as u64
    }
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(at: &Path, interpreter: &str) -> Tree {
        std::fs::create_dir_all(at.join("bin")).expect("makes");
        std::fs::write(at.join("bin/tool"), format!("#!{}/bin/python\n", at.display())).expect("writes");
        std::fs::write(at.join("pyvenv.cfg"), format!("home = {interpreter}\n")).expect("writes");
        std::fs::write(at.join("readme"), format!("see {interpreter}\n")).expect("writes");
        std::fs::write(at.join("x.pyc"), format!("{:?}", std::time::Instant::now())).expect("writes");
        std::os::unix::fs::symlink(format!("{interpreter}/python"), at.join("bin/python")).expect("links");
        let installed = Installed {
            derived: vec!["x.pyc".into()],
            local_files: vec!["pyvenv.cfg".into()],
            placeholders: vec![(interpreter.into(), "@PYTHON@".into())],
            ..Installed::default()
        };
        let nodes = crate::fs::scan::seal(at, &[], &at.to_string_lossy()).expect("seals");
        Tree::new(at, nodes, &installed).expect("reads")
    }

    #[test]
    fn the_tree_digest_does_not_depend_on_where_it_stands_nor_on_bytecode() {
        let dir = tempfile::tempdir().expect("a directory");
        let one = tree(&dir.path().join("one"), "/usr/bin");
        let two = tree(&dir.path().join("two/deeper"), "/usr/bin");
        assert_eq!(one.digest(), two.digest());
        assert!(!one.host_bound);
        let elsewhere = tree(&dir.path().join("three"), "/opt/python/bin");
        // `readme` is no local file: its bytes are what a wheel shipped.
        assert_ne!(one.digest(), elsewhere.digest());
        let canonical = |tree: &Tree, name: &str| {
            let entry = tree.entries.iter().find(|e| e.path == name).expect("is there").clone();
            match entry.content {
                Content::File { canonical, .. } => canonical.map(|d| d.to_string()),
                Content::Link { canonical_link, .. } => canonical_link,
            }
        };
        for name in ["bin/tool", "pyvenv.cfg", "bin/python"] {
            assert_eq!(canonical(&one, name), canonical(&elsewhere, name), "{name}");
            assert!(canonical(&one, name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_binary_with_the_path_makes_the_environment_host_bound() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("lib.so"), format!("\0{}\0", dir.path().display())).expect("writes");
        let nodes = crate::fs::scan::seal(dir.path(), &[], &dir.path().to_string_lossy()).expect("seals");
        assert!(Tree::new(dir.path(), nodes, &Installed::default()).expect("reads").host_bound);
    }
}
