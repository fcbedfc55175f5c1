//! Where a store is: the path of its root, compared with the path that its environments were made for.
//!
//! Every environment names its own path: first lines of scripts, `bin/activate`, links. A store that was moved, copied or mounted
//! elsewhere would run another store's environment, or none. So `store.json` records the root, and whoever opens the store compares. A store of a
//! release that recorded nothing is asked by what one of its environments names; its owner's first writing command asks all of them and records
//! the root.
//!
//! # Performance
//! One canonical path and one comparison for each opening, before the resolve cache is used.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, statfs};
use nix::sys::statvfs::{FsFlags, statvfs};

use super::finding::{Finding, Level};
use super::{Store, create};
use crate::error::{Error, Result};
use crate::fs::read;
use crate::layout::{EnvName, Layout};
use crate::store_file::StoreFile;

/// No `bin/activate` is bigger.
const ACTIVATE_LIMIT: u64 = 1 << 20;

/// Whether `store.json` says that the store is at its place.
///
/// # Errors
/// Those of [`StoreFile::read`].
pub(super) fn is_home(layout: &Layout) -> Result<bool> {
    let store = StoreFile::read(layout)?;
    Ok(store.is_some_and(|store| matches!(place(layout, &store), Place::Home { is_recorded: true })))
}

/// How the path of a root and the path that its environments name relate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// They are the same, or there is no environment yet. `is_recorded`: `store.json` says so.
    Home { is_recorded: bool },
    /// The environments name another path, and it leads to this same directory: a link, a bind mount, or the lower layer of this overlay.
    View { named: PathBuf },
    /// The environments name a path that leads elsewhere or nowhere.
    Moved { named: PathBuf },
}

/// A store's directory, found.
#[derive(Debug)]
pub(super) struct Located {
    /// With the root to be used.
    pub layout: Layout,
    pub store: StoreFile,
    pub place: Place,
}

/// Finds the store at a path that may go through links.
///
/// The same directory bind-mounted at a second path is used by the path that its environments name, so that new ones name it too; except
/// where only the second path is mounted read-only, which somebody chose so that nothing is written.
///
/// # Errors
/// [`Error::NoStore`]; those of [`StoreFile::read`].
pub(super) fn locate(given: &Path) -> Result<Located> {
    let root = canonical(given)?.ok_or_else(|| Error::NoStore { path: given.to_owned() })?;
    let layout = Layout::new(&root);
    let store = StoreFile::read(&layout)?.ok_or_else(|| {
        if create::holds_store_files(&layout) {
            Error::LostStoreFile { path: root }
        } else {
            Error::NoStore { path: root }
        }
    })?;
    let place = place(&layout, &store);
    if let Place::View { named } = &place
        && canonical(named)?.as_deref() == Some(named)
        && is_same_directory(named, layout.root())
        && (is_read_only(named) || !is_read_only(layout.root()))
    {
        let is_recorded = store.root.is_some();
        return Ok(Located { layout: Layout::new(named), store, place: Place::Home { is_recorded } });
    }
    Ok(Located { layout, store, place })
}

