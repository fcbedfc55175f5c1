//! What must be known before the arguments are parsed, because it says how to report that they are wrong.

use std::ffi::OsString;

use super::args::{Color, Format};

/// What a quick look at the arguments tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Early {
    /// `--format`.
    pub format: Format,
    /// `--color`.
    pub color: Color,
}

impl Early {
    /// Looks at the arguments behind the program's name, up to a `--`.
    pub fn scan(args: &[OsString]) -> Self {
        let mut early = Self::default();
        let mut args = args.iter().map(|arg| arg.to_string_lossy()).take_while(|arg| arg != "--");
        while let Some(arg) = args.next() {
            let (name, mut value) = match arg.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (arg.into_owned(), None),
            };
            match name.as_str() {
                "--store" | "--config" | "--format" | "--color" => {
                    value = value.or_else(|| args.next().map(|next| next.into_owned()));
                }
                _ => {}
            }
            match (name.as_str(), value.as_deref()) {
                ("--format", Some("json")) => early.format = Format::Json,
                ("--format", Some(_)) => early.format = Format::Human,
                ("--color", Some("always")) => early.color = Color::Always,
                ("--color", Some("never")) => early.color = Color::Never,
                _ => {}
            }
        }
        early
    }
}

/// What other tools call our commands.
const WORDS: &[(&str, &[&str])] = &[
    ("gc", &["prune", "clean", "cleanup", "collect", "purge"]),
    ("ensure", &["install", "add", "create", "build", "venv"]),
    ("exec", &["run", "shell"]),
    ("resolve", &["path", "where", "python", "locate"]),
    ("list", &["ls", "packs", "envs"]),
    ("show", &["info", "inspect", "describe"]),
    ("remove", &["rm", "delete", "uninstall"]),
    ("doctor", &["check", "health", "diagnose"]),
    ("reindex", &["rebuild-index", "recover"]),
    ("config show", &["settings"]),
];

/// The command that is meant by a word from another tool, also by one that is nearly that.
pub fn meant(word: &str) -> Option<&'static str> {
    let of = |word: &str| WORDS.iter().find(|(_, words)| words.contains(&word)).map(|(command, _)| *command);
    let nearly = || WORDS.iter().flat_map(|(_, words)| *words).find(|other| strsim::jaro_winkler(word, other) > 0.93);
    of(word).or_else(|| of(nearly()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(line: &str) -> Early {
        Early::scan(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_format_is_seen_wherever_it_stands() {
        for line in
            ["--format json list", "list --format=json", "--nonsense --format json", "--store --x --format json"]
        {
            assert_eq!(scan(line).format, Format::Json, "{line}");
        }
        for line in ["list", "exec p -- x --format json", "--store --format json", "--format"] {
            assert_eq!(scan(line).format, Format::Human, "{line}");
        }
    }

    #[test]
    fn words_of_other_tools_lead_to_commands_that_exist() {
        use clap::CommandFactory;
        let command = super::super::args::Cli::command();
        for (word, name) in [("prune", "gc"), ("clean", "gc"), ("install", "ensure"), ("run", "exec"), ("rm", "remove")]
        {
            assert_eq!(meant(word), Some(name));
            assert!(command.find_subcommand(name).is_some());
            assert!(command.find_subcommand(word).is_none());
        }
    }
}
