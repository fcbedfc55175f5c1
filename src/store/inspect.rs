//! What there is: `list` and `show`.

use std::collections::HashMap;

use super::history::newest_first;
use super::report::{Entry, EnvSummary, GenerationSummary, PackDetails, PackSummary, Process, RunningGeneration};
use super::{Store, running};
use crate::error::{Error, Result};
use crate::index::{Bound, EnvRow, bindings, envs};
use crate::pack::PackRef;

/// A pack, which stands for its environment, or an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The environment a pack is bound to.
    Pack(PackRef),
    /// The beginning of a key, at least 8 characters.
    Env(String),
}

impl Store {
    /// Every bound pack, by name.
    pub fn list(&self) -> Result<Vec<PackSummary>> {
        let layout = &self.0.layout;
        self.0.index.read("list packs", |db| {
            let bound = bindings::list(db)?;
            let mut shared = std::collections::HashMap::new();
            for binding in &bound {
                *shared.entry(binding.env.id).or_insert(0u64) += 1;
            }
            let distributions = envs::distribution_counts(db)?;
            let summaries = bound.into_iter().map(|bound| {
                let path = layout.env(&bound.env.name);
                PackSummary {
                    interpreter: path.join("bin/python"),
                    path,
                    distributions: distributions.get(&bound.env.id).copied().unwrap_or(0),
                    shared_by: shared.get(&bound.env.id).copied().unwrap_or(1),
                    pack: bound.pack.pack,
                    env: bound.env.key,
                    version: bound.env.interpreter.identity.version.clone(),
                    generation: bound.generation,
                    bytes: bound.env.bytes,
                    bound_at: bound.at,
                    origin: bound.pack.origin,
                }
            });
            Ok(summaries.collect())
        })
    }

    /// A bound pack with what its environment holds; none: it is bound to nothing. One read of the index.
    pub fn entry(&self, pack: &PackRef) -> Result<Option<Entry>> {
        self.0
            .index
            .read("look up a pack", |db| bindings::resolve(db, pack)?.map(|bound| self.told(db, bound)).transpose())
    }

    /// Every bound pack with what its environment holds, by name.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        self.0
            .index
            .read("list packs", |db| bindings::list(db)?.into_iter().map(|bound| self.told(db, bound)).collect())
    }

    fn told(&self, db: &rusqlite::Connection, bound: Bound) -> rusqlite::Result<Entry> {
        let path = self.0.layout.env(&bound.env.name);
        let history = bindings::history(db, bound.pack.id)?;
        let same = history.iter().rev().skip_while(|past| past.generation > bound.generation);
        let since = same.take_while(|past| past.answers == bound.answers).last().map_or(bound.at, |past| past.at);
        let identity = &bound.env.interpreter.identity;
        Ok(Entry {
            interpreter: path.join("bin/python"),
            path,
            pack: bound.pack.pack,
            env: bound.env.key,
            runtime: identity.runtime,
            version: identity.version.clone(),
            generation: bound.generation,
            distributions: envs::distributions(db, bound.env.id)?,
            answers_since: since,
            bound_at: bound.at,
        })
    }

    /// Every environment, by creation.
    pub fn list_envs(&self) -> Result<Vec<EnvSummary>> {
        self.0
            .index
            .read("list environments", |db| envs::all(db)?.into_iter().map(|env| self.summary(db, env)).collect())
    }

    /// A pack's declaration, environment and history.
    ///
    /// # Errors
    /// [`Error::NoPack`].
    pub fn show(&self, pack: &PackRef) -> Result<PackDetails> {
        let found = self.0.index.read("show a pack", |db| {
            let Some(bound) = bindings::resolve(db, pack)? else { return Ok(None) };
            let Some(declaration) = bindings::spec(db, &bound.pack.spec)? else { return Ok(None) };
            let generations = newest_first(bindings::history(db, bound.pack.id)?);
            let mut shared_with = bindings::packs_of(db, bound.env.id)?;
            shared_with.retain(|other| other != pack);
            Ok(Some(PackDetails {
                shared_with,
                running: running_generations(&generations, running::by_env(&self.0.layout)),
                pack: pack.clone(),
                generation: bound.generation,
                spec: bound.pack.spec,
                declaration,
                origin: bound.pack.origin,
                stale: bound.answers != bound.pack.spec,
                environment: self.summary(db, bound.env)?,
                generations,
            }))
        })?;
        found.ok_or_else(|| Error::NoPack(pack.clone()))
    }

    /// The environment whose key begins with a text of at least 8 characters.
    ///
    /// # Errors
    /// [`Error::NoEnv`] when none does, or several do.
    pub fn show_env(&self, prefix: &str) -> Result<EnvSummary> {
        let env = self.find_env(prefix)?;
        self.0.index.read("show an environment", |db| self.summary(db, env.clone()))
    }

    /// The environment a pack is bound to, or the one that is named.
    pub(super) fn find(&self, what: &What) -> Result<EnvRow> {
        match what {
            What::Pack(pack) => {
                let bound = self.0.index.read("look up a binding", |db| bindings::resolve(db, pack))?;
                Ok(bound.ok_or_else(|| Error::NoPack(pack.clone()))?.env)
            }
            What::Env(prefix) => self.find_env(prefix),
        }
    }

    fn find_env(&self, prefix: &str) -> Result<EnvRow> {
        let no_env = || Error::NoEnv(format!("env:{prefix}"));
        if prefix.len() < 8 {
            return Err(no_env());
        }
        let mut matching = self.0.index.read("look up an environment", envs::all)?;
        matching.retain(|env| env.key.to_string().starts_with(prefix));
        let key = matching.first().map(|env| env.key).ok_or_else(no_env)?;
        if matching.iter().any(|env| env.key != key) {
            return Err(no_env());
        }
        // Two directories of one key: the one that answers, or the newest.
        matching.into_iter().min_by_key(|env| (env.state != envs::State::Ready, -env.id)).ok_or_else(no_env)
    }

    fn summary(&self, db: &rusqlite::Connection, env: EnvRow) -> rusqlite::Result<EnvSummary> {
        let path = self.0.layout.env(&env.name);
        Ok(EnvSummary {
            distributions: envs::distributions(db, env.id)?,
            packs: bindings::packs_of(db, env.id)?,
            env: env.key,
            interpreter: path.join("bin/python"),
            path,
            identity: env.interpreter.identity.clone(),
            state: env.state,
            tree_digest: env.tree_digest,
            bytes: env.bytes,
            files: env.files,
            installer: env.installer,
            notes: env.notes,
            link_mode: env.link_mode,
            created_at: env.created_at,
            last_used_at: env.last_used_at,
        })
    }
}

/// The generations whose environments processes use; of several with one environment the newest.
fn running_generations(
    generations: &[GenerationSummary],
    mut processes: HashMap<String, Vec<Process>>,
) -> Vec<RunningGeneration> {
    let mut found = Vec::new();
    for past in generations {
        let stem = past.env.stem();
        let names = processes.keys().filter(|name| name.split('.').next() == Some(&stem));
        let names: Vec<String> = names.cloned().collect();
        let processes: Vec<Process> = names.iter().filter_map(|name| processes.remove(name)).flatten().collect();
        if !processes.is_empty() {
            found.push(RunningGeneration { generation: past.generation, env: past.env, processes });
        }
    }
    found
}
