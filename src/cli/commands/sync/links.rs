//! `--links`: a symbolic link for each pack, for runners that know a path.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;
use crate::cli::open::Store;
use crate::error::Error;
use crate::pack::PackRef;

/// Where the links are, made if it is not there.
pub fn directory(store: &Store, dir: &Path) -> Result<PathBuf, Failure> {
    store.require_outside(&format!("make links in `{}`", dir.display()), dir)?;
    fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    Ok(std::path::absolute(dir).map_err(Error::io("find", dir))?)
}

/// Makes a pack's link, unless it is there.
pub fn link(store: &Store, dir: &Path, pack: &PackRef) -> Result<PathBuf, Failure> {
    let Some(path) = path(dir, pack) else {
        let what = format!("make a link in `{}`", dir.display());
        return Err(Error::NotPermitted { what, reason: "the pack's name is none for a file".into() }.into());
    };
    if !store.is_linked(pack, &path)? {
        store.link(pack, &path)?;
    }
    Ok(path)
}

/// Whether a pack's link is there.
pub fn is_made(store: &Store, dir: &Path, pack: &PackRef) -> Result<bool, Error> {
    let dir = std::path::absolute(dir).map_err(Error::io("find", dir))?;
    path(&dir, pack).map_or(Ok(false), |path| store.is_linked(pack, &path))
}

/// Takes the link of a removed pack away, if it has one here.
pub fn unlink(store: &Store, dir: &Path, pack: &PackRef) -> Result<(), Error> {
    match path(dir, pack).map(|path| store.unlink(&path)) {
        Some(Err(error)) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

fn path(dir: &Path, pack: &PackRef) -> Option<PathBuf> {
    super::is_name(pack).then(|| dir.join(pack.as_str()))
}
