//! [`Objects`]: the bytes of every distinct file, once, named by their BLAKE3.
//!
//! # Layout
//! `objects/<hh>/<digest>[x]`, 0444 or 0555, time 1980-01-02. Environments hold reflinks, hard links or copies of them.
//!
//! # Durability
//! A name appears only after its bytes were synced: what becomes an object is [staged](Objects::stage) first, the caller syncs the
//! filesystem, then it is [adopted](Objects::adopt). So an object's name is the digest of its bytes also after a power cut (I7).
//!
//! # Locking
//! Whoever stages, adopts or places holds `guards/objects` shared until a row names the objects; the collector holds it
//! exclusive.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::digest::FileDigest;
use crate::error::{Error, Result};
use crate::failpoint::reached;
use crate::fs::link::{self, LinkMode, Linked};
use crate::fs::{canonical, durable, nofollow, read, remove};
use crate::layout::Layout;

/// An object's name and what it must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Object {
    /// BLAKE3 of the bytes.
    pub digest: FileDigest,
    /// Whether it is executable.
    pub exec: bool,
    /// Bytes.
    pub size: u64,
}

/// The objects of one store, put elsewhere in one mode.
#[derive(Debug, Clone, Copy)]
pub struct Objects<'a> {
    layout: &'a Layout,
    mode: LinkMode,
}

/// A file that is to become an object once the filesystem is synced.
#[derive(Debug)]
pub struct Staged {
    object: Object,
    /// The file with the bytes, on the store's filesystem; none where the object was there already.
    from: Option<PathBuf>,
    /// The environment's file that is to share with the object, if another was first.
    file: Option<PathBuf>,
}

impl<'a> Objects<'a> {
    /// The objects of a store.
    pub fn new(layout: &'a Layout, mode: LinkMode) -> Self {
        Self { layout, mode }
    }

    /// How objects are put into environments.
    pub fn mode(&self) -> LinkMode {
        self.mode
    }

    /// Makes a sealed file of an environment ready to become an object. `scratch` is a private directory.
    pub fn stage(&self, file: &Path, object: Object, scratch: &Path) -> Result<Staged> {
        let from = match self.mode {
            LinkMode::Hardlink => Some(file.to_owned()),
            _ if looks_sound(&self.layout.object(&object.digest, object.exec), &object) => None,
            mode => {
                let from = scratch.join(durable::unique("object"));
                link::duplicate(file, &from, object.exec, mode)?;
                Some(from)
            }
        };
        let file = (self.mode != LinkMode::Copy).then(|| file.to_owned());
        Ok(Staged { object, from, file })
    }

    /// Makes bytes ready to become an object.
    pub fn stage_bytes(&self, bytes: &[u8], exec: bool, scratch: &Path) -> Result<Staged> {
        let from = scratch.join(durable::unique("object"));
        let mut file = nofollow::create_new(&from, 0o600).map_err(Error::io("create", &from))?;
        file.write_all(bytes).map_err(Error::io("write", &from))?;
        canonical::seal_file(&file, &from, exec)?;
        let object = Object { digest: blake3::hash(bytes).into(), exec, size: bytes.len() as u64 };
        Ok(Staged { object, from: Some(from), file: None })
    }

    /// Makes a staged file an object, or lets it share with the one there is. The filesystem was synced since it was staged.
    pub fn adopt(&self, staged: &Staged) -> Result<()> {
        let object = &staged.object;
        reached("objects: before a name")?;
        let path = self.layout.object(&object.digest, object.exec);
        loop {
            if looks_sound(&path, object) {
                return staged.file.as_deref().map_or(Ok(()), |file| self.share(file, &path, object));
            }
            let Some(from) = &staged.from else {
                return Err(Error::Corrupt { path, reason: "it was there a moment ago".into() });
            };
            match link::hard_link(from, &path)? {
                // Full: the environments that link it keep it; it is learnt again from the next one.
                Linked::Made | Linked::Full => return Ok(()),
                Linked::Missing => self.make_dir_of(&path)?,
                Linked::Exists if looks_sound(&path, object) => {}
                Linked::Exists => return self.replace(from, &path),
            }
        }
    }

    /// Lets a file of an unpublished environment share with an object of the same bytes.
    fn share(&self, file: &Path, path: &Path, object: &Object) -> Result<()> {
        let beside = beside(file);
        if self.mode == LinkMode::Reflink {
            link::duplicate(path, &beside, object.exec, LinkMode::Reflink)?;
            return nofollow::rename(&beside, file).map_err(Error::io("rename to", file));
        }
        if is_same_file(file, path)? {
            return Ok(());
        }
        match link::hard_link(path, &beside)? {
            Linked::Made => nofollow::rename(&beside, file).map_err(Error::io("rename to", file)),
            // The object rolls over to a new inode; the old one lives in the environments that link it.
            Linked::Full => self.replace(file, path),
            Linked::Exists | Linked::Missing => Ok(()),
        }
    }

    /// Puts another inode with the same bytes in an object's place.
    fn replace(&self, from: &Path, path: &Path) -> Result<()> {
        let beside = beside(path);
        nofollow::hard_link(from, &beside).map_err(Error::io("link to", &beside))?;
        nofollow::rename(&beside, path).map_err(Error::io("rename to", path))
    }

