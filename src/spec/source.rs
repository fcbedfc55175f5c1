//! Where declarations stand: directories of packs, single packs, lists and requirements files.
//!
//! | path | holds |
//! |---|---|
//! | a directory with `pack.yaml`, `pylock.toml`, `requirements.txt` or the `pyproject.toml` of a project | one pack |
//! | another directory | a pack in each child that is such a directory or a script with metadata; hidden ones are skipped, symlinks followed |
//! | `*.jsonl` | a pack a line |
//! | `pack.yaml` | the pack of its directory |
//! | `pyproject.toml` | one pack: what the project depends on (PEP 621) |
//! | `pylock.toml`, `pylock.NAME.toml` | one pack: the lock as it is (PEP 751) |
//! | `*.py` | one pack: what the script depends on (PEP 723) |
//! | `*.txt`, `*.in`, or a file without extension | one pack: the requirements |
//!
//! Of several in one directory the first counts: dependencies in `pack.yaml`, then `pylock.toml`, `requirements.txt`,
//! `pyproject.toml`.
//!
//! What is wrong with one pack is that pack's result and never keeps the others from being read.

mod directory;
mod list;
mod project;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::lines::MAX_TEXT_BYTES;
use super::requirements::Reader;
use super::{Declaration, InterpreterRange, pylock};
use crate::error::{Error, Result};
use crate::pack::PackRef;
use crate::settings::PackOptions;

/// The file that describes a pack.
const PACK_FILE: &str = "pack.yaml";
/// The file that holds a pack's requirements.
const REQUIREMENTS_FILE: &str = "requirements.txt";
/// The file that describes a Python project.
const PROJECT_FILE: &str = "pyproject.toml";
/// The file that holds a lock.
const LOCK_FILE: &str = "pylock.toml";

/// How declarations are read.
#[derive(Debug, Clone, Copy)]
struct Ask<'a> {
    pack_options: PackOptions,
    /// Optional dependencies wanted beside those that a project names itself.
    extras: &'a [String],
}

/// A place that declares a pack, and what came of reading it.
#[derive(Debug)]
pub struct Found {
    /// The pack as it is told to people: its ref, or where it stands if that cannot be read.
    pub name: String,
    /// The pack's ref, where it can be read.
    pub pack: Option<PackRef>,
    /// Where it stands: the pack's directory, the requirements file or the list. Absolute.
    pub origin: PathBuf,
    /// The line of a list, from 1.
    pub line: Option<usize>,
    /// The declaration, whose own `origin` is the path that was searched, or why there is none.
    pub result: Result<Declaration>,
}

impl Found {
    /// `PATH` or `PATH, line N`.
    fn place(&self) -> String {
        match self.line {
            Some(line) => format!("`{}`, line {line}", self.origin.display()),
            None => format!("`{}`", self.origin.display()),
        }
    }
}

/// Reads every pack that the paths hold, in the order of the paths; those of a directory sorted by name.
///
/// A ref that is declared twice, in one path or in several, is one entry with an error that names the places.
///
/// # Errors
/// If a path cannot be read, or holds no pack.
pub fn find(paths: &[PathBuf], pack_options: PackOptions) -> Result<Vec<Found>> {
    find_all(paths, Ask { pack_options, extras: &[] })
}

fn find_all(paths: &[PathBuf], ask: Ask<'_>) -> Result<Vec<Found>> {
    let mut all: Vec<Found> = Vec::new();
    let mut seen = HashSet::new();
    for path in paths {
        let found = find_in(path, ask)?;
        // A path given twice says nothing twice.
        all.extend(found.into_iter().filter(|found| seen.insert((found.origin.clone(), found.line))));
    }
    Ok(collapse(all))
}

/// Reads the one pack that a path holds, with optional dependencies (`extras`) of a project.
///
/// # Errors
/// If the path cannot be read, holds no pack or several, or the pack is not in order or has not these extras.
pub fn read(path: &Path, pack_options: PackOptions, extras: &[String]) -> Result<Declaration> {
    let mut found = find_all(&[path.to_owned()], Ask { pack_options, extras })?;
    match (found.pop(), found.len()) {
        (Some(only), 0) => only.result,
        (_, others) => Err(refused(path, format!("it holds {} packs where one is asked for", others + 1))),
    }
}

fn find_in(path: &Path, ask: Ask<'_>) -> Result<Vec<Found>> {
    let path = absolute(path)?;
    let meta = fs::metadata(&path).map_err(Error::io("read", &path))?;
    let found = if meta.is_dir() {
        if directory::is_pack(&path)? {
            vec![directory::read(&path, &path, ask)]
        } else {
            directory::children(&path, ask)?
        }
    } else {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !ask.extras.is_empty() && ![PACK_FILE, PROJECT_FILE].contains(&&*name) {
            return Err(refused(&path, format!("only a `{PROJECT_FILE}` has extras")));
        }
        match (&*name, path.extension().and_then(|extension| extension.to_str())) {
            (PACK_FILE, _) => {
                let parent = path.parent().unwrap_or(Path::new("/"));
                vec![directory::read(parent, parent, ask)]
            }
            (PROJECT_FILE, _) => vec![project_file(&path, ask)],
            (name, _) if pylock::is_file_name(name) => vec![lock_file(&path, ask)],
            (_, Some("jsonl")) => list::read(&path, ask)?,
            (_, Some("py")) => vec![script(&path, &path, ask)],
            (_, None | Some("txt" | "in")) => vec![requirements_file(&path, ask)],
            _ => Vec::new(),
        }
    };
    if found.is_empty() {
        return Err(refused(
            &path,
            format!(
                "it holds no pack: looked for `{PACK_FILE}`, `{LOCK_FILE}`, `{REQUIREMENTS_FILE}` or a \
                 `{PROJECT_FILE}` with `[project]` in it or in the directories in it, a script with metadata, a \
                 `.jsonl` list, or a requirements file (`.txt`, `.in`)"
            ),
        ));
    }
    Ok(found)
}

