//! One environment in a new directory, from its manifest and the objects.

use std::collections::{BTreeSet, HashMap};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cancel::Cancel;
use crate::component::{Component, File};
use crate::digest::ComponentId;
use crate::error::{Error, Result};
use crate::failpoint::reached;
use crate::fs::link::LinkMode;
use crate::fs::lock::Mode;
use crate::fs::{durable, scan};
use crate::guard::Guard;
use crate::index::{EnvRow, State, envs};
use crate::layout::LEASE;
use crate::manifest::{Content, Entry, Manifest, Tree};
use crate::objects::Object;
use crate::store::Store;
use crate::store::assemble::{self, Placed};
use crate::store::identity;
use crate::store::publish::Unpublished;
use crate::store::runtime::Skeleton;

/// How long another process may work on an environment of the same key.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a directory takes at least, bytes.
const DIRECTORY: u64 = 4096;

/// What a new directory needs beside the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    pub bytes: u64,
    pub inodes: u64,
}

/// The room that an environment takes a second time: files that name its path and directories, and without links or reflinks every file.
pub(super) fn need(manifest: &Manifest, mode: LinkMode) -> Need {
    let dirs: BTreeSet<&Path> =
        manifest.entries.iter().flat_map(|entry| Path::new(&entry.path).ancestors().skip(1)).collect();
    let mut need = Need { bytes: dirs.len() as u64 * DIRECTORY, inodes: dirs.len() as u64 };
    for entry in &manifest.entries {
        let is_rewritten = match entry.content {
            Content::File { canonical, size, .. } => canonical.is_some() || size == 0,
            Content::Link { .. } => true,
        };
        need.bytes += if is_rewritten || mode == LinkMode::Copy { entry.size() } else { 0 };
        need.inodes += u64::from(is_rewritten || mode != LinkMode::Hardlink);
    }
    need
}

impl Store {
    /// Publishes an environment again for the store's root; bindings, generations, pins and links follow it. Returns the bytes
    /// written.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for one that cannot be made of its objects; then nothing changed.
    pub(super) fn publish_here(&self, env: &EnvRow, cancel: &Cancel) -> Result<u64> {
        let layout = &self.0.layout;
        let deadline = Instant::now() + PATIENCE;
        let guard = layout.guard_env(env.name.stem());
        let _guard = Guard::take(guard, Mode::Exclusive, deadline, cancel, &|_, _| ())?;
        let (row, answering) = self
            .0
            .index
            .read("look up an environment", |db| Ok((envs::by_id(db, env.id)?, envs::by_key(db, &env.key)?)))?;
        if row.is_none_or(|row| !matches!(row.state, State::Ready | State::Condemned)) {
            return Ok(0);
        }
        // An earlier run was stopped after it had published the environment here.
        if answering.is_some_and(|other| other.id != env.id && identity::names_this_root(layout, &other.name)) {
            self.note_relocated(env)?;
            return Ok(0);
        }
        let manifest = Manifest::read(&layout.manifest(&env.name));
        let manifest =
            manifest.map_err(|error| self.lost(env, &format!("its manifest cannot be read: {}", error.explained())))?;
        if manifest.host_bound {
            return Err(self.lost(env, "a binary in it holds the former path"));
        }
        let unpublished = Unpublished::begin(self, &manifest.key)?;
        let _objects = self.hold_objects(deadline, cancel)?;
        match self.reproduce(&manifest, env, &unpublished) {
            Ok(made) => {
                reached("relocate: before the row")?;
                self.insert(&made, &[])?;
                self.note_relocated(env)?;
                drop(unpublished.publish());
                Ok(need(&made, made.link_mode).bytes)
            }
            Err(error) => {
                unpublished.discard();
                Err(error)
            }
        }
    }

