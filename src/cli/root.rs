//! Where the store is, when nobody says so and when somebody does.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::environment::Environment;

/// A root and who chose it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The path as it was given.
    pub path: PathBuf,
    /// `--store`, a variable's name, or `default`.
    pub origin: &'static str,
}

/// Chooses the root: `--store`, `ENVSTORE_STORE`, systemd's `STATE_DIRECTORY` (the first of its list),
/// `/var/lib/envstore` for root, `$XDG_DATA_HOME/envstore`, `~/.local/share/envstore`. None: nothing says where.
pub fn choose(flag: Option<&Path>, environment: &Environment, is_root: bool) -> Option<Root> {
    if let Some(path) = flag {
        return Some(Root { path: path.to_owned(), origin: "--store" });
    }
    if let Some(path) = environment.value("ENVSTORE_STORE") {
        return Some(Root { path: path.into(), origin: "ENVSTORE_STORE" });
    }
    let first = environment.value("STATE_DIRECTORY").and_then(|list| list.as_bytes().split(|b| *b == b':').next());
    if let Some(path) = first.map(OsStr::from_bytes).filter(|path| !path.is_empty()) {
        return Some(Root { path: path.into(), origin: "STATE_DIRECTORY" });
    }
    if is_root {
        return Some(Root { path: "/var/lib/envstore".into(), origin: "default" });
    }
    environment.data_home().map(|data| Root { path: data.join("envstore"), origin: "default" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_says_where_wins() {
        let all = [
            ("ENVSTORE_STORE", "/env"),
            ("STATE_DIRECTORY", "/state:/other"),
            ("XDG_DATA_HOME", "/data"),
            ("HOME", "/home/u"),
        ];
        let choice = |flag: Option<&str>, skip: usize, is_root| {
            let environment = Environment::from_iter(all.into_iter().skip(skip));
            choose(flag.map(Path::new), &environment, is_root)
                .map(|root| (root.path.display().to_string(), root.origin))
        };
        let found = |path: &str, origin| Some((path.to_owned(), origin));
        assert_eq!(choice(Some("/flag"), 0, true), found("/flag", "--store"));
        assert_eq!(choice(None, 0, true), found("/env", "ENVSTORE_STORE"));
        assert_eq!(choice(None, 1, true), found("/state", "STATE_DIRECTORY"));
        assert_eq!(choice(None, 2, true), found("/var/lib/envstore", "default"));
        assert_eq!(choice(None, 2, false), found("/data/envstore", "default"));
        assert_eq!(choice(None, 3, false), found("/home/u/.local/share/envstore", "default"));
        assert_eq!(choice(None, 4, false), None);
    }

    #[test]
    fn empty_variables_say_nothing() {
        let environment =
            Environment::from_iter([("ENVSTORE_STORE", ""), ("STATE_DIRECTORY", ":/second"), ("HOME", "/h")]);
        let root = choose(None, &environment, false).expect("a home");
        assert_eq!(root.path, Path::new("/h/.local/share/envstore"));
    }
}
