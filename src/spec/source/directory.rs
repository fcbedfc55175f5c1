//! A pack in a directory: `pack.yaml` as StackStorm or Attune write it, or a lock, requirements or project file alone.

use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;

use super::{
    Ask, Found, LOCK_FILE, PACK_FILE, PROJECT_FILE, REQUIREMENTS_FILE, finish, interpreter_range, pack_ref, project,
    read_limited, refused, script,
};
use crate::error::{Error, Result};
use crate::spec::requirements::Reader;

/// What of a `pack.yaml` says which environment the pack wants. The rest is not looked at.
#[derive(Debug, Default, Deserialize)]
struct PackFile {
    #[serde(rename = "ref")]
    reference: Option<String>,
    name: Option<String>,
    python_versions: Option<Vec<String>>,
    meta: Option<Meta>,
}

#[derive(Debug, Default, Deserialize)]
struct Meta {
    python_dependencies: Option<PythonDependencies>,
}

#[derive(Debug, Default, Deserialize)]
struct PythonDependencies {
    dependencies: Option<Vec<String>>,
    requirements_file_content: Option<String>,
    min_version: Option<String>,
    max_version: Option<String>,
}

/// Whether a directory is a pack itself.
pub(super) fn is_pack(path: &Path) -> Result<bool> {
    for name in [PACK_FILE, LOCK_FILE, REQUIREMENTS_FILE] {
        if is_file(&path.join(name))? {
            return Ok(true);
        }
    }
    let project = path.join(PROJECT_FILE);
    // One that only configures tools may stand beside a directory of packs. What is not in order is told later.
    Ok(is_file(&project)? && project::read(&project).map_or(true, |project| project.is_some()))
}

/// The packs among a directory's children, sorted by name.
///
/// A child that cannot be looked into is an entry with an error: were it left out, a pack would seem to be gone.
pub(super) fn children(path: &Path, ask: Ask<'_>) -> Result<Vec<Found>> {
    let entries = fs::read_dir(path).map_err(Error::io("read", path))?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>();
    let mut names = names.map_err(Error::io("read", path))?;
    names.sort();
    let mut found = Vec::new();
    for name in names.iter().filter(|name| !name.as_encoded_bytes().starts_with(b".")) {
        let child = path.join(name);
        let is_pack = match fs::metadata(&child).map_err(Error::io("read", &child)) {
            Ok(meta) => {
                if meta.is_dir() {
                    is_pack(&child)
                } else if meta.is_file() && child.extension().is_some_and(|extension| extension == "py") {
                    project::is_script(&child)
                } else {
                    Ok(false)
                }
            }
            Err(error) => Err(error),
        };
        match is_pack {
            Ok(true) if child.is_dir() => found.push(read(&child, path, ask)),
            Ok(true) => found.push(script(&child, path, ask)),
            Ok(false) => {}
            Err(error) => {
                let pack = pack_ref(&name.to_string_lossy(), &child.display().to_string(), None).ok();
                let name = pack.as_ref().map_or_else(|| child.display().to_string(), ToString::to_string);
                found.push(Found { name, pack, origin: child, line: None, result: Err(error) });
            }
        }
    }
    Ok(found)
}

/// Reads the pack in a directory. `searched` is the path that led to it.
pub(super) fn read(path: &Path, searched: &Path, ask: Ask<'_>) -> Found {
    let file = path.join(PACK_FILE);
    let described = read_pack_file(&file);
    let kind = described.as_ref().map_err(|_| ()).and_then(|file| declares(path, file).map_err(|_| ()));
    let project = match kind {
        Ok(Declares::Project) => Some(project::read(&path.join(PROJECT_FILE))),
        _ => None,
    };
    let project_name = || project.as_ref()?.as_ref().ok()?.as_ref()?.name.as_deref();
    // Where it cannot be read, the directory's name is the best there is to tell people.
    let given = described.as_ref().ok().and_then(|file| file.reference.as_deref().or(file.name.as_deref()));
    let pack = match (given.or_else(project_name), path.file_name().and_then(|name| name.to_str())) {
        (Some(said), _) => {
            let origin = if given.is_some() { file.display() } else { path.display() };
            pack_ref(said, &origin.to_string(), None)
        }
        (None, Some(name)) => pack_ref(name, &path.display().to_string(), None),
        (None, None) => Err(refused(path, "the directory's name is no pack ref".into())),
    };
    finish(pack, path, None, searched, |reader| gather(reader, path, &file, described?, ask), ask)
}

