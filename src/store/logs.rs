//! `logs`: what was said while a pack's environment was made.

use std::path::PathBuf;
use std::time::SystemTime;

use super::Store;
use super::report::PackLog;
use crate::digest::SpecDigest;
use crate::error::{Error, Result};
use crate::index::{bindings, interpreters};
use crate::manifest::Manifest;
use crate::pack::PackRef;

impl Store {
    /// The newest log of the pack's last declaration, else that of its environment, which another pack may have asked
    /// for first. Secrets were masked as it was written.
    ///
    /// # Errors
    /// [`Error::NoPack`]; [`Error::NoLog`] where there was nothing to do, or the collector took it.
    pub fn log(&self, pack: &PackRef) -> Result<PackLog> {
        let layout = &self.0.layout;
        let bound = self.0.index.read("look up a binding", |db| bindings::resolve(db, pack))?;
        let bound = bound.ok_or_else(|| Error::NoPack(pack.clone()))?;
        let known = self.0.index.read("list interpreters", interpreters::digests)?;
        let of = |spec: &SpecDigest| {
            known.iter().map(|interpreter| layout.log_of(spec, interpreter)).filter_map(dated).max()
        };
        let built_for =
            || Manifest::read(&layout.manifest(&bound.env.name)).ok().map(|manifest| manifest.spec.digest());
        let found = of(&bound.pack.spec).or_else(|| of(&bound.answers)).or_else(|| of(&built_for()?));
        let (_, path) = found.ok_or_else(|| Error::NoLog(pack.clone()))?;
        let text = std::fs::read(&path).map_err(Error::io("read", &path))?;
        Ok(PackLog { pack: pack.clone(), log: path, text: String::from_utf8_lossy(&text).into_owned() })
    }
}

/// A file that is there, and when it was written last.
fn dated(path: PathBuf) -> Option<(SystemTime, PathBuf)> {
    let modified = std::fs::metadata(&path).ok()?.modified().ok()?;
    Some((modified, path))
}
