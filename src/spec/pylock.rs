//! `pylock.toml` (PEP 751): what it says, and a pack's own one as part of its declaration.
//!
//! A lock that a pack brings is taken as it is: it becomes the spec's [`Pylock`], and making the lock of an
//! interpreter is then choosing among the files it lists. Nothing is asked of an index. What stands in it for other
//! readers (dependencies, sizes, times, tools' notes) is left out; local files count by their digests, local
//! directories by their content.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;
use uv_normalize::PackageName;
use uv_pep440::{Version, VersionSpecifiers};

use super::{content, link, pep508};

/// A text that is no usable lock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPylock(String);

impl InvalidPylock {
    /// What is wrong with one package.
    pub(crate) fn of(package: &str, reason: impl std::fmt::Display) -> Self {
        Self(format!("package `{package}`: {reason}"))
    }
}

/// A lock file as it stands, every file that fits listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Pylock {
    pub(crate) lock_version: String,
    /// Markers, one of which must hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) environments: Vec<String>,
    /// Which interpreters it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requires_python: Option<String>,
    /// The groups that are installed without being asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) default_groups: Vec<String>,
    /// Entries of distributions.
    pub(crate) packages: Vec<Package>,
}

/// A distribution and where it may come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Package {
    /// Normalised name.
    pub(crate) name: String,
    /// Version; absent where only a build can tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    /// Where it is installed; everywhere if it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) marker: Option<String>,
    /// Which interpreters it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requires_python: Option<String>,
    /// The URL of its index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<String>,
    /// Wheels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) wheels: Vec<File>,
    /// The source distribution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sdist: Option<File>,
    /// A file named by the declaration itself, wheel or source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) archive: Option<File>,
    /// A repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vcs: Option<Vcs>,
    /// A local directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) directory: Option<Directory>,
    /// What tools note.
    #[serde(skip_serializing_if = "Notes::is_empty")]
    pub(crate) tool: Notes,
}

/// `[packages.tool]`, of which only our own part is read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notes {
    pub(crate) envstore: Note,
}

/// What PEP 751 has no field for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Note {
    /// The content digest of a directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<String>,
    /// The name of an index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<String>,
}

impl Notes {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A file of a distribution.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct File {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    pub(crate) hashes: BTreeMap<String, String>,
    /// A directory inside a source archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subdirectory: Option<String>,
}

/// A commit of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Vcs {
    pub(crate) r#type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    pub(crate) commit_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subdirectory: Option<String>,
}

/// A local directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Where; relative to the lock file.
    pub(crate) path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) editable: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subdirectory: Option<String>,
}

/// Reads a lock file.
pub(crate) fn parse(text: &str) -> Result<Pylock, InvalidPylock> {
    let pylock: Pylock = toml::from_str(text).map_err(|error| {
        let before = |at: usize| text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count();
        let line = error.span().map(|span| format!("line {}: ", before(span.start) + 1)).unwrap_or_default();
        InvalidPylock(format!("{line}{}", error.message()))
    })?;
    if !pylock.lock_version.starts_with("1.") {
        return Err(InvalidPylock(format!("lock-version `{}` is not known here", pylock.lock_version)));
    }
    Ok(pylock)
}

/// Whether a file is named as PEP 751 wants a lock to be: `pylock.toml` or `pylock.NAME.toml`.
pub(super) fn is_file_name(name: &str) -> bool {
    name == "pylock.toml" || name_within(name).is_some()
}

/// The `NAME` of `pylock.NAME.toml`.
pub(super) fn name_within(file: &str) -> Option<&str> {
    file.strip_prefix("pylock.")?.strip_suffix(".toml").filter(|name| !name.is_empty() && !name.contains('.'))
}

/// Reads the lock that a pack brings into canonical form. Relative paths are relative to `base_dir`.
///
/// # Errors
/// If it is none, names a file without a SHA-256 or a commit in part, or holds a secret.
pub(super) fn declared(text: &str, base_dir: &Path) -> Result<Pylock, InvalidPylock> {
    let mut pylock = parse(text)?;
    pylock.lock_version = "1.0".into();
    for marker in &mut pylock.environments {
        *marker = pep508::canonical_marker(marker).map_err(InvalidPylock)?.unwrap_or_default();
    }
    pylock.environments.sort();
    pylock.environments.dedup();
    pylock.default_groups.sort();
    let mut packages = Vec::with_capacity(pylock.packages.len());
    for mut package in std::mem::take(&mut pylock.packages) {
        let name = package.name.clone();
        if canonicalise(&mut package, base_dir).map_err(|reason| InvalidPylock::of(&name, reason))? {
            packages.push(package);
        }
    }
    // Their own text settles the order of what one name has for several environments.
    packages.sort_by_cached_key(|package| (package.name.clone(), line(package)));
    packages.dedup();
    pylock.packages = packages;
    Ok(pylock)
}

