//! [`StoreFile`]: `store.json`, which says what a directory is: a store, of which format, sealed or not.
//!
//! # Compatibility
//! A release reads its own format and the one before it, each by its own reader, and writes into a store what its format says. `migrate` alone
//! changes a format.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::fs::{durable, read};
use crate::layout::{FORMAT, Layout};

/// Makes the words of this release of the bytes of one format.
type Reader = fn(&[u8]) -> serde_json::Result<StoreFile>;

/// The formats that this release reads, oldest first. There is none before the first.
const READERS: &[(u32, Reader)] = &[(1, |text| serde_json::from_slice(text))];

/// No `store.json` is bigger.
const SIZE_LIMIT: u64 = 64 << 10;

/// `store.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoreFile {
    /// The layout's version.
    pub format: u32,
    /// 32 hex digits, made at creation.
    pub id: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// Whether it takes no more changes.
    pub sealed: bool,
    /// The canonical path that its environments were made for. None: no release that records it has written to the store yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Other paths that lead to this directory, and that some of its environments name: links, or paths it was mounted at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_named: Vec<PathBuf>,
    /// While `relocate` is under way: the paths that environments may still name, oldest first. Until it is empty again no environment is
    /// handed out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relocating_from: Vec<PathBuf>,
    /// While a copy is being relocated: the id of the store that it was copied from, which its index may still carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_id: Option<String>,
}

impl StoreFile {
    /// That of a new store.
    pub fn new(id: String, created_at: Timestamp, root: Option<PathBuf>) -> Self {
        Self {
            format: FORMAT,
            id,
            created_at,
            sealed: false,
            root,
            also_named: Vec::new(),
            relocating_from: Vec::new(),
            former_id: None,
        }
    }

    /// Reads it; none where there is no store.
    ///
    /// # Errors
    /// [`Error::UnsupportedFormat`] for a newer one, whatever else it says; [`Error::Corrupt`].
    pub fn read(layout: &Layout) -> Result<Option<Self>> {
        let path = layout.store_json();
        match read::whole(&path, SIZE_LIMIT) {
            Ok(text) => Self::decode(&text, layout.root()).map(Some),
            Err(Error::Io { source, .. })
                if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads its bytes; the root is for messages.
    pub(crate) fn decode(text: &[u8], root: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let corrupt = |error: serde_json::Error| Error::Corrupt {
            path: Layout::new(root).store_json(),
            reason: error.to_string(),
        };
        let found = serde_json::from_slice::<Format>(text).map_err(corrupt)?.format;
        if found > FORMAT {
            return Err(Error::UnsupportedFormat { path: root.to_owned(), found, known: FORMAT });
        }
        let reader = READERS.iter().find(|(format, _)| *format == found).map(|(_, reader)| reader);
        let reader = reader.ok_or_else(|| {
            let oldest = READERS[0].0;
            let reason = format!("its format is {found}, and the oldest that this release reads is {oldest}");
            Error::Corrupt { path: Layout::new(root).store_json(), reason }
        })?;
        reader(text).map_err(corrupt)
    }

    /// Whether an id is this store's, or that of the store it was copied from.
    pub fn is_of(&self, id: &str) -> bool {
        self.id == id || self.former_id.as_deref() == Some(id)
    }

    /// Replaces it, durably.
    pub fn write(&self, layout: &Layout) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::Corrupt { path: layout.store_json(), reason: error.to_string() })?;
        durable::write(&layout.dir("staging"), &layout.store_json(), &text, 0o644)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn this_format_and_at_most_one_before_it_are_read() {
        let formats: Vec<u32> = READERS.iter().map(|(format, _)| *format).collect();
        let expected: Vec<u32> = (FORMAT.saturating_sub(1).max(1)..=FORMAT).collect();
        assert_eq!(formats, expected);
    }

    #[test]
    fn a_format_that_never_was_is_damage_and_a_newer_one_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(dir.path());
        let write = |format: u32| {
            fs::write(layout.store_json(), format!("{{\"format\": {format}, \"what\": \"else\"}}")).expect("writes");
            StoreFile::read(&layout)
        };
        assert!(matches!(write(0), Err(Error::Corrupt { .. })));
        assert!(matches!(write(FORMAT + 1), Err(Error::UnsupportedFormat { .. })));
    }
}
