//! Assembly: what is known of a lock's artifacts is linked, not installed.
//!
//! # Performance
//! A `stat` and a link for each file; no installer, no interpreter, no network.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::Store;
use super::runtime::Skeleton;
use crate::component::{self, Component, File, Form};
use crate::digest::ComponentId;
use crate::error::{Error, Result};
use crate::fs::{canonical, nofollow};
use crate::index::components;
use crate::interpreter::Interpreter;
use crate::lock::Lock;
use crate::manifest::{Content, Entry};
use crate::objects::{Object, Objects};

/// How a lock becomes an environment: what is linked, what an installer installs.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub known: Vec<(ComponentId, Component)>,
    pub missing: Lock,
}

impl Plan {
    /// Everything is installed.
    pub fn install_all(lock: &Lock) -> Self {
        Self { known: Vec::new(), missing: lock.clone() }
    }

    /// Whether the installer has nothing to do.
    pub fn is_assembly(&self) -> bool {
        self.missing.packages.is_empty() && !self.known.is_empty()
    }
}

/// Why known components could not be put into an environment.
#[derive(Debug)]
pub(super) enum Unplaced {
    /// An object of this component is missing or damaged.
    Lost(ComponentId),
    /// Two artifacts claim a path with different content: the installer decides.
    Clash(String),
}

impl Store {
    /// What of a lock is known here. Where two known components claim one path differently nothing counts as known.
    pub(super) fn plan(&self, lock: &Lock, interpreter: &Interpreter) -> Result<Plan> {
        let plan = self.0.index.read("look up components", |db| {
            let mut plan = Plan::default();
            for package in &lock.packages {
                let identity = component::identity(package, interpreter);
                match components::find(db, &identity)? {
                    Some(component) => plan.known.push((identity, component)),
                    None => plan.missing.packages.push(package.clone()),
                }
            }
            Ok(plan)
        })?;
        let mut claims = HashMap::new();
        for file in plan.known.iter().flat_map(|(_, component)| &component.files) {
            if claims.insert(file.path.as_str(), file).is_some_and(|other| !is_same(other, file)) {
                tracing::debug!(path = file.path, "two artifacts claim a path: the installer decides");
                return Ok(Plan::install_all(lock));
            }
        }
        Ok(plan)
    }
}

/// Whether two claims to a path are no contradiction. Bytecode of equal sources is interchangeable.
fn is_same(one: &File, other: &File) -> bool {
    let derived = [one, other].iter().all(|file| file.form == Form::Derived);
    derived || (one.digest, one.exec, one.form) == (other.digest, other.exec, other.form)
}

/// What was put into an environment.
pub(super) struct Placed {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Every directory of the environment, each after what is in it.
    pub dirs: Vec<PathBuf>,
}

/// Puts known components into an environment's directory, beside what was installed: its entries and directories.
pub(super) fn place(
    objects: Objects<'_>,
    env_dir: &Path,
    skeleton: &Skeleton,
    known: &[(ComponentId, Component)],
    installed: &[Entry],
    dirs: Vec<PathBuf>,
) -> Result<Result<Placed, Unplaced>> {
    let mut there: HashMap<&str, Option<Cow<'_, File>>> =
        installed.iter().map(|entry| (entry.path.as_str(), entry.file().map(Cow::Owned))).collect();
    let mut dirs = Dirs { env_dir, made: dirs.into_iter().collect() };
    let mut entries = Vec::new();
    // One after the other: a second thread waits for the filesystem's journal as the first does.
    for (identity, component) in known {
        for file in &component.files {
            match there.insert(&file.path, Some(Cow::Borrowed(file))) {
                None => {}
                Some(Some(other)) if is_same(&other, file) => continue,
                Some(_) => return Ok(Err(Unplaced::Clash(file.path.clone()))),
            }
            let target = env_dir.join(&file.path);
            dirs.make(target.parent())?;
            let Some(content) = put(objects, skeleton, file, &target)? else {
                return Ok(Err(Unplaced::Lost(*identity)));
            };
            entries.push(Entry { path: file.path.clone(), content });
        }
    }
    Ok(Ok(Placed { entries, dirs: dirs.made.into_iter().rev().collect() }))
}

/// Puts one file there. None: its object is missing or damaged.
fn put(objects: Objects<'_>, skeleton: &Skeleton, file: &File, target: &Path) -> Result<Option<Content>> {
    let File { digest, size, exec, form, .. } = *file;
    let (derived, canonical, canonical_size) = (form == Form::Derived, None, None);
    let plain = Content::File { digest, size, exec, derived, canonical, canonical_size };
    if form == Form::Placeholder {
        let Some(neutral) = objects.read(&digest, exec)? else { return Ok(None) };
        let bytes = skeleton.placeholders.local(&neutral);
        write(target, &bytes, exec)?;
        return Ok(Some(Content::File {
            digest: blake3::hash(&bytes).into(),
            size: bytes.len() as u64,
            exec,
            derived: false,
            canonical: Some(digest),
            canonical_size: Some(size),
        }));
    }
    if size == 0 {
        // Never linked: thousands of environments would share one inode for nothing.
        return write(target, &[], exec).map(|()| Some(plain));
    }
    Ok(objects.place(&Object { digest, exec, size }, target)?.then_some(plain))
}

/// The directories of an environment.
struct Dirs<'a> {
    env_dir: &'a Path,
    made: BTreeSet<PathBuf>,
}

impl Dirs<'_> {
    /// Makes a directory below the environment's, and those it is in.
    fn make(&mut self, dir: Option<&Path>) -> Result<()> {
        let Some(dir) = dir.filter(|dir| *dir != self.env_dir && !self.made.contains(*dir)) else { return Ok(()) };
        self.make(dir.parent())?;
        nofollow::create_dir(dir, 0o755).map_err(Error::io("create", dir))?;
        self.made.insert(dir.to_owned());
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8], executable: bool) -> Result<()> {
    let mut file = nofollow::create_new(path, 0o600).map_err(Error::io("create", path))?;
    std::io::Write::write_all(&mut file, bytes).map_err(Error::io("write", path))?;
    canonical::seal_file(&file, path, executable)
}
