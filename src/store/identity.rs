//! Where a store is: the path of its root, compared with the path that its environments were made for.
//!
//! Every environment names its own path: first lines of scripts, `bin/activate`, links. A store that was moved, copied or mounted
//! elsewhere would run another store's environment, or none. So `store.json` records the root, and every opening compares. For a store without a
//! recorded root (made by an earlier release) the root is read from one environment's `bin/activate`; the owner's first writing command
//! reads all of them and records the root.
//!
//! # Performance
//! One canonical path and one comparison for each opening, before the resolve cache is used.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use nix::sys::statvfs::{FsFlags, statvfs};

use super::finding::{Finding, Level};
use super::{Store, create};
use crate::error::{Error, Result};
use crate::fs::{probe, read};
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
    let recorded = recorded_root(&layout, &store).filter(|recorded| {
        recorded != layout.root()
            && is_same_directory(recorded, layout.root())
            && (is_read_only(recorded) || !is_read_only(layout.root()))
    });
    let layout = match recorded {
        Some(recorded) if canonical(&recorded)?.as_ref() == Some(&recorded) => Layout::new(recorded),
        _ => layout,
    };
    let place = place(&layout, &store);
    Ok(Located { layout, store, place })
}

/// The root that `store.json` records, or one environment names.
fn recorded_root(layout: &Layout, store: &StoreFile) -> Option<PathBuf> {
    store.root.clone().or_else(|| named_by_one(layout))
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
    let root = layout.root();
    let recorded = recorded_root(layout, store);
    let others = recorded.iter().chain(&store.also_named).filter(|named| *named != root);
    // The first one that does not lead here decides.
    match others.clone().find(|named| !leads_to(named, root)).or(others.clone().next()) {
        None => Place::Home { is_recorded: store.root.is_some() },
        Some(named) if leads_to(named, root) => Place::View { named: named.clone() },
        Some(named) => Place::Moved { named: named.clone() },
    }
}

/// Whether a path leads to the directory of a store: it is the same, or the directory in the lower layer of the overlay that the store is on.
fn leads_to(path: &Path, root: &Path) -> bool {
    is_same_directory(path, root) || is_overlay_of(root, path)
}

pub(super) fn is_same_directory(one: &Path, other: &Path) -> bool {
    let of = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    of(one).is_ok_and(|one| of(other).is_ok_and(|other| one == other))
}

/// Whether a root is on an overlay that has the directory at a path as its lower layer (proc_pid_mountinfo(5): the option `lowerdir`). Inode
/// numbers do not tell: an overlay has those of its layers, and copies on two filesystems may have the same.
fn is_overlay_of(root: &Path, lower: &Path) -> bool {
    if !probe::is_overlay(root) {
        return false;
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let overlays = mounts.lines().filter_map(|line| {
        let (mount, options) = line.split_once(" - overlay ")?;
        let point = PathBuf::from(unescaped(mount.split(' ').nth(4)?));
        let below = root.strip_prefix(&point).ok()?.to_owned();
        let layers = options.split([' ', ',']).find_map(|option| option.strip_prefix("lowerdir="))?;
        Some((point, below, layers))
    });
    // The innermost mount, and of several at one point the last.
    let innermost = overlays.max_by_key(|(point, ..)| point.as_os_str().len());
    innermost.is_some_and(|(_, below, layers)| {
        layers.split(':').any(|layer| is_same_directory(&PathBuf::from(unescaped(layer)).join(&below), lower))
    })
}

/// A path of mountinfo: space, tab, line feed and backslash stand there as octal numbers.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

/// The store at a path, as far as another one may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Neighbor {
    /// There is none.
    Absent,
    /// It has this id, or it cannot be looked at.
    Same,
    /// It has another id.
    Other,
}

/// Which store is at a path, compared with one.
pub(super) fn neighbor(root: &Path, store: &StoreFile) -> Neighbor {
    match StoreFile::read(&Layout::new(root)) {
        Ok(None) => Neighbor::Absent,
        Ok(Some(found)) if !found.is_of(&store.id) && !store.is_of(&found.id) => Neighbor::Other,
        _ => Neighbor::Same,
    }
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

/// Whether an environment names this root. One that cannot be asked does not.
pub(super) fn names_this_root(layout: &Layout, name: &EnvName) -> bool {
    named_by(layout, name).is_some_and(|named| named == layout.root())
}

/// Every root that environments name.
pub(super) fn all_named(layout: &Layout) -> BTreeSet<PathBuf> {
    environments(layout).filter_map(|name| named_by(layout, &name)).collect()
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
        match &self.0.place {
            Place::Home { .. } => None,
            Place::View { named } => {
                let message = format!(
                    "some environments name `{}`, which leads to the store at `{root}`; they work while it does",
                    named.display()
                );
                Some(Finding::new("other_path", Level::Note, message))
            }
            Place::Moved { .. } => {
                let hint =
                    format!("`envstore --store {root} relocate` makes its environments for this path, without network");
                Some(Finding::new("moved_store", Level::Damage, self.require_home().err()?.to_string()).hint(hint))
            }
        }
    }

    /// What `verify` says of an environment that was made for another path than the store's, where none should be.
    pub(super) fn named_elsewhere(&self, name: &EnvName) -> Option<Finding> {
        let is_wrong = matches!(self.0.place, Place::Home { .. }) && names_elsewhere(&self.0.layout, name);
        is_wrong.then(|| {
            let message = format!("environment `{name}` was made for another path");
            Finding::new("moved_environment", Level::Damage, message)
                .hint("`envstore ensure PACK --rebuild` makes it again")
        })
    }

    /// Whether the store's environments were made for another place.
    pub(super) fn is_moved(&self) -> bool {
        matches!(self.0.place, Place::Moved { .. })
    }

    /// Records the root and the other paths that environments name, unless that was done. Part of each writing command; a failure is logged and
    /// the next command tries again.
    pub(super) fn record_root(&self) {
        let is_recorded = matches!(self.0.place, Place::Home { is_recorded: true } | Place::Moved { .. });
        if is_recorded || self.0.asked_to_record.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Err(error) = self.write_root() {
            tracing::warn!(%error, "the store's root is not recorded");
        }
    }

    fn write_root(&self) -> Result<()> {
        let layout = &self.0.layout;
        let root = layout.root();
        let mut named: BTreeSet<PathBuf> = BTreeSet::new();
        for name in environments(layout) {
            // One that names nothing is being built, or damaged: a later command asks again.
            let Some(place) = named_by(layout, &name) else { return Ok(()) };
            named.insert(place);
        }
        let _index = super::reindex::exclusive(layout)?;
        let Some(store) = StoreFile::read(layout)?.filter(|store| !store.sealed) else { return Ok(()) };
        named.extend(store.root.iter().chain(&store.also_named).cloned());
        named.remove(root);
        if !store.relocating_from.is_empty() || !named.iter().all(|path| leads_to(path, root)) {
            return Ok(());
        }
        let also_named: Vec<PathBuf> = named.into_iter().collect();
        if store.root.as_deref() == Some(root) && store.also_named == also_named {
            return Ok(());
        }
        StoreFile { root: Some(root.to_owned()), also_named, ..store }.write(layout)
    }

    /// Whether a path is that of an environment of this store, perhaps through a link or a mount.
    pub(super) fn is_env_of_this_store(&self, path: &Path) -> bool {
        let above = path.parent().and_then(|above| fs::canonicalize(above).ok());
        above.is_some_and(|above| is_same_directory(&above, &self.0.layout.dir("envs")))
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
