//! [`pick`]: one artifact a package, out of all that uv lists.
//!
//! The best wheel by tag rank (PEP 425), then by build tag, then in the order listed; the source distribution
//! when no wheel fits or the declaration says so. uv checks none of the declaration's own digests while it
//! locks (tried with 0.13.9: `--hash`, and `#sha256=` of a local file), so they are held against every candidate here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use uv_normalize::PackageName;

use super::classify::Verdict;
use super::from_source::MayBuild;
use super::pylock::{self, File, Package, Pylock};
use crate::error::InstallerCause;
use crate::lock::{Artifact, Lock, Locked};
use crate::spec::{Requirement, Spec};

/// What a declaration and a site's settings say about choosing.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Packages whose wheels are passed over.
    no_binary: Selection,
    /// Packages whose source distributions are.
    only_binary: Selection,
    /// What the site lets be built.
    may_build: MayBuild,
    /// The SHA-256 digests that will do, by package. A package that is not in it may have any.
    digests: BTreeMap<String, BTreeSet<String>>,
    /// Whether every package must be in `digests`.
    require_digests: bool,
}

/// Some packages, or all.
#[derive(Debug, Clone, Default)]
struct Selection {
    all: bool,
    names: BTreeSet<String>,
}

impl Selection {
    /// As pip reads it: names and `:all:`, `:none:` takes back what was said before.
    fn add(&mut self, values: &str) {
        for value in values.split(',').map(str::trim).filter(|value| !value.is_empty()) {
            match value {
                ":all:" => self.all = true,
                ":none:" => *self = Self::default(),
                name => {
                    self.names.insert(normalised(name));
                }
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        self.all || self.names.contains(name)
    }
}

/// A name as indexes know it (PEP 503); a text that is no name stays as it is.
pub(super) fn normalised(name: &str) -> String {
    name.parse::<PackageName>().map_or_else(|_| name.to_owned(), |name| name.to_string())
}

impl Rules {
    /// The rules of a spec. `may_build` is the site's word.
    ///
    /// # Errors
    ///
    /// A package pinned by digests none of which is a SHA-256.
    pub(crate) fn of(spec: &Spec, may_build: MayBuild) -> Result<Self, Verdict> {
        let mut rules = Self {
            no_binary: Selection::default(),
            only_binary: Selection::default(),
            may_build,
            digests: BTreeMap::new(),
            require_digests: false,
        };
        for option in &spec.options {
            match option.split_once('=').unwrap_or((option, "")) {
                ("--no-binary", value) => rules.no_binary.add(value),
                ("--only-binary", value) => rules.only_binary.add(value),
                ("--require-hashes", _) => rules.require_digests = true,
                _ => {}
            }
        }
        for requirement in spec.requirements.iter().chain(&spec.constraints) {
            rules.note_digests(requirement)?;
            // As with pip: one digest asks for all of them.
            rules.require_digests |= requirement.canonical.contains(" --hash=");
        }
        Ok(rules)
    }

    fn note_digests(&mut self, requirement: &Requirement) -> Result<(), Verdict> {
        let name = normalised(requirement.name());
        let mut given = false;
        for word in requirement.canonical.split_whitespace() {
            let digest = word.strip_prefix("--hash=").or_else(|| word.split_once('#').map(|(_, fragment)| fragment));
            let named = digest.map(|digest| digest.split('&').filter_map(|part| part.split_once([':', '='])));
            let local = word.strip_prefix("sha256:").map(|digest| ("sha256", digest));
            for (algorithm, digest) in named.into_iter().flatten().chain(local) {
                given |= matches!(algorithm, "md5" | "sha1" | "sha224" | "sha256" | "sha384" | "sha512");
                if algorithm == "sha256" {
                    self.digests.entry(name.clone()).or_default().insert(digest.to_ascii_lowercase());
                }
            }
        }
        if given && !self.digests.contains_key(&name) {
            let summary = format!("`{name}` is pinned without a sha256 digest, and no other is compared here");
            return Err(Verdict::new(InstallerCause::Other, summary));
        }
        Ok(())
    }

    /// Whether a package's artifact may have this digest.
    fn allows(&self, name: &str, digest: &str) -> bool {
        self.digests.get(name).is_none_or(|allowed| allowed.contains(digest))
    }
}

/// What choosing needs to ask of others.
pub(crate) struct Asks<'a, R> {
    /// The rank of a wheel's file name, more is better; `None` if it does not fit the interpreter.
    pub rank: &'a dyn Fn(&str) -> Option<R>,
    /// The content digest of a local directory.
    pub directory: &'a dyn Fn(&Path) -> Result<String, Verdict>,
    /// The name of the index that a URL belongs to.
    pub index: &'a dyn Fn(&Package, &str) -> Option<String>,
}

/// Chooses for every package. Relative paths are taken from `base`.
pub(crate) fn pick<R: Ord>(pylock: &Pylock, rules: &Rules, base: &Path, asks: &Asks<'_, R>) -> Result<Lock, Verdict> {
    let mut names = BTreeSet::new();
    let mut packages = Vec::with_capacity(pylock.packages.len());
    for package in &pylock.packages {
        let name = normalised(&package.name);
        if rules.require_digests && !rules.digests.contains_key(&name) {
            let summary = format!("the declaration requires a digest for everything, and has none for `{name}`");
            return Err(Verdict::new(InstallerCause::NoSolution, summary));
        }
        let artifact = choose(package, &name, rules, base, asks)?;
        if let Some(verdict) = rules.may_build.refusal(&name, &artifact) {
            return Err(verdict);
        }
        let index = match &artifact {
            Artifact::Wheel { url, .. } | Artifact::Sdist { url, .. } if package.archive.is_none() => {
                (asks.index)(package, url)
            }
            _ => None,
        };
        if !names.insert(name.clone()) {
            let summary = format!("the installer locked `{name}` twice for one interpreter");
            return Err(Verdict::new(InstallerCause::Other, summary));
        }
        // Its content decides what a directory is, and not every installer says which version that makes.
        let is_directory = matches!(artifact, Artifact::Directory { .. });
        let version = package.version.clone().filter(|_| !is_directory).unwrap_or_default();
        packages.push(Locked { name, version, artifact, index });
    }
    Ok(Lock::new(packages))
}

fn choose<R: Ord>(
    package: &Package,
    name: &str,
    rules: &Rules,
    base: &Path,
    asks: &Asks<'_, R>,
) -> Result<Artifact, Verdict> {
    let other = |reason: &str| Verdict::new(InstallerCause::Other, format!("`{name}` {reason}"));
    if let Some(vcs) = &package.vcs {
        return pylock::vcs_artifact(vcs, base).ok_or_else(|| other("was not locked to a full commit"));
    }
    if let Some(directory) = &package.directory {
        let mut path = base.join(&directory.path);
        path.extend(&directory.subdirectory);
        if directory.editable == Some(true) {
            return Err(other("is editable, which no immutable environment can hold"));
        }
        let text = path.to_str().ok_or_else(|| other("is a directory whose path is not UTF-8"))?;
        return Ok(Artifact::Directory { path: text.to_owned(), digest: (asks.directory)(&path)? });
    }
    let mut mismatch = false;
    let mut nameless = false;
    let mut usable = |file: &File| {
        let artifact = pylock::file_artifact(file, base);
        nameless |= artifact.is_none();
        let (Artifact::Wheel { sha256, .. } | Artifact::Sdist { sha256, .. }) = artifact.as_ref()? else {
            return None;
        };
        let allowed = rules.allows(name, sha256);
        mismatch |= !allowed;
        artifact.filter(|_| allowed)
    };
    // What the declaration names by URL leaves no choice.
    if let Some(artifact) = package.archive.as_ref().and_then(&mut usable) {
        return Ok(artifact);
    }
    let mut best: Option<(R, Artifact)> = None;
    if !rules.no_binary.has(name) {
        for file in &package.wheels {
            let Some(rank) = file.file_name().and_then(|file| (asks.rank)(&file)) else { continue };
            // Of equals the first listed stays.
            if best.as_ref().is_some_and(|(known, _)| *known >= rank) {
                continue;
            }
            if let Some(artifact) = usable(file) {
                best = Some((rank, artifact));
            }
        }
    }
    if let Some((_, artifact)) = best {
        return Ok(artifact);
    }
    if let Some(artifact) = package.sdist.as_ref().filter(|_| !rules.only_binary.has(name)).and_then(usable) {
        return Ok(artifact);
    }
    Err(if mismatch {
        let summary = format!("no artifact of `{name}` has a digest that the declaration names");
        Verdict::new(InstallerCause::HashMismatch, summary)
    } else if nameless {
        other("was locked without a sha256")
    } else {
        Verdict::new(InstallerCause::NoSolution, format!("no artifact of `{name}` fits this interpreter"))
    })
}

#[cfg(test)]
mod tests;
