//! `pylock.toml` (PEP 751): what uv answers, and what is kept under `locks/` and given back to uv.
//!
//! uv lists every file that fits; a [`Lock`] written here names exactly one per package, so the installer has
//! no choice left. The text is a function of the lock and the interpreter's minor version: no times, sizes
//! or tool versions, packages and keys in a fixed order. What PEP 751 has no field for (a directory's digest, an
//! index's name) stands in `[packages.tool.envstore]`, which other tools pass over.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};
use url::Url;

use crate::interpreter::Interpreter;
use crate::lock::{Artifact, Lock, Locked};

/// The version of the format that is written. Any 1.x is read, as PEP 751 asks.
const VERSION: &str = "1.0";

/// A text that is no usable lock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct InvalidPylock(String);

impl InvalidPylock {
    fn of(package: &str, reason: &str) -> Self {
        Self(format!("package `{package}`: {reason}"))
    }
}

/// A lock file as it stands, every file that fits listed.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Pylock {
    lock_version: String,
    /// One entry a distribution.
    #[serde(default)]
    pub packages: Vec<Package>,
}

/// A distribution and where it may come from.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Package {
    /// Normalised name.
    pub name: String,
    /// Version; absent where only a build can tell.
    #[serde(default)]
    pub version: Option<String>,
    /// The URL of its index.
    #[serde(default)]
    pub index: Option<String>,
    /// Wheels.
    #[serde(default)]
    pub wheels: Vec<File>,
    /// The source distribution.
    #[serde(default)]
    pub sdist: Option<File>,
    /// A file named by the declaration itself, wheel or source.
    #[serde(default)]
    pub archive: Option<File>,
    /// A repository.
    #[serde(default)]
    pub vcs: Option<Vcs>,
    /// A local directory.
    #[serde(default)]
    pub directory: Option<Directory>,
    /// What tools note.
    #[serde(default)]
    pub tool: BTreeMap<String, Value>,
}

/// A file of a distribution.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct File {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
    /// A directory inside a source archive.
    #[serde(default)]
    pub subdirectory: Option<String>,
}

/// A commit of a repository.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Vcs {
    r#type: String,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    path: Option<String>,
    commit_id: String,
    #[serde(default)]
    subdirectory: Option<String>,
}

/// A local directory.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Directory {
    /// Where; relative to the lock file.
    pub path: String,
    #[serde(default)]
    pub editable: Option<bool>,
    #[serde(default)]
    pub subdirectory: Option<String>,
}

/// Reads a lock file.
pub(crate) fn parse(text: &str) -> Result<Pylock, InvalidPylock> {
    let pylock: Pylock = toml::from_str(text).map_err(|error| InvalidPylock(error.message().to_owned()))?;
    if !pylock.lock_version.starts_with("1.") {
        return Err(InvalidPylock(format!("lock-version `{}` is not known here", pylock.lock_version)));
    }
    Ok(pylock)
}

impl File {
    /// The absolute URL without userinfo, query and fragment; paths are relative to `base`.
    pub(crate) fn url(&self, base: &Path) -> Option<String> {
        if let Some(url) = &self.url {
            return canonical_url(url);
        }
        Url::from_file_path(base.join(self.path.as_ref()?)).ok().map(Into::into)
    }

    /// The file's name: as given, else the last part of its URL or path.
    pub(crate) fn file_name(&self) -> Option<String> {
        if let Some(name) = &self.name {
            return Some(name.clone());
        }
        let place = self.url.as_ref().or(self.path.as_ref())?;
        let place = match self.url {
            Some(_) => place.split(['?', '#']).next().unwrap_or(place),
            None => place,
        };
        let last = place.rsplit('/').next()?;
        let name = match self.url {
            Some(_) => percent_encoding::percent_decode_str(last).decode_utf8().ok()?.into_owned(),
            None => last.to_owned(),
        };
        (!name.is_empty()).then_some(name)
    }

    /// Its SHA-256, 64 lowercase hex digits.
    pub(crate) fn sha256(&self) -> Option<String> {
        let digest = self.hashes.get("sha256")?.to_ascii_lowercase();
        is_hex(&digest, 64).then_some(digest)
    }
}

