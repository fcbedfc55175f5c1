//! [`Manifest`]: what an environment holds, byte for byte, and where it came from.
//!
//! # Layout
//! `manifests/<env name>.json.gz`, one JSON object, compressed (RFC 1952): it is most of what an environment weighs whose files are
//! shared. It is written and synced after every byte of its
//! environment; an environment without one does not exist (I1). Reading one back gives the index everything
//! it knows of the environment (P10).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::component::{self, Component, Form};
use crate::digest::{Canonical, ComponentId, EnvKey, FileDigest, LockDigest, TreeDigest};
use crate::error::{Error, Result};
use crate::fs::link::LinkMode;
use crate::fs::read;
use crate::fs::scan::{Node, NodeKind};
use crate::interpreter::Interpreter;
use crate::layout::{EnvName, Layout};
use crate::lock::Lock;
use crate::spec::Spec;
use crate::store::runtime::{Distribution, Skeleton};

/// No manifest is bigger, uncompressed: room for a million files.
const SIZE_LIMIT: u64 = 256 << 20;

/// The version of the manifest's own format.
pub const VERSION: u32 = 1;

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
        /// Bytes of that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        canonical_size: Option<u64>,
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
    /// Whether it was made of a lock that was kept, or like another environment: the spec need not become it elsewhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub given: bool,
    /// The interpreter it was made for, as it was then.
    pub interpreter: Interpreter,
    /// The digest of the lock's file under `locks/`.
    pub lock_digest: LockDigest,
    /// The lock.
    pub lock: Lock,
    /// The installer; `none` where nothing was installed.
    pub installer: String,
    /// Oddities that belong to no part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// How its files share with objects.
    pub link_mode: LinkMode,
    /// What it consists of beside its skeleton, sorted by distribution.
    pub parts: Vec<Part>,
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

/// What one artifact became in an environment, or the files of no artifact.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The component it is; none where it is this environment's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentId>,
    /// The distribution; none for files of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
    /// Source files that do not compile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncompiled: Vec<String>,
    /// Oddities worth keeping.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Its files: positions in the manifest's `entries`.
    pub entries: Vec<usize>,
}

/// The entries of a sealed tree, with placeholders where a place on this host stands.
#[derive(Debug, Default)]
pub struct Tree {
    /// Sorted by path.
    pub entries: Vec<Entry>,
    /// Files that hold the environment's path where it cannot be replaced.
    pub bound: BTreeSet<String>,
    /// The placeholder forms of files outside the skeleton, by path.
    pub neutral: BTreeMap<String, Vec<u8>>,
}

impl Tree {
    /// Turns the nodes of a sealed tree into entries. Files in which the environment's path was found are read a second
    /// time. `derived` is sorted.
    pub fn new(env_dir: &Path, nodes: Vec<Node>, skeleton: &Skeleton, derived: &[&str]) -> Result<Self> {
        let mut tree = Self::default();
        for node in nodes {
            let content = match node.kind {
                NodeKind::Link { target } => {
                    let neutral = skeleton.local_placeholders.neutral(target.as_bytes());
                    let canonical_link = neutral.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                    Content::Link { link: target, canonical_link }
                }
                NodeKind::File { content, executable } => {
                    let derived = derived.binary_search(&node.path.as_str()).is_ok();
                    let is_local = skeleton.local_files.contains(&node.path);
                    let neutral = if derived || !(content.found || is_local) {
                        None
                    } else {
                        let path = env_dir.join(&node.path);
                        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
                        if is_local {
                            skeleton.local_placeholders.neutral(&bytes)
                        } else {
                            let is_text = std::str::from_utf8(&bytes).is_ok() && !bytes.contains(&0);
                            let neutral = skeleton.placeholders.reversible(&bytes).filter(|_| is_text);
                            if neutral.is_none() {
                                tree.bound.insert(node.path.clone());
                            }
                            neutral
                        }
                    };
                    let canonical = neutral.as_ref().map(|bytes| blake3::hash(bytes).into());
                    let canonical_size = neutral.as_ref().map(|bytes| bytes.len() as u64);
                    if let Some(bytes) = neutral.filter(|_| !is_local) {
                        tree.neutral.insert(node.path.clone(), bytes);
                    }
                    Content::File {
                        digest: content.digest.into(),
                        size: content.size,
                        exec: executable,
                        derived,
                        canonical,
                        canonical_size,
                    }
                }
            };
            tree.entries.push(Entry { path: node.path, content });
        }
        Ok(tree)
    }

