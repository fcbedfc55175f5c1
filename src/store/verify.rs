//! `verify`: whether environments and objects are what was published. Reads only.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::ErrorKind;

use super::Store;
use super::lost_files::LostLock;
use super::report::{Finding, Level, Verified};
use super::survey::Survey;
use crate::cancel::Cancel;
use crate::digest::FileDigest;
use crate::error::{Error, Result};
use crate::fs::{canonical, parallel};
use crate::index::{EnvRow, State, bindings, components, envs};
use crate::objects::{self, Object};
use crate::pack::PackRef;

/// What is verified.
#[derive(Debug, Clone, Default)]
pub struct Verify {
    /// Only these environments, by directory name; empty: all, and the objects.
    pub only: Vec<String>,
    /// Read every byte.
    pub full: bool,
}

/// What a look at the store found.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Every environment that is not on its way out.
    pub envs: Vec<EnvRow>,
    /// The packs bound to each, by its row.
    pub packs: HashMap<i64, Vec<PackRef>>,
    /// Those that were looked at.
    pub surveys: Vec<Survey>,
    /// The objects that are not what they are named after, or are missing.
    pub objects: Vec<DamagedObject>,
    /// The locks that are not what they are named after, or are missing.
    pub locks: Vec<LostLock>,
    pub report: Verified,
}

/// An object that is not what it is named after.
#[derive(Debug, Clone, Copy)]
pub(super) struct DamagedObject {
    pub digest: FileDigest,
    pub exec: bool,
    pub is_missing: bool,
    what: &'static str,
}

impl DamagedObject {
    pub fn new(object: Object, is_missing: bool) -> Self {
        let what = if is_missing { "is missing" } else { "holds other bytes" };
        Self { digest: object.digest, exec: object.exec, is_missing, what }
    }

    /// Whether it is this object.
    pub fn is(&self, object: &Object) -> bool {
        (self.digest, self.exec) == (object.digest, object.exec)
    }
}

impl Store {
    /// Compares environments with their manifests, and objects with their names.
    ///
    /// # Errors
    /// Only where the index cannot be read; damage is a finding.
    pub fn verify(&self, ask: &Verify, cancel: &Cancel) -> Result<Verified> {
        let report = self.look(ask, cancel)?.report;
        for finding in report.findings.iter().filter(|finding| finding.level == Level::Damage) {
            self.0.observed.tell(|observer| observer.damaged(&finding.message));
        }
        Ok(report)
    }

    pub(super) fn look(&self, ask: &Verify, cancel: &Cancel) -> Result<Looked> {
        let mut looked = Looked { report: Verified { full: ask.full, ..Verified::default() }, ..Looked::default() };
        let (all, bound) = self.0.index.read("list environments", |db| Ok((envs::all(db)?, bindings::list(db)?)))?;
        for bound in bound {
            looked.packs.entry(bound.env.id).or_default().push(bound.pack.pack);
        }
        looked.report.findings.extend(self.place_finding().filter(|finding| finding.level == Level::Damage));
        looked.envs = all.into_iter().filter(|env| matches!(env.state, State::Ready | State::Condemned)).collect();
        for at in 0..looked.envs.len() {
            cancel.check("verifying")?;
            let env = looked.envs[at].clone();
            if ask.only.is_empty() || ask.only.iter().any(|name| name == env.name.as_str()) {
                self.look_at(&env, ask.full, &mut looked)?;
            }
        }
        let only = (!ask.only.is_empty()).then(|| {
            let is_it = |env: &&EnvRow| ask.only.iter().any(|name| name == env.name.as_str());
            looked.envs.iter().filter(is_it).map(|env| env.lock).collect()
        });
        let is_all = only.is_none();
        looked.locks = self.lost_locks(only)?;
        looked.report.findings.extend(looked.locks.iter().map(LostLock::finding));
        if is_all {
            self.look_at_objects(ask.full, cancel, &mut looked)?;
        }
        Ok(looked)
    }

