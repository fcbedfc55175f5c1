//! What stands in files about environments, packs, pins and links, outside the index.
//!
//! A file counts only under the name that its content gives it. A copy under another name (an editor's backup, what an interrupted copy left)
//! may be out of date; it is a finding and never stops a command. A directory that is missing is empty: backups leave out empty directories.

use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::finding::{Finding, Level};
use crate::binding::BindingFile;
use crate::error::{Error, Result};
use crate::fs::parallel;
use crate::layout::Layout;
use crate::manifest::Manifest;
use crate::pin::Kept;

/// The files of one kind.
#[derive(Debug)]
pub(super) struct Files<T> {
    pub found: Vec<T>,
    /// What has a name that counts and cannot be read, so that its content is unknown.
    pub unreadable: Vec<Finding>,
    /// What has another name than its content gives it.
    pub strays: Vec<Finding>,
}

/// Every manifest, by name.
pub(super) fn manifests(layout: &Layout) -> Result<Files<Manifest>> {
    let dir = layout.dir("manifests");
    let is_name = |path: &Path| path.parent() == Some(&dir) && Layout::manifest_of(path).is_some();
    read(&dir, is_name, Manifest::read, |manifest, path| layout.manifest(&manifest.name) == path)
}

/// Every pack's file.
pub(super) fn bindings(layout: &Layout) -> Result<Files<BindingFile>> {
    let dir = layout.dir("bindings");
    let is_name = |path: &Path| {
        let parts = path.strip_prefix(&dir).ok().and_then(Path::to_str).and_then(|name| name.split_once('/'));
        parts.is_some_and(|(first, rest)| is_hex(first, 2) && is_hex(rest, 62))
    };
    read(&dir, is_name, BindingFile::read, |file, path| layout.binding(&file.pack) == path)
}

/// Every pin's and link's file.
pub(super) fn pins(layout: &Layout) -> Result<Files<Kept>> {
    let dir = layout.dir("pins");
    let is_name = |path: &Path| {
        let name = path.strip_prefix(&dir).ok().and_then(Path::to_str).unwrap_or_default();
        is_hex(name.strip_suffix(".link").unwrap_or(name), 64)
    };
    let is_at = |kept: &Kept, path: &Path| match kept {
        Kept::Pin(pin) => layout.pin(&pin.name) == path,
        Kept::Link(link) => layout.link(&link.link) == path,
    };
    read(&dir, is_name, Kept::read, is_at)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn read<T: Send>(
    dir: &Path,
    is_name: impl Fn(&Path) -> bool,
    read: impl Fn(&Path) -> Result<T> + Sync,
    is_at: impl Fn(&T, &Path) -> bool,
) -> Result<Files<T>> {
    let mut files = Files { found: Vec::new(), unreadable: Vec::new(), strays: Vec::new() };
    let paths = list(dir, is_name, &mut files)?;
    let all = parallel::map(&paths, |path| match read(path) {
        // A newer release wrote it: this one must not go on as if it were not there.
        Err(error @ Error::UnsupportedFormat { .. }) => Err(error),
        other => Ok(other),
    })?;
    for (path, read) in paths.iter().zip(all) {
        match read {
            Ok(content) if is_at(&content, path) => files.found.push(content),
            Ok(_) => files.strays.push(stray(path)),
            // Removed since it was listed.
            Err(_) if is_gone(path) => {}
            Err(error) => files.unreadable.push(unreadable(error.to_string())),
        }
    }
    Ok(files)
}

/// The regular files below a directory whose names count.
fn list<T>(dir: &Path, is_name: impl Fn(&Path) -> bool, files: &mut Files<T>) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    match fs::symlink_metadata(dir) {
        Ok(meta) if meta.is_dir() => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(paths),
        Ok(_) => {
            files.unreadable.push(unreadable(format!("`{}` is not a directory", dir.display())));
            return Ok(paths);
        }
        Err(error) => return Err(Error::io("stat", dir)(error)),
    }
    for entry in WalkDir::new(dir).follow_root_links(false).min_depth(1).sort_by_file_name() {
        match entry {
            Ok(entry) if entry.file_type().is_dir() => {}
            Ok(entry) if entry.file_type().is_file() && is_name(entry.path()) => paths.push(entry.into_path()),
            Ok(entry) => files.strays.push(stray(entry.path())),
            Err(error) if error.path().is_some_and(is_gone) => {}
            Err(error) => files.unreadable.push(unreadable(error.to_string())),
        }
    }
    Ok(paths)
}

fn is_gone(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

fn stray(path: &Path) -> Finding {
    let message = format!("`{}` is no file of the store: its name is not the one its content has here", path.display());
    Finding::new("stray_file", Level::Note, message).hint("remove it, or move it elsewhere")
}

fn unreadable(message: String) -> Finding {
    Finding::new("unreadable", Level::Warning, message)
}