    /// Adds entries and sorts all by path.
    pub fn extend(&mut self, more: impl IntoIterator<Item = Entry>) {
        self.entries.extend(more);
        self.entries.sort_by(|a, b| a.path.cmp(&b.path));
    }

    /// Whether the environment can live nowhere else.
    pub fn is_host_bound(&self) -> bool {
        !self.bound.is_empty()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size()).sum()
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

impl Entry {
    /// Bytes of a file; 0 for a link.
    pub fn size(&self) -> u64 {
        if let Content::File { size, .. } = self.content { size } else { 0 }
    }

    /// The file of a component that this is: its placeholder form where it has one. None for a link.
    pub fn file(&self) -> Option<component::File> {
        let Content::File { digest, size, exec, derived, canonical, canonical_size } = self.content else {
            return None;
        };
        let form = match canonical {
            Some(_) => Form::Placeholder,
            None if derived => Form::Derived,
            None => Form::Plain,
        };
        let (digest, size) = (canonical.unwrap_or(digest), canonical_size.unwrap_or(size));
        Some(component::File { path: self.path.clone(), digest, size, exec, form })
    }
}

/// What is compressed, up to a limit: a few kilobytes may say gigabytes.
fn unpack(compressed: &[u8], limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    GzDecoder::new(compressed).take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it is larger than {} MiB when unpacked", limit >> 20)));
    }
    Ok(bytes)
}

/// Refuses to write what would not be read back.
struct Measured<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Measured<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        if self.bytes > SIZE_LIMIT {
            return Err(io::Error::other("the environment has too many files for one manifest"));
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Manifest {
    /// The bytes of its file.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let failed = |error: io::Error| Error::Corrupt { path: self.name.as_str().into(), reason: error.to_string() };
        let mut encoder = Measured { inner: GzEncoder::new(Vec::new(), Compression::fast()), bytes: 0 };
        serde_json::to_writer(&mut encoder, self).map_err(|error| failed(error.into()))?;
        encoder.inner.finish().map_err(failed)
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it cannot be parsed or names another environment than its file;
    /// [`Error::UnsupportedFormat`] when a newer release wrote it.
    pub fn read(path: &Path) -> Result<Self> {
        Self::decode(&read::whole(path, SIZE_LIMIT)?, path)
    }

    /// Reads the bytes of one's file; the path says whose it is.
    pub(crate) fn decode(compressed: &[u8], path: &Path) -> Result<Self> {
        let corrupt = |reason: String| Error::Corrupt { path: path.to_owned(), reason };
        let bytes = unpack(compressed, SIZE_LIMIT).map_err(|error| corrupt(error.to_string()))?;
        let version = serde_json::from_slice::<Versioned>(&bytes).map_err(|e| corrupt(e.to_string()))?.version;
        if version > VERSION {
            return Err(Error::UnsupportedFormat { path: path.to_owned(), found: version, known: VERSION });
        }
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|error| corrupt(error.to_string()))?;
        if Layout::manifest_of(path).as_ref() != Some(&manifest.name) {
            return Err(corrupt(format!("it is the manifest of `{}`", manifest.name)));
        }
        if manifest.name.stem() != manifest.key.stem() {
            return Err(corrupt("its key does not begin with its name".into()));
        }
        if let Some(entry) = manifest.entries.iter().find(|entry| !component::stays_below(&entry.path)) {
            return Err(corrupt(format!("its entry `{}` is outside the environment", entry.path)));
        }
        if manifest.parts.iter().flat_map(|part| &part.entries).any(|at| *at >= manifest.entries.len()) {
            return Err(corrupt("a part names an entry that is not there".into()));
        }
        Ok(manifest)
    }

