//! `verify`: whether environments and objects are what was published. Reads only.
//!
//! The short form looks at each entry (kind, mode, size, time: what was written in place shows by its time, what a power cut
//! emptied by its size); the full form reads every byte.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use super::Store;
use super::report::{Finding, Level, Verified};
use crate::cancel::Cancel;
use crate::digest::FileDigest;
use crate::error::{Error, Result};
use crate::fs::{canonical, parallel, read};
use crate::index::{EnvRow, State, bindings, envs};
use crate::layout::LEASE;
use crate::lease::Lease;
use crate::manifest::{Content, Entry, Manifest};
use crate::objects;
use crate::pack::PackRef;

/// What is verified.
#[derive(Debug, Clone, Default)]
pub struct Verify {
    /// Only these environments, by directory name; empty: all, and the objects.
    pub only: Vec<String>,
    /// Read every byte.
    pub full: bool,
}

impl Store {
    /// Compares environments with their manifests, and objects with their names.
    ///
    /// # Errors
    /// Only where the index cannot be read; damage is a finding.
    pub fn verify(&self, ask: &Verify, cancel: &Cancel) -> Result<Verified> {
        let mut done = Verified { full: ask.full, ..Verified::default() };
        let (all, bound) = self.0.index.read("list environments", |db| Ok((envs::all(db)?, bindings::list(db)?)))?;
        let mut packs: HashMap<i64, Vec<PackRef>> = HashMap::new();
        for bound in bound {
            packs.entry(bound.env.id).or_default().push(bound.pack.pack);
        }
        // Who holds a damaged inode is told with it.
        let mut damaged: BTreeMap<FileDigest, Vec<String>> = BTreeMap::new();
        for env in all.iter().filter(|env| matches!(env.state, State::Ready | State::Condemned)) {
            cancel.check("verifying")?;
            if ask.only.is_empty() || ask.only.iter().any(|name| name == env.name.as_str()) {
                let of = packs.get(&env.id).map(Vec::as_slice).unwrap_or_default();
                self.verify_env(env, of, ask.full, &mut damaged, &mut done)?;
            }
        }
        if ask.only.is_empty() {
            self.verify_objects(ask.full, &damaged, cancel, &mut done)?;
        }
        Ok(done)
    }

    /// Compares one environment with its manifest, which is the answer where it could be read.
    pub(super) fn verify_env(
        &self,
        env: &EnvRow,
        packs: &[PackRef],
        full: bool,
        damaged: &mut BTreeMap<FileDigest, Vec<String>>,
        done: &mut Verified,
    ) -> Result<Option<Manifest>> {
        let layout = &self.0.layout;
        let name = env.name.as_str();
        let used_by: Vec<_> = packs.iter().map(PackRef::as_str).collect();
        let used_by = if used_by.is_empty() { String::new() } else { format!(", used by pack {}", used_by.join(", ")) };
        let mut tell = |kind: &str, what: &str| {
            let message = format!("`{name}`{used_by}: {what}");
            let hint = packs.first().map(|pack| format!("`envstore ensure --rebuild {pack}` makes it anew"));
            done.findings.push(Finding { kind: kind.into(), level: Level::Damage, message, hint });
        };
        let Some(_lease) = Lease::acquire(&layout.lease(&env.name))? else {
            tell("environment_missing", "its directory is gone");
            return Ok(None);
        };
        let manifest = match Manifest::read(&layout.manifest(&env.name)) {
            Ok(manifest) => manifest,
            Err(error @ Error::UnsupportedFormat { .. }) => return Err(error),
            Err(error) => {
                tell("manifest_damaged", &error.to_string());
                return Ok(None);
            }
        };
        let dir = layout.env(&env.name);
        let differing = parallel::map(&manifest.entries, |entry| differs(&dir, entry, full))?;
        for (entry, what) in manifest.entries.iter().zip(differing) {
            let Some(what) = what else { continue };
            tell("file_damaged", &format!("`{}` {what}", entry.path));
            if let Content::File { digest, .. } = entry.content {
                damaged.entry(digest).or_default().push(name.to_owned());
            }
        }
        for path in added(&dir, &manifest)? {
            tell("file_added", &format!("`{path}` was not published with it"));
        }
        done.environments += 1;
        done.files += manifest.files();
        Ok(Some(manifest))
    }

    fn verify_objects(
        &self,
        full: bool,
        damaged: &BTreeMap<FileDigest, Vec<String>>,
        cancel: &Cancel,
        done: &mut Verified,
    ) -> Result<()> {
        let all = objects::all(&self.0.layout)?;
        cancel.check("verifying")?;
        let looked = parallel::map(&all, |path| -> Result<Option<(FileDigest, &'static str)>> {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some((digest, exec)) = self.0.layout.object_of(name) else { return Ok(None) };
            let Ok(meta) = fs::symlink_metadata(path) else { return Ok(None) };
            if !canonical::looks_sealed(&meta, exec, meta.len()) {
                return Ok(Some((digest, "was written to, or its mode was changed")));
            }
            if full && FileDigest::from(read::content(&read::open(path)?, path, None, |_| ())?.digest) != digest {
                return Ok(Some((digest, "holds other bytes")));
            }
            Ok(None)
        })?;
        done.objects = all.len() as u64;
        for (digest, what) in looked.into_iter().flatten() {
            let held = damaged.get(&digest).map(|envs| format!(", as in `{}`", envs.join("`, `"))).unwrap_or_default();
            done.findings.push(Finding {
                kind: "object_damaged".into(),
                level: Level::Damage,
                message: format!("object `{digest}` {what}{held}"),
                hint: Some("it is not used; the next environment that needs it installs its artifact again".into()),
            });
        }
        Ok(())
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
        Content::File { digest, .. } if full => {
            match read::open(&path).and_then(|file| read::content(&file, &path, None, |_| ())) {
                Ok(content) if FileDigest::from(content.digest) == *digest => None,
                Ok(_) => Some("holds other bytes".into()),
                Err(error) => Some(format!("cannot be read: {error}")),
            }
        }
        Content::File { .. } => None,
    })
}

/// What stands in an environment and is no entry of its manifest.
fn added(dir: &Path, manifest: &Manifest) -> Result<Vec<String>> {
    let mut added = Vec::new();
    for entry in walkdir::WalkDir::new(dir).min_depth(1) {
        let entry = entry.map_err(|error| Error::Io { op: "walk", path: dir.to_owned(), source: error.into() })?;
        let name = entry.path().strip_prefix(dir).unwrap_or(entry.path()).to_string_lossy().into_owned();
        let is_known = manifest.entries.binary_search_by(|known| known.path.as_str().cmp(&name)).is_ok();
        if !entry.file_type().is_dir() && name != LEASE && !is_known {
            added.push(name);
        }
    }
    Ok(added)
}
