//! `diff`: what two environments hold, and why they are not one.
//!
//! Locks are compared, not directories: also generations whose environments were collected have theirs.

use super::Store;
use super::inspect::What;
use super::report::{Diff, Difference, Side};
use crate::digest::{EnvKey, InterpreterDigest, LockDigest, SpecDigest};
use crate::error::{Error, Result};
use crate::index::bindings;
use crate::interpreter::InterpreterIdentity;
use crate::lock::{Artifact, Lock, Locked};
use crate::spec::RuntimeKind;

/// One side, as it was found.
struct Found {
    side: Side,
    lock: Lock,
    options: Option<Vec<String>>,
}

/// What says which lock is meant.
struct Named {
    env: EnvKey,
    lock: LockDigest,
    interpreter: InterpreterDigest,
    answers: Option<SpecDigest>,
    generation: Option<u64>,
}

impl Store {
    /// Compares two packs or environments, each at a generation or as it is. Of one pack alone, a generation (else the one before
    /// the current) with another (else the current).
    ///
    /// # Errors
    /// [`Error::NoPack`], [`Error::NoEnv`], [`Error::NoGeneration`].
    pub fn diff(&self, a: &What, b: Option<&What>, from: Option<u64>, to: Option<u64>) -> Result<Diff> {
        let from = self.side(a, from, b.is_none() && from.is_none())?;
        let to = self.side(b.unwrap_or(a), to, false)?;
        let interpreters_differ = from.side.interpreter_digest != to.side.interpreter_digest;
        let (differences, same) = differences(&from.lock, &to.lock);
        let options_differ = from.options.is_some() && to.options.is_some() && from.options != to.options;
        Ok(Diff {
            is_same_env: from.side.env == to.side.env,
            differences,
            same,
            interpreters_differ,
            options: options_differ.then(|| [from.options.unwrap_or_default(), to.options.unwrap_or_default()]),
            from: from.side,
            to: to.side,
        })
    }

    fn side(&self, what: &What, generation: Option<u64>, before_current: bool) -> Result<Found> {
        let (named, pack) = match what {
            What::Pack(pack) => (self.generation(pack, generation, before_current)?, Some(pack.clone())),
            What::Env(prefix) => {
                if let Some(generation) = generation {
                    let what = format!("compare generation {generation} of `env:{prefix}`");
                    return Err(Error::NotPermitted { what, reason: "only packs have generations".into() });
                }
                let env = self.find(what)?;
                let interpreter = env.interpreter.digest();
                (Named { env: env.key, lock: env.lock, interpreter, answers: None, generation: None }, None)
            }
        };
        let remembered = self.0.index.interpreters_of(&named.interpreter)?;
        let interpreter: Option<InterpreterIdentity> = remembered.into_iter().next().map(|one| one.identity);
        let runtime = self.runtime(interpreter.as_ref().map_or(RuntimeKind::Python, |identity| identity.runtime))?;
        let lock = self.kept_lock_of(&named.lock, runtime)?;
        let spec = self.0.index.read("look up a declaration", |db| {
            named.answers.as_ref().map(|answers| bindings::spec(db, answers)).transpose()
        })?;
        let side = Side {
            pack,
            generation: named.generation,
            env: named.env,
            interpreter,
            interpreter_digest: named.interpreter,
        };
        Ok(Found { side, lock, options: spec.flatten().map(|spec| spec.options) })
    }

    fn generation(&self, pack: &crate::PackRef, wanted: Option<u64>, before_current: bool) -> Result<Named> {
        let found = self.0.index.read("look up a pack's history", |db| {
            let Some(row) = bindings::find_pack(db, pack)? else { return Ok(None) };
            Ok(Some((bindings::history(db, row.id)?, bindings::resolve(db, pack)?.map(|bound| bound.generation))))
        })?;
        let (history, current) = found.ok_or_else(|| Error::NoPack(pack.clone()))?;
        let current = current.or_else(|| history.last().map(|last| last.generation));
        let past = history.iter().rev().find(|past| match wanted {
            Some(wanted) => past.generation == wanted,
            None if before_current => Some(past.generation) < current,
            None => Some(past.generation) == current,
        });
        let kept = || history.iter().map(|past| past.generation).collect();
        let past = past.ok_or_else(|| Error::NoGeneration { pack: pack.clone(), wanted, kept: kept() })?;
        Ok(Named {
            env: past.key,
            lock: past.lock,
            interpreter: past.interpreter,
            answers: Some(past.answers),
            generation: Some(past.generation),
        })
    }
}

/// What differs, by name, and how many distributions do not.
fn differences(from: &Lock, to: &Lock) -> (Vec<Difference>, u64) {
    let find = |lock: &Lock, name: &str| lock.packages.iter().find(|package| package.name == name).cloned();
    let mut names: Vec<&str> = from.packages.iter().chain(&to.packages).map(|package| package.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let (mut differences, mut same) = (Vec::new(), 0);
    for name in names {
        let (before, after) = (find(from, name), find(to, name));
        let identity = |package: &Option<Locked>| {
            let of = |package: &Locked| {
                let (kind, digest, part) = package.artifact.identity();
                (package.version.clone(), kind, digest.to_owned(), part.to_owned())
            };
            package.as_ref().map(of)
        };
        if identity(&before) == identity(&after) {
            same += 1;
            continue;
        }
        let version = |package: &Option<Locked>| package.as_ref().map(|package| package.version.clone());
        let artifact = |package: &Option<Locked>| package.as_ref().map(|package| describe(&package.artifact));
        differences.push(Difference {
            name: name.into(),
            from: version(&before),
            to: version(&after),
            from_artifact: artifact(&before),
            to_artifact: artifact(&after),
        });
    }
    (differences, same)
}

fn describe(artifact: &Artifact) -> String {
    match artifact {
        Artifact::Wheel { file, sha256, .. } | Artifact::Sdist { file, sha256, .. } => {
            format!("{file} sha256:{sha256}")
        }
        Artifact::Vcs { vcs, url, commit, .. } => format!("{vcs}+{url}@{commit}"),
        Artifact::Directory { path, digest } => format!("{path} {digest}"),
    }
}
