//! Preferred versions: kept where the declaration allows them, but never a pre-release, a yanked version or one that
//! would have to be built.
//!
//! Installers are less careful: uv keeps whatever is preferred, pip takes limits. So what they answer is looked at, and
//! asked for again without what must not be preferred.

use uv_normalize::PackageName;
use uv_pep440::Version;

use super::from_source;
use super::installer::Installer;
use crate::error::{Error, InstallerCause, Phase, Result};
use crate::lock::{Artifact, Lock};
use crate::spec::Spec;
use crate::store::runtime::Job;

/// One version of a distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pin {
    /// Normalised.
    pub(crate) name: String,
    pub(crate) version: Version,
}

impl Pin {
    fn new(name: &str, version: &str) -> Option<Self> {
        Some(Self { name: name.trim().parse::<PackageName>().ok()?.to_string(), version: version.trim().parse().ok()? })
    }
}

/// What an installer answers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) lock: Lock,
    /// What of it, as far as the installer says so, was yanked.
    pub(crate) yanked: Vec<Pin>,
}

/// Locks a spec with the job's preferences. Where no lock can be had with them, it is made without.
pub(crate) fn lock(chosen: &dyn Installer, job: &Job<'_>, spec: &Spec) -> Result<Lock> {
    let mut preferred = pins(job.preferences);
    loop {
        let answer = match from_source::lock(chosen, job, spec, &preferred) {
            Err(error) if !preferred.is_empty() && is_perhaps_theirs(&error) => {
                job.log.line("with the preferred versions there is no lock: locking without preferences");
                preferred.clear();
                continue;
            }
            answer => answer?,
        };
        let before = preferred.len();
        preferred.retain(|pin| {
            let why = unwanted(pin, &answer);
            if let Some(why) = why {
                job.log.line(&format!("{} {} is not preferred: {why}", pin.name, pin.version));
            }
            why.is_none()
        });
        if preferred.len() == before {
            return Ok(answer.lock);
        }
    }
}

/// Why a preferred version that was chosen must not be.
fn unwanted(pin: &Pin, answer: &Answer) -> Option<&'static str> {
    if answer.yanked.contains(pin) {
        return Some("it was yanked");
    }
    let is_pin = |version: &str| version.parse::<Version>().is_ok_and(|version| version == pin.version);
    let locked = answer.lock.packages.iter().find(|locked| locked.name == pin.name && is_pin(&locked.version))?;
    matches!(locked.artifact, Artifact::Sdist { .. }).then_some("it has no wheel for this interpreter")
}

fn is_perhaps_theirs(error: &Error) -> bool {
    matches!(
        error,
        Error::Installer { phase: Phase::Lock, cause: InstallerCause::NoSolution | InstallerCause::SourceBuild, .. }
    )
}

/// The `name==version` lines. Ranges prefer nothing, digests are the index's to say, and a pre-release would be chosen
/// where the declaration does not ask for one.
pub(crate) fn pins(lines: &[String]) -> Vec<Pin> {
    let pin = |line: &String| {
        let line = line.split(['#', ';', ' ', '\\']).next().unwrap_or_default();
        let (name, version) = line.split_once("==")?;
        Pin::new(name.split('[').next().unwrap_or_default(), version).filter(|pin| !pin.version.any_prerelease())
    };
    let mut pins: Vec<Pin> = Vec::new();
    for pin in lines.iter().filter_map(pin) {
        if !pins.contains(&pin) {
            pins.push(pin);
        }
    }
    pins
}

/// What an installer said was yanked.
pub(crate) fn yanked(stderr: &str) -> Vec<Pin> {
    let pin = |line: &str| {
        // uv, then pip.
        let uv = line.strip_prefix("warning: `").and_then(|rest| rest.split_once("` is yanked")?.0.split_once("=="));
        let pip = || {
            let (_, rest) = line.split_once("is a yanked version: '")?;
            let (name, rest) = rest.split_once("' candidate (version ")?;
            Some((name, rest.split_once(" at ")?.0))
        };
        let (name, version) = uv.or_else(pip)?;
        Pin::new(name, version)
    };
    stderr.lines().filter_map(pin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_exact_releases_only() {
        let text = "# all\nSix==1.16.0  # why\nrequests[socks]==2.31.0 ; python_version > '3'\nurllib3>=2\nidna==3.* \n\
                    a == 1\nattrs==23.1 \\\n    --hash=sha256:00\nb==2.0rc1\nx===1\n-r other\nsix==1.16\n";
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let pins: Vec<String> = pins(&lines).iter().map(|pin| format!("{}=={}", pin.name, pin.version)).collect();
        assert_eq!(pins, ["six==1.16.0", "requests==2.31.0", "attrs==23.1"]);
    }

    #[test]
    fn both_installers_say_what_was_yanked() {
        let said = "Resolved 5 packages in 214ms\n\
                    warning: `Requests==2.32.0` is yanked (reason: \"Yanked due to conflicts\")\n\
                    warning: `a==1` is odd\n\
                    WARNING: The candidate selected for download or install is a yanked version: 'beta' candidate \
                    (version 1.0 at https://h/beta-1.0-py3-none-any.whl (from https://h/simple/beta/))\n";
        let pins: Vec<String> = yanked(said).iter().map(|pin| format!("{}=={}", pin.name, pin.version)).collect();
        assert_eq!(pins, ["requests==2.32.0", "beta==1.0"]);
    }
}
