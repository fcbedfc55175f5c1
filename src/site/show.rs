//! The configuration as `config show` tells it.

use serde::Serialize;
use serde_json::{Value, json};

use super::units;
use super::{Config, Origin};
use crate::fs::link::LinkMode;
use crate::settings::{AllowSource, CredentialSource, Index, Installer, MinFree, PackOptions, Prefer};

/// One value.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// The key, e.g. `gc.max_size`.
    pub key: String,
    /// The value: text, number, truth or list; none where nothing is set.
    pub value: Value,
    /// A file's path, a flag, a variable, or `default`.
    pub origin: String,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => path.display().fmt(f),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
            Self::Found(what) => write!(f, "found ({what})"),
        }
    }
}

/// Every value, in the order of the documentation. Secrets are not among them, only where they are read.
pub fn entries(config: &Config) -> Vec<Entry> {
    let settings = &config.settings;
    let (install, lock, gc, python) = (&settings.install, &settings.lock, &settings.gc, &settings.python);
    let values = [
        ("index", Value::Array(settings.indexes.iter().map(index).collect())),
        (
            "install.installer",
            json!(match install.installer {
                Installer::Auto => "auto",
                Installer::Uv => "uv",
                Installer::Pip => "pip",
            }),
        ),
        ("install.offline", json!(install.offline)),
        ("install.find_links", json!(install.find_links)),
        ("install.ca_bundle", json!(install.ca_bundle)),
        ("install.timeout", json!(units::duration(install.timeout))),
        ("install.silence_timeout", json!(units::duration(install.silence_timeout))),
        ("install.jobs", json!(install.jobs())),
        (
            "install.allow_source",
            match &install.allow_source {
                AllowSource::All => json!(true),
                AllowSource::None => json!(false),
                AllowSource::Only(names) => json!(names),
            },
        ),
        ("install.build_constraints", json!(install.build_constraints)),
        ("install.seed", json!(install.seed)),
        (
            "install.pack_options",
            json!(match install.pack_options {
                PackOptions::Ignore => "ignore",
                PackOptions::Allow => "allow",
            }),
        ),
        ("install.link_mode", json!(install.link_mode.map_or("auto", LinkMode::as_str))),
        (
            "lock.prefer",
            match &lock.prefer {
                Prefer::Newest => json!("newest"),
                Prefer::Store => json!("store"),
                Prefer::File(path) => json!(path),
            },
        ),
        ("lock.minimum", json!(lock.minimum)),
        ("lock.exclude_newer", json!(lock.exclude_newer)),
        ("gc.max_size", json!(gc.max_size)),
        (
            "gc.min_free",
            match gc.min_free {
                MinFree::Bytes(bytes) => json!(bytes),
                MinFree::Percent(percent) => json!(format!("{percent}%")),
            },
        ),
        ("gc.history", json!(gc.history)),
        ("gc.retain_generations", json!(gc.retain_generations)),
        ("gc.retain_for", json!(units::duration(gc.retain_for))),
        ("gc.idle", json!(units::duration(gc.idle))),
        ("gc.cache_max_size", json!(gc.cache_max_size)),
        ("gc.components_max_size", json!(gc.components_max_size)),
        ("python.default", json!(python.default)),
        ("python.interpreters", json!(python.interpreters)),
        ("python.installations", json!(python.installations)),
    ];
    values
        .into_iter()
        .map(|(key, value)| Entry { key: key.to_owned(), value, origin: config.origin(key).to_string() })
        .collect()
}

fn index(index: &Index) -> Value {
    let credentials = index.credentials.as_ref().map(|source| match source {
        // A command's arguments may hold what nobody else should see.
        CredentialSource::Command { argv, .. } => {
            format!("printed by `{}`", argv.first().map_or("", String::as_str))
        }
        CredentialSource::Env { variable, .. } => format!("in the variable `{variable}`"),
        CredentialSource::Callback(_) => "asked of the process".into(),
        CredentialSource::Netrc => "in the netrc".into(),
        CredentialSource::File { path, .. } => format!("in the file `{}`", path.display()),
    });
    json!({ "name": index.name, "url": index.url, "default": index.default, "credentials": credentials })
}
