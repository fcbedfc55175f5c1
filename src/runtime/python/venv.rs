//! A virtual environment that somebody else made, as far as its versions matter.

use std::fs;
use std::path::Path;

use uv_normalize::PackageName;
use uv_pep440::Version;

use crate::error::{Error, Result};

/// The distributions installed in a virtual environment, as `name==version`, sorted.
///
/// # Errors
/// [`Error::InvalidSpec`] if it is none; [`Error::Io`].
pub fn versions(venv: &Path) -> Result<Vec<String>> {
    let none = || Error::InvalidSpec {
        origin: format!("`{}`", venv.display()),
        line: None,
        reason: "it is no virtual environment: it has no `lib/python3.*/site-packages`".into(),
    };
    let lib = venv.join("lib");
    let mut sites = Vec::new();
    for entry in fs::read_dir(&lib).map_err(|_| none())?.flatten() {
        let site = entry.path().join("site-packages");
        if entry.file_name().to_string_lossy().starts_with("python") && site.is_dir() {
            sites.push(site);
        }
    }
    if sites.is_empty() {
        return Err(none());
    }
    let mut found = Vec::new();
    for site in sites {
        for entry in fs::read_dir(&site).map_err(Error::io("list", &site))?.flatten() {
            found.extend(pin(&entry.file_name().to_string_lossy()));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// The version that a directory such as `six-1.16.0.dist-info` or `six-1.16.0-py3.11.egg-info` stands for.
fn pin(directory: &str) -> Option<String> {
    let stem = directory.strip_suffix(".dist-info").or_else(|| directory.strip_suffix(".egg-info"))?;
    let (name, rest) = stem.split_once('-')?;
    let version = rest.split_once("-py").map_or(rest, |(version, _)| version);
    Some(format!("{}=={}", name.parse::<PackageName>().ok()?, version.parse::<Version>().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_names_its_distribution() {
        for (directory, expected) in [
            ("six-1.16.0.dist-info", Some("six==1.16.0")),
            ("PyYAML-6.0.dist-info", Some("pyyaml==6.0")),
            ("ruamel.yaml-0.17.dist-info", Some("ruamel-yaml==0.17")),
            ("eventlet-0.30.2-py3.8.egg-info", Some("eventlet==0.30.2")),
            ("six", None),
            ("~ix-1.16.0.dist-info", None),
            ("six.dist-info", None),
        ] {
            assert_eq!(pin(directory).as_deref(), expected, "{directory}");
        }
    }

    #[test]
    fn what_is_none_is_told() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(versions(dir.path()).expect_err("empty").to_string().contains("no virtual environment"));
        fs::create_dir_all(dir.path().join("lib/python3.11/site-packages/six-1.16.0.dist-info")).expect("creates");
        assert_eq!(versions(dir.path()).expect("one"), ["six==1.16.0"]);
    }
}
