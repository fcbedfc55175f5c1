//! [`BindingFile`]: what a pack is bound to, outside the index.
//!
//! # Durability
//! One small file a pack, written and synced *before* the index commits the same change, so that an index that is
//! lost comes back with every pack (P10). While both are there, the index is right.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::{EnvKey, InterpreterDigest, LockDigest, SpecDigest};
use crate::error::{Error, Result};
use crate::fs::{durable, nofollow, read};
use crate::index::Generation;
use crate::layout::Layout;
use crate::pack::PackRef;
use crate::spec::Spec;
use crate::store::report::Cause;

/// The version of the file's own format.
pub const VERSION: u32 = 1;

/// No file is bigger: it holds one declaration, whose texts have 32 MiB at most, and a history.
const SIZE_LIMIT: u64 = 128 << 20;

/// Up to so many directories are synced one by one.
const FEW_DIRS: usize = 4;

/// A pack's declaration and history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingFile {
    /// [`VERSION`].
    pub version: u32,
    /// The pack.
    pub pack: PackRef,
    /// Where `sync` found its declaration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<PathBuf>,
    /// The last declaration given.
    pub spec: Spec,
    /// Earlier declarations that generations answer, by digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Spec>,
    /// The current generation; none when the pack was removed and its history kept.
    pub current: Option<u64>,
    /// The generations that are remembered (`gc.history`), oldest first.
    pub generations: Vec<GenerationRecord>,
}

/// A generation as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationRecord {
    /// From 1.
    pub generation: u64,
    /// The environment.
    pub key: EnvKey,
    /// The interpreter it was made for.
    pub interpreter: InterpreterDigest,
    /// The lock, under `locks/`.
    pub lock: LockDigest,
    /// The declaration it answers.
    pub answers: SpecDigest,
    /// When it was written.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// The user who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
}

impl From<Generation> for GenerationRecord {
    fn from(from: Generation) -> Self {
        let Generation { generation, key, interpreter, lock, answers, at, cause, uid, present: _ } = from;
        Self { generation, key, interpreter, lock, answers, at, cause, uid }
    }
}

impl BindingFile {
    /// Writes it durably at its place.
    pub fn write(&self, layout: &Layout) -> Result<()> {
        let path = layout.binding(&self.pack);
        if let Some(dir) = path.parent()
            && !dir.is_dir()
        {
            match nofollow::create_dir(dir, 0o755) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(Error::io("create", dir)(error));
                }
                _ => durable::sync_dir(&layout.dir("bindings"))?,
            }
        }
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::Corrupt { path: path.clone(), reason: error.to_string() })?;
        durable::write(&layout.dir("staging"), &path, &text, 0o644)
    }

    /// Removes the files of packs, durably. A missing one is no error.
    pub fn remove_all(layout: &Layout, packs: &[&PackRef]) -> Result<()> {
        let mut dirs = BTreeSet::new();
        for pack in packs {
            let path = layout.binding(pack);
            match nofollow::remove_file(&path) {
                Ok(()) => dirs.extend(path.parent().map(Path::to_owned)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("remove", &path)(error)),
            }
        }
        // Files lie in 256 directories: one sync of the filesystem is faster than one of each.
        if dirs.len() > FEW_DIRS {
            return durable::sync_filesystem(&layout.dir("bindings"));
        }
        dirs.iter().try_for_each(|dir| durable::sync_dir(dir))
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::UnsupportedFormat`] when a newer release wrote it.
    pub fn read(path: &Path) -> Result<Self> {
        Self::decode(&read::whole(path, SIZE_LIMIT)?, path)
    }

    /// Reads the bytes of one; the path is for messages.
    pub(crate) fn decode(text: &[u8], path: &Path) -> Result<Self> {
        let file: Self = serde_json::from_slice(text)
            .map_err(|error| Error::Corrupt { path: path.to_owned(), reason: error.to_string() })?;
        if file.version > VERSION {
            return Err(Error::UnsupportedFormat { path: path.to_owned(), found: file.version, known: VERSION });
        }
        Ok(file)
    }
}
