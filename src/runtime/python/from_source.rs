//! Which distributions may be built from source, and a lock that builds as few of them as it can.
//!
//! To an installer that is to take wheels alone (`--only-binary=:all:`), naming a distribution means building it even
//! where it has a wheel (`--no-binary=NAME`). So with a list of names (`install.allow_source`) wheels alone are tried
//! first, and a name is handed over only when the installer says that it cannot do without.

use std::collections::BTreeSet;

use super::classify::Verdict;
use super::installer::{Installer, refused_lock};
use super::pick::normalised;
use super::prefer::{Answer, Pin};
use crate::error::{Error, InstallerCause, Phase, Result};
use crate::lock::Artifact;
use crate::settings::AllowSource;
use crate::spec::Spec;
use crate::store::runtime::Job;

/// What may be built from source distributions, directories and commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MayBuild {
    /// Everything.
    Any,
    /// These, by normalised name.
    Only(BTreeSet<String>),
}

impl MayBuild {
    /// What the site allows.
    pub(crate) fn of(allow: &AllowSource) -> Self {
        match allow {
            AllowSource::All => Self::Any,
            AllowSource::None => Self::Only(BTreeSet::new()),
            AllowSource::Only(names) => Self::Only(names.iter().map(|name| normalised(name)).collect()),
        }
    }

    /// Whether a distribution, by normalised name, may be built.
    pub(crate) fn allows(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(names) => names.contains(name),
        }
    }

    /// Why a locked artifact may not be installed, if that is so.
    pub(crate) fn refusal(&self, name: &str, artifact: &Artifact) -> Option<Verdict> {
        if matches!(artifact, Artifact::Wheel { .. }) || self.allows(name) {
            return None;
        }
        Some(not_allowed(name))
    }

    /// The arguments that say it, in the words that uv and pip share.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let Self::Only(names) = self else { return Vec::new() };
        let built = names.iter().map(|name| format!("--no-binary={name}"));
        std::iter::once("--only-binary=:all:".to_owned()).chain(built).collect()
    }

    /// A declaration's options beside [`Self::arguments`]: where the site has its say, theirs about sources have none.
    pub(crate) fn options(&self, options: &[String]) -> Vec<String> {
        let is_theirs = |option: &&String| *self == Self::Any || wants(option).is_none();
        options.iter().filter(is_theirs).cloned().collect()
    }

    /// What of it is needed to install these.
    pub(crate) fn needed<'a>(&self, packages: impl Iterator<Item = (&'a str, &'a Artifact)>) -> Self {
        match self {
            Self::Any => Self::Any,
            Self::Only(_) => Self::Only(
                packages
                    .filter(|(_, artifact)| !matches!(artifact, Artifact::Wheel { .. }))
                    .map(|(name, _)| name.to_owned())
                    .collect(),
            ),
        }
    }
}

/// Locks with what the site allows, building as little as possible.
///
/// # Errors
/// As [`Installer::lock`]; also if the declaration wants something built that the site does not allow.
pub(crate) fn lock(chosen: &dyn Installer, job: &Job<'_>, spec: &Spec, preferred: &[Pin]) -> Result<Answer> {
    let listed = match MayBuild::of(&job.settings.install.allow_source) {
        MayBuild::Any => return chosen.lock(job, spec, preferred, &MayBuild::Any),
        MayBuild::Only(listed) => listed,
    };
    let mut built = asked_for(spec);
    if let Some(name) = built.iter().find(|name| !listed.contains(*name)) {
        return Err(refused_lock(job, not_allowed(name)));
    }
    loop {
        let error = match chosen.lock(job, spec, preferred, &MayBuild::Only(built.clone())) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let before = built.len();
        built.extend(named(&error, &listed));
        if built.len() == before {
            return Err(error);
        }
        let names = built.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        job.log.line(&format!("with wheels alone there is no lock: locking with {names} from source"));
    }
}

