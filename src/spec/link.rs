//! Requirements that name where they come from: `git+https://…`, URLs of archives, local files and directories.
//!
//! A link becomes two texts. The canonical one has no egg, no place on this machine and never a secret; a local
//! file stands in it by content. The other one is what an installer is given, where that differs.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use url::Url;
use uv_distribution_filename::{DistExtension, SourceDistFilename, WheelFilename};
use uv_normalize::PackageName;

use super::content::{directory_digest, file_sha256};

/// A place that a requirement names, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// The name that its egg or file name gives, with the egg's extras.
    pub(super) name: Option<String>,
    /// Whether the name is only what a source archive is called: its metadata may say another.
    pub(super) is_guess: bool,
    /// The extras behind it, brackets included; empty if there are none.
    pub(super) extras: String,
    /// The canonical text.
    pub(super) canonical: String,
    /// The text for an installer where it differs.
    pub(super) install: Option<String>,
    /// What was left out and is worth telling.
    pub(super) notes: Vec<String>,
}

/// Whether a requirement without a name in front is a link rather than a name.
pub(super) fn is_link(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    let stem = first.split(['[', '#', ';']).next().unwrap_or_default();
    first.starts_with(['.', '/', '~'])
        || first.split([';', '=', '<', '>', '!', '"', '\'']).next().is_some_and(|head| head.contains('/'))
        || first.starts_with("file:")
        || [".whl", ".zip", ".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tar.xz"].iter().any(|end| stem.ends_with(end))
}

/// Reads a link. Relative paths are relative to `base_dir`.
///
/// # Errors
/// If it is no URL, holds a secret, or names a file that is not there.
pub(super) fn read(text: &str, base_dir: &Path) -> Result<Link, String> {
    let (place, fragment) = split_fragment(text);
    let fragment = Fragment::read(fragment)?;
    match place.split_once("://") {
        Some((scheme, rest)) if !scheme.eq_ignore_ascii_case("file") && is_scheme(scheme) => {
            remote(&scheme.to_ascii_lowercase(), rest, place, fragment)
        }
        _ => local(&file_path(place)?, base_dir, fragment),
    }
}

/// What stands behind the `#` of a link.
#[derive(Debug, Default)]
struct Fragment<'a> {
    egg: Option<String>,
    subdirectory: Option<&'a str>,
    digests: Vec<String>,
    notes: Vec<String>,
    others: Vec<&'a str>,
}

impl<'a> Fragment<'a> {
    fn read(text: &'a str) -> Result<Self, String> {
        let mut this = Self::default();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                // pip's own word for a project whose name it could not find out.
                Some(("egg", egg)) if egg.eq_ignore_ascii_case("unknown") => {
                    this.notes.push("`#egg=UNKNOWN` names nothing and is left out".into());
                }
                Some(("egg", egg)) => this.egg = Some(egg_name(egg)?),
                Some(("subdirectory", path)) => this.subdirectory = Some(subdirectory(path)?),
                Some((kind @ ("sha256" | "sha384" | "sha512"), hex)) => {
                    this.digests.push(format!("{kind}={}", hex.to_ascii_lowercase()));
                }
                _ => this.others.push(part),
            }
        }
        this.digests.sort();
        this.digests.dedup();
        Ok(this)
    }

    /// The parts that decide what is installed, as text behind a URL.
    fn kept(&self) -> String {
        let subdirectory = self.subdirectory.map(|path| format!("subdirectory={path}"));
        let kept: Vec<_> = self.digests.iter().cloned().chain(subdirectory).collect();
        if kept.is_empty() { String::new() } else { format!("#{}", kept.join("&")) }
    }

    fn into_notes(mut self) -> Vec<String> {
        for other in &self.others {
            let what = if is_commit(other) { ": a commit is named by `@` in front of it" } else { "" };
            self.notes.push(format!("`#{other}` means nothing and is left out{what}"));
        }
        self.notes
    }
}

