//! Creating a store, and writing a lost `store.json` again.
//!
//! `creating` is written first and removed last. It distinguishes an interrupted creation from a directory that another program filled: only the
//! empty directories and the first files of such a creation are built upon; anything else in the directory is foreign and stays untouched.

use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{ShareWith, access, ballast, foreign, identity, outside};
use crate::cancel::Cancel;
use crate::clock::Clock;
use crate::epoch::Epoch;
use crate::error::{Error, Result};
use crate::fs::lock::Mode;
use crate::fs::{durable, nofollow, probe, read};
use crate::guard::Guard;
use crate::index::{self, Index, require_root};
use crate::layout::{BALLAST, CREATING, DIRECTORIES, Layout};
use crate::store_file::StoreFile;

const MARKER: &[u8] =
    b"A store is being created here. If nothing is creating it, the next `envstore ensure` goes on.\n";

/// Creates a store. Two processes may do it at once: the second finds the first one's.
///
/// # Errors
/// [`Error::NotPermitted`] for a directory that holds anything else, and for a path that environments cannot work at;
/// [`Error::UnsupportedFilesystem`].
pub(super) fn create(given: &Path, share_with: ShareWith, clock: &dyn Clock) -> Result<()> {
    require_no_outer_store(given)?;
    let made = make_root(given)?;
    let root = identity::canonical(given)?.ok_or_else(|| Error::NoStore { path: given.to_owned() })?;
    check_new_path(&root)?;
    foreign::require_own(&root, "create a store")?;
    let layout = Layout::new(&root);
    if let Some(found) = stranger(&layout)? {
        let reason = format!("`{}` is not empty and is no store (it holds `{found}`)", root.display());
        return Err(refused(reason));
    }
    mark(&layout)?;
    make_dir(&layout.dir("guards"), 0o700)?;
    let deadline = Instant::now() + Duration::from_secs(60);
    let _guard = Guard::take(layout.guard_index(), Mode::Exclusive, deadline, &Cancel::new(), &|_, _| ())?;
    if layout.store_json().exists() {
        return unmark(&layout);
    }
    let result = populate(&layout, share_with, clock).and_then(|()| unmark(&layout));
    if result.is_err() && made && !layout.store_json().exists() {
        // Nothing half-made stays. Without `store.json` no process can have used it.
        let _ = crate::fs::remove::remove_tree(&root);
    }
    result
}

/// Writes `store.json` again over a store's files, where it was lost.
///
/// # Errors
/// [`Error::NotPermitted`] where this process may not write.
pub(super) fn restore(root: &Path, clock: &dyn Clock) -> Result<()> {
    let layout = Layout::new(root);
    if !access::may_write(&layout)? {
        let reason = "only its owner can write `store.json` again".into();
        return Err(Error::NotPermitted { what: "restore the store".into(), reason });
    }
    make_missing(&layout)?;
    let deadline = Instant::now() + Duration::from_secs(60);
    let _guard = Guard::take(layout.guard_index(), Mode::Exclusive, deadline, &Cancel::new(), &|_, _| ())?;
    if layout.store_json().exists() {
        return Ok(());
    }
    // With another id every cache of the store would be invalid, and the index another store's.
    let known = index::store_of(&layout).or_else(|| Epoch::store_id(&layout.epoch()));
    let id = known.map_or_else(|| new_id(root), Ok)?;
    // A store that was moved, or that a relocation was changing, has to be relocated before it is used.
    let relocating_from = identity::all_named(&layout).into_iter().filter(|named| named != root).collect();
    let store = StoreFile { relocating_from, ..StoreFile::new(id, clock.now(), Some(root.to_owned())) };
    store.write(&layout)
}

/// Moves a `store.json` that cannot be read to `quarantine/`.
pub(super) fn set_aside_store_file(path: &Path) -> Result<()> {
    let layout = Layout::new(path.parent().unwrap_or(path));
    if !holds_store_files(&layout) || !access::may_write(&layout)? {
        let reason = "it is damaged, and the directory is no store of this user".into();
        return Err(Error::Corrupt { path: path.to_owned(), reason });
    }
    make_missing(&layout)?;
    durable::rename(path, &layout.dir("quarantine").join(durable::unique("store.json")))
}

/// Makes the directories of a store that are missing: a backup may have left out those that were empty.
///
/// # Errors
/// [`Error::Corrupt`] where something else stands in the place of one.
pub(super) fn make_missing(layout: &Layout) -> Result<()> {
    for (name, is_read_by_others) in DIRECTORIES {
        let path = layout.dir(name);
        if !is_directory(&path)? {
            make_dir(&path, mode_of(is_read_by_others))?;
        }
    }
    Ok(())
}

