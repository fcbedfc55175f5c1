//! [`PinFile`]: a pin outside the index.
//!
//! # Durability
//! One small file a pin, written and synced *before* the index commits the same change, removed before the row is: an index
//! that is lost comes back with every pin (P10). While both are there, the index is right.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::EnvKey;
use crate::error::{Error, Result};
use crate::fs::durable;
use crate::layout::Layout;

/// The version of the file's own format.
pub const VERSION: u32 = 1;

/// A name that a person gave to an environment, which keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinFile {
    /// [`VERSION`].
    pub version: u32,
    /// The name.
    pub name: String,
    /// The environment.
    pub key: EnvKey,
    /// Since when.
    pub at: Timestamp,
    /// Until when it counts; none: until it is taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl PinFile {
    /// Writes it durably at its place.
    pub fn write(&self, layout: &Layout) -> Result<()> {
        let path = layout.pin(&self.name);
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::Corrupt { path: path.clone(), reason: error.to_string() })?;
        durable::write(&layout.dir("staging"), &path, &text, 0o644)
    }

    /// Removes a pin's file. A missing one is no error.
    pub fn remove(layout: &Layout, name: &str) -> Result<()> {
        let path = layout.pin(name);
        match std::fs::remove_file(&path) {
            Ok(()) => durable::sync_dir(&layout.dir("pins")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Error::io("remove", &path)(error)),
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::UnsupportedFormat`] when a newer release wrote it.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).map_err(Error::io("read", path))?;
        let file: Self = serde_json::from_slice(&text)
            .map_err(|error| Error::Corrupt { path: path.to_owned(), reason: error.to_string() })?;
        if file.version > VERSION {
            return Err(Error::UnsupportedFormat { path: path.to_owned(), found: file.version, known: VERSION });
        }
        Ok(file)
    }
}
