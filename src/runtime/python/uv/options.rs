//! A spec's options, which are written as pip writes them, in uv's words.

use crate::runtime::python::prefer::Pin;

/// What a spec's options become.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// Arguments for `uv pip compile`.
    pub arguments: Vec<String>,
    /// The index that replaces the configured default.
    pub index: Option<String>,
    /// Indexes beside the configured ones.
    pub extra_indexes: Vec<String>,
    /// Directories and pages beside the configured ones.
    pub find_links: Vec<String>,
    /// What has no counterpart.
    pub ignored: Vec<String>,
}

/// Translates options, `--name` or `--name=value` each. Those about digests are [`super::pick::Rules`]' business.
pub(super) fn translate(options: &[String]) -> Options {
    let mut out = Options::default();
    let mut prerelease = false;
    for option in options {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim()).filter(|value| !value.is_empty())),
            None => (option.trim(), None),
        };
        match (name, value) {
            ("--pre", None) => prerelease = true,
            ("--no-deps" | "--no-index" | "--no-build-isolation", None) => out.arguments.push(name.into()),
            ("--no-binary" | "--only-binary", Some(value)) => {
                for package in value.split(',').map(str::trim).filter(|package| !package.is_empty()) {
                    // One word each: uv would take a value that begins with a dash for an option.
                    out.arguments.push(format!("{name}={package}"));
                }
            }
            ("--trusted-host", Some(host)) => out.arguments.push(format!("--allow-insecure-host={host}")),
            ("--prerelease" | "--resolution" | "--exclude-newer", Some(value)) => {
                out.arguments.push(format!("{name}={value}"));
            }
            ("--config-settings" | "--config-setting", Some(value)) => {
                out.arguments.push(format!("--config-setting={value}"));
            }
            ("--index-url" | "-i", Some(url)) => out.index = Some(url.into()),
            ("--extra-index-url", Some(url)) => out.extra_indexes.push(url.into()),
            ("--find-links" | "-f", Some(place)) => out.find_links.push(place.into()),
            ("--require-hashes", _) => {}
            // uv takes a wheel wherever a version has one, and never an older version for its wheel.
            _ => out.ignored.push(name.into()),
        }
    }
    if prerelease {
        out.arguments.push("--prerelease=allow".into());
    }
    out
}

/// Versions as a lock file without artifacts, which uv takes for preferences. (A lock file, not requirement lines: uv
/// copies digests from those unchecked.)
pub(super) fn preferences(preferred: &[Pin]) -> String {
    let mut out = String::from("lock-version = \"1.0\"\ncreated-by = \"envstore\"\n");
    for Pin { name, version } in preferred {
        out.push_str(&format!("\n[[packages]]\nname = \"{name}\"\nversion = \"{version}\"\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(options: &[&str]) -> Vec<String> {
        translate(&options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>()).arguments
    }

    #[test]
    fn pips_options_in_uvs_words() {
        for (option, expected) in [
            ("--pre", &["--prerelease=allow"][..]),
            ("--no-deps", &["--no-deps"]),
            ("--no-index", &["--no-index"]),
            ("--no-binary=:all:", &["--no-binary=:all:"]),
            ("--no-binary=a, b", &["--no-binary=a", "--no-binary=b"]),
            ("--only-binary=a", &["--only-binary=a"]),
            ("--trusted-host=h:1", &["--allow-insecure-host=h:1"]),
            ("--require-hashes", &[]),
            ("--prefer-binary", &[]),
        ] {
            assert_eq!(arguments(&[option]), expected, "{option}");
        }
    }

    #[test]
    fn urls_never_become_arguments() {
        let given =
            ["--index-url=https://me:pw@h/s", "--extra-index-url=https://me:pw@h/t", "--find-links=https://me:pw@h/u"];
        let out = translate(&given.map(str::to_owned));
        assert_eq!(out.arguments, [""; 0]);
        assert_eq!(out.index.as_deref(), Some("https://me:pw@h/s"));
        assert_eq!((out.extra_indexes.len(), out.find_links.len(), out.ignored.len()), (1, 1, 0));
    }

    #[test]
    fn unknown_options_are_named_without_their_values() {
        let out = translate(&["--odd=secret".to_owned(), "--pre=x".to_owned(), "--no-binary".to_owned()]);
        assert_eq!(out.ignored, ["--odd", "--pre", "--no-binary"]);
    }
}
