//! [`Component`]: what one locked artifact becomes when it is installed.
//!
//! A component is learnt from the first environment that holds its artifact, and from then on linked into every other:
//! no installer, no network. Its identity is narrower than an env key (no patch level of the interpreter), so
//! that a security patch of the interpreter remakes environments by linking.

use std::path::{Component as PathPart, Path};

use serde::{Deserialize, Serialize};

use crate::digest::{Canonical, ComponentId, FileDigest};
use crate::interpreter::Interpreter;
use crate::lock::Locked;
use crate::store::runtime::Distribution;

/// Grows when what is written into an environment beside an artifact's own files (scripts, `RECORD`, bytecode) changes.
const MAKING: &str = "1";

/// What a path of a component holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// The object's bytes.
    Plain,
    /// The object's bytes; it was derived (bytecode) and is outside the tree digest.
    Derived,
    /// The object's bytes with the environment's path put in.
    Placeholder,
}

/// A file of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Relative to the environment, `/`-separated.
    pub path: String,
    /// The object.
    pub digest: FileDigest,
    /// Bytes of the object.
    pub size: u64,
    /// Whether it is executable.
    pub exec: bool,
    /// What is made of the object.
    pub form: Form,
}

/// What one artifact becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// The distribution; none for files of one environment that belong to no distribution.
    pub distribution: Option<Distribution>,
    /// Sorted by path.
    pub files: Vec<File>,
    /// Source files that do not compile.
    pub uncompiled: Vec<String>,
    /// Oddities worth keeping.
    pub notes: Vec<String>,
}

impl Component {
    /// Bytes of its files, as often as they stand in it.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Bytes of those files that hold an object's bytes as they are, so that they can share its blocks.
    pub fn shared_bytes(&self) -> u64 {
        self.files.iter().filter(|file| file.form != Form::Placeholder).map(|file| file.size).sum()
    }
}

/// The identity of what an artifact becomes under an interpreter: domain `envstore/component/v1`.
pub fn identity(package: &Locked, interpreter: &Interpreter) -> ComponentId {
    let (kind, digest, subdirectory) = package.artifact.identity();
    let mut canonical = kind_of(interpreter);
    canonical.field(&package.name).field(&package.version).field(kind).field(digest).field(subdirectory);
    canonical.digest()
}

/// Whether what was learnt under one interpreter serves another.
pub fn serves(one: &Interpreter, other: &Interpreter) -> bool {
    kind_of(one).bytes() == kind_of(other).bytes()
}

/// What an identity takes of an interpreter: everything but patch level, build and place.
fn kind_of(interpreter: &Interpreter) -> Canonical {
    let of = &interpreter.identity;
    let fact = |name| interpreter.fact(name).unwrap_or_default();
    let mut canonical = Canonical::new("envstore/component/v1");
    canonical.field(MAKING).field(of.runtime.as_str()).field(&of.implementation).field(fact("major_minor"));
    for field in [&of.abi, &of.platform, &of.machine, &of.libc] {
        canonical.field(field);
    }
    canonical.field(fact("magic"));
    canonical
}

/// Whether a path stays below the directory it is relative to.
pub fn stays_below(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, PathPart::Normal(_)))
}

/// Bytes of a file's digest and size in [`pack_objects`].
pub const PACKED: usize = 40;

/// The objects of files, in their order: 32 bytes of digest and the size (u64, little endian) each.
pub fn pack_objects(files: &[File]) -> Vec<u8> {
    files.iter().flat_map(|file| file.digest.as_bytes().iter().copied().chain(file.size.to_le_bytes())).collect()
}

/// One entry of what [`pack_objects`] made.
pub fn unpack_object(packed: &[u8; PACKED]) -> (FileDigest, u64) {
    let (digest, size) = packed.split_at(32);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest);
    let mut length = [0; 8];
    length.copy_from_slice(size);
    (blake3::Hash::from_bytes(bytes).into(), u64::from_le_bytes(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_that_stay_below_count() {
        for good in ["a", "a/b.py", "bin/x y"] {
            assert!(stays_below(good), "{good}");
        }
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "./a"] {
            assert!(!stays_below(bad), "{bad}");
        }
    }

    #[test]
    fn packed_objects_are_read_back() {
        let file =
            File { path: "a".into(), digest: blake3::hash(b"a").into(), size: 1 << 40, exec: false, form: Form::Plain };
        let packed = pack_objects(&[file.clone(), file.clone()]);
        let (entries, rest) = packed.as_chunks::<PACKED>();
        assert!(rest.is_empty() && entries.len() == 2);
        assert_eq!(unpack_object(&entries[1]), (file.digest, file.size));
    }
}
