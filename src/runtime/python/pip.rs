//! pip as the installer: `pip install --dry-run --report` makes a lock, `pip install --no-deps` installs one.
//!
//! The lock decides here too: pip's report names one file a package, [`super::pick`] holds it to the declaration's
//! digests and the interpreter's tags, and each artifact is then named by its URL and digest. Both runs happen in a
//! skeleton of ours, so that nothing the interpreter itself has, or says about being managed, plays a part.

pub(crate) mod classify;
mod invocation;
mod options;
pub(crate) mod report;
mod tool;

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use self::invocation::Invocation;
use self::options::Options;
use self::tool::Tool;
use super::classify::Verdict;
use super::from_source::MayBuild;
use super::installer::{self, Installer};
use super::pick::{self, Asks, Rules};
use super::prefer::{self, Answer, Pin};
use super::{indexes, skeleton, source_dir, tags};
use crate::error::{Error, InstallerCause, Phase, Result};
use crate::lock::{Artifact, Lock, Locked};
use crate::spec::{Requirement, Spec};
use crate::store::runtime::Job;

/// A pip that will do.
#[derive(Debug)]
pub(crate) struct Pip {
    tool: Tool,
}

impl Pip {
    /// The interpreter's own pip, or a pinned one.
    pub(crate) fn find_or_fetch(job: &Job<'_>) -> Result<Self> {
        tool::find_or_fetch(job).map(|tool| Self { tool })
    }
}

impl Installer for Pip {
    fn label(&self) -> String {
        format!("pip {}", self.tool.version)
    }

    fn lock(&self, job: &Job<'_>, spec: &Spec, preferred: &[Pin], may_build: &MayBuild) -> Result<Answer> {
        if job.settings.lock.exclude_newer.is_some() {
            let reason = "pip cannot leave out what is newer; `installer = \"uv\"` can".into();
            return Err(Error::InvalidConfig { origin: "`lock.exclude_newer`".into(), reason });
        }
        // pip has no preferences: they are limits that are all kept, or none is.
        let limits: Vec<String> = preferred.iter().map(|pin| format!("{}=={}", pin.name, pin.version)).collect();
        self.lock_within(job, spec, &limits, may_build)
    }

    fn install(&self, job: &Job<'_>, lock: &Lock, env_dir: &Path) -> Result<()> {
        let run = Invocation::new(job, &self.tool, Phase::Install);
        let lock = installer::private_sources(job, lock)?;
        run.refuse_remote(lock.packages.iter().map(|locked| line(locked, false)))?;
        let all_files = |artifact: &Artifact| matches!(artifact, Artifact::Wheel { .. } | Artifact::Sdist { .. });
        // With it pip refuses commits and directories, which have no file to digest; without it the digests behind
        // URLs are still compared.
        let digests = lock.packages.iter().all(|package| all_files(&package.artifact));
        let file = job.scratch.join("locked.txt");
        let lines: Vec<String> = lock.packages.iter().map(|locked| line(locked, digests)).collect();
        installer::write_lines(&file, lines.iter().map(String::as_str))?;

        let mut arguments: Vec<OsString> = ["install", "--no-deps", "--no-compile"].map(OsString::from).into();
        arguments.push("--no-warn-script-location".into());
        if digests {
            arguments.push("--require-hashes".into());
        }
        arguments.extend(["-r".into(), file.into()]);
        (job.progress)(&format!("installing {} distributions", lock.packages.len()));
        run.run(&env_dir.join("bin/python"), &arguments, &Options::default()).map(drop)
    }

    fn forget(&self, _: &Job<'_>, _: &Lock) -> Result<()> {
        // pip compares digests each time, also of what its cache holds.
        Ok(())
    }
}

