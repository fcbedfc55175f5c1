//! A spec's options for pip, whose words they are.

use uv_pep440::Version;

/// What a spec's options become.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// Arguments for `pip install`.
    pub(super) arguments: Vec<String>,
    /// The index that replaces the configured default.
    pub(super) index: Option<String>,
    /// Indexes beside the configured ones.
    pub(super) extra_indexes: Vec<String>,
    /// Directories and pages beside the configured ones.
    pub(super) find_links: Vec<String>,
    /// What has no counterpart.
    pub(super) ignored: Vec<String>,
}

/// Sorts options, `--name` or `--name=value` each.
pub(super) fn translate(options: &[String]) -> Options {
    let mut out = Options::default();
    for option in options {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        match (name, value) {
            ("--index-url", url) => out.index = Some(url.into()),
            ("--extra-index-url", url) => out.extra_indexes.push(url.into()),
            ("--find-links", place) => out.find_links.push(place.into()),
            (
                "--pre" | "--no-deps" | "--no-index" | "--require-hashes" | "--no-binary" | "--only-binary"
                | "--trusted-host",
                _,
            ) => out.arguments.push(option.clone()),
            _ => out.ignored.push(name.into()),
        }
    }
    out
}

/// The `name==version` lines of a file as constraints. Ranges prefer nothing, and a preferred pre-release would be
/// chosen where the declaration does not ask for one.
pub(super) fn preferences(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in text.lines() {
        let line = line.split(['#', ';', ' ', '\\']).next().unwrap_or_default();
        let Some((name, version)) = line.split_once("==") else { continue };
        let name = name.split('[').next().unwrap_or_default().trim();
        if let (Ok(name), Ok(version)) = (name.parse::<uv_normalize::PackageName>(), version.parse::<Version>())
            && !version.any_prerelease()
        {
            out.push(format!("{name}=={version}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_go_by_the_environment_and_the_rest_is_said() {
        let options = [
            "--pre",
            "--index-url=https://h/",
            "--no-binary=a",
            "--extra-index-url=https://i/",
            "--find-links=/w",
            "--exclude-newer=2024-01-01",
        ];
        let options = translate(&options.map(str::to_owned));
        assert_eq!(options.arguments, ["--pre", "--no-binary=a"]);
        assert_eq!(options.index.as_deref(), Some("https://h/"));
        assert_eq!((options.extra_indexes, options.find_links), (vec!["https://i/".into()], vec!["/w".into()]));
        assert_eq!(options.ignored, ["--exclude-newer"]);
    }

    #[test]
    fn only_exact_releases_are_preferred() {
        let text = "Six==1.16.0  # why\nrequests[socks]==2.31.0 ; x\nurllib3>=2\nidna==3.*\nb==2.0rc1\nx===1\n";
        assert_eq!(preferences(text), ["six==1.16.0", "requests==2.31.0"]);
    }
}
