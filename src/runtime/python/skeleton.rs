//! What every environment has before anything is installed into it, written by us so that it does not
//! depend on the installer.
//!
//! # Layout
//! `bin/python` leads to the real interpreter, `python3`, `python3.N` (and `python3.Nt` of a free-threaded
//! build) to `python`; `lib/…/site-packages` is empty; `lib64` is `lib`; `pyvenv.cfg` makes it an
//! environment (PEP 405); `bin/activate` and `bin/activate.fish` are for people.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use super::shebang::{head, single_quoted};
use crate::error::{Error, Result};
use crate::interpreter::Interpreter;
use crate::placeholder::Placeholders;
use crate::store::runtime::Skeleton;

/// One thing of the skeleton.
enum Entry {
    Dir,
    Link(PathBuf),
    File(Vec<u8>),
}

/// Makes the skeleton in a directory that exists and holds nothing of these names.
pub(crate) fn create(env_dir: &Path, interpreter: &Interpreter) -> Result<Skeleton> {
    let mut names = Vec::new();
    for (name, entry) in entries(env_dir, interpreter)? {
        let path = env_dir.join(&name);
        if !matches!(entry, Entry::Dir) {
            names.push(name);
        }
        match entry {
            Entry::Dir => fs::DirBuilder::new().recursive(true).mode(0o755).create(&path),
            Entry::Link(target) => symlink(target, &path),
            Entry::File(bytes) => File::options()
                .write(true)
                .create_new(true)
                .mode(0o644)
                .open(&path)
                .and_then(|mut file| file.write_all(&bytes)),
        }
        .map_err(Error::io("create", &path))?;
    }
    let (placeholders, local_placeholders) = placeholders(env_dir, interpreter);
    let local_files = vec!["bin/activate".into(), "pyvenv.cfg".into()];
    Ok(Skeleton { names, local_files, placeholders, local_placeholders })
}

/// The texts that stand for the environment's own path, and those for every place on this host.
///
/// The interpreter's directory is often `/usr/bin`, which other texts name for other reasons (`#!/usr/bin/env`):
/// it stands here with the line of `pyvenv.cfg` that it is in.
fn placeholders(env_dir: &Path, interpreter: &Interpreter) -> (Placeholders, Placeholders) {
    let env = env_dir.to_string_lossy().into_owned();
    let own = vec![(head(env_dir), "#!@ENV@/bin/python\n".into()), (env.clone(), "@ENV@".into())];
    let home = home(interpreter).display().to_string();
    let mut local = own.clone();
    local.push((home_lines(&home), home_lines("@PYTHON_HOME@")));
    local.push((interpreter.path.to_string_lossy().into_owned(), "@PYTHON@".into()));
    let quoted = single_quoted(&env);
    if quoted != env {
        local.push((quoted, "@ENV@".into()));
    }
    (Placeholders::new(own), Placeholders::new(local))
}

/// Checks that an installed artifact replaced nothing of the skeleton. `owner` says whose a path is.
///
/// # Errors
/// [`Error::UnsafeArtifact`] that names the first file which is not ours any more.
pub(crate) fn check(env_dir: &Path, interpreter: &Interpreter, owner: impl Fn(&str) -> Option<String>) -> Result<()> {
    for (name, entry) in entries(env_dir, interpreter)? {
        let path = env_dir.join(&name);
        let ours = match entry {
            Entry::Dir => fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir()),
            Entry::Link(target) => fs::read_link(&path).is_ok_and(|found| found == target),
            Entry::File(bytes) => {
                fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file())
                    && fs::read(&path).is_ok_and(|found| found == bytes)
            }
        };
        if !ours {
            return Err(Error::UnsafeArtifact {
                artifact: owner(&name).unwrap_or_else(|| "one of the artifacts".into()),
                reason: format!("it replaces `{name}`, which belongs to the environment itself"),
            });
        }
    }
    Ok(())
}

/// The relative paths of everything in it.
pub(crate) fn names(env_dir: &Path, interpreter: &Interpreter) -> Result<Vec<String>> {
    Ok(entries(env_dir, interpreter)?.into_iter().map(|(name, _)| name).collect())
}

/// The directories packages go to, relative, without doubles: `purelib`, and `platlib` where it is another.
pub(crate) fn site_dirs(interpreter: &Interpreter) -> Result<Vec<String>> {
    let mut dirs = Vec::new();
    for name in ["purelib", "platlib"] {
        let Some(dir) = interpreter.fact(name).map(through_lib64) else { continue };
        let parts = || dir.split('/');
        if dir.is_empty() || parts().any(|part| matches!(part, "" | "." | "..")) {
            return Err(unusable(interpreter, name));
        }
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    if dirs.is_empty() { Err(unusable(interpreter, "purelib")) } else { Ok(dirs) }
}

/// A relative path with the alias `lib64` spelled `lib`.
pub(crate) fn through_lib64(path: &str) -> String {
    path.strip_prefix("lib64/").map_or_else(|| path.to_owned(), |rest| format!("lib/{rest}"))
}

/// The directory of the real executable: `home` in `pyvenv.cfg`.
pub(crate) fn home(interpreter: &Interpreter) -> &Path {
    interpreter.path.parent().unwrap_or_else(|| Path::new("/"))
}

/// The first lines of `pyvenv.cfg`.
pub(crate) fn home_lines(home: &str) -> String {
    format!("home = {home}\ninclude-system-site-packages = false\n")
}

fn unusable(interpreter: &Interpreter, fact: &str) -> Error {
    Error::NoInterpreter {
        wanted: format!("a Python that says its {fact}"),
        found: vec![interpreter.path.display().to_string()],
    }
}

/// Everything, directories before what is in them.
fn entries(env_dir: &Path, interpreter: &Interpreter) -> Result<Vec<(String, Entry)>> {
    let minor = interpreter.fact("major_minor").ok_or_else(|| unusable(interpreter, "major_minor"))?;
    let env = env_dir.to_string_lossy();
    let config =
        format!("{}version = {}\n", home_lines(&home(interpreter).display().to_string()), interpreter.identity.version);
    let activate = include_str!("activate.sh").replace("@ENV@", &single_quoted(&env));
    let mut all = vec![("bin".into(), Entry::Dir), ("lib".into(), Entry::Dir)];
    all.extend(site_dirs(interpreter)?.into_iter().map(|dir| (dir, Entry::Dir)));
    all.push(("lib64".into(), Entry::Link("lib".into())));
    all.push(("bin/python".into(), Entry::Link(interpreter.path.clone())));
    all.push(("bin/python3".into(), Entry::Link("python".into())));
    all.push((format!("bin/python{minor}"), Entry::Link("python".into())));
    if interpreter.fact("gil_disabled") == Some("1") {
        all.push((format!("bin/python{minor}t"), Entry::Link("python".into())));
    }
    all.push(("bin/activate".into(), Entry::File(activate.into_bytes())));
    all.push(("bin/activate.fish".into(), Entry::File(include_bytes!("activate.fish").to_vec())));
    all.push(("pyvenv.cfg".into(), Entry::File(config.into_bytes())));
    Ok(all)
}
