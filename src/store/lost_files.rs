//! Finds lost locks and manifests, and restores a lost lock from the manifest of an environment that was built from it.
//!
//! A lost manifest is not restored: `verify --repair` rebuilds the environment from its lock, and from objects where they exist.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::Store;
use super::report::{Finding, Level, Unrepaired, Verified};
use super::runtime::Runtime;
use crate::digest::LockDigest;
use crate::error::{Error, Result};
use crate::fs::{durable, read};
use crate::index::{State, bindings, collection, envs};
use crate::layout::{EnvName, Layout};
use crate::manifest::Manifest;
use crate::pack::PackRef;

/// No lock is bigger.
const SIZE_LIMIT: u64 = 64 << 20;

/// A lock that an environment or a generation names and that is not there as it was written.
#[derive(Debug, Clone)]
pub(super) struct LostLock {
    digest: LockDigest,
    is_missing: bool,
    /// The environments that were made of it, whose manifests hold it.
    envs: Vec<EnvName>,
    generations: Vec<(PackRef, u64)>,
}

impl LostLock {
    /// What is wrong, and for whom.
    pub fn finding(&self) -> Finding {
        let kind = if self.is_missing { "lock_missing" } else { "lock_damaged" };
        let finding =
            Finding::new(kind, if self.envs.is_empty() { Level::Warning } else { Level::Damage }, self.told());
        if self.envs.is_empty() {
            return finding;
        }
        finding.hint("`envstore verify --repair` writes it again from a manifest")
    }

    fn told(&self) -> String {
        let what = if self.is_missing { "is missing" } else { "holds other bytes" };
        let mut packs: BTreeMap<&PackRef, Vec<String>> = BTreeMap::new();
        for (pack, generation) in &self.generations {
            packs.entry(pack).or_default().push(generation.to_string());
        }
        let packs: Vec<_> =
            packs.into_iter().map(|(pack, of)| format!("pack `{pack}` (generation {})", of.join(", "))).collect();
        let named = if packs.is_empty() { String::new() } else { format!(", named by {}", packs.join("; ")) };
        let lost = if self.envs.is_empty() { ": no manifest holds it, and no rollback can use it" } else { "" };
        format!("lock `{}`{named} {what}{lost}", self.digest)
    }
}

impl Store {
    /// The locks that are not what they are named after, or are missing: all that are named, or some.
    pub(super) fn lost_locks(&self, only: Option<HashSet<LockDigest>>) -> Result<Vec<LostLock>> {
        let named = || self.0.index.read("list locks", collection::named_locks);
        let mut suspects: Vec<(LockDigest, bool)> = Vec::new();
        for digest in named()?.into_keys().filter(|digest| only.as_ref().is_none_or(|only| only.contains(digest))) {
            match state(&self.0.layout, &digest) {
                LockState::Whole => {}
                LockState::Missing => suspects.push((digest, true)),
                LockState::Damaged => suspects.push((digest, false)),
            }
        }
        if suspects.is_empty() {
            return Ok(Vec::new());
        }
        // A collector removes a lock once nothing names it: what is no longer named is no loss.
        let mut still = named()?;
        let lost =
            suspects.into_iter().filter_map(|(digest, is_missing)| Some((digest, is_missing, still.remove(&digest)?)));
        lost.map(|(digest, is_missing, envs)| {
            let of = |db: &rusqlite::Connection| collection::generations_of_lock(db, &digest);
            Ok(LostLock { digest, is_missing, envs, generations: self.0.index.read("list generations", of)? })
        })
        .collect()
    }

