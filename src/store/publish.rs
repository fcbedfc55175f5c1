//! Publishing: what makes a directory an environment, in the order that makes I1 true.
//!
//! # Durability
//! Every byte is synced before the manifest has its name, the manifest before the row says `ready`. Whatever fails before the manifest stands
//! takes everything with it; a row that may or may not be there takes nothing; a process that dies leaves a directory without a row, which the collector removes (no
//! manifest) or adopts (a manifest).

use std::fs;

use super::Store;
use super::clock_jump::CLOCK;
use super::runtime::DerivedFile;
use crate::digest::EnvKey;
use crate::error::{Error, Result};
use crate::failpoint::reached;
use crate::fs::{durable, nofollow, probe, remove};
use crate::index::{EnvRow, NewEnv, collection, components, envs, sql};
use crate::layout::{EnvName, Layout};
use crate::lease::Lease;
use crate::manifest::Manifest;

/// Less than this is too little to begin with.
const LEAST_BYTES: u64 = 32 << 20;
const LEAST_INODES: u64 = 500;

impl Store {
    /// Writes an environment's lock, unless its file is there already, and its manifest, durably. Every byte of the environment is synced.
    pub(super) fn write_down(&self, manifest: &Manifest, lock_text: Option<&str>) -> Result<()> {
        let layout = &self.0.layout;
        let staging = layout.dir("staging");
        // One that was damaged is replaced: nothing keeps a lock open.
        let lock_path = layout.lock(&manifest.lock_digest);
        if let Some(text) = lock_text
            && !fs::read(&lock_path).is_ok_and(|there| there == text.as_bytes())
        {
            durable::write(&staging, &lock_path, text.as_bytes(), 0o444)?;
        }
        let path = layout.manifest(&manifest.name);
        durable::write(&staging, &path, &manifest.encode()?, 0o444)
    }

    /// The row that makes it visible, and what was learnt from it. It takes over whatever is bound to the environment it replaces, if
    /// there is one.
    pub(super) fn insert(&self, manifest: &Manifest, derived: &[DerivedFile]) -> Result<EnvRow> {
        let op = "publish an environment";
        let boot = self.0.clock.boot();
        let clock = self.reading().to_string();
        self.0.index.write(op, |tx| {
            envs::retire(tx, &manifest.key).map_err(sql(op))?;
            let id = insert_row(tx, manifest).map_err(sql(op))?;
            envs::take_over(tx, &manifest.key, id).map_err(sql(op))?;
            if !manifest.given {
                envs::set_alias(tx, &manifest.spec.digest(), &manifest.interpreter.digest(), id).map_err(sql(op))?;
            }
            if let Some(boot) = &boot {
                envs::set_looked_at(tx, id, boot).map_err(sql(op))?;
            }
            collection::set_meta(tx, CLOCK, &clock).map_err(sql(op))?;
            for made in derived {
                let at = manifest.entries.binary_search_by(|entry| entry.path.as_str().cmp(&made.path));
                if let Some(file) = at.ok().and_then(|at| manifest.entries[at].file()) {
                    components::remember_derived(tx, &made.key, &file).map_err(sql(op))?;
                }
            }
            envs::by_name(tx, &manifest.name)
                .and_then(|row| row.ok_or(rusqlite::Error::QueryReturnedNoRows))
                .map_err(sql(op))
        })
    }

    /// Refuses to begin where it cannot end.
    pub(super) fn require_room(&self) -> Result<()> {
        self.require_free(LEAST_BYTES, LEAST_INODES, "a build")
    }

    /// Refuses `what` where fewer bytes or inodes than these are free.
    pub(super) fn require_free(&self, bytes: u64, inodes: u64, what: &str) -> Result<()> {
        let path = self.0.layout.root();
        let space = probe::space(path)?;
        let at =
            probe::mount_point(path).map(|point| format!(", mounted at `{}`", point.display())).unwrap_or_default();
        let reason = if space.free_bytes < bytes {
            format!("{} bytes are free on its filesystem{at}, {what} needs at least {bytes}", space.free_bytes)
        } else if let Some(free) = space.free_inodes.filter(|free| *free < inodes) {
            format!("{free} inodes are free on its filesystem{at}, {what} needs at least {inodes}")
        } else {
            return Ok(());
        };
        Err(Error::NoSpace { path: path.to_owned(), reason })
    }
}

