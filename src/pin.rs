//! [`PinFile`] and [`LinkFile`]: pins and links outside the index.
//!
//! # Durability
//! One small file each, written and synced *before* the index commits the same change, removed before the row is: an index
//! that is lost comes back with every one (P10). While both are there, the index is right.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::EnvKey;
use crate::error::{Error, Result};
use crate::fs::{durable, nofollow, read};
use crate::layout::Layout;
use crate::pack::PackRef;

/// The version of the file's own format.
pub const VERSION: u32 = 1;

/// No file is bigger.
const SIZE_LIMIT: u64 = 1 << 20;

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
        write(layout, &layout.pin(&self.name), self)
    }

    /// Removes a pin's file. A missing one is no error.
    pub fn remove(layout: &Layout, name: &str) -> Result<()> {
        remove(layout, &layout.pin(name))
    }
}

/// A symbolic link outside the store that leads to a pack's environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkFile {
    /// [`VERSION`].
    pub version: u32,
    /// Where the link is, absolute.
    pub link: PathBuf,
    /// The pack it follows.
    pub pack: PackRef,
    /// The environment it was pointed at last.
    pub key: EnvKey,
    /// Since when there is a link.
    pub at: Timestamp,
}

impl LinkFile {
    /// Writes it durably at its place.
    pub fn write(&self, layout: &Layout) -> Result<()> {
        write(layout, &layout.link(&self.link), self)
    }

    /// Removes a link's file. A missing one is no error.
    pub fn remove(layout: &Layout, link: &Path) -> Result<()> {
        remove(layout, &layout.link(link))
    }
}

/// What a file under `pins/` holds.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Kept {
    /// A pin.
    Pin(PinFile),
    /// A link.
    Link(LinkFile),
}

impl Kept {
    /// Reads one.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::UnsupportedFormat`] when a newer release wrote it.
    pub fn read(path: &Path) -> Result<Self> {
        Self::decode(&read::whole(path, SIZE_LIMIT)?, path)
    }

    /// Reads the bytes of one; the path is for messages.
    pub(crate) fn decode(text: &[u8], path: &Path) -> Result<Self> {
        let kept: Self = serde_json::from_slice(text)
            .map_err(|error| Error::Corrupt { path: path.to_owned(), reason: error.to_string() })?;
        let (Self::Pin(PinFile { version, .. }) | Self::Link(LinkFile { version, .. })) = kept;
        if version > VERSION {
            return Err(Error::UnsupportedFormat { path: path.to_owned(), found: version, known: VERSION });
        }
        Ok(kept)
    }
}

fn write(layout: &Layout, path: &Path, file: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec_pretty(file)
        .map_err(|error| Error::Corrupt { path: path.to_owned(), reason: error.to_string() })?;
    durable::write(&layout.dir("staging"), path, &text, 0o644)
}

fn remove(layout: &Layout, path: &Path) -> Result<()> {
    match nofollow::remove_file(path) {
        Ok(()) => durable::sync_dir(&layout.dir("pins")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("remove", path)(error)),
    }
}