    /// Puts an object into an environment. False: it is missing, or not what it was, and nothing was put there.
    pub fn place(&self, object: &Object, target: &Path) -> Result<bool> {
        reached("objects: before placing one")?;
        let path = self.layout.object(&object.digest, object.exec);
        if !looks_sound(&path, object) {
            return Ok(false);
        }
        if self.mode != LinkMode::Hardlink {
            return link::duplicate(&path, target, object.exec, self.mode).map(|()| true);
        }
        match link::hard_link(&path, target)? {
            Linked::Made => Ok(true),
            Linked::Full => {
                self.roll_over(&path, object)?;
                Ok(link::hard_link(&path, target)? == Linked::Made)
            }
            Linked::Missing => Ok(false),
            Linked::Exists => Err(Error::io("link to", target)(std::io::ErrorKind::AlreadyExists.into())),
        }
    }

    /// Replaces an object that has its bytes but lost its mode or time, as after a copy that kept neither.
    pub fn renew(&self, object: &Object) -> Result<()> {
        let path = self.layout.object(&object.digest, object.exec);
        let is_whole = || holds(&path, &object.digest).unwrap_or(false);
        if looks_sound(&path, object) || !is_whole() { Ok(()) } else { self.roll_over(&path, object) }
    }

    /// An object whose inode takes no more links gets a new one, durable before it has the name.
    fn roll_over(&self, path: &Path, object: &Object) -> Result<()> {
        let beside = beside(path);
        link::duplicate(path, &beside, object.exec, LinkMode::Copy)?;
        read::open(&beside)?.sync_all().map_err(Error::io("sync", &beside))?;
        durable::rename(&beside, path)
    }

    /// The bytes of an object, compared with its name. None: it is missing or damaged.
    pub fn read(&self, digest: &FileDigest, exec: bool) -> Result<Option<Vec<u8>>> {
        let path = self.layout.object(digest, exec);
        match fs::read(&path) {
            Ok(bytes) if FileDigest::from(blake3::hash(&bytes)) == *digest => Ok(Some(bytes)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// Every object that is not named, and the directories that could not be listed. The caller holds `guards/objects` exclusive.
    pub fn unnamed(&self, named: &HashSet<FileDigest>) -> (Vec<PathBuf>, Vec<(PathBuf, Error)>) {
        let is_named = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // A file whose name is not a digest is garbage.
            self.layout.object_of(name).is_some_and(|(digest, _)| named.contains(&digest))
        };
        let (mut paths, unseen) = all(self.layout);
        paths.retain(|path| !is_named(path));
        (paths, unseen)
    }

    /// Removes an object, or whatever has the path of one, and returns how many bytes this freed. A missing one frees 0. The caller holds
    /// `guards/objects` exclusive and has checked that no manifest names the object.
    pub fn remove(&self, path: &Path) -> Result<u64> {
        reached("objects: before removing one")?;
        remove::remove_tree(path)
    }

    fn make_dir_of(&self, path: &Path) -> Result<()> {
        let dir = path.parent().unwrap_or(path);
        // Readers of another uid verify the objects in it.
        match nofollow::create_dir(dir, 0o755) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(Error::io("create", dir)(error)),
            Err(_) if !fs::symlink_metadata(dir).map_err(Error::io("stat", dir))?.is_dir() => {
                Err(Error::Corrupt { path: dir.to_owned(), reason: "it is no directory; `gc` removes it".into() })
            }
            _ => Ok(()),
        }
    }
}

/// The path of every object of a store, and of what stands among their directories and is none; and the directories that could not be listed.
pub fn all(layout: &Layout) -> (Vec<PathBuf>, Vec<(PathBuf, Error)>) {
    let (mut paths, mut unseen) = (Vec::new(), Vec::new());
    let mut list = |dir: &Path| match fs::read_dir(dir).and_then(Iterator::collect::<std::io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        // A backup may leave out what is empty.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            unseen.push((dir.to_owned(), Error::io("list", dir)(error)));
            Vec::new()
        }
    };
    for dir in list(&layout.dir("objects")) {
        // I9: a link here leads to what is not ours, and is none of our names.
        if dir.file_type().is_ok_and(|kind| kind.is_dir()) {
            paths.extend(list(&dir.path()).into_iter().map(|entry| entry.path()));
        } else {
            paths.push(dir.path());
        }
    }
    (paths, unseen)
}

/// Whether a file holds the bytes of this digest. Reads all of them.
pub fn holds(path: &Path, digest: &FileDigest) -> Result<bool> {
    let content = read::content(&read::open(path)?, path, None, |_| ())?;
    Ok(FileDigest::from(content.digest) == *digest)
}

/// Whether an object looks as it was made. One `stat`; what was written to in place has another time.
fn looks_sound(path: &Path, object: &Object) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| canonical::looks_sealed(&meta, object.exec, object.size))
}

fn is_same_file(a: &Path, b: &Path) -> Result<bool> {
    let meta = |path: &Path| fs::symlink_metadata(path).map_err(Error::io("stat", path));
    Ok(crate::fs::lock::is_same_inode(&meta(a)?, &meta(b)?))
}

/// A name beside a file that no artifact and no object has. Beside an object, where a killed process leaves it, it is garbage to the collector,
/// which `guards/objects` keeps away until then.
fn beside(file: &Path) -> PathBuf {
    file.with_file_name(durable::unique(".envstore"))
}

#[cfg(test)]
mod tests;
