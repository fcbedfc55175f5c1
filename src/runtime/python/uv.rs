//! uv's two verbs here: `uv pip compile` makes a lock, `uv pip sync` installs one.
//!
//! The lock decides, not the installer: compile lists every file that fits, [`super::pick`] chooses one a package, and
//! sync is given a lock file that leaves no choice. (`name==version --hash=…` would not do: for find-links and
//! indexes without digests uv picks first and compares then.)

pub(crate) mod cache;
mod invocation;
mod options;

use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;

use self::invocation::Invocation;
use super::classify::Verdict;
use super::from_source::MayBuild;
use super::installer::{self, Installer};
use super::pick::{self, Asks, Rules};
use super::prefer::{self, Answer, Pin};
use super::pylock;
use super::tool::Tool;
use super::{indexes, source_dir, tags};
use crate::error::{InstallerCause, Phase, Result};
use crate::lock::{Artifact, Lock};
use crate::spec::{Requirement, Spec};
use crate::store::runtime::Job;

/// uv as an installer.
#[derive(Debug)]
pub(crate) struct Uv(pub(crate) Tool);

impl Installer for Uv {
    fn label(&self) -> String {
        format!("uv {}", self.0.version)
    }

    fn lock(&self, job: &Job<'_>, spec: &Spec, preferred: &[Pin], may_build: &MayBuild) -> Result<Answer> {
        let tags = tags::tags(job.interpreter)?;
        lock(job, &self.0, spec, preferred, may_build, &|file| tags::rank(&tags, file))
    }

    fn install(&self, job: &Job<'_>, lock: &Lock, env_dir: &Path) -> Result<()> {
        install(job, &self.0, lock, env_dir, job.limits.deadline)
    }

    fn forget(&self, job: &Job<'_>, lock: &Lock) -> Result<()> {
        let mut arguments: Vec<OsString> = ["cache", "clean"].map(OsString::from).into();
        arguments.extend(lock.packages.iter().map(|package| OsString::from(&package.name)));
        let invocation = Invocation::new(job, &self.0, Phase::Install, job.limits.deadline);
        invocation.run(&arguments, &options::Options::default()).map(drop)
    }
}

/// Makes the lock of a spec for the job's interpreter. `rank` says how well a wheel's file name fits it, more is
/// better.
///
/// # Errors
///
/// [`crate::error::Error::Installer`] in phase [`Phase::Lock`], sorted by cause.
pub(crate) fn lock<R: Ord>(
    job: &Job<'_>,
    tool: &Tool,
    spec: &Spec,
    preferred: &[Pin],
    may_build: &MayBuild,
    rank: &dyn Fn(&str) -> Option<R>,
) -> Result<Answer> {
    if spec.is_empty() {
        return Ok(Answer { lock: Lock::default(), yanked: Vec::new() });
    }
    let invocation = Invocation::new(job, tool, Phase::Lock, job.limits.deadline);
    let rules = Rules::of(spec, may_build.clone()).map_err(|verdict| invocation.refused(verdict))?;
    let options = options::translate(&may_build.options(&spec.options));
    for option in &options.ignored {
        job.log.line(&format!("the option {option} means nothing to uv and is passed over"));
    }

    let requirements = job.scratch.join("requirements.in");
    let seed = spec.seed.iter().map(String::as_str);
    installer::write_lines(&requirements, spec.requirements.iter().map(Requirement::line).chain(seed))?;
    let constraints = job.scratch.join("constraints.in");
    let minimum = job.settings.lock.minimum.iter().map(String::as_str);
    installer::write_lines(&constraints, spec.constraints.iter().map(Requirement::line).chain(minimum))?;

    let mut arguments: Vec<OsString> = ["pip", "compile"].map(OsString::from).into();
    arguments.extend(["--format", "pylock.toml", "--no-header", "--no-annotate", "--python"].map(OsString::from));
    arguments.push(job.interpreter.path.clone().into());
    arguments.extend(options.arguments.iter().map(OsString::from));
    arguments.extend(may_build.arguments().iter().map(OsString::from));
    if let Some(newest) = &job.settings.lock.exclude_newer {
        arguments.extend(["--exclude-newer".into(), newest.into()]);
    }
    if !preferred.is_empty() {
        // An existing output file is what uv prefers; what it writes there is not used.
        let preferences = job.scratch.join("pylock.preferences.toml");
        installer::write(&preferences, &options::preferences(preferred))?;
        arguments.extend(["--output-file".into(), preferences.into()]);
    }
    arguments.extend(build_constraints(job)?);
    arguments.extend(["--constraints".into(), constraints.into(), requirements.into()]);

    (job.progress)("locking");
    let output = invocation.run(&arguments, &options)?;
    let pylock = std::str::from_utf8(&output.stdout)
        .map_err(|error| error.to_string())
        .and_then(|text| pylock::parse(text).map_err(|error| error.to_string()))
        .map_err(|reason| invocation.other(format!("uv {} answered no lock: {reason}", tool.version)))?;
    let asks = Asks {
        rank,
        directory: &|path| {
            source_dir::digest(path).map_err(|error| Verdict::new(InstallerCause::Other, error.to_string()))
        },
        index: &|package, url| indexes::index_of(job.settings, package, url),
    };
    let lock = pick::pick(&pylock, &rules, job.scratch, &asks).map_err(|verdict| invocation.refused(verdict))?;
    Ok(Answer { lock, yanked: prefer::yanked(&output.stderr) })
}

/// Installs a lock's artifacts, and nothing else, into an environment that has its interpreter and nothing else.
/// An empty lock starts no installer.
///
/// # Errors
///
/// [`crate::error::Error::Installer`] in phase [`Phase::Install`], sorted by cause.
pub(crate) fn install(job: &Job<'_>, tool: &Tool, lock: &Lock, env_dir: &Path, deadline: Instant) -> Result<()> {
    if lock.packages.is_empty() {
        return Ok(());
    }
    let invocation = Invocation::new(job, tool, Phase::Install, deadline);
    let lock = installer::private_sources(job, lock)?;
    // uv wants `pylock.NAME.toml`.
    let file = job.scratch.join("pylock.env.toml");
    installer::write(&file, &pylock::write(&lock, job.interpreter))?;

    let mut arguments: Vec<OsString> = ["pip", "sync", "--preview-features", "pylock"].map(OsString::from).into();
    arguments.extend(["--link-mode", "copy", "--python"].map(OsString::from));
    arguments.push(env_dir.join("bin/python").into());
    // With it uv refuses commits and directories, which have no file to digest; without it the digests of all
    // others are still compared (tried).
    let all_files = |artifact: &Artifact| matches!(artifact, Artifact::Wheel { .. } | Artifact::Sdist { .. });
    if lock.packages.iter().all(|package| all_files(&package.artifact)) {
        arguments.push("--require-hashes".into());
    }
    let packages = lock.packages.iter().map(|locked| (locked.name.as_str(), &locked.artifact));
    let may_build = MayBuild::of(&job.settings.install.allow_source).needed(packages);
    arguments.extend(may_build.arguments().iter().map(OsString::from));
    arguments.extend(build_constraints(job)?);
    arguments.push(file.into());

    (job.progress)(&format!("installing {} distributions", lock.packages.len()));
    invocation.run(&arguments, &options::Options::default()).map(drop)
}

/// The arguments that limit what builds need.
fn build_constraints(job: &Job<'_>) -> Result<Vec<OsString>> {
    let file = installer::write_build_constraints(job)?;
    Ok(file.map_or_else(Vec::new, |file| vec!["--build-constraints".into(), file.into()]))
}

#[cfg(test)]
mod tests;