/// Brings one package into canonical form. False if no environment would have it.
fn canonicalise(package: &mut Package, base_dir: &Path) -> Result<bool, String> {
    package.name = PackageName::from_str(&package.name).map_err(|_| "it is no package name".to_owned())?.to_string();
    if let Some(version) = &mut package.version {
        *version = Version::from_str(version).map_err(|error| error.to_string())?.to_string();
    }
    if let Some(range) = &mut package.requires_python {
        let read = VersionSpecifiers::from_str(range).map_err(|_| format!("`{range}` is no range of versions"))?;
        *range = super::range::join(read.iter().cloned().collect());
    }
    if let Some(marker) = package.marker.take() {
        match pep508::canonical_marker(&marker)? {
            None => return Ok(false),
            Some(marker) => package.marker = Some(marker).filter(|marker| !marker.is_empty()),
        }
    }
    package.tool = Notes::default();
    for file in package.wheels.iter_mut().chain(&mut package.sdist).chain(&mut package.archive) {
        file.canonicalise(base_dir)?;
    }
    package.wheels.sort_by_cached_key(File::file_name);
    if let Some(vcs) = &mut package.vcs {
        if let Some(url) = &vcs.url {
            refuse_secrets(url)?;
        }
        vcs.path = vcs.path.take().map(|path| base_dir.join(path).display().to_string());
        if !is_hex(&vcs.commit_id, 40) && !is_hex(&vcs.commit_id, 64) {
            return Err(format!("`{}` is no full commit", vcs.commit_id));
        }
    }
    if let Some(directory) = &mut package.directory {
        if directory.editable == Some(true) {
            return Err("it is editable, which no environment that never changes can hold".into());
        }
        let mut path = base_dir.join(&directory.path);
        path.extend(directory.subdirectory.take());
        let digest = content::directory_digest(&path).map_err(|error| link::with_cause(&error))?;
        directory.path = path.to_str().ok_or("its directory is no text")?.to_owned();
        package.tool.envstore.digest = Some(digest.to_string());
    }
    let places = [
        !package.wheels.is_empty() || package.sdist.is_some(),
        package.archive.is_some(),
        package.vcs.is_some(),
        package.directory.is_some(),
    ];
    match places.iter().filter(|given| **given).count() {
        1 => Ok(true),
        0 => Err("nothing says where it comes from".into()),
        _ => Err("it comes from several places at once".into()),
    }
}

impl Pylock {
    /// What is digested of it: a line for each thing that decides what is installed. Places on this host are left
    /// out, their content stands for them.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.environments.iter().map(|marker| format!("environment {marker}")).collect();
        lines.extend(self.default_groups.iter().map(|group| format!("group {group}")));
        lines.extend(self.packages.iter().map(line));
        lines
    }
}

/// A package without the places of local files and directories.
fn line(package: &Package) -> String {
    let mut package = package.clone();
    for file in package.wheels.iter_mut().chain(&mut package.sdist).chain(&mut package.archive) {
        file.name = file.file_name();
        file.path = None;
    }
    if let Some(directory) = &mut package.directory {
        directory.path.clear();
    }
    serde_json::to_string(&package).expect("texts, lists and maps of texts are JSON")
}

/// The URLs of a lock are kept, and what is kept holds no secrets.
fn refuse_secrets(url: &str) -> Result<(), String> {
    let read = Url::parse(url).map_err(|error| format!("it holds what is no URL: {error}"))?;
    link::refuse_secrets(&read, read.scheme().ends_with("ssh"))
}

impl File {
    fn canonicalise(&mut self, base_dir: &Path) -> Result<(), String> {
        if let Some(url) = &self.url {
            refuse_secrets(url)?;
        }
        self.path = self.path.take().map(|path| base_dir.join(path).display().to_string());
        let name = self.file_name().ok_or("a file of it has no name")?;
        let sha256 = self.sha256().ok_or_else(|| format!("`{name}` has no sha256 digest"))?;
        self.hashes = BTreeMap::from([("sha256".to_owned(), sha256)]);
        self.name = Some(name);
        Ok(())
    }

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

pub(crate) fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit())
}

impl Vcs {
    /// The repository's URL without userinfo; a path is relative to `base`.
    pub(crate) fn url(&self, base: &Path) -> Option<String> {
        match &self.url {
            Some(url) => canonical_url(url),
            None => Url::from_file_path(base.join(self.path.as_ref()?)).ok().map(Into::into),
        }
    }
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
