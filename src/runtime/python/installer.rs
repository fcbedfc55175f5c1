//! What installs: uv or pip, behind one seam. Both are given the same, and what comes out is the same.

use std::fs;
use std::path::{Path, PathBuf};

use super::classify::Verdict;
use super::from_source::MayBuild;
use super::pip::Pip;
use super::prefer::{Answer, Pin};
use super::uv::Uv;
use super::{source_dir, tool};
use crate::cancel::Cancel;
use crate::error::{Error, InstallerCause, Phase, Result};
use crate::lock::{Artifact, Lock};
use crate::settings::{self, Settings};
use crate::spec::Spec;
use crate::store::runtime::Job;

/// A tool that locks and installs.
pub(crate) trait Installer: std::fmt::Debug {
    /// Its name and version. Provenance, not identity.
    fn label(&self) -> String;

    /// Makes the lock of a spec that is not empty and brings none itself: of these versions where they fit, building
    /// only what may be.
    ///
    /// # Errors
    /// [`Error::Installer`] in phase [`Phase::Lock`], sorted by cause.
    fn lock(&self, job: &Job<'_>, spec: &Spec, preferred: &[Pin], may_build: &MayBuild) -> Result<Answer>;

    /// Installs a lock's artifacts, and nothing else, into an environment that has its interpreter and nothing else.
    ///
    /// # Errors
    /// [`Error::Installer`] in phase [`Phase::Install`], sorted by cause.
    fn install(&self, job: &Job<'_>, lock: &Lock, env_dir: &Path) -> Result<()>;

    /// Forgets what its cache has of a lock's distributions: it was found to be damaged.
    fn forget(&self, job: &Job<'_>, lock: &Lock) -> Result<()>;
}

/// The installer that the settings ask for; fetched where there is none.
pub(crate) fn choose(job: &Job<'_>) -> Result<Box<dyn Installer>> {
    Ok(match job.settings.install.installer {
        settings::Installer::Auto | settings::Installer::Uv => Box::new(Uv(tool::find_or_fetch(job)?)),
        settings::Installer::Pip => Box::new(Pip::find_or_fetch(job)?),
    })
}

/// The installer that the settings ask for, where it is there without being fetched.
pub(crate) fn found(settings: &Settings, tools: &Path, cancel: &Cancel) -> Result<Option<String>> {
    Ok(match settings.install.installer {
        settings::Installer::Auto | settings::Installer::Uv => {
            tool::find(settings, tools, cancel)?.map(|tool| format!("uv {} at `{}`", tool.version, tool.path.display()))
        }
        settings::Installer::Pip => Some("pip, each interpreter's own where it is new enough".into()),
    })
}

/// A lock whose directories are private copies: what is built is what was locked, and the build writes into nobody's
/// directory.
///
/// # Errors
/// [`InstallerCause::HashMismatch`] for a directory that has changed since.
pub(crate) fn private_sources(job: &Job<'_>, lock: &Lock) -> Result<Lock> {
    let mut lock = lock.clone();
    for (n, package) in lock.packages.iter_mut().enumerate() {
        if let Artifact::Directory { path, digest } = &mut package.artifact {
            let copy = job.scratch.join(format!("source-{n}"));
            source_dir::copy(Path::new(path), &copy)?;
            if source_dir::digest(&copy)? != *digest {
                let summary = format!("the directory `{path}` is no longer what was locked");
                return Err(refused(job, Phase::Install, Verdict::new(InstallerCause::HashMismatch, summary)));
            }
            let other = || Verdict::new(InstallerCause::Other, "the store's path is not UTF-8");
            *path = copy.to_str().ok_or_else(|| refused(job, Phase::Install, other()))?.to_owned();
        }
    }
    Ok(lock)
}

/// Writes requirement lines. A line break inside one would be another requirement.
pub(crate) fn write_lines<'a>(path: &Path, lines: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut text = String::new();
    for line in lines {
        if line.contains(['\n', '\r']) {
            let reason = format!("`{}` has a line break", line.escape_debug());
            return Err(Error::InvalidSpec { origin: "the requirements".into(), line: None, reason });
        }
        text.push_str(line);
        text.push('\n');
    }
    write(path, &text)
}

/// Writes the site's limits for what builds need, if there are any, and says where.
pub(crate) fn write_build_constraints(job: &Job<'_>) -> Result<Option<PathBuf>> {
    let lines = &job.settings.install.build_constraints;
    if lines.is_empty() {
        return Ok(None);
    }
    let file = job.scratch.join("build-constraints.txt");
    write_lines(&file, lines.iter().map(String::as_str))?;
    Ok(Some(file))
}

pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(Error::io("write", path))
}

/// An error of locking.
pub(crate) fn refused_lock(job: &Job<'_>, verdict: Verdict) -> Error {
    refused(job, Phase::Lock, verdict)
}

/// An error of one phase, with what the log has so far.
pub(crate) fn refused(job: &Job<'_>, phase: Phase, verdict: Verdict) -> Error {
    Error::Installer {
        phase,
        cause: verdict.cause,
        summary: job.log.masked(&verdict.summary),
        tail: job.log.tail(),
        log: job.log.path().map(Path::to_owned),
    }
}