/// What of a directory declares its environment.
enum Declares {
    Attune,
    Lock,
    Requirements,
    Project,
    Nothing,
}

fn declares(path: &Path, described: &PackFile) -> Result<Declares> {
    if described.meta.as_ref().is_some_and(|meta| meta.python_dependencies.is_some()) {
        return Ok(Declares::Attune);
    }
    for (name, declares) in
        [(LOCK_FILE, Declares::Lock), (REQUIREMENTS_FILE, Declares::Requirements), (PROJECT_FILE, Declares::Project)]
    {
        if is_file(&path.join(name))? {
            return Ok(declares);
        }
    }
    Ok(Declares::Nothing)
}

fn gather(reader: &mut Reader, path: &Path, file: &Path, described: PackFile, ask: Ask<'_>) -> Result<()> {
    let origin = file.display().to_string();
    let declares = declares(path, &described)?;
    if !ask.extras.is_empty() && !matches!(declares, Declares::Project) {
        return Err(refused(path, format!("only a `{PROJECT_FILE}` has extras, and none declares this pack")));
    }
    let attune = described.meta.and_then(|meta| meta.python_dependencies).unwrap_or_default();
    match declares {
        Declares::Attune => {
            for line in attune.dependencies.iter().flatten() {
                reader.requirement(&format!("{origin}, `dependencies`"), path, line)?;
            }
            if let Some(text) = &attune.requirements_file_content {
                reader.text(&format!("{origin}, `requirements_file_content`"), path, text)?;
            }
        }
        Declares::Lock => {
            reader.lock_file(&path.join(LOCK_FILE))?;
        }
        Declares::Requirements => {
            reader.file(&path.join(REQUIREMENTS_FILE))?;
        }
        Declares::Project => {
            let file = path.join(PROJECT_FILE);
            if let Some(project) = project::read(&file)? {
                project::gather(reader, project, &file, ask.extras)?;
            }
        }
        Declares::Nothing => {}
    }
    let versions = described.python_versions.unwrap_or_default();
    let (min, max) = (attune.min_version.as_deref(), attune.max_version.as_deref());
    reader.narrow_interpreter(interpreter_range(&versions, min, max, &origin, None)?, &origin)
}

/// Reads a `pack.yaml`; one that is not there describes nothing.
fn read_pack_file(path: &Path) -> Result<PackFile> {
    if !is_file(path)? {
        return Ok(PackFile::default());
    }
    let bytes = read_limited(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| refused(path, "it is not UTF-8".into()))?;
    // The parser's own limits keep aliases and nesting from exploding. Scalars are read as text, so that a
    // version `3.10` without quotes is not the number 3.1.
    let file: Option<PackFile> = serde_saphyr::from_str(text).map_err(|error| Error::InvalidSpec {
        origin: path.display().to_string(),
        line: error.location().and_then(|at| usize::try_from(at.line()).ok()).filter(|line| *line > 0),
        reason: error.without_snippet().to_string().lines().next().unwrap_or_default().to_owned(),
    })?;
    Ok(file.unwrap_or_default())
}

/// Whether there is a file at a path. One `stat`.
fn is_file(path: &Path) -> Result<bool> {
    match fs::metadata(path) {
        Ok(meta) => Ok(meta.is_file()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}
