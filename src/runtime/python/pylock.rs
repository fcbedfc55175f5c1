//! `pylock.toml` (PEP 751): what uv answers, and what is kept under `locks/` and given back to uv.
//!
//! uv lists every file that fits; a [`Lock`] written here names exactly one per package, so the installer has
//! no choice left. The text is a function of the lock and the interpreter's minor version: no times, sizes
//! or tool versions, packages and keys in a fixed order. What PEP 751 has no field for (a directory's digest, an
//! index's name) stands in `[packages.tool.envstore]`, which other tools pass over.

use std::path::Path;

use toml::Value;

use crate::interpreter::Interpreter;
use crate::lock::{Artifact, Lock, Locked};
pub(crate) use crate::spec::pylock::{File, InvalidPylock, Package, Pylock, canonical_url, is_wheel, parse};
use crate::spec::pylock::{Vcs, is_hex};

/// The version of the format that is written. Any 1.x is read, as PEP 751 asks.
const VERSION: &str = "1.0";

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
    let files: Vec<&File> = package.wheels.iter().chain(&package.sdist).chain(&package.archive).collect();
    let base = Path::new("/");
    let artifact = match (files.as_slice(), &package.vcs, &package.directory) {
        ([file], None, None) => {
            file_artifact(file, base).ok_or_else(|| invalid("needs a place, a name and a sha256"))?
        }
        ([], Some(vcs), None) => vcs_artifact(vcs, base).ok_or_else(|| invalid("needs a full commit"))?,
        ([], None, Some(directory)) => Artifact::Directory {
            path: directory.path.clone(),
            digest: package.tool.envstore.digest.clone().ok_or_else(|| invalid("is a directory without a digest"))?,
        },
        _ => return Err(invalid("does not name exactly one artifact")),
    };
    let version = package.version.clone().unwrap_or_default();
    Ok(Locked { name: package.name.clone(), version, artifact, index: package.tool.envstore.index.clone() })
}

/// A commit as an artifact, if it names a full one.
pub(crate) fn vcs_artifact(vcs: &Vcs, base: &Path) -> Option<Artifact> {
    let url = vcs.url(base)?;
    let commit = vcs.commit_id.to_ascii_lowercase();
    let full = is_hex(&commit, 40) || is_hex(&commit, 64);
    full.then(|| Artifact::Vcs { vcs: vcs.r#type.clone(), url, commit, subdirectory: vcs.subdirectory.clone() })
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
