//! When the installer's cache is to blame: once more, from an empty one.
//!
//! An installer trusts its cache. What was damaged or taken away there (by a disk, a person, an installer that died) reaches an
//! environment as other bytes, which [`finish`] finds, or makes every later run fail, with words that name a
//! file of the cache. If an empty cache does better, the installer is told to forget what it has of those distributions.

use std::path::Path;

use super::finish::{self, Wrong};
use super::installer::Installer;
use super::{prefer, skeleton};
use crate::error::{Error, InstallerCause, Phase, Result};
use crate::fs::remove::remove_tree;
use crate::layout::LEASE;
use crate::lock::Lock;
use crate::spec::Spec;
use crate::store::runtime::{Installed, Job};

/// Locks a spec that is not empty and brings no lock.
pub(super) fn lock(job: &Job<'_>, chosen: &dyn Installer, spec: &Spec) -> Result<Lock> {
    match prefer::lock(chosen, job, spec) {
        Err(error) if names_a_file_of(&error, job.cache) => lock_afresh(job, chosen, spec, error),
        answer => answer,
    }
}

/// Installs a lock that is not empty into a skeleton.
pub(super) fn install(job: &Job<'_>, chosen: &dyn Installer, lock: &Lock, env_dir: &Path) -> Result<Installed> {
    match attempt(job, chosen, lock, env_dir, Wrong::Refused) {
        Err(error) if is_other_than_recorded(&error) || names_a_file_of(&error, job.cache) => {
            install_afresh(job, chosen, lock, env_dir, error)
        }
        installed => installed,
    }
}

fn lock_afresh(job: &Job<'_>, chosen: &dyn Installer, spec: &Spec, error: Error) -> Result<Lock> {
    let locked = with_empty_cache(job, &error, |fresh| prefer::lock(chosen, fresh, spec));
    let Some(lock) = locked? else { return Err(error) };
    forget(job, chosen, &lock);
    Ok(lock)
}

/// What has other bytes than its `RECORD` says from an empty cache too is as it is, and its `RECORD` merely wrong: that is noted.
fn install_afresh(
    job: &Job<'_>,
    chosen: &dyn Installer,
    lock: &Lock,
    env_dir: &Path,
    error: Error,
) -> Result<Installed> {
    for entry in std::fs::read_dir(env_dir).map_err(Error::io("list", env_dir))?.flatten() {
        if entry.file_name() != LEASE {
            remove_tree(&entry.path())?;
        }
    }
    skeleton::create(env_dir, job.interpreter)?;
    let installed = with_empty_cache(job, &error, |fresh| attempt(fresh, chosen, lock, env_dir, Wrong::Noted));
    let Some(mut installed) = installed? else { return Err(error) };
    if !installed.notes.iter().any(|note| note.ends_with(finish::OTHER_BYTES)) {
        installed.notes.push(format!("the installer's cache was damaged and not used: {error}"));
        forget(job, chosen, lock);
    }
    Ok(installed)
}

fn attempt(job: &Job<'_>, chosen: &dyn Installer, lock: &Lock, env_dir: &Path, wrong: Wrong) -> Result<Installed> {
    tracing::debug_span!("install").in_scope(|| chosen.install(job, lock, env_dir))?;
    finish::finish(job, lock, env_dir, wrong)
}

/// Does it in a job with an empty cache; none: that failed too.
fn with_empty_cache<T>(job: &Job<'_>, error: &Error, act: impl FnOnce(&Job<'_>) -> Result<T>) -> Result<Option<T>> {
    job.log.line(&format!("{error}: once more, from an empty cache"));
    let (cache, scratch) = (job.scratch.join("empty-cache"), job.scratch.join("afresh"));
    for dir in [&cache, &scratch] {
        remove_tree(dir)?;
    }
    std::fs::create_dir(&scratch).map_err(Error::io("create", &scratch))?;
    match act(&Job { cache: &cache, scratch: &scratch, ..*job }) {
        Ok(done) => Ok(Some(done)),
        Err(why @ Error::Interrupted { .. }) => Err(why),
        Err(why) => {
            job.log.line(&format!("that failed too: {why}"));
            Ok(None)
        }
    }
}

fn forget(job: &Job<'_>, chosen: &dyn Installer, lock: &Lock) {
    if let Err(why) = chosen.forget(job, lock) {
        job.log.line(&format!("the installer keeps its damaged cache: {why}"));
    }
}

fn is_other_than_recorded(error: &Error) -> bool {
    matches!(error, Error::Installer { phase: Phase::Finish, cause: InstallerCause::HashMismatch, .. })
}

/// Whether the system refused the installer a file of its cache. A build's own words name its directory there, and say nothing of the
/// cache.
fn names_a_file_of(error: &Error, cache: &Path) -> bool {
    let Error::Installer { cause, tail, .. } = error else { return false };
    let inside = format!("{}/", cache.display());
    let is_refused = |line: &String| line.contains(&inside) && line.contains("(os error ");
    !matches!(cause, InstallerCause::SourceBuild | InstallerCause::NoSpace | InstallerCause::Quota)
        && tail.iter().any(is_refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(cause: InstallerCause, line: &str) -> Error {
        let tail = vec!["$ uv pip sync --cache-dir /s/cache/uv/1 --offline".into(), line.into()];
        Error::Installer { phase: Phase::Lock, cause, summary: String::new(), tail, log: None }
    }

    #[test]
    fn a_failure_over_a_file_of_the_cache_is_told_from_others() {
        let gone =
            "cause: failed to read directory `/s/cache/uv/1/archive-v0/x`: No such file or directory (os error 2)";
        let elsewhere = "cause: failed to read `/s/staging/x`: No such file or directory (os error 2)";
        let built = "cc: /s/cache/uv/1/sdists-v9/x.c: No such file or directory";
        for (cause, line, expected) in [
            (InstallerCause::NoSolution, gone, true),
            (InstallerCause::Other, gone, true),
            (InstallerCause::SourceBuild, gone, false),
            (InstallerCause::NoSpace, gone, false),
            (InstallerCause::Other, elsewhere, false),
            (InstallerCause::Other, built, false),
        ] {
            assert_eq!(names_a_file_of(&failed(cause, line), Path::new("/s/cache")), expected, "{cause:?} {line}");
        }
    }
}