/// A manifest's row, with its parts.
pub(super) fn insert_row(tx: &rusqlite::Transaction<'_>, manifest: &Manifest) -> rusqlite::Result<i64> {
    let id = envs::insert(
        tx,
        &NewEnv {
            key: manifest.key,
            name: &manifest.name,
            interpreter: &manifest.interpreter,
            lock: manifest.lock_digest,
            tree_digest: manifest.tree_digest,
            bytes: manifest.bytes,
            files: manifest.files(),
            installer: &manifest.installer,
            notes: &manifest.all_notes(),
            link_mode: manifest.link_mode,
            distributions: &manifest.distributions(),
            created_at: manifest.created_at,
        },
    )?;
    for part in &manifest.parts {
        let component = manifest.component(part);
        components::attach(tx, id, part.component.as_ref(), &component, manifest.created_at)?;
    }
    Ok(id)
}

/// An environment's directory while nobody can see it.
pub(super) struct Unpublished<'a> {
    store: &'a Store,
    pub name: EnvName,
    pub lease: Lease,
}

impl<'a> Unpublished<'a> {
    /// Takes a name never used before and creates the directory, leased from its first moment. The caller holds the key's guard, which
    /// keeps collectors away until then.
    pub fn begin(store: &'a Store, key: &EnvKey) -> Result<Self> {
        let layout = &store.0.layout;
        let lowest = lowest_free(store, key)?;
        let op = "name an environment";
        let name = store.0.index.write(op, |tx| envs::take_name(tx, key, lowest).map_err(sql(op)))?;
        let dir = layout.env(&name);
        reached("publish: before the directory")?;
        nofollow::create_dir(&dir, 0o700).map_err(Error::io("create", &dir))?;
        match Lease::create(&layout.lease(&name)) {
            Ok(lease) => Ok(Self { store, name, lease }),
            Err(error) => {
                let _ = remove::remove_tree(&dir);
                Err(error)
            }
        }
    }

    /// Lets whoever may read the store look into it. 0755 and not 0555: its owner must be able to rename it to trash.
    pub fn open_up(&self) -> Result<()> {
        let dir = self.store.0.layout.env(&self.name);
        nofollow::set_dir_mode(&dir, 0o755).map_err(Error::io("set the mode of", &dir))
    }

    /// It is published: what is left is its lease.
    pub fn publish(self) -> Lease {
        self.lease
    }

    /// Takes everything away again, manifest first: without one the rest counts for nothing.
    pub fn discard(self) {
        let layout = &self.store.0.layout;
        let _ = nofollow::remove_file(&layout.manifest(&self.name));
        let trash = layout.dir("trash").join(durable::unique(self.name.as_str()));
        if nofollow::rename(&layout.env(&self.name), &trash).is_ok()
            && let Err(error) = remove::remove_tree(&trash)
        {
            tracing::warn!(%error, "what a failed build left stays in trash until the next collection");
        }
    }
}

/// One above the highest number the filesystem shows for a key: the index may have been rebuilt.
fn lowest_free(store: &Store, key: &EnvKey) -> Result<u64> {
    let stem = key.stem();
    let mut lowest = 0;
    for dir in ["envs", "manifests"] {
        let dir = store.0.layout.dir(dir);
        for entry in fs::read_dir(&dir).map_err(Error::io("list", &dir))?.flatten() {
            let by_name = || entry.file_name().to_str()?.parse::<EnvName>().ok();
            if let Some(name) = Layout::manifest_of(&entry.path()).or_else(by_name)
                && name.stem() == stem
            {
                lowest = lowest.max(name.number() + 1);
            }
        }
    }
    Ok(lowest)
}