/// What the declaration itself wants built, `:all:` included.
fn asked_for(spec: &Spec) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for value in spec.options.iter().filter_map(|option| wants(option)?.strip_prefix("--no-binary=")) {
        for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match name {
                ":none:" => names.clear(),
                name => {
                    names.insert(normalised(name));
                }
            }
        }
    }
    names
}

/// An option that says what is built and what is not.
fn wants(option: &str) -> Option<&str> {
    (option.starts_with("--no-binary") || option.starts_with("--only-binary")).then_some(option)
}

/// Which of these names an installer's refusal speaks of.
fn named(error: &Error, names: &BTreeSet<String>) -> BTreeSet<String> {
    let Error::Installer { phase: Phase::Lock, cause, summary, tail, .. } = error else { return BTreeSet::new() };
    if !matches!(
        cause,
        InstallerCause::NoSolution | InstallerCause::SourceBuild | InstallerCause::Offline | InstallerCause::Other
    ) {
        return BTreeSet::new();
    }
    let is_within = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let texts = std::iter::once(summary).chain(tail).flat_map(|text| text.split(|c| !is_within(c)));
    let words: BTreeSet<String> = texts.map(|word| normalised(word.trim_matches(['.', '-', '_']))).collect();
    names.intersection(&words).cloned().collect()
}

fn not_allowed(name: &str) -> Verdict {
    let summary = match name {
        ":all:" => "the declaration wants everything built from source, which is not allowed here".to_owned(),
        name => format!("`{name}` would have to be built from source, which is not allowed here"),
    };
    Verdict::new(InstallerCause::NoSolution, summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(names: &[&str]) -> MayBuild {
        MayBuild::of(&AllowSource::Only(names.iter().map(|name| (*name).to_owned()).collect()))
    }

    #[test]
    fn a_list_is_wheels_alone_but_for_its_names() {
        assert_eq!(MayBuild::of(&AllowSource::All).arguments(), [""; 0]);
        assert_eq!(MayBuild::of(&AllowSource::None).arguments(), ["--only-binary=:all:"]);
        assert_eq!(only(&["My_SQL.client"]).arguments(), ["--only-binary=:all:", "--no-binary=my-sql-client"]);
        assert!(only(&["a"]).allows("a") && !only(&["a"]).allows("b") && MayBuild::Any.allows("b"));
    }

    #[test]
    fn a_declaration_cannot_widen_what_the_site_allows() {
        let options = ["--pre", "--no-binary=a", "--only-binary=:none:"].map(str::to_owned);
        assert_eq!(MayBuild::Any.options(&options), options);
        assert_eq!(only(&["a"]).options(&options), ["--pre"]);
        let spec = |options: &[&str]| Spec {
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            ..Spec::empty(crate::spec::RuntimeKind::Python)
        };
        assert_eq!(asked_for(&spec(&["--no-binary=A, b_c"])), BTreeSet::from(["a".into(), "b-c".into()]));
        assert_eq!(asked_for(&spec(&["--no-binary=:all:", "--no-binary=:none:,d"])), BTreeSet::from(["d".into()]));
    }

    #[test]
    fn a_refusal_names_what_it_cannot_do_without() {
        let error = |summary: &str, tail: &str| Error::Installer {
            phase: Phase::Lock,
            cause: InstallerCause::NoSolution,
            summary: summary.into(),
            tail: vec![tail.into()],
            log: None,
        };
        let listed = BTreeSet::from(["mysqlclient".into(), "python-ldap".into(), "six".into()]);
        for (summary, tail, expected) in [
            ("`mysqlclient` has no wheel", "", &["mysqlclient"][..]),
            ("", "ERROR: No matching distribution found for Python_LDAP>=3.", &["python-ldap"]),
            ("sixth is not six-pack", "", &[]),
            ("because six==1.0 has no usable wheels", "and mysqlclient.", &["mysqlclient", "six"]),
        ] {
            let found = named(&error(summary, tail), &listed);
            assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{summary} {tail}");
        }
    }
}
