//! The keys that there are, and the one that was probably meant.

use toml::{Table, Value};

const TOP: &[&str] = &["index", "install", "lock", "gc", "python"];
const INDEX: &[&str] = &["name", "url", "default", "credentials"];
const CREDENTIALS: &[&str] = &["command", "env", "netrc", "file", "username", "ttl"];
const INSTALL: &[&str] = &[
    "installer",
    "offline",
    "find_links",
    "ca_bundle",
    "timeout",
    "silence_timeout",
    "jobs",
    "allow_source",
    "build_constraints",
    "seed",
    "pack_options",
    "link_mode",
];
const LOCK: &[&str] = &["prefer", "minimum", "exclude_newer"];
const GC: &[&str] = &[
    "max_size",
    "min_free",
    "history",
    "retain_generations",
    "retain_for",
    "idle",
    "cache_max_size",
    "components_max_size",
];
const PYTHON: &[&str] = &["default", "interpreters", "installations"];

/// Refuses keys that do not exist, naming each with its section and the nearest that does.
pub fn check(table: &Table) -> Result<(), String> {
    let mut unknown = Vec::new();
    look(table, TOP, "", &mut unknown);
    for (section, keys) in [("install", INSTALL), ("lock", LOCK), ("gc", GC), ("python", PYTHON)] {
        if let Some(Value::Table(inner)) = table.get(section) {
            look(inner, keys, section, &mut unknown);
        }
    }
    if let Some(Value::Array(entries)) = table.get("index") {
        for entry in entries.iter().filter_map(Value::as_table) {
            look(entry, INDEX, "index", &mut unknown);
            if let Some(Value::Table(credentials)) = entry.get("credentials") {
                look(credentials, CREDENTIALS, "index.credentials", &mut unknown);
            }
        }
    }
    if unknown.is_empty() { Ok(()) } else { Err(unknown.join("; ")) }
}

fn look(table: &Table, known: &[&str], section: &str, unknown: &mut Vec<String>) {
    for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
        let full = |key: &str| if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
        let meant =
            nearest(key, known).map(full).or_else(|| elsewhere(key)).map(|key| format!(", `{key}` is the nearest"));
        unknown.push(format!("there is no key `{}`{}", full(key), meant.unwrap_or_default()));
    }
}

/// The most alike of some names, if one is alike at all.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = name.to_lowercase().replace('-', "_");
    let alike = |other: &str| strsim::jaro_winkler(&plain, other);
    known.iter().copied().max_by(|a, b| alike(a).total_cmp(&alike(b))).filter(|best| alike(best) > 0.7)
}

/// The section in which a key of this name does exist.
fn elsewhere(key: &str) -> Option<String> {
    [("install", INSTALL), ("lock", LOCK), ("gc", GC), ("python", PYTHON)]
        .into_iter()
        .find(|(_, keys)| keys.contains(&key))
        .map(|(section, _)| format!("{section}.{key}"))
}