fn remote(scheme: &str, rest: &str, place: &str, fragment: Fragment<'_>) -> Result<Link, String> {
    let (vcs, transport) = scheme.split_once('+').map_or((None, scheme), |(vcs, t)| (Some(vcs), t));
    let is_known = match vcs {
        // Installers have given it up, and so have the hosts: nothing tells who answers.
        Some("git") if transport == "git" => return Err("`git+git:` is not supported: write `git+https:`".into()),
        Some("git") => matches!(transport, "https" | "http" | "ssh" | "file"),
        Some(_) => return Err(format!("`{scheme}:` is not supported: only Git repositories are")),
        None => matches!(transport, "https" | "http"),
    };
    if !is_known {
        let hint = if matches!(transport, "git" | "ssh") { ", write `git+` in front of it" } else { "" };
        return Err(format!("`{scheme}:` is no place to install from{hint}"));
    }
    // Extras may stand behind a path: `…/x.zip[extra]`. In an address of IPv6 they do not come last.
    let (rest, extras) = split_extras(rest);
    if place.contains(char::is_whitespace) {
        return Err("a URL has no white space in it: write `%20`".into());
    }
    let url = Url::parse(&format!("{scheme}://{rest}")).map_err(|error| match transport {
        "ssh" => format!("it is no URL ({error}): between host and path stands a `/`, not a `:`"),
        _ => format!("it is no URL ({error})"),
    })?;
    refuse_secrets(&url, transport == "ssh")?;
    let file = url.path().rsplit('/').next().unwrap_or_default().to_owned();
    let name = match &fragment.egg {
        Some(egg) => Some(egg.clone()),
        None if vcs.is_none() => wheel_name(&percent_decoded(&file))?,
        None => None,
    };
    let canonical = format!("{url}{}", fragment.kept());
    let extras = extras.to_owned();
    Ok(Link { name, is_guess: false, extras, canonical, install: None, notes: fragment.into_notes() })
}

fn local(given: &str, base_dir: &Path, mut fragment: Fragment<'_>) -> Result<Link, String> {
    let (path, extras) = split_extras(given);
    let unreadable = |error: std::io::Error| format!("cannot read `{}`: {error}", base_dir.join(path).display());
    let mut path = real_path(&base_dir.join(path)).map_err(unreadable)?;
    let meta = fs::metadata(&path).map_err(unreadable)?;
    let (content, name, is_guess) = if meta.is_dir() {
        // uv does not look at a directory's `#subdirectory`, which says nothing that the path cannot.
        if let Some(subdirectory) = fragment.subdirectory.take() {
            path = fs::canonicalize(path.join(subdirectory)).map_err(unreadable)?;
        }
        if !["pyproject.toml", "setup.py", "setup.cfg"].iter().any(|file| path.join(file).exists()) {
            return Err(format!("the directory `{}` has neither `pyproject.toml` nor `setup.py`", path.display()));
        }
        (format!("dir:{}", directory_digest(&path).map_err(|error| with_cause(&error))?), None, false)
    } else if meta.is_file() {
        let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        DistExtension::from_path(file)
            .map_err(|_| format!("`{}` is neither a wheel nor a source archive", path.display()))?;
        let sha256 = file_sha256(&path).map_err(|error| with_cause(&error))?;
        if let Some(other) = fragment.digests.iter().filter_map(|d| d.strip_prefix("sha256=")).find(|d| *d != sha256) {
            return Err(format!("`{}` has the SHA-256 {sha256}, not {other}", path.display()));
        }
        let wheel = wheel_name(file)?;
        let is_guess = wheel.is_none() && fragment.egg.is_none();
        (format!("sha256:{sha256}"), wheel.or_else(|| sdist_name(file)), is_guess)
    } else {
        return Err(format!("`{}` is neither a file nor a directory", path.display()));
    };
    let url = Url::from_file_path(&path).map_err(|()| format!("`{}` is no absolute path", path.display()))?;
    let within = fragment.subdirectory.map(|path| format!("#subdirectory={path}")).unwrap_or_default();
    Ok(Link {
        name: fragment.egg.clone().or(name),
        is_guess,
        extras: extras.to_owned(),
        canonical: format!("{content}{within}"),
        install: Some(format!("{url}{within}")),
        notes: fragment.into_notes(),
    })
}

/// The path of `./x`, `/x`, `file:x`, `file:///x` or `file://localhost/x`.
fn file_path(place: &str) -> Result<String, String> {
    let Some(rest) = place.strip_prefix("file:") else { return Ok(place.to_owned()) };
    let path = match rest.strip_prefix("//") {
        Some(behind) => {
            let path = behind.strip_prefix("localhost").unwrap_or(behind);
            if !path.starts_with('/') {
                return Err("a file URL names no host: write `file:///` and the path".into());
            }
            path
        }
        None => rest,
    };
    Ok(percent_decoded(path))
}

