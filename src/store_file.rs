//! [`StoreFile`]: `store.json`, which says what a directory is: a store, of which format, sealed or not.

use std::fs;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::fs::durable;
use crate::layout::{FORMAT, Layout};

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
}

impl StoreFile {
    /// Reads it; none where there is no store.
    ///
    /// # Errors
    /// [`Error::UnsupportedFormat`] for a newer one, whatever else it says; [`Error::Corrupt`].
    pub fn read(layout: &Layout) -> Result<Option<Self>> {
        let path = layout.store_json();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let corrupt = |error: serde_json::Error| Error::Corrupt { path: path.clone(), reason: error.to_string() };
        let found = serde_json::from_slice::<Format>(&text).map_err(corrupt)?.format;
        if found > FORMAT {
            return Err(Error::UnsupportedFormat { path: layout.root().to_owned(), found, known: FORMAT });
        }
        serde_json::from_slice(&text).map(Some).map_err(corrupt)
    }

    /// Replaces it, durably.
    pub fn write(&self, layout: &Layout) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::Corrupt { path: layout.store_json(), reason: error.to_string() })?;
        durable::write(&layout.dir("staging"), &layout.store_json(), &text, 0o644)
    }
}
