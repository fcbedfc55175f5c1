//! `checkout`: a copy of a pack's environment outside the store, an ordinary virtual environment its user may change.
//!
//! Nothing in it is shared with the store: every file is a copy, and what names the environment's place names the new
//! one. Bytecode is left behind: the store's own says that its source never changes, which is no longer so.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::report::CheckedOut;
use super::{Store, identity};
use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::fs::remove;
use crate::layout::{LEASE, Layout};
use crate::pack::PackRef;

/// Directories of compiled files, which Python makes again.
const BYTECODE: &str = "__pycache__";

impl Store {
    /// Copies the environment a pack is bound to into a directory that does not exist or is empty. Of a failure
    /// nothing is left there.
    ///
    /// # Errors
    /// [`Error::NoPack`]; [`Error::NotPermitted`] for a directory that holds something; [`Error::WithinStore`] for one within a store.
    pub fn checkout(&self, pack: &PackRef, dir: &Path, cancel: &Cancel) -> Result<CheckedOut> {
        let handle = self.resolve(pack)?;
        let dir = std::path::absolute(dir).map_err(Error::io("find", dir))?;
        let dir: PathBuf = dir.components().collect();
        let what = format!("check out an environment to `{}`", dir.display());
        self.require_outside(&what, &dir)?;
        let existed = match fs::read_dir(&dir) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(Error::NotPermitted { what, reason: "something is in it already".into() });
                }
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            Err(error) => return Err(Error::io("read", &dir)(error)),
        };
        if !existed {
            DirBuilder::new().recursive(true).mode(0o755).create(&dir).map_err(Error::io("create", &dir))?;
        }
        let runtime = self.runtime(handle.runtime())?;
        // Where a link leads to the store its environments may name the link.
        let name = &handle.bound().env.name;
        let named = identity::named_by(&self.0.layout, name).map(|root| Layout::new(root).env(name));
        let from = named.unwrap_or_else(|| handle.path().to_owned());
        let moved = |bytes: Vec<u8>| runtime.moved(bytes, &from, &dir);
        match copy(handle.path(), &dir, cancel, &moved) {
            Ok(copied) => Ok(CheckedOut {
                pack: pack.clone(),
                env: handle.key(),
                interpreter: dir.join("bin/python"),
                path: dir,
                files: copied.files,
                bytes: copied.bytes,
                host_bound: copied.host_bound,
            }),
            Err(error) => {
                clear(&dir, existed);
                Err(error)
            }
        }
    }
}

#[derive(Default)]
struct Copied {
    files: u64,
    bytes: u64,
    /// Files that go on naming the store's environment.
    host_bound: Vec<String>,
}

fn copy(from: &Path, to: &Path, cancel: &Cancel, moved: &dyn Fn(Vec<u8>) -> Vec<u8>) -> Result<Copied> {
    let own = memchr::memmem::Finder::new(from.as_os_str().as_encoded_bytes());
    let mut copied = Copied::default();
    let entries = WalkDir::new(from).min_depth(1).sort_by_file_name().into_iter();
    for entry in entries.filter_entry(|entry| entry.file_name() != BYTECODE && entry.file_name() != LEASE) {
        cancel.check("checking out an environment")?;
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(from).to_owned();
            Error::io("read", path)(error.into())
        })?;
        let path = entry.path();
        let relative = path.strip_prefix(from).unwrap_or(path);
        let target = to.join(relative);
        let kind = entry.file_type();
        if kind.is_dir() {
            DirBuilder::new().mode(0o755).create(&target).map_err(Error::io("create", &target))?;
        } else if kind.is_symlink() {
            let link = fs::read_link(path).map_err(Error::io("read the link", path))?;
            let link = link.strip_prefix(from).map(|within| to.join(within)).unwrap_or(link);
            symlink(link, &target).map_err(Error::io("link", &target))?;
        } else {
            let bytes = fs::read(path).map_err(Error::io("read", path))?;
            let bytes = if own.find(&bytes).is_some() { moved(bytes) } else { bytes };
            if own.find(&bytes).is_some() {
                copied.host_bound.push(relative.display().to_string());
            }
            let executable = entry.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0);
            let mode = if executable { 0o755 } else { 0o644 };
            let mut file = File::options()
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(&target)
                .map_err(Error::io("create", &target))?;
            file.write_all(&bytes)
                .and_then(|()| file.set_permissions(Permissions::from_mode(mode)))
                .map_err(Error::io("write", &target))?;
            copied.files += 1;
            copied.bytes += bytes.len() as u64;
        }
    }
    Ok(copied)
}

/// Takes away what was made, and the directory itself if it was not there before.
fn clear(dir: &Path, existed: bool) {
    // The user's path may lead through links, and removal follows none.
    let Ok(dir) = fs::canonicalize(dir) else { return };
    let names: Vec<PathBuf> = match fs::read_dir(&dir) {
        Ok(entries) if existed => entries.flatten().map(|entry| entry.path()).collect(),
        _ => vec![dir],
    };
    for path in names {
        if let Err(error) = remove::remove_tree(&path) {
            tracing::warn!(%error, "what a failed checkout made is left there");
        }
    }
}
