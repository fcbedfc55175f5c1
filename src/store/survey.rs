//! What of an environment is not as it was published.
//!
//! The short form looks at each entry (kind, mode, size, time: what was written in place shows by its time, what a power cut
//! emptied by its size); the full form reads every byte. Nothing is written.

use std::fs;
use std::path::Path;

use super::Store;
use super::report::{Finding, Level};
use crate::digest::FileDigest;
use crate::error::{Error, Result};
use crate::fs::{canonical, parallel};
use crate::index::EnvRow;
use crate::layout::LEASE;
use crate::lease::Lease;
use crate::manifest::{Content, Entry, Manifest};
use crate::objects;
use crate::pack::PackRef;

/// An environment compared with its manifest.
#[derive(Debug)]
pub(super) struct Survey {
    pub env: EnvRow,
    /// None: it cannot be read, or there is no directory to compare it with.
    pub manifest: Option<Manifest>,
    pub damage: Vec<Damage>,
}

/// Something that is not as it was published.
#[derive(Debug)]
pub(super) struct Damage {
    kind: &'static str,
    what: String,
    /// The entry, where it is one.
    pub entry: Option<Entry>,
}

impl Survey {
    /// The damage, each with whom it concerns.
    pub fn findings(&self, packs: &[PackRef]) -> impl Iterator<Item = Finding> {
        let name = self.env.name.as_str();
        let used_by: Vec<_> = packs.iter().map(PackRef::as_str).collect();
        let used_by = if used_by.is_empty() { String::new() } else { format!(", used by pack {}", used_by.join(", ")) };
        let hint = packs.first().map(|pack| format!("`envstore verify {pack} --repair` makes it anew"));
        self.damage.iter().map(move |damage| Finding {
            kind: damage.kind.into(),
            level: Level::Damage,
            message: format!("`{name}`{used_by}: {}", damage.what),
            hint: hint.clone(),
        })
    }

    /// The digests of the files that are damaged.
    pub fn digests(&self) -> impl Iterator<Item = FileDigest> {
        self.damage.iter().filter_map(|damage| match damage.entry.as_ref()?.content {
            Content::File { digest, .. } => Some(digest),
            Content::Link { .. } => None,
        })
    }
}

impl Store {
    /// Compares an environment with its manifest, leased meanwhile.
    ///
    /// # Errors
    /// [`Error::UnsupportedFormat`] of a newer manifest; [`Error::Busy`] where a collector holds it.
    pub(super) fn survey(&self, env: &EnvRow, full: bool) -> Result<Survey> {
        let layout = &self.0.layout;
        let lost = |kind, what: String| Survey {
            env: env.clone(),
            manifest: None,
            damage: vec![Damage { kind, what, entry: None }],
        };
        let _lease = match Lease::acquire(&layout.lease(&env.name)) {
            Ok(Some(lease)) => lease,
            Ok(None) => return Ok(lost("environment_missing", "its directory is gone".into())),
            Err(error @ Error::Io { .. }) => return Ok(lost("environment_unreadable", error.explained())),
            Err(error) => return Err(error),
        };
        let manifest = match Manifest::read(&layout.manifest(&env.name)) {
            Ok(manifest) => manifest,
            Err(error @ Error::UnsupportedFormat { .. }) => return Err(error),
            Err(error) => return Ok(lost("manifest_damaged", error.to_string())),
        };
        let dir = layout.env(&env.name);
        let differing = parallel::map(&manifest.entries, |entry| differs(&dir, entry, full))?;
        let differing = manifest.entries.iter().zip(differing).filter_map(|(entry, what)| {
            let what = format!("`{}` {}", entry.path, what?);
            Some(Damage { kind: "file_damaged", what, entry: Some(entry.clone()) })
        });
        let added = added(&dir, &manifest);
        let damage = differing.chain(added).collect();
        Ok(Survey { env: env.clone(), damage, manifest: Some(manifest) })
    }
}

/// What is not as an entry says; none where all is.
fn differs(dir: &Path, entry: &Entry, full: bool) -> Result<Option<String>> {
    let path = dir.join(&entry.path);
    let meta = match fs::symlink_metadata(&path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Some("is missing".into())),
        Err(error) => return Ok(Some(format!("cannot be looked at: {error}"))),
    };
    Ok(match &entry.content {
        Content::Link { link, .. } => {
            let same = fs::read_link(&path).is_ok_and(|target| target == Path::new(link));
            (!same).then(|| "is no link to where it led".into())
        }
        Content::File { size, .. } if meta.is_file() && meta.len() != *size => {
            Some(format!("has {} bytes instead of {size}", meta.len()))
        }
        Content::File { size, exec, .. } if !canonical::looks_sealed(&meta, *exec, *size) => {
            Some("was written to, or its mode was changed".into())
        }
        Content::File { digest, .. } if full => match objects::holds(&path, digest) {
            Ok(true) => None,
            Ok(false) => Some("holds other bytes".into()),
            Err(error) => Some(format!("cannot be read: {error}")),
        },
        Content::File { .. } => None,
    })
}

/// The entries of a directory that are not in its manifest, and those that cannot be looked at.
fn added(dir: &Path, manifest: &Manifest) -> Vec<Damage> {
    let mut added = Vec::new();
    for entry in walkdir::WalkDir::new(dir).min_depth(1) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                added.push(Damage { kind: "file_unreadable", what: error.to_string(), entry: None });
                continue;
            }
        };
        let name = entry.path().strip_prefix(dir).unwrap_or(entry.path()).to_string_lossy().into_owned();
        let is_known = manifest.entries.binary_search_by(|known| known.path.as_str().cmp(&name)).is_ok();
        if !entry.file_type().is_dir() && name != LEASE && !is_known {
            let what = format!("`{name}` was not published with it");
            added.push(Damage { kind: "file_added", what, entry: None });
        }
    }
    added
}
