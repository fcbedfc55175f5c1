//! Settings of pip and uv that do not reach the installer: a shared store must not depend on who calls it.

use super::environment::Environment;
use crate::settings::Settings;

type Variable = (&'static str, &'static str, fn(&Settings) -> bool);

/// Variables, the key that does what they ask for, and whether that key is set.
const VARIABLES: [Variable; 17] = [
    ("PIP_INDEX_URL", "[[index]]", has_index),
    ("PIP_EXTRA_INDEX_URL", "[[index]]", has_index),
    ("UV_INDEX_URL", "[[index]]", has_index),
    ("UV_EXTRA_INDEX_URL", "[[index]]", has_index),
    ("UV_DEFAULT_INDEX", "[[index]]", has_index),
    ("UV_INDEX", "[[index]]", has_index),
    ("PIP_NO_INDEX", "install.offline", is_offline),
    ("UV_NO_INDEX", "install.offline", is_offline),
    ("UV_OFFLINE", "install.offline", is_offline),
    ("PIP_FIND_LINKS", "install.find_links", has_links),
    ("UV_FIND_LINKS", "install.find_links", has_links),
    ("PIP_CERT", "install.ca_bundle", has_ca),
    ("PIP_CONSTRAINT", "lock.prefer", |settings| settings.lock.prefer != crate::settings::Prefer::Newest),
    ("UV_CONSTRAINT", "lock.prefer", |settings| settings.lock.prefer != crate::settings::Prefer::Newest),
    ("PIP_TRUSTED_HOST", "install.ca_bundle", has_ca),
    ("UV_INSECURE_HOST", "install.ca_bundle", has_ca),
    ("UV_PYTHON", "python.default", |settings| settings.python.default.is_some()),
];

fn has_index(settings: &Settings) -> bool {
    !settings.indexes.is_empty()
}

fn is_offline(settings: &Settings) -> bool {
    settings.install.offline
}

fn has_links(settings: &Settings) -> bool {
    !settings.install.find_links.is_empty()
}

fn has_ca(settings: &Settings) -> bool {
    settings.install.ca_bundle.is_some()
}

/// One sentence about the variables that are set, have no effect, and whose setting is not set. Values, which may be
/// secret, are not told.
pub fn foreign_settings(environment: &Environment, settings: &Settings) -> Option<String> {
    let ignored: Vec<_> = VARIABLES
        .iter()
        .filter(|(variable, _, is_set)| environment.value(variable).is_some() && !is_set(settings))
        .collect();
    if ignored.is_empty() {
        return None;
    }
    let each: Vec<_> = ignored.iter().map(|(variable, key, _)| format!("{variable} (set `{key}` instead)")).collect();
    Some(format!("variables of pip and uv have no effect on a shared store: {}", each.join(", ")))
}