    /// Restores lost locks from the manifests that hold them. Reports each lock that a manifest should hold but that could not be restored.
    pub(super) fn restore_locks(&self, lost: &[LostLock], report: &mut Verified) -> Result<()> {
        for lock in lost.iter().filter(|lock| !lock.envs.is_empty()) {
            let mut reason = "no manifest that holds it can be read".to_owned();
            let is_restored = lock.envs.iter().any(|env| {
                let manifest = Manifest::read(&self.0.layout.manifest(env));
                match manifest.and_then(|manifest| restore_lock(&self.0.layout, &self.0.runtimes, &manifest)) {
                    Ok(_) => true,
                    Err(error) => {
                        reason = error.explained();
                        false
                    }
                }
            });
            if is_restored {
                report.restored_locks += 1;
            } else {
                let mut packs: Vec<PackRef> = lock.generations.iter().map(|(pack, _)| pack.clone()).collect();
                packs.dedup();
                let message = format!("{}: {reason}", lock.told());
                report.unrepaired.push(Unrepaired { env: None, packs, message });
            }
        }
        Ok(())
    }

    /// Locks and manifests that are not there: the part of `doctor` about them.
    pub(super) fn look_for_lost_files(&self, findings: &mut Vec<Finding>) -> Result<()> {
        findings.extend(self.lost_locks(None)?.iter().map(LostLock::finding));
        let (all, bound) = self.0.index.read("list environments", |db| Ok((envs::all(db)?, bindings::list(db)?)))?;
        for env in all.iter().filter(|env| env.state == State::Ready) {
            let layout = &self.0.layout;
            if layout.manifest(&env.name).exists() || !layout.lease(&env.name).exists() {
                continue;
            }
            // Perhaps it was collected since the rows were read.
            let now = self.0.index.read("look up an environment", |db| envs::by_id(db, env.id))?;
            if !now.is_some_and(|now| now.state == State::Ready) {
                continue;
            }
            let packs: Vec<_> = bound.iter().filter(|bound| bound.env.id == env.id).collect();
            let used_by: Vec<_> = packs.iter().map(|bound| bound.pack.pack.as_str()).collect();
            let used_by =
                if used_by.is_empty() { String::new() } else { format!(", used by pack {}", used_by.join(", ")) };
            let message = format!("the manifest of `{}`{used_by} is missing", env.name);
            let target = packs.first().map(|bound| format!(" {}", bound.pack.pack)).unwrap_or_default();
            let hint = format!("`envstore verify{target} --repair` makes the environment again");
            findings.push(Finding::new("manifest_missing", Level::Damage, message).hint(hint));
        }
        Ok(())
    }
}

enum LockState {
    Whole,
    Missing,
    Damaged,
}

fn state(layout: &Layout, digest: &LockDigest) -> LockState {
    match read::whole(&layout.lock(digest), SIZE_LIMIT) {
        Ok(text) if *digest == blake3::hash(&text).into() => LockState::Whole,
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => LockState::Missing,
        _ => LockState::Damaged,
    }
}

/// Writes the lock that a manifest holds, unless it is there. Says whether it was written.
///
/// # Errors
/// [`Error::Corrupt`] if this release would write it with other bytes: a lock's name is the digest of its bytes.
pub(super) fn restore_lock(layout: &Layout, runtimes: &[Arc<dyn Runtime>], manifest: &Manifest) -> Result<bool> {
    if matches!(state(layout, &manifest.lock_digest), LockState::Whole) {
        return Ok(false);
    }
    let path = layout.lock(&manifest.lock_digest);
    let kind = manifest.interpreter.identity.runtime;
    let runtime = runtimes.iter().find(|runtime| runtime.kind() == kind);
    let text = runtime.map(|runtime| runtime.write_lock(&manifest.lock, &manifest.interpreter));
    match text.filter(|text| manifest.lock_digest == blake3::hash(text.as_bytes()).into()) {
        Some(text) => durable::write(&layout.dir("staging"), &path, text.as_bytes(), 0o444).map(|()| true),
        None => {
            let reason =
                format!("the manifest of `{}` holds it, but this release writes it with other bytes", manifest.name);
            Err(Error::Corrupt { path, reason })
        }
    }
}