/// The path without symlinks and `..` in its directory. A file that is a symlink keeps its own name, which says
/// what it is; a directory is what it leads to.
fn real_path(path: &Path) -> std::io::Result<PathBuf> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if !fs::metadata(path)?.is_dir() => Ok(fs::canonicalize(parent)?.join(name)),
        _ => fs::canonicalize(path),
    }
}

/// Parts a link from its fragment. The `#` of a path is one only where pip's words follow it.
fn split_fragment(text: &str) -> (&str, &str) {
    let is_url = text.contains("://") || text.starts_with("file:");
    match text.split_once('#') {
        Some((place, fragment))
            if is_url || ["egg=", "sha256=", "subdirectory="].iter().any(|word| fragment.starts_with(word)) =>
        {
            (place, fragment)
        }
        _ => (text, ""),
    }
}

fn split_extras(text: &str) -> (&str, &str) {
    match text.rfind('[') {
        Some(at) if text.ends_with(']') && at > 0 && text[..at].contains(['/', '.']) => text.split_at(at),
        _ => (text, ""),
    }
}

/// The name and extras of an egg: `Foo`, `Foo[extra]`; a version behind them was never looked at.
fn egg_name(egg: &str) -> Result<String, String> {
    let egg = percent_decoded(egg);
    let name = egg.split(['=', '<', '>', '!', '~', ' ']).next().unwrap_or_default();
    uv_pep508::Requirement::<Url>::from_str(name)
        .ok()
        .filter(|requirement| requirement.version_or_url.is_none())
        .map(|_| name.to_owned())
        .ok_or_else(|| format!("`#egg={egg}` is no name"))
}

fn wheel_name(file: &str) -> Result<Option<String>, String> {
    if !file.ends_with(".whl") {
        return Ok(None);
    }
    let wheel = WheelFilename::from_str(file).map_err(|error| format!("`{file}` is no name of a wheel: {error}"))?;
    Ok(Some(wheel.name.to_string()))
}

fn sdist_name(file: &str) -> Option<String> {
    let name: PackageName = SourceDistFilename::parsed_normalized_filename(file).ok()?.name;
    Some(name.to_string())
}

/// A directory inside an archive or repository: relative, never upwards.
fn subdirectory(path: &str) -> Result<&str, String> {
    let trimmed = path.trim_matches('/');
    if trimmed.is_empty()
        || path.starts_with('/')
        || trimmed.split('/').any(|part| part == "..")
        || path.contains(['%', ' '])
    {
        return Err(format!("`#subdirectory={path}` is no directory inside it"));
    }
    Ok(trimmed)
}

/// Keeps secrets out of what is stored: userinfo (a bare user name is one too, except for ssh), and the queries of
/// signed URLs.
pub(super) fn refuse_secrets(url: &Url, is_ssh: bool) -> Result<(), String> {
    if url.password().is_some() || (!is_ssh && !url.username().is_empty()) {
        return Err("it holds credentials, which would be stored: take them out, and name them in the configuration \
                    (`[[index]]` with `credentials`) or in a netrc"
            .into());
    }
    const SECRETS: [&str; 9] =
        ["token", "signature", "sig", "password", "passwd", "secret", "credential", "api_key", "apikey"];
    let secret = url.query_pairs().find(|(key, _)| {
        let key = key.to_ascii_lowercase();
        key.split(['-', '_']).any(|word| SECRETS.contains(&word)) || SECRETS.contains(&key.as_str())
    });
    match secret {
        Some((key, _)) => Err(format!("its query holds a secret (`{key}`), which would be stored")),
        None => Ok(()),
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

fn is_commit(text: &str) -> bool {
    text.len() >= 7 && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex =
            tail.get(..2).filter(|_| *first == b'%').and_then(|h| data_encoding::HEXLOWER_PERMISSIVE.decode(h).ok());
        bytes.extend_from_slice(hex.as_deref().unwrap_or(std::slice::from_ref(first)));
        rest = if hex.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(super) fn with_cause(error: &crate::error::Error) -> String {
    use std::error::Error as _;
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}
