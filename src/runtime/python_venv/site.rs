//! The settings of a manager that is given nothing but a directory: the site's, as the command line has them.

use std::path::Path;

use crate::error::Result;
use crate::settings::Settings;
use crate::site::Config;
use crate::site::environment::Environment;

/// The site's settings, with another default interpreter where one is given.
pub(super) fn settings(python: Option<&Path>) -> Result<Settings> {
    let mut settings = Config::load(None, false, &Environment::of_process())?.settings;
    if let Some(python) = python {
        settings.python.default = default(python)?.or(settings.python.default);
    }
    Ok(settings)
}

/// What `python.default` says for a path or a command's name. None: whatever is found first, as for `python3`.
fn default(python: &Path) -> Result<Option<String>> {
    let text = python.to_string_lossy();
    if text.contains('/') {
        let path = std::path::absolute(python).map_err(crate::error::Error::io("find", python))?;
        return Ok(Some(path.to_string_lossy().into_owned()));
    }
    // `python3.11` on PATH may be a shim that starts nothing; the version is what is meant.
    let version = text.strip_prefix("python").unwrap_or(&text);
    Ok((!matches!(version, "" | "3")).then(|| version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_version_and_a_path_stays_one() {
        let default = |text: &str| default(text.as_ref()).expect("reads");
        assert_eq!(default("python3"), None);
        assert_eq!(default("python"), None);
        assert_eq!(default("python3.11").as_deref(), Some("3.11"));
        assert_eq!(default("/usr/bin/python3").as_deref(), Some("/usr/bin/python3"));
        assert!(default("bin/python3").is_some_and(|path| path.starts_with('/') && path.ends_with("/bin/python3")));
    }
}
