//! [`Hashes`]: what every installed file holds, each read once, on all cores: SHA-256 for `RECORD`, BLAKE3 for the store.

use std::collections::HashMap;
use std::path::Path;

use data_encoding::BASE64URL_NOPAD;
use memchr::memmem::Finder;
use sha2::{Digest, Sha256};

use super::executables;
use super::tidy::Tree;
use crate::error::Result;
use crate::fs::parallel;
use crate::fs::read::{self, Content};

/// What a file holds.
#[derive(Debug, Clone)]
pub(crate) struct Hash {
    /// As `RECORD` spells it.
    pub sha256: String,
    /// Its BLAKE3 and size, and whether the environment's path is in it.
    pub content: Content,
    /// Whether the kernel would execute it.
    pub is_program: bool,
}

/// What files hold, by relative path.
#[derive(Debug, Default)]
pub(crate) struct Hashes(HashMap<String, Hash>);

impl Hashes {
    /// Reads every regular file of a tree.
    pub(crate) fn of(env_dir: &Path, tree: &Tree) -> Result<Self> {
        let files: Vec<&str> = tree.files().collect();
        let needle = env_dir.to_string_lossy();
        let finder = Finder::new(needle.as_bytes());
        let hashes = parallel::map(&files, |name| hash(&env_dir.join(name), Some(&finder)))?;
        Ok(Self(files.into_iter().map(str::to_owned).zip(hashes).collect()))
    }

    /// Reads one file; no path is searched for.
    pub(crate) fn read(path: &Path) -> Result<Hash> {
        hash(path, None)
    }

    /// What a file held when it was read.
    pub(crate) fn get(&self, path: &str) -> Option<&Hash> {
        self.0.get(path)
    }

    /// All of them.
    pub(crate) fn into_contents(self) -> impl Iterator<Item = (String, Content)> {
        self.0.into_iter().map(|(path, hash)| (path, hash.content))
    }
}

fn hash(path: &Path, finder: Option<&Finder<'_>>) -> Result<Hash> {
    let mut sha256 = Sha256::new();
    let mut head = Vec::with_capacity(executables::HEAD);
    let content = read::content(&read::open(path)?, path, finder, |chunk| {
        sha256.update(chunk);
        head.extend(chunk.iter().take(executables::HEAD - head.len()));
    })?;
    let is_program = executables::is_program(&path.to_string_lossy(), &head);
    Ok(Hash { sha256: BASE64URL_NOPAD.encode(&sha256.finalize()), content, is_program })
}