    /// What a part is as a component.
    pub fn component(&self, part: &Part) -> Component {
        let files = part.entries.iter().filter_map(|at| self.entries.get(*at)?.file());
        Component {
            distribution: part.distribution.clone(),
            files: files.collect(),
            uncompiled: part.uncompiled.clone(),
            notes: part.notes.clone(),
        }
    }

    /// Its distributions, sorted by name.
    pub fn distributions(&self) -> Vec<Distribution> {
        let mut all: Vec<_> = self.parts.iter().filter_map(|part| part.distribution.clone()).collect();
        all.sort();
        all
    }

    /// All that is worth knowing of it, sorted.
    pub fn all_notes(&self) -> Vec<String> {
        let mut all: Vec<_> =
            self.notes.iter().chain(self.parts.iter().flat_map(|part| &part.notes)).cloned().collect();
        all.sort();
        all.dedup();
        all
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
    use std::collections::HashMap;

    use super::*;
    use crate::fs::scan::seal_files;
    use crate::placeholder::Placeholders;

    #[test]
    fn what_unpacks_to_more_than_the_limit_is_refused() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let piece = [b' '; 64 << 10];
        for _ in 0..256 {
            encoder.write_all(&piece).expect("memory takes it");
        }
        let bomb = encoder.finish().expect("memory takes it");
        assert!(bomb.len() < 1 << 20, "{} bytes", bomb.len());
        assert_eq!(unpack(&bomb, 16 << 20).expect("it fits").len(), 16 << 20);
        let error = unpack(&bomb, (16 << 20) - 1).expect_err("refused");
        assert!(error.to_string().contains("when unpacked"), "{error}");
    }

    #[test]
    fn what_could_not_be_read_back_is_not_written() {
        let mut writer = Measured { inner: io::sink(), bytes: SIZE_LIMIT - 1 };
        assert_eq!(writer.write(b"x").expect("it fits"), 1);
        writer.write(b"x").expect_err("refused");
    }

    fn tree(at: &Path, interpreter: &str) -> Tree {
        std::fs::create_dir_all(at.join("bin")).expect("makes");
        std::fs::write(at.join("bin/tool"), format!("#!{}/bin/python\n", at.display())).expect("writes");
        std::fs::write(at.join("pyvenv.cfg"), format!("home = {interpreter}\n")).expect("writes");
        std::fs::write(at.join("readme"), format!("see {interpreter}\n")).expect("writes");
        std::fs::write(at.join("x.pyc"), format!("{:?}", std::time::Instant::now())).expect("writes");
        std::os::unix::fs::symlink(format!("{interpreter}/python"), at.join("bin/python")).expect("links");
        let env = (at.to_string_lossy().into_owned(), "@ENV@".to_owned());
        let skeleton = Skeleton {
            local_files: vec!["pyvenv.cfg".into()],
            placeholders: Placeholders::new(vec![env.clone()]),
            local_placeholders: Placeholders::new(vec![env, (interpreter.into(), "@PYTHON@".into())]),
            ..Skeleton::default()
        };
        sealed(at, &skeleton, &["x.pyc"])
    }

    fn sealed(at: &Path, skeleton: &Skeleton, derived: &[&str]) -> Tree {
        let walked = seal_files(at, &[], &at.to_string_lossy(), &HashMap::new()).expect("seals");
        Tree::new(at, walked.nodes, skeleton, derived).expect("reads")
    }

    #[test]
    fn the_tree_digest_does_not_depend_on_where_it_stands_nor_on_bytecode() {
        let dir = tempfile::tempdir().expect("a directory");
        let one = tree(&dir.path().join("one"), "/usr/bin");
        let two = tree(&dir.path().join("two/deeper"), "/usr/bin");
        assert_eq!(one.digest(), two.digest());
        assert!(!one.is_host_bound());
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
        let env = (dir.path().to_string_lossy().into_owned(), "@ENV@".into());
        let skeleton = Skeleton { placeholders: Placeholders::new(vec![env]), ..Skeleton::default() };
        assert!(sealed(dir.path(), &skeleton, &[]).is_host_bound());
    }
}