    /// Makes the directory whole and durable, and writes its manifest.
    fn reproduce(&self, old: &Manifest, env: &EnvRow, unpublished: &Unpublished<'_>) -> Result<Manifest> {
        let layout = &self.0.layout;
        let interpreter = self.standing_interpreter(&old.interpreter)?;
        let runtime = self.runtime(interpreter.identity.runtime)?;
        let env_dir = layout.env(&unpublished.name);
        let objects = self.objects()?;
        let skeleton = runtime.skeleton(&interpreter, &env_dir)?;
        let walked = scan::seal_files(&env_dir, &[LEASE], &env_dir.to_string_lossy(), &HashMap::new())?;
        let mut tree = Tree::new(&env_dir, walked.nodes, &skeleton, &[])?;
        let files = outside_skeleton(old, &skeleton);
        for File { digest, exec, size, .. } in files.files.iter().filter(|file| file.size > 0) {
            objects.renew(&Object { digest: *digest, exec: *exec, size: *size })?;
        }
        let known = [(ComponentId::from(blake3::hash(&[])), files)];
        let placed = assemble::place(objects, &env_dir, &skeleton, &known, &tree.entries, walked.dirs);
        let placed = placed.map_err(|error| match error {
            // A bad sector: no later run can read it either.
            Error::Io { op: "read", .. } => self.lost(env, &error.explained()),
            error => error,
        })?;
        let Ok(Placed { entries, dirs }) = placed else {
            return Err(self.lost(env, "an object of it is missing or damaged"));
        };
        tree.extend(entries);
        tree.extend(links(old, &skeleton, &env_dir)?);
        scan::seal_dirs(&dirs)?;
        unpublished.open_up()?;
        durable::sync_filesystem(layout.root())?;
        let is_same = old.entries.iter().map(|entry| &entry.path).eq(tree.entries.iter().map(|entry| &entry.path));
        if !is_same || tree.digest() != old.tree_digest {
            return Err(self.lost(env, "what its objects make is not what was published"));
        }
        let made = Manifest {
            name: unpublished.name.clone(),
            created_at: self.0.clock.now(),
            link_mode: objects.mode(),
            bytes: tree.bytes(),
            entries: tree.entries,
            interpreter,
            ..old.clone()
        };
        // A release may write a lock in other bytes than the one that made this one: then the file there stays.
        let lock = runtime.write_lock(&made.lock, &made.interpreter);
        let is_same_lock = made.lock_digest == blake3::hash(lock.as_bytes()).into();
        self.write_down(&made, is_same_lock.then_some(lock.as_str()))?;
        Ok(made)
    }

    fn lost(&self, env: &EnvRow, reason: &str) -> Error {
        Error::Corrupt { path: self.0.layout.env(&env.name), reason: reason.into() }
    }
}

/// Every file of an environment that its runtime does not write by itself.
fn outside_skeleton(manifest: &Manifest, skeleton: &Skeleton) -> Component {
    let entries = manifest.entries.iter().filter(|entry| !skeleton.names.contains(&entry.path));
    Component {
        distribution: None,
        files: entries.filter_map(Entry::file).collect(),
        uncompiled: Vec::new(),
        notes: Vec::new(),
    }
}

/// Makes the links that artifacts brought.
fn links(manifest: &Manifest, skeleton: &Skeleton, env_dir: &Path) -> Result<Vec<Entry>> {
    let mut made = Vec::new();
    for entry in manifest.entries.iter().filter(|entry| !skeleton.names.contains(&entry.path)) {
        let Content::Link { link, canonical_link } = &entry.content else { continue };
        let local = canonical_link.as_ref().map(|text| skeleton.local_placeholders.local(text.as_bytes()));
        let target = local.map_or_else(|| link.clone(), |bytes| String::from_utf8_lossy(&bytes).into_owned());
        let path = env_dir.join(&entry.path);
        symlink(&target, &path).map_err(Error::io("create", &path))?;
        let content = Content::Link { link: target, canonical_link: canonical_link.clone() };
        made.push(Entry { path: entry.path.clone(), content });
    }
    Ok(made)
}