/// A project file as a pack: named as the project is, else after its directory.
fn project_file(path: &Path, ask: Ask<'_>) -> Found {
    let project = project::read(path);
    let said = project.as_ref().ok().and_then(|project| project.as_ref()?.name.clone());
    let pack = pack_ref(&said.unwrap_or_else(|| parent_name(path)), &path.display().to_string(), None);
    let gather = |reader: &mut Reader| match project? {
        Some(project) => project::gather(reader, project, path, ask.extras),
        None => Err(refused(path, "it has no table `[project]` (PEP 621), which says what it depends on".into())),
    };
    finish(pack, path, None, path, gather, ask)
}

/// A lock file as a pack: named by its own name's middle, else after its directory.
fn lock_file(path: &Path, ask: Ask<'_>) -> Found {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let name = pylock::name_within(&file).map_or_else(|| parent_name(path), str::to_owned);
    let pack = pack_ref(&name, &path.display().to_string(), None);
    finish(pack, path, None, path, |reader| reader.lock_file(path).map(|_| ()), ask)
}

/// A script as a pack: named after itself.
fn script(path: &Path, searched: &Path, ask: Ask<'_>) -> Found {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let pack = pack_ref(&name, &path.display().to_string(), None);
    finish(pack, path, None, searched, |reader| project::gather_script(reader, path), ask)
}

fn parent_name(path: &Path) -> String {
    path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned()
}

/// A requirements file as a pack: named after itself, or after its directory if it is called `requirements`.
fn requirements_file(path: &Path, ask: Ask<'_>) -> Found {
    let stem = path.file_stem().filter(|stem| *stem != "requirements");
    let name = stem.or_else(|| path.parent().and_then(Path::file_name)).unwrap_or_default();
    let pack = pack_ref(&name.to_string_lossy(), &path.display().to_string(), None);
    finish(pack, path, None, path, |reader| reader.file(path).map(|_| ()), ask)
}

/// Reads a pack whose ref may be in order or not.
fn finish(
    pack: Result<PackRef>,
    origin: &Path,
    line: Option<usize>,
    searched: &Path,
    gather: impl FnOnce(&mut Reader) -> Result<()>,
    ask: Ask<'_>,
) -> Found {
    let known = pack.as_ref().ok().cloned();
    let result = pack.and_then(|pack| {
        let mut reader = Reader::new(ask.pack_options);
        gather(&mut reader)?;
        let (spec, warnings) = reader.finish()?;
        Ok(Declaration { pack, spec, origin: Some(searched.to_owned()), warnings })
    });
    let mut found = Found { name: String::new(), pack: known, origin: origin.to_owned(), line, result };
    found.name = found.pack.as_ref().map_or_else(|| found.place(), ToString::to_string);
    found
}

/// The ref a pack gives itself, or an error that names where.
fn pack_ref(text: &str, origin: &str, line: Option<usize>) -> Result<PackRef> {
    PackRef::new(text).map_err(|error| Error::InvalidSpec { origin: origin.into(), line, reason: error.to_string() })
}

/// The range that both ways of saying it give.
fn interpreter_range(
    versions: &[String],
    min: Option<&str>,
    max: Option<&str>,
    origin: &str,
    line: Option<usize>,
) -> Result<InterpreterRange> {
    InterpreterRange::any_of(versions)
        .and_then(|range| range.and(InterpreterRange::between(min, max)?))
        .map_err(|invalid| invalid.at(origin, line))
}

/// Makes one entry of several with one ref.
fn collapse(all: Vec<Found>) -> Vec<Found> {
    let mut at: HashMap<PackRef, usize> = HashMap::new();
    let mut kept: Vec<(Found, Vec<String>)> = Vec::new();
    for found in all {
        match found.pack.as_ref().and_then(|pack| at.get(pack)) {
            Some(&index) => kept[index].1.push(found.place()),
            None => {
                if let Some(pack) = &found.pack {
                    at.insert(pack.clone(), kept.len());
                }
                let place = found.place();
                kept.push((found, vec![place]));
            }
        }
    }
    kept.into_iter()
        .map(|(mut found, places)| {
            if places.len() > 1 {
                let more = if places.len() > 5 { format!(" and {} more", places.len() - 5) } else { String::new() };
                let places = places.iter().take(5).cloned().collect::<Vec<_>>().join(" and ");
                found.result = Err(Error::InvalidSpec {
                    origin: format!("of `{}`", found.name),
                    line: None,
                    reason: format!("it is declared more than once: in {places}{more}"),
                });
            }
            found
        })
        .collect()
}

/// A whole file of limited size.
pub(super) fn read_limited(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = MAX_TEXT_BYTES as u64 + 1;
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(Error::io("read", path))?;
    if bytes.len() > MAX_TEXT_BYTES {
        return Err(refused(path, format!("it is larger than {} MiB", MAX_TEXT_BYTES >> 20)));
    }
    Ok(bytes)
}

fn refused(path: &Path, reason: String) -> Error {
    Error::InvalidSpec { origin: path.display().to_string(), line: None, reason }
}

/// The absolute path without `.` and a slash at its end. Symlinks stay: a directory that a link is switched to
/// with each deployment is the same origin.
fn absolute(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path).map_err(Error::io("find", path))?;
    Ok(path.components().collect())
}