impl Vcs {
    /// The artifact, if it names a full commit.
    pub(crate) fn artifact(&self, base: &Path) -> Option<Artifact> {
        let url = match &self.url {
            Some(url) => canonical_url(url)?,
            None => Url::from_file_path(base.join(self.path.as_ref()?)).ok()?.into(),
        };
        let commit = self.commit_id.to_ascii_lowercase();
        let full = is_hex(&commit, 40) || is_hex(&commit, 64);
        full.then(|| Artifact::Vcs { vcs: self.r#type.clone(), url, commit, subdirectory: self.subdirectory.clone() })
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether a file name is a wheel's.
pub(crate) fn is_wheel(file: &str) -> bool {
    file.len() > 4 && file.get(file.len() - 4..).is_some_and(|end| end.eq_ignore_ascii_case(".whl"))
}

/// A URL as it may be kept: without password, query and fragment, and without user name unless ssh needs it.
pub(crate) fn canonical_url(text: &str) -> Option<String> {
    let mut url = Url::parse(text).ok()?;
    if url.cannot_be_a_base() {
        return None;
    }
    // These fail only for URLs without a host, which have no userinfo either.
    let _ = url.set_password(None);
    if !url.scheme().ends_with("ssh") {
        let _ = url.set_username("");
    }
    url.set_query(None);
    url.set_fragment(None);
    Some(url.into())
}

/// Writes a lock. Equal locks for interpreters of one minor version are equal bytes.
pub(crate) fn write(lock: &Lock, interpreter: &Interpreter) -> String {
    let mut text = format!("lock-version = {}\ncreated-by = \"envstore\"\n", quoted(VERSION));
    if let Some(minor) = minor(&interpreter.identity.version) {
        text.push_str(&format!("requires-python = {}\n", quoted(&format!("=={minor}.*"))));
    }
    let mut packages: Vec<&Locked> = lock.packages.iter().collect();
    packages.sort();
    for package in packages {
        text.push_str("\n[[packages]]\n");
        write_package(&mut text, package);
    }
    text
}

fn write_package(text: &mut String, package: &Locked) {
    let mut line = |key: &str, value: String| text.push_str(&format!("{key} = {value}\n"));
    line("name", quoted(&package.name));
    if !package.version.is_empty() {
        line("version", quoted(&package.version));
    }
    let mut digest_of_directory = None;
    match &package.artifact {
        Artifact::Wheel { file, url, sha256 } => line("wheels", format!("[{}]", inline_file(file, url, sha256, None))),
        Artifact::Sdist { file, url, sha256, subdirectory } => {
            // A source archive that does not bear its version in its name is one only for whoever asked for it by URL.
            let key = if subdirectory.is_none() && is_sdist_name(file, package) { "sdist" } else { "archive" };
            line(key, inline_file(file, url, sha256, subdirectory.as_deref()));
        }
        Artifact::Vcs { vcs, url, commit, subdirectory } => {
            let mut fields = vec![("type", vcs.as_str()), ("url", url), ("commit-id", commit)];
            fields.extend(subdirectory.as_deref().map(|directory| ("subdirectory", directory)));
            line("vcs", inline(&fields));
        }
        Artifact::Directory { path, digest } => {
            line("directory", inline(&[("path", path)]));
            digest_of_directory = Some(digest);
        }
    }
    if package.index.is_some() || digest_of_directory.is_some() {
        text.push_str("[packages.tool.envstore]\n");
        let mut line = |key: &str, value: &str| text.push_str(&format!("{key} = {}\n", quoted(value)));
        if let Some(digest) = digest_of_directory {
            line("digest", digest);
        }
        if let Some(index) = &package.index {
            line("index", index);
        }
    }
}

fn inline_file(file: &str, url: &str, sha256: &str, subdirectory: Option<&str>) -> String {
    let mut fields = vec![format!("name = {}", quoted(file)), format!("url = {}", quoted(url))];
    fields.extend(subdirectory.map(|directory| format!("subdirectory = {}", quoted(directory))));
    fields.push(format!("hashes = {}", inline(&[("sha256", sha256)])));
    format!("{{ {} }}", fields.join(", "))
}

fn inline(fields: &[(&str, &str)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(key, value)| format!("{key} = {}", quoted(value))).collect();
    format!("{{ {} }}", fields.join(", "))
}

/// A TOML string.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

fn minor(version: &str) -> Option<String> {
    let mut parts = version.split('.');
    let (major, minor) = (parts.next()?, parts.next()?);
    [major, minor].iter().all(|part| part.parse::<u16>().is_ok()).then(|| format!("{major}.{minor}"))
}

/// Whether a file is named `name-version.ext`, in any spelling of the name.
fn is_sdist_name(file: &str, package: &Locked) -> bool {
    let normal = |text: &str| text.to_ascii_lowercase().replace(['_', '.'], "-");
    [".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz"]
        .iter()
        .find_map(|end| file.strip_suffix(end))
        .is_some_and(|stem| normal(stem) == format!("{}-{}", normal(&package.name), normal(&package.version)))
}

/// Reads back what [`write()`] wrote, or any lock file that leaves no choice.
pub(crate) fn read(text: &str) -> Result<Lock, InvalidPylock> {
    let pylock = parse(text)?;
    let packages: Result<Vec<Locked>, _> = pylock.packages.iter().map(only_artifact).collect();
    Ok(Lock::new(packages?))
}

fn only_artifact(package: &Package) -> Result<Locked, InvalidPylock> {
    let invalid = |reason| InvalidPylock::of(&package.name, reason);
    let ours = package.tool.get("envstore").and_then(Value::as_table);
    let note = |key| ours.and_then(|table: &Table| table.get(key)).and_then(Value::as_str).map(str::to_owned);
    let files: Vec<&File> = package.wheels.iter().chain(&package.sdist).chain(&package.archive).collect();
    let base = Path::new("/");
    let artifact = match (files.as_slice(), &package.vcs, &package.directory) {
        ([file], None, None) => {
            file_artifact(file, base).ok_or_else(|| invalid("needs a place, a name and a sha256"))?
        }
        ([], Some(vcs), None) => vcs.artifact(base).ok_or_else(|| invalid("needs a full commit"))?,
        ([], None, Some(directory)) => Artifact::Directory {
            path: directory.path.clone(),
            digest: note("digest").ok_or_else(|| invalid("is a directory without a digest"))?,
        },
        _ => return Err(invalid("does not name exactly one artifact")),
    };
    let version = package.version.clone().unwrap_or_default();
    Ok(Locked { name: package.name.clone(), version, artifact, index: note("index") })
}

/// A file as an artifact, if it says where it is, what it is called and its digest.
pub(crate) fn file_artifact(file: &File, base: &Path) -> Option<Artifact> {
    let (name, url, sha256) = (file.file_name()?, file.url(base)?, file.sha256()?);
    Some(if is_wheel(&name) {
        Artifact::Wheel { file: name, url, sha256 }
    } else {
        Artifact::Sdist { file: name, url, sha256, subdirectory: file.subdirectory.clone() }
    })
}

#[cfg(test)]
mod tests;