    /// Looks at one environment more.
    pub(super) fn look_at(&self, env: &EnvRow, full: bool, looked: &mut Looked) -> Result<()> {
        let survey = self.survey(env, full)?;
        looked.report.findings.extend(self.named_elsewhere(&env.name));
        // A collector or a repair may have taken it away since the rows were read: its row says so before its files go.
        if !survey.damage.is_empty() {
            let now = self.0.index.read("look up an environment", |db| envs::by_id(db, env.id))?;
            if !now.is_some_and(|now| matches!(now.state, State::Ready | State::Condemned)) {
                return Ok(());
            }
        }
        if let Some(manifest) = &survey.manifest {
            looked.report.environments += 1;
            looked.report.files += manifest.files();
        }
        let packs = looked.packs.get(&env.id).map(Vec::as_slice).unwrap_or_default();
        looked.report.findings.extend(survey.findings(packs));
        // What is sound need not be remembered.
        if !survey.damage.is_empty() {
            looked.surveys.push(survey);
        }
        Ok(())
    }

    fn look_at_objects(&self, full: bool, cancel: &Cancel, looked: &mut Looked) -> Result<()> {
        let mut objects = self.missing_objects()?;
        let (all, unseen) = objects::all(&self.0.layout);
        looked.report.findings.extend(
            unseen.into_iter().map(|(_, error)| Finding::new("objects_unreadable", Level::Damage, error.explained())),
        );
        cancel.check("verifying")?;
        let found = parallel::map(&all, |path| -> Result<Option<DamagedObject>> {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some((digest, exec)) = self.0.layout.object_of(name) else { return Ok(None) };
            let Ok(meta) = fs::symlink_metadata(path) else { return Ok(None) };
            let damaged = |what| Ok(Some(DamagedObject { digest, exec, is_missing: false, what }));
            if !canonical::looks_sealed(&meta, exec, meta.len()) {
                return damaged("was written to, or its mode was changed");
            }
            if full {
                match objects::holds(path, &digest) {
                    Ok(true) => {}
                    Ok(false) => return damaged("holds other bytes"),
                    // Collected since it was listed.
                    Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                    Err(_) => return damaged("cannot be read"),
                }
            }
            Ok(None)
        })?;
        looked.report.objects = all.len() as u64;
        objects.extend(found.into_iter().flatten());
        // Who holds a damaged inode is told with it.
        let mut held: BTreeMap<FileDigest, Vec<&str>> = BTreeMap::new();
        for survey in &looked.surveys {
            for digest in survey.digests() {
                let names = held.entry(digest).or_default();
                if names.last() != Some(&survey.env.name.as_str()) {
                    names.push(survey.env.name.as_str());
                }
            }
        }
        let findings = objects.iter().map(|object| {
            let as_in = held.get(&object.digest).map(|envs| format!(", as in `{}`", envs.join("`, `")));
            let message = format!("object `{}` {}{}", object.digest, object.what, as_in.unwrap_or_default());
            let kind = if object.is_missing { "object_missing" } else { "object_damaged" };
            Finding::new(kind, Level::Damage, message)
                .hint("`envstore verify --repair` replaces it; until then the next environment that needs it installs its artifact again")
        });
        let findings: Vec<_> = findings.collect();
        looked.report.findings.extend(findings);
        looked.objects = objects;
        Ok(())
    }

    /// The objects that components name and that are not there.
    fn missing_objects(&self) -> Result<Vec<DamagedObject>> {
        let is_missing = |object: &Object| !self.0.layout.object(&object.digest, object.exec).exists();
        let named = || self.0.index.read("list components", components::needed_objects);
        let missing: Vec<Object> = named()?.into_iter().filter(is_missing).collect();
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        // Those of components that a collector dropped meanwhile are no loss: their rows go before they do.
        let still = named()?;
        let missing = missing.into_iter().filter(|object| still.contains(object));
        Ok(missing.map(|object| DamagedObject::new(object, true)).collect())
    }
}