/// Refuses a store one of whose directories is a link, or no directory at all. Missing ones are no error.
///
/// # Errors
/// [`Error::Corrupt`].
pub(super) fn check_directories(layout: &Layout) -> Result<()> {
    DIRECTORIES.iter().try_for_each(|(name, _)| is_directory(&layout.dir(name)).map(drop))
}

/// Whether there is a directory. One `lstat`.
fn is_directory(path: &Path) -> Result<bool> {
    let corrupt = |reason: &str| Error::Corrupt { path: path.to_owned(), reason: reason.into() };
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => Ok(true),
        Ok(meta) if meta.is_symlink() => Err(corrupt(
            "it is a symbolic link where a directory of the store belongs; put the directory itself there, or mount it there",
        )),
        Ok(_) => Err(corrupt("it is no directory; take it away, and the directory is made again")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("stat", path)(error)),
    }
}

/// Refuses a root within another store, whose collector would find it.
fn require_no_outer_store(given: &Path) -> Result<()> {
    let what = format!("create a store at `{}`", given.display());
    let nearest = outside::existing(&what, given)?;
    match nearest.ancestors().skip(usize::from(given.exists())).find(|above| outside::is_store(above)) {
        Some(store) => Err(Error::WithinStore { what, store: store.to_owned() }),
        None => Ok(()),
    }
}

/// Makes the directory and those it is in. True: it was not there.
fn make_root(root: &Path) -> Result<bool> {
    let made = !root.exists();
    if made {
        // Before anything is made: the text that was given may be refused as it is.
        check_new_path(&std::path::absolute(root).map_err(Error::io("make absolute", root))?)?;
        fs::create_dir_all(root).map_err(Error::io("create the store", root))?;
    }
    Ok(made)
}

/// Refuses a root that no environment can work at, or that is too long for the index.
pub(super) fn check_new_path(root: &Path) -> Result<()> {
    require_root(root)?;
    // The first lines of scripts would spell it in two ways.
    let quoted = root.as_os_str().as_bytes().contains(&b'\'').then_some("its path holds an apostrophe");
    let reason = unusable(root).or(quoted);
    reason.map_or(Ok(()), |reason| Err(refused(format!("{reason}: `{}`", root.display()))))
}

/// Why no environment can work at a root: `python -m venv` refuses a colon too.
fn unusable(root: &Path) -> Option<&'static str> {
    let bytes = root.as_os_str().as_bytes();
    if root.to_str().is_none() {
        Some("its path is not UTF-8")
    } else if bytes.contains(&b':') {
        Some("its path holds `:`, which separates the directories in PATH")
    } else if bytes.iter().any(u8::is_ascii_control) {
        Some("its path holds a control character, which the first line of a script cannot")
    } else {
        None
    }
}

fn refused(reason: String) -> Error {
    Error::NotPermitted { what: "create a store".into(), reason }
}

/// Refuses to open a store whose path no environment can work at.
pub(super) fn require_usable_path(layout: &Layout) -> Result<()> {
    let Some(reason) = unusable(layout.root()) else { return Ok(()) };
    let reason = format!("{reason}; move it to another path, then `relocate` it: `{}`", layout.root().display());
    Err(Error::NotPermitted { what: "use the store".into(), reason })
}

/// Something in a directory that no creation of a store leaves there.
pub(super) fn stranger(layout: &Layout) -> Result<Option<String>> {
    let root = layout.root();
    // One that was killed while it wrote the marker left a part of it.
    let is_marked = read::whole(&layout.creating(), 1 << 10).is_ok_and(|text| MARKER.starts_with(&text));
    for entry in fs::read_dir(root).map_err(Error::io("list", root))? {
        let entry = entry.map_err(Error::io("list", root))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_dir = entry.file_type().map_err(Error::io("look at", entry.path()))?.is_dir();
        // `store.json`: another process created the store since we looked. `lost+found`: the root is a filesystem of its own.
        let is_ours = name == "store.json" || name == "lost+found" || is_marked && is_of_creation(&name, is_dir);
        if !is_ours {
            return Ok(Some(name));
        }
        let holds = if is_dir && name != "lost+found" { stranger_below(&entry.path(), &name)? } else { None };
        if holds.is_some() {
            return Ok(holds);
        }
    }
    Ok(None)
}

/// Whether a creation makes something of this name in the root.
fn is_of_creation(name: &str, is_dir: bool) -> bool {
    if is_dir {
        return name.starts_with(probe::PREFIX) || DIRECTORIES.iter().any(|(directory, _)| *directory == name);
    }
    name.starts_with("index.db") || [BALLAST, CREATING, "epoch"].contains(&name)
}

