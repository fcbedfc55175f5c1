//! What a site configures: files, then environment, then flags, later ones winning; and where each value came from.
//!
//! A key that a later file sets replaces the earlier value as a whole; all `[[index]]` entries count as one key.
//! Files are strict: an unknown key is an error, because a misspelt limit is a limit that does not hold.

pub mod environment;
mod file;
mod index;
mod keys;
#[cfg(feature = "cli")]
mod show;
#[cfg(feature = "cli")]
mod tools;
pub mod units;

use std::path::{Path, PathBuf};

use file::File;
#[cfg(feature = "cli")]
pub use show::{Entry, entries};
#[cfg(feature = "cli")]
pub use tools::foreign_settings;

use self::environment::Environment;
use crate::error::{Error, Result};
use crate::settings::{PackOptions, Prefer, Settings};
use crate::spec::requirements::Reader;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A file.
    File(PathBuf),
    /// A variable.
    Variable(&'static str),
    /// A flag.
    Flag(&'static str),
    /// Found on this host, for the reason given.
    Found(&'static str),
}

/// The settings and where they came from.
#[derive(Debug, Default)]
pub struct Config {
    /// What the library is given.
    pub settings: Settings,
    /// Keys that were set, with their origin; what is not here is a default.
    pub origins: std::collections::BTreeMap<&'static str, Origin>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
}

impl Config {
    /// Where a key's value came from.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// Reads the configuration of this process. `offline` is the flag `--offline`.
    pub fn load(explicit: Option<&Path>, offline: bool, environment: &Environment) -> Result<Self> {
        let mut config = Self::default();
        config.find_on_host(environment);
        match explicit.or(environment.value("ENVSTORE_CONFIG").map(Path::new)) {
            Some(path) => {
                let path = std::path::absolute(path).map_err(Error::io("find", path))?;
                config.apply(File::read(&path)?.ok_or_else(|| missing(&path))?, &path)?;
            }
            None => {
                let user = environment.config_home().map(|home| home.join("envstore/config.toml"));
                for path in std::iter::once(PathBuf::from("/etc/envstore/config.toml")).chain(user) {
                    if let Some(file) = File::read(&path)? {
                        config.apply(file, &path)?;
                    }
                }
            }
        }
        let offline_by = if offline {
            Some(Origin::Flag("--offline"))
        } else {
            environment.flag("ENVSTORE_OFFLINE").then_some(Origin::Variable("ENVSTORE_OFFLINE"))
        };
        if let Some(origin) = offline_by {
            config.settings.install.offline = true;
            config.origins.insert("install.offline", origin);
        }
        Ok(config)
    }

    /// Reads a text as if it were a file's.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of_text(text: &str, path: &Path) -> Result<Self> {
        let mut config = Self::default();
        config.apply(File::parse(text, path)?, path)?;
        Ok(config)
    }

    /// Fills in what the host says: `PATH`, and the directories in which pyenv and uv keep interpreters.
    fn find_on_host(&mut self, environment: &Environment) {
        if let Some(path) = environment.value("PATH") {
            // A relative entry would mean another directory for every caller.
            self.settings.install.path = std::env::split_paths(path).filter(|dir| dir.is_absolute()).collect();
        }
        let pyenv = environment.absolute("PYENV_ROOT").or_else(|| Some(environment.home()?.join(".pyenv")));
        let uv =
            environment.absolute("UV_PYTHON_INSTALL_DIR").or_else(|| Some(environment.data_home()?.join("uv/python")));
        self.settings.python.installations = pyenv.map(|dir| dir.join("versions")).into_iter().chain(uv).collect();
        self.origins.insert("python.installations", Origin::Found("pyenv, uv"));
    }

    /// Puts a file's values over the present ones.
    fn apply(&mut self, file: File, path: &Path) -> Result<()> {
        let base = path.parent().unwrap_or(Path::new("/"));
        let Self { settings, origins, .. } = self;
        let mut set = |key: &'static str| {
            origins.insert(key, Origin::File(path.to_owned()));
        };
        macro_rules! take {
            ($($value:expr => $key:literal, $target:expr, $convert:expr;)*) => {
                $(if let Some(value) = $value {
                    $target = ($convert)(value);
                    set($key);
                })*
            };
        }
        let (install, lock, gc, python) = (file.install, file.lock, file.gc, file.python);
        let bad = |reason: String| Error::InvalidConfig { origin: format!("`{}`", path.display()), reason };
        if let Some(list) = file.index {
            settings.indexes = index::check(list, base).map_err(bad)?;
            set("index");
        }
        if let Some(links) = &install.find_links {
            settings.install.find_links = index::check_links(links, base).map_err(bad)?;
            set("install.find_links");
        }
        if let Some(text) = &lock.prefer {
            settings.lock.prefer = prefer(text, base).map_err(bad)?;
            set("lock.prefer");
        }
        for (key, lines) in [
            ("lock.minimum", &lock.minimum),
            ("install.build_constraints", &install.build_constraints),
            ("install.seed", &install.seed),
        ] {
            requirements(key, lines.as_deref().unwrap_or_default(), base).map_err(bad)?;
        }
        take! {
            install.installer => "install.installer", settings.install.installer, file::InstallerText::into_inner;
            install.offline => "install.offline", settings.install.offline, |value| value;
            install.ca_bundle => "install.ca_bundle", settings.install.ca_bundle, |text: String| path_or_none(&text, base);
            install.timeout => "install.timeout", settings.install.timeout, file::seconds;
            install.silence_timeout => "install.silence_timeout", settings.install.silence_timeout, file::seconds;
            install.jobs => "install.jobs", settings.install.jobs, |jobs: file::JobsNumber| Some(jobs.into_inner());
            install.allow_source => "install.allow_source", settings.install.allow_source, file::AllowSourceValue::into_inner;
            install.build_constraints => "install.build_constraints", settings.install.build_constraints, |value| value;
            install.seed => "install.seed", settings.install.seed, |value| value;
            install.pack_options => "install.pack_options", settings.install.pack_options, file::PackOptionsText::into_inner;
            install.link_mode => "install.link_mode", settings.install.link_mode, file::LinkModeText::into_inner;
            lock.minimum => "lock.minimum", settings.lock.minimum, |value| value;
            lock.exclude_newer => "lock.exclude_newer", settings.lock.exclude_newer, file::DateText::into_inner;
            gc.max_size => "gc.max_size", settings.gc.max_size, file::size;
            gc.min_free => "gc.min_free", settings.gc.min_free, file::MinFreeText::into_inner;
            gc.history => "gc.history", settings.gc.history, |value| value;
            gc.retain_generations => "gc.retain_generations", settings.gc.retain_generations, |value| value;
            gc.retain_for => "gc.retain_for", settings.gc.retain_for, file::seconds;
            gc.idle => "gc.idle", settings.gc.idle, file::seconds;
            gc.cache_max_size => "gc.cache_max_size", settings.gc.cache_max_size, file::BytesText::into_inner;
            gc.components_max_size => "gc.components_max_size", settings.gc.components_max_size, file::BytesText::into_inner;
            python.default => "python.default", settings.python.default, |text: String| (!text.is_empty()).then_some(text);
            python.interpreters => "python.interpreters", settings.python.interpreters, |paths| absolute_all(paths, base);
            python.installations => "python.installations", settings.python.installations, |paths| absolute_all(paths, base);
        }
        self.files.push(path.to_owned());
        Ok(())
    }
}

