//! [`Environment`]: the process's environment variables, read once, so that what depends on them can be tried
//! with any map.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Environment variables. An empty value counts as unset; of two of one name the first counts, as for getenv(3).
#[derive(Debug, Clone, Default)]
pub struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// A variable's value.
    pub fn value(&self, name: &str) -> Option<&OsStr> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_os_str()).filter(|value| !value.is_empty())
    }

    /// The variables whose names begin with a text, by name; those that are no UTF-8 as far as they can be shown.
    pub fn beginning_with(&self, text: &str) -> impl Iterator<Item = (String, String)> {
        let set = self.0.iter().filter(|(_, value)| !value.is_empty());
        let shown =
            set.map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
        let mut shown: Vec<_> = shown.filter(|(name, _)| name.starts_with(text)).collect();
        shown.sort();
        shown.into_iter()
    }

    /// Whether a variable is set to something that does not mean no.
    pub fn flag(&self, name: &str) -> bool {
        self.value(name)
            .is_some_and(|value| !["0", "false", "no", "off", "n", "f"].iter().any(|no| value.eq_ignore_ascii_case(no)))
    }

    /// A variable that holds an absolute path. The XDG base directory specification has relative ones ignored.
    pub fn absolute(&self, name: &str) -> Option<PathBuf> {
        self.value(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    /// The user's home.
    pub fn home(&self) -> Option<PathBuf> {
        self.absolute("HOME")
    }

    /// `XDG_CONFIG_HOME`, else `~/.config`.
    pub fn config_home(&self) -> Option<PathBuf> {
        self.absolute("XDG_CONFIG_HOME").or_else(|| Some(self.home()?.join(".config")))
    }

    /// `XDG_DATA_HOME`, else `~/.local/share`.
    pub fn data_home(&self) -> Option<PathBuf> {
        self.absolute("XDG_DATA_HOME").or_else(|| Some(self.home()?.join(".local/share")))
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_no_are_not_set() {
        for (value, expected) in
            [("", false), ("0", false), ("false", false), ("No", false), ("1", true), ("true", true), ("yes", true)]
        {
            let environment = Environment::from_iter([("X", value)]);
            assert_eq!(environment.flag("X"), expected, "{value}");
        }
        assert!(!Environment::default().flag("X"));
        assert_eq!(Environment::from_iter([("X", "1"), ("X", "2")]).value("X"), Some(OsStr::new("1")));
    }

    #[test]
    fn relative_base_directories_are_ignored() {
        let environment = Environment::from_iter([("HOME", "/home/u"), ("XDG_DATA_HOME", "data")]);
        assert_eq!(environment.data_home(), Some(PathBuf::from("/home/u/.local/share")));
    }
}
