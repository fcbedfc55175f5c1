//! Indexes and link directories: named, unambiguous, and free of secrets.

use std::path::Path;

use url::Url;

use super::file;
use crate::settings::{CredentialSource, Index};

/// Checks the `[[index]]` entries of one file.
pub fn check(entries: Vec<file::Index>, base: &Path) -> Result<Vec<Index>, String> {
    let mut indexes: Vec<Index> = Vec::new();
    for entry in entries {
        let name = entry.name;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            return Err(format!("{name:?} is no index name: use letters, digits, `-`, `_` and `.`"));
        }
        if indexes.iter().any(|other| other.name == name) {
            return Err(format!("there are two indexes with the name `{name}`"));
        }
        if entry.default && indexes.iter().any(|other| other.default) {
            return Err(format!("the index `{name}` is the second with `default = true`, only one can replace PyPI"));
        }
        without_secret(&entry.url).map_err(|reason| format!("the URL of the index `{name}` {reason}"))?;
        let credentials = entry
            .credentials
            .map(|source| source.check(base))
            .transpose()
            .map_err(|reason| format!("the credentials of the index `{name}` {reason}"))?;
        indexes.push(Index { name, url: entry.url, default: entry.default, credentials });
    }
    Ok(indexes)
}

/// Checks `find_links`: URLs without secrets, directories made absolute.
pub fn check_links(links: &[String], base: &Path) -> Result<Vec<String>, String> {
    links
        .iter()
        .map(|link| {
            if link.is_empty() {
                return Err("an entry of `install.find_links` is empty".into());
            }
            if link.contains("://") {
                without_secret(link).map_err(|reason| format!("a URL in `install.find_links` {reason}"))?;
                return Ok(link.clone());
            }
            Ok(base.join(link).display().to_string())
        })
        .collect()
}

/// The URL itself never stands in the message: it may hold a secret.
fn without_secret(text: &str) -> Result<(), &'static str> {
    let url = Url::parse(text).map_err(|_| "is no URL: write it in full, such as `https://host/simple/`")?;
    if !["https", "http", "file"].contains(&url.scheme()) {
        return Err("has a scheme other than `https`, `http` and `file`");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds credentials: take them out and set `credentials = { … }` of an `[[index]]`, or use a netrc");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("has a query or fragment, where secrets hide: write it without");
    }
    Ok(())
}

impl file::Credentials {
    fn check(self, base: &Path) -> Result<CredentialSource, &'static str> {
        const ONE: &str = "name no source or several: write one of `command`, `env`, `netrc = true`, `file`";
        if self.ttl.is_some() && self.command.is_none() {
            return Err("have a `ttl`, which goes with `command` only");
        }
        let username = self.username;
        match (self.command, self.env, self.netrc.unwrap_or(false), self.file) {
            (Some(argv), None, false, None) => {
                if argv.first().is_none_or(String::is_empty) {
                    return Err("have an empty `command`: write the program and its arguments as a list");
                }
                Ok(CredentialSource::Command { argv, username, ttl: self.ttl.map(file::seconds) })
            }
            (None, Some(variable), false, None) => {
                if variable.is_empty() || variable.contains(['=', '\0']) {
                    return Err("have an `env` that is no variable's name");
                }
                Ok(CredentialSource::Env { variable, username })
            }
            (None, None, true, None) if username.is_some() => Err("have a `username`, which a netrc holds itself"),
            (None, None, true, None) => Ok(CredentialSource::Netrc),
            (None, None, false, Some(path)) => Ok(CredentialSource::File { path: base.join(path), username }),
            _ => Err(ONE),
        }
    }
}
