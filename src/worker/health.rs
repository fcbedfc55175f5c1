//! Automatic health checks: a few environments at a time, the longest unlooked-at first.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cancel::Cancel;
use crate::digest::EnvKey;
use crate::error::Result;
use crate::runtime::PythonVenvManager;
use crate::store::Store;
use crate::store::report::{Level, PackSummary};
use crate::store::verify::Verify;

/// How many environments one beat looks at, beside those that were not sound before. Each costs a `stat` of every file.
const AT_ONCE: usize = 4;

/// An environment that packs are bound to and that is not as it should be.
#[derive(Debug, Clone, Serialize)]
pub struct Unhealthy {
    /// Its key.
    pub env: EnvKey,
    /// Its directory.
    pub path: PathBuf,
    /// The packs that would run in it.
    pub packs: Vec<String>,
    /// What is wrong with it.
    pub reasons: Vec<String>,
}

/// What is known of the environments' health.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// By directory: the beat that looked at it last, and what it found.
    looked: HashMap<PathBuf, (u64, Vec<String>)>,
    beat: u64,
}

impl Health {
    /// Looks at a few of the environments that packs are bound to, and says which are not sound.
    pub fn check(&mut self, store: &Store, packs: &[PackSummary]) -> Result<Vec<Unhealthy>> {
        self.beat += 1;
        let mut bound: HashMap<&PathBuf, Unhealthy> = HashMap::new();
        for pack in packs {
            let environment = bound.entry(&pack.path).or_insert_with(|| Unhealthy {
                env: pack.env,
                path: pack.path.clone(),
                packs: Vec::new(),
                reasons: Vec::new(),
            });
            environment.packs.push(PythonVenvManager::pack_ref(&pack.pack));
        }
        self.looked.retain(|path, _| bound.contains_key(path));
        let mut due: Vec<(bool, u64, &PathBuf)> = bound
            .keys()
            .map(|path| self.looked.get(*path).map_or((false, 0, *path), |(at, found)| (found.is_empty(), *at, *path)))
            .collect();
        due.sort();
        let unsound = due.iter().filter(|(is_sound, at, _)| !is_sound && *at > 0).count();
        for (_, _, path) in due.into_iter().take(unsound + AT_ONCE) {
            let found = look(store, path)?;
            self.looked.insert(path.clone(), (self.beat, found));
        }
        let mut unhealthy: Vec<Unhealthy> = bound
            .into_values()
            .filter_map(|environment| {
                let (_, reasons) = self.looked.get(&environment.path)?;
                (!reasons.is_empty()).then(|| Unhealthy { reasons: reasons.clone(), ..environment })
            })
            .collect();
        unhealthy.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(unhealthy)
    }
}

/// What is wrong with an environment.
fn look(store: &Store, path: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    if !path.join("bin/python").exists() {
        found.push("its interpreter is gone".to_owned());
    }
    let only = path.file_name().map(|name| name.to_string_lossy().into_owned()).into_iter().collect();
    let verified = store.verify(&Verify { only, full: false }, &Cancel::new())?;
    let damage = verified.findings.into_iter().filter(|finding| finding.level == Level::Damage);
    found.extend(damage.map(|finding| finding.message));
    Ok(found)
}
