//! A lock that a pack brings itself (PEP 751) becomes the lock for one interpreter: what its markers say, one file
//! a package. No installer takes part and nothing is asked of an index.

use std::collections::BTreeSet;
use std::str::FromStr;

use uv_normalize::GroupName;
use uv_pep440::{Version, VersionSpecifiers};
use uv_pep508::{MarkerEnvironment, MarkerEnvironmentBuilder, MarkerTree};

use super::classify::Verdict;
use super::from_source::MayBuild;
use super::pick::{self, Asks, Rules};
use super::{indexes, installer, source_dir, tags};
use crate::error::{InstallerCause, Result};
use crate::interpreter::{Interpreter, InterpreterIdentity};
use crate::lock::{Artifact, Lock};
use crate::spec::Spec;
use crate::spec::pylock::{Package, Pylock};
use crate::store::runtime::Job;

/// Makes the lock.
///
/// # Errors
/// [`crate::error::Error::Installer`] in phase lock: the lock is for other interpreters, or has no file that fits.
pub(crate) fn lock(job: &Job<'_>, spec: &Spec, pylock: &Pylock) -> Result<Lock> {
    let tags = tags::tags(job.interpreter)?;
    make(job, spec, pylock, &tags).map_err(|verdict| installer::refused_lock(job, verdict))
}

fn make(job: &Job<'_>, spec: &Spec, pylock: &Pylock, tags: &uv_platform_tags::Tags) -> Result<Lock, Verdict> {
    let fitting = fitting(pylock, job.interpreter)?;
    let rules = Rules::of(spec, MayBuild::of(&job.settings.install.allow_source))?;
    let asks = Asks {
        rank: &|file: &str| tags::rank(tags, file),
        directory: &|path| {
            source_dir::digest(path).map_err(|error| Verdict::new(InstallerCause::Other, error.to_string()))
        },
        index: &|package, url| indexes::index_of(job.settings, package, url),
    };
    let lock = pick::pick(&fitting, &rules, job.scratch, &asks)?;
    for locked in &lock.packages {
        let said = fitting.packages.iter().find(|package| package.name == locked.name);
        let said = said.and_then(|package| package.tool.envstore.digest.as_ref());
        if let (Artifact::Directory { path, digest }, Some(said)) = (&locked.artifact, said)
            && digest != said
        {
            let summary = format!("the directory `{path}` is no longer what the declaration was read with");
            return Err(Verdict::new(InstallerCause::HashMismatch, summary));
        }
    }
    Ok(lock)
}

/// The packages that the lock has for an interpreter.
fn fitting(pylock: &Pylock, interpreter: &Interpreter) -> Result<Pylock, Verdict> {
    let version = &interpreter.identity.version;
    let refused = |reason: String| Verdict::new(InstallerCause::NoSolution, reason);
    if !accepts(pylock.requires_python.as_deref(), version) {
        let range = pylock.requires_python.as_deref().unwrap_or_default();
        return Err(refused(format!("the pack's lock is for Python {range}, and the interpreter is {version}")));
    }
    let environment = environment(&interpreter.identity).map_err(|error| refused(error.to_string()))?;
    let groups: Vec<GroupName> = pylock.default_groups.iter().filter_map(|group| group.parse().ok()).collect();
    let holds = |marker: &str| {
        let tree = if marker.is_empty() { Ok(MarkerTree::TRUE) } else { MarkerTree::from_str(marker) };
        tree.map(|tree| tree.evaluate_pep751(&environment, &[], &groups))
            .map_err(|_| refused(format!("the marker `{marker}` cannot be read")))
    };
    let known: Vec<bool> = pylock.environments.iter().map(|marker| holds(marker)).collect::<Result<_, _>>()?;
    if !known.is_empty() && !known.contains(&true) {
        let of = pylock.environments.join("`, `");
        return Err(refused(format!("the pack's lock is for other environments than this interpreter's: `{of}`")));
    }
    let mut names = BTreeSet::new();
    let mut packages: Vec<Package> = Vec::new();
    for package in &pylock.packages {
        if !package.marker.as_deref().map_or(Ok(true), holds)? {
            continue;
        }
        if !accepts(package.requires_python.as_deref(), version) {
            let range = package.requires_python.as_deref().unwrap_or_default();
            return Err(refused(format!("`{}` needs Python {range}, and the interpreter is {version}", package.name)));
        }
        if !names.insert(&package.name) {
            return Err(refused(format!("the pack's lock has `{}` twice for one interpreter", package.name)));
        }
        packages.push(package.clone());
    }
    Ok(Pylock { packages, ..pylock.clone() })
}

fn accepts(range: Option<&str>, version: &str) -> bool {
    let version = Version::from_str(version.trim_end_matches('+'));
    range.is_none_or(|range| {
        version.is_ok_and(|version| VersionSpecifiers::from_str(range).is_ok_and(|range| range.contains(&version)))
    })
}

/// What markers ask about an interpreter on this host.
fn environment(identity: &InterpreterIdentity) -> Result<MarkerEnvironment, uv_pep440::VersionParseError> {
    let full = identity.version.trim_end_matches('+');
    let minor = full.split('.').take(2).collect::<Vec<_>>().join(".");
    let kernel = |what: &str| {
        std::fs::read_to_string(format!("/proc/sys/kernel/{what}"))
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    };
    MarkerEnvironment::try_from(MarkerEnvironmentBuilder {
        implementation_name: &identity.implementation,
        implementation_version: full,
        os_name: "posix",
        platform_machine: &identity.machine,
        platform_python_implementation: "CPython",
        platform_release: &kernel("osrelease"),
        platform_system: "Linux",
        platform_version: &kernel("version"),
        python_full_version: full,
        python_version: &minor,
        sys_platform: "linux",
    })
}