fn missing(path: &Path) -> Error {
    Error::InvalidConfig { origin: format!("`{}`", path.display()), reason: "there is no such file".into() }
}

/// Relative paths in a file are relative to it.
fn absolute_all(paths: Vec<PathBuf>, base: &Path) -> Vec<PathBuf> {
    paths.into_iter().map(|path| base.join(path)).collect()
}

fn path_or_none(text: &str, base: &Path) -> Option<PathBuf> {
    (!text.is_empty()).then(|| base.join(text))
}

/// Each line must be a requirement: an installer would tell of it at every pack.
fn requirements(key: &str, lines: &[String], base: &Path) -> Result<(), String> {
    for line in lines {
        let mut reader = Reader::new(PackOptions::Ignore);
        reader
            .requirement(key, base, line)
            .map_err(|error| format!("`{key}` has a line that is no requirement: {error}"))?;
    }
    Ok(())
}

fn prefer(text: &str, base: &Path) -> Result<Prefer, String> {
    match text {
        "" => {
            Err("`lock.prefer` is empty: write `newest`, `store` or the path of a file with `name==version` lines"
                .into())
        }
        "newest" => Ok(Prefer::Newest),
        "store" => Ok(Prefer::Store),
        file => Ok(Prefer::File(base.join(file))),
    }
}

#[cfg(test)]
mod tests;