/// Something in a directory of the root that no creation leaves there.
fn stranger_below(path: &Path, dir: &str) -> Result<Option<String>> {
    for entry in fs::read_dir(path).map_err(Error::io("list", path))? {
        let entry = entry.map_err(Error::io("list", path))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_file = entry.file_type().map_err(Error::io("look at", entry.path()))?.is_file();
        let is_ours = match dir {
            "guards" => is_file && ["index", "gc", "objects", "cache", "links"].contains(&name.as_str()),
            "staging" => is_file && name.starts_with("write-"),
            "cache" => is_file && name == "CACHEDIR.TAG",
            _ => dir.starts_with(probe::PREFIX) && probe::NAMES.contains(&name.as_str()),
        };
        if !is_ours {
            return Ok(Some(format!("{dir}/{name}")));
        }
    }
    Ok(None)
}

/// Whether a directory without `store.json` holds what only a store has: then the file was lost.
pub(super) fn holds_store_files(layout: &Layout) -> bool {
    let holds = |dir: PathBuf, is_ours: &dyn Fn(&Path) -> bool| {
        fs::read_dir(dir).into_iter().flatten().flatten().any(|entry| is_ours(&entry.path()))
    };
    let text = |path: &Path| path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let is_hex = |name: &str, length: usize| name.len() == length && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    holds(layout.dir("manifests"), &|path| Layout::manifest_of(path).is_some())
        || holds(layout.dir("envs"), &|path| text(path).parse::<crate::layout::EnvName>().is_ok())
        || holds(layout.dir("pins"), &|path| is_hex(text(path).trim_end_matches(".link"), 64))
        || holds(layout.dir("bindings"), &|path| {
            is_hex(&text(path), 2) && holds(path.to_owned(), &|path| is_hex(&text(path), 62))
        })
        || holds(layout.dir("objects"), &|path| {
            is_hex(&text(path), 2) && holds(path.to_owned(), &|path| layout.object_of(&text(path)).is_some())
        })
}

fn mark(layout: &Layout) -> Result<()> {
    let path = layout.creating();
    match nofollow::create_new(&path, 0o644) {
        Ok(mut file) => file.write_all(MARKER).and_then(|()| file.sync_all()).map_err(Error::io("write", &path)),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::io("create", &path)(error)),
    }
}

fn unmark(layout: &Layout) -> Result<()> {
    let path = layout.creating();
    match nofollow::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &path)(error)),
        _ => Ok(()),
    }
}

fn populate(layout: &Layout, share_with: ShareWith, clock: &dyn Clock) -> Result<()> {
    let root = layout.root();
    let mode = match share_with {
        ShareWith::Group => 0o750,
        ShareWith::All => 0o755,
    };
    nofollow::set_dir_mode(root, mode).map_err(Error::io("set the mode of", root))?;
    probe::probe(root)?;
    for (name, is_read_by_others) in DIRECTORIES {
        make_dir(&layout.dir(name), mode_of(is_read_by_others))?;
    }
    let tag = "Signature: 8a477f597d28d172789f06886806bc55\n# What envstore can fetch again (bford.info/cachedir).\n";
    durable::write(&layout.dir("staging"), &layout.dir("cache").join("CACHEDIR.TAG"), tag.as_bytes(), 0o644)?;
    // What an attempt that was killed left behind: directories of the probe, an index, counters.
    for entry in fs::read_dir(root).map_err(Error::io("list", root))?.flatten() {
        if entry.file_name().as_bytes().starts_with(probe::PREFIX.as_bytes()) {
            crate::fs::remove::remove_tree(&entry.path())?;
        }
    }
    for file in layout.index_files().into_iter().chain([layout.epoch(), layout.answers()]) {
        let _ = nofollow::remove_file(&file);
    }
    Index::create(layout, 0o644)?;
    // The collector of a full disk could not make these.
    for guard in [layout.guard_gc(), layout.guard_objects(), layout.guard_cache(), layout.guard_links()] {
        Guard::try_take(&guard, Mode::Shared)?;
    }
    ballast::make(layout)?;
    let store = StoreFile::new(new_id(root)?, clock.now(), Some(root.to_owned()));
    Epoch::create(&layout.dir("staging"), &layout.epoch(), &store.id)?;
    durable::sync_filesystem(root)?;
    store.write(layout)
}

fn mode_of(is_read_by_others: bool) -> u32 {
    if is_read_by_others { 0o755 } else { 0o700 }
}

fn make_dir(path: &Path, mode: u32) -> Result<()> {
    match nofollow::create_dir(path, mode) {
        // Left by an attempt that was killed, perhaps before it had its mode.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => nofollow::set_dir_mode(path, mode),
        made => made,
    }
    .map_err(Error::io("create", path))
}

/// A new id: 32 hex digits.
pub(super) fn new_id(root: &Path) -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Error::io("name the store", root)(error.into()))?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}
