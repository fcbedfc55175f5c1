//! A spec's options for pip, whose words they are.

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
}