/// A path without links; none where there is nothing.
pub(super) fn canonical(path: &Path) -> Result<Option<PathBuf>> {
    match fs::canonicalize(path) {
        Ok(path) => Ok(Some(path)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(Error::io("find", path)(error)),
    }
}

fn place(layout: &Layout, store: &StoreFile) -> Place {
    // Half of the environments may name this path and half another.
    if let Some(named) = store.relocating_from.last() {
        return Place::Moved { named: named.clone() };
    }
    match store.root.clone().or_else(|| named_by_one(layout)) {
        Some(named) => compare(layout.root(), named, store.root.is_some()),
        None => Place::Home { is_recorded: false },
    }
}

fn compare(root: &Path, named: PathBuf, is_recorded: bool) -> Place {
    if named == root {
        Place::Home { is_recorded }
    } else if is_same_directory(&named, root) || is_overlay_of(root, &named) {
        Place::View { named }
    } else {
        Place::Moved { named }
    }
}

fn is_same_directory(one: &Path, other: &Path) -> bool {
    let of = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    of(one).is_ok_and(|one| of(other).is_ok_and(|other| one == other))
}

/// Whether a root on an overlay is the very directory at a path, in the lower layer: an overlay keeps the inode numbers of its layers and has a
/// device of its own (Documentation/filesystems/overlayfs.rst, "Inode properties").
fn is_overlay_of(root: &Path, lower: &Path) -> bool {
    let inode = |path: &Path| fs::metadata(path).map(|meta| meta.ino());
    statfs(root).is_ok_and(|found| found.filesystem_type() == OVERLAYFS_SUPER_MAGIC)
        && inode(root).is_ok_and(|here| inode(lower).is_ok_and(|there| here == there))
}

fn is_read_only(path: &Path) -> bool {
    statvfs(path).is_ok_and(|stat| stat.flags().contains(FsFlags::ST_RDONLY))
}

/// The root that one environment names. None: there is none, or it names none.
fn named_by_one(layout: &Layout) -> Option<PathBuf> {
    environments(layout).find_map(|name| named_by(layout, &name))
}

/// The root that an environment names, in a line such as `VIRTUAL_ENV='/var/lib/envstore/envs/NAME'`.
pub(super) fn named_by(layout: &Layout, name: &EnvName) -> Option<PathBuf> {
    let text = read::whole(&layout.env(name).join("bin/activate"), ACTIVATE_LIMIT).ok()?;
    let end = format!("/envs/{name}'");
    let line = str::from_utf8(&text).ok()?.lines().find(|line| line.ends_with(&end))?;
    let (_, quoted) = line.strip_suffix(&end)?.split_once("='")?;
    Some(PathBuf::from(quoted.replace(r"'\''", "'")))
}

/// Whether an environment names another root than this one.
pub(super) fn names_elsewhere(layout: &Layout, name: &EnvName) -> bool {
    named_by(layout, name).is_some_and(|named| named != layout.root())
}

/// The environments' directories, in no order.
fn environments(layout: &Layout) -> impl Iterator<Item = EnvName> {
    let listed = fs::read_dir(layout.dir("envs")).into_iter().flatten().flatten();
    listed.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

impl Store {
    /// Refuses what makes or hands out environments where they would name another place.
    pub(super) fn require_home(&self) -> Result<()> {
        self.0.place.require_home(self.root())
    }

    /// What `doctor` and `verify` say of a store that is not where its environments say.
    pub(super) fn place_finding(&self) -> Option<Finding> {
        let root = self.root().display();
        let (kind, level, message) = match &self.0.place {
            Place::Home { .. } => return None,
            Place::View { named } => {
                let named = named.display();
                (
                    "other_path",
                    Level::Note,
                    format!("its environments name `{named}`, which leads to the store at `{root}` now"),
                )
            }
            Place::Moved { .. } => ("moved_store", Level::Damage, self.require_home().err()?.to_string()),
        };
        let hint =
            format!("`envstore --store {root} relocate` makes its environments again for this path, without network");
        Some(Finding::new(kind, level, message).hint(hint))
    }

    /// Whether the store's environments were made for another place.
    pub(super) fn is_moved(&self) -> bool {
        matches!(self.0.place, Place::Moved { .. })
    }

    /// Records the root, unless that was done or an environment names another one. Part of each writing command; a failure is logged and the
    /// next command tries again.
    pub(super) fn record_root(&self) {
        if self.0.place != (Place::Home { is_recorded: false }) || self.0.asked_to_record.swap(true, Ordering::Relaxed)
        {
            return;
        }
        if let Err(error) = self.write_root() {
            tracing::warn!(%error, "the store's root is not recorded");
        }
    }

    fn write_root(&self) -> Result<()> {
        let layout = &self.0.layout;
        if environments(layout).any(|name| names_elsewhere(layout, &name)) {
            return Ok(());
        }
        let _index = super::reindex::exclusive(layout)?;
        match StoreFile::read(layout)?.filter(|store| store.root.is_none() && !store.sealed) {
            Some(store) => StoreFile { root: Some(layout.root().to_owned()), ..store }.write(layout),
            None => Ok(()),
        }
    }
}

impl Place {
    /// Refuses a store whose environments name another place.
    ///
    /// # Errors
    /// [`Error::MovedStore`].
    pub fn require_home(&self, root: &Path) -> Result<()> {
        match self {
            Self::Home { .. } | Self::View { .. } => Ok(()),
            Self::Moved { named } => Err(Error::MovedStore { path: root.to_owned(), named: named.clone() }),
        }
    }
}
