//! Compares what was installed with the lock.

use std::collections::BTreeMap;
use std::str::FromStr;

use uv_normalize::PackageName;
use uv_pep440::Version;

use super::dist_info::DistInfo;
use crate::error::{Error, InstallerCause, Phase, Result};
use crate::lock::{Lock, Locked};
use crate::store::runtime::Distribution;

/// The installed distributions, sorted by name, when they are exactly the locked ones.
///
/// # Errors
/// [`Error::Installer`] that lists what is missing, what nobody locked and what has another version.
pub(crate) fn against_lock(dists: &[DistInfo], lock: &Lock) -> Result<Vec<Distribution>> {
    let mut locked: BTreeMap<String, &Locked> =
        lock.packages.iter().map(|package| (normalised(&package.name), package)).collect();
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for dist in dists {
        match locked.remove(&dist.name) {
            None => wrong.push(format!("{} was not locked", dist.label())),
            Some(package) if !same_version(&package.version, &dist.version) => {
                wrong.push(format!("{} was locked as {}", dist.label(), package.version));
            }
            Some(package) => found.push(Distribution {
                name: dist.name.clone(),
                version: dist.version.clone(),
                from_source: package.artifact.is_source(),
            }),
        }
    }
    wrong.extend(locked.values().map(|package| format!("{} {} is missing", package.name, package.version)));
    if wrong.is_empty() {
        found.sort();
        return Ok(found);
    }
    Err(Error::Installer {
        phase: Phase::Finish,
        cause: InstallerCause::Other,
        summary: format!("the installer did not install what was locked: {}", wrong.join(", ")),
        tail: wrong,
        log: None,
    })
}

fn normalised(name: &str) -> String {
    PackageName::from_str(name).map_or_else(|_| name.to_owned(), |name| name.to_string())
}

/// Whether two versions are equal as PEP 440 says; a lock without a version fits all.
fn same_version(locked: &str, installed: &str) -> bool {
    if locked.is_empty() || locked == installed {
        return true;
    }
    match (Version::from_str(locked), Version::from_str(installed)) {
        (Ok(locked), Ok(installed)) => locked == installed,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::Artifact;

    fn dist(name: &str, version: &str) -> DistInfo {
        DistInfo {
            dir: format!("lib/{name}-{version}.dist-info"),
            site_dir: "lib".into(),
            name: name.into(),
            version: version.into(),
            scripts: Vec::new(),
            bad_scripts: Vec::new(),
            record: Vec::new(),
        }
    }

    fn lock(packages: &[(&str, &str)]) -> Lock {
        let package = |(name, version): &(&str, &str)| Locked {
            name: (*name).into(),
            version: (*version).into(),
            artifact: Artifact::Directory { path: "/x".into(), digest: "d".into() },
            index: None,
        };
        Lock::new(packages.iter().map(package).collect())
    }

    #[test]
    fn names_and_versions_are_compared_in_their_normal_form() {
        let dists = [dist("a-b", "1.0"), dist("c", "2")];
        let found = against_lock(&dists, &lock(&[("A_b", "1.0.0"), ("c", "")])).expect("equal");
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|dist| dist.from_source));
    }

    #[test]
    fn every_difference_is_said() {
        let dists = [dist("a", "1"), dist("extra", "1"), dist("b", "1"), dist("b", "2")];
        let error = against_lock(&dists, &lock(&[("a", "2"), ("b", "1"), ("gone", "3")])).expect_err("differs");
        let Error::Installer { tail, .. } = error else { panic!("{error:?}") };
        assert_eq!(tail, ["a 1 was locked as 2", "extra 1 was not locked", "b 2 was not locked", "gone 3 is missing"]);
    }
}