impl Pip {
    /// Locks with these limits beside the declaration's own.
    fn lock_within(&self, job: &Job<'_>, spec: &Spec, limits: &[String], may_build: &MayBuild) -> Result<Answer> {
        let run = Invocation::new(job, &self.tool, Phase::Lock);
        let rules = Rules::of(spec, may_build.clone()).map_err(|verdict| run.refused(verdict))?;
        let tags = tags::tags(job.interpreter)?;
        let options = options::translate(&may_build.options(&spec.options));
        for option in &options.ignored {
            job.log.line(&format!("the option {option} means nothing to pip and is passed over"));
        }
        let seed = spec.seed.iter().cloned();
        let lines: Vec<String> = spec.requirements.iter().map(held).chain(seed).collect();
        run.refuse_remote(lines.iter().cloned())?;
        let requirements = job.scratch.join("requirements.in");
        installer::write_lines(&requirements, lines.iter().map(String::as_str))?;
        let constraints = job.scratch.join("constraints.in");
        let limits = job.settings.lock.minimum.iter().chain(limits).map(String::as_str);
        installer::write_lines(&constraints, spec.constraints.iter().map(Requirement::line).chain(limits))?;

        let empty = job.scratch.join("empty");
        if !empty.exists() {
            fs::create_dir(&empty).map_err(Error::io("create", &empty))?;
            skeleton::create(&empty, job.interpreter)?;
        }
        let report = job.scratch.join("report.json");
        let mut arguments: Vec<OsString> = ["install", "--dry-run", "--ignore-installed"].map(OsString::from).into();
        arguments.extend(["--report".into(), report.clone().into()]);
        arguments.extend(options.arguments.iter().map(OsString::from));
        arguments.extend(may_build.arguments().iter().map(OsString::from));
        arguments.extend(["-c".into(), constraints.into(), "-r".into(), requirements.into()]);
        (job.progress)("locking");
        let said = run.run(&empty.join("bin/python"), &arguments, &options).map_err(|error| run.told_offline(error))?;

        let text = fs::read(&report).map_err(Error::io("read", &report))?;
        let pylock = report::parse(&text)
            .map_err(|reason| run.other(format!("pip {} made no usable report: {reason}", self.tool.version)))?;
        let asks = Asks {
            rank: &|file: &str| tags::rank(&tags, file),
            directory: &|path| {
                source_dir::digest(path).map_err(|error| Verdict::new(InstallerCause::Other, error.to_string()))
            },
            index: &|package, url| indexes::index_of(job.settings, package, url),
        };
        let lock = pick::pick(&pylock, &rules, job.scratch, &asks).map_err(|verdict| run.refused(verdict))?;
        Ok(Answer { lock, yanked: prefer::yanked(&said) })
    }
}

/// A requirement's line. A local file has its digest behind it, which counts as one where digests are required.
fn held(requirement: &Requirement) -> String {
    with_host(held_line(requirement))
}

/// pip's parser wants a host in every URL that is not a plain file's.
fn with_host(line: String) -> String {
    line.replace("+file:///", "+file://localhost/")
}

fn held_line(requirement: &Requirement) -> String {
    let local = requirement.canonical.split_whitespace().find_map(|word| word.strip_prefix("sha256:"));
    match local.and_then(|word| word.split('#').next()) {
        Some(sha256) if requirement.install.is_some() => {
            let place = |word: &str| match word.split_once('#') {
                _ if !word.starts_with("file:") => word.to_owned(),
                Some((file, within)) => format!("{file}#sha256={sha256}&{within}"),
                None => format!("{word}#sha256={sha256}"),
            };
            requirement.line().split(' ').map(place).collect::<Vec<_>>().join(" ")
        }
        _ => requirement.line().to_owned(),
    }
}

/// A locked package as a requirement that leaves no choice.
fn line(locked: &Locked, digests: bool) -> String {
    let Locked { name, artifact, .. } = locked;
    match artifact {
        Artifact::Wheel { url, sha256, .. } | Artifact::Sdist { url, sha256, .. } => {
            let within = match artifact {
                Artifact::Sdist { subdirectory: Some(directory), .. } => format!("&subdirectory={directory}"),
                _ => String::new(),
            };
            let hash = if digests { format!(" --hash=sha256:{sha256}") } else { String::new() };
            format!("{name} @ {url}#sha256={sha256}{within}{hash}")
        }
        Artifact::Vcs { vcs, url, commit, subdirectory } => {
            let within = subdirectory.as_ref().map(|path| format!("#subdirectory={path}")).unwrap_or_default();
            with_host(format!("{name} @ {vcs}+{url}@{commit}{within}"))
        }
        Artifact::Directory { path, .. } => {
            let url = url::Url::from_file_path(path).map_or_else(|()| path.clone(), String::from);
            format!("{name} @ {url}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_file_is_held_to_its_digest() {
        let requirement = |canonical: &str, install: Option<&str>| Requirement {
            canonical: canonical.into(),
            install: install.map(Into::into),
        };
        for (canonical, install, expected) in [
            ("six>=1", None, "six>=1"),
            ("a @ sha256:aa", Some("a @ file:///w/a.whl"), "a @ file:///w/a.whl#sha256=aa"),
            (
                "a @ sha256:aa#subdirectory=x ; os_name == 'nt'",
                Some("a @ file:///a.zip#subdirectory=x ; os_name == 'nt'"),
                "a @ file:///a.zip#sha256=aa&subdirectory=x ; os_name == 'nt'",
            ),
            ("dir:aa", Some("file:///d"), "file:///d"),
            ("a @ git+file:///r@main", None, "a @ git+file://localhost/r@main"),
        ] {
            assert_eq!(held(&requirement(canonical, install)), expected);
        }
    }
}
