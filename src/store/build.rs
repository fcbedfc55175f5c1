//! Building an environment and publishing it.
//!
//! # Durability
//! The order that makes I1 true: build at the final path (0700), seal, `syncfs`, manifest and lock file written and
//! synced, then the row. Whatever fails before the row takes everything with it; a process that dies leaves a
//! directory without a row, which the collector removes (no manifest) or adopts (a manifest).

use std::fs::{self, DirBuilder, Permissions};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use super::Store;
use super::make::Order;
use super::runtime::Job;
use crate::digest::EnvKey;
use crate::error::{Error, Result};
use crate::fs::{durable, probe, remove, scan};
use crate::index::{EnvRow, NewEnv, envs, sql};
use crate::layout::{EnvName, LEASE};
use crate::lease::Lease;
use crate::lock::Lock;
use crate::manifest::{self, Manifest, Tree};

/// Less than this is too little to begin with.
const LEAST_BYTES: u64 = 32 << 20;
const LEAST_INODES: u64 = 500;

impl Store {
    /// Builds the environment of a lock. The caller holds its key's guard and a build slot.
    pub(super) fn build(&self, order: &Order<'_>, job: &Job<'_>, key: &EnvKey, lock: &Lock) -> Result<(EnvRow, Lease)> {
        self.require_room()?;
        let unpublished = Unpublished::begin(self, key)?;
        let env_dir = self.0.layout.env(&unpublished.name);
        let result = (|| {
            let job = Job { lease: Some(unpublished.lease.as_fd()), ..*job };
            (order.progress)("building");
            let installed = order.runtime.install(&job, lock, &env_dir)?;
            order.cancel.check("publishing an environment")?;
            (order.progress)("publishing");
            let own = env_dir.to_string_lossy();
            let nodes = scan::seal(&env_dir, &[LEASE], &own)?;
            let tree = Tree::new(&env_dir, nodes, &installed)?;
            let lock_text = order.runtime.write_lock(lock, order.interpreter);
            let manifest = Manifest {
                version: manifest::VERSION,
                key: *key,
                name: unpublished.name.clone(),
                created_at: self.0.clock.now(),
                spec: order.spec.clone(),
                interpreter: order.interpreter.clone(),
                lock_digest: blake3::hash(lock_text.as_bytes()).into(),
                lock: lock.clone(),
                installed,
                host_bound: tree.host_bound,
                tree_digest: tree.digest(),
                bytes: tree.bytes,
                entries: tree.entries,
            };
            self.write_down(&env_dir, &manifest, &lock_text)?;
            self.insert(&manifest, order.given.is_none())
        })();
        match result {
            Ok(env) => Ok((env, unpublished.publish())),
            Err(error) => {
                unpublished.discard();
                Err(error)
            }
        }
    }

    /// Makes the tree durable and readable, then its manifest and lock. After a sync error nothing is tried again.
    fn write_down(&self, env_dir: &Path, manifest: &Manifest, lock_text: &str) -> Result<()> {
        let layout = &self.0.layout;
        // 0755 and not 0555: its owner must be able to rename it to trash.
        fs::set_permissions(env_dir, Permissions::from_mode(0o755)).map_err(Error::io("set the mode of", env_dir))?;
        durable::sync_filesystem(layout.root())?;
        let staging = layout.dir("staging");
        let lock_path = layout.lock(&manifest.lock_digest);
        if !lock_path.exists() {
            durable::write(&staging, &lock_path, lock_text.as_bytes(), 0o444)?;
        }
        let path = layout.manifest(&manifest.name);
        let text = serde_json::to_vec(manifest)
            .map_err(|error| Error::Corrupt { path: path.clone(), reason: error.to_string() })?;
        durable::write(&staging, &path, &text, 0o444)
    }

    /// The row that makes it visible. It takes over whatever is bound to the environment it replaces, if there is one.
    fn insert(&self, manifest: &Manifest, is_alias: bool) -> Result<EnvRow> {
        let op = "publish an environment";
        self.0.index.write(op, |tx| {
            envs::retire(tx, &manifest.key).map_err(sql(op))?;
            let id = insert_row(tx, manifest).map_err(sql(op))?;
            envs::take_over(tx, &manifest.key, id).map_err(sql(op))?;
            if is_alias {
                envs::set_alias(tx, &manifest.spec.digest(), &manifest.interpreter.digest(), id).map_err(sql(op))?;
            }
            envs::by_name(tx, &manifest.name)
                .and_then(|row| row.ok_or(rusqlite::Error::QueryReturnedNoRows))
                .map_err(sql(op))
        })
    }

    fn require_room(&self) -> Result<()> {
        let path = self.0.layout.root();
        let space = probe::space(path)?;
        let reason = if space.free_bytes < LEAST_BYTES {
            format!("{} bytes are free, a build begins with at least {LEAST_BYTES}", space.free_bytes)
        } else if space.free_inodes.is_some_and(|n| n < LEAST_INODES) {
            format!("{} inodes are free, a build begins with at least {LEAST_INODES}", space.free_inodes.unwrap_or(0))
        } else {
            return Ok(());
        };
        Err(Error::NoSpace { path: path.to_owned(), reason })
    }
}

/// A manifest's row.
pub(super) fn insert_row(tx: &rusqlite::Transaction<'_>, manifest: &Manifest) -> rusqlite::Result<i64> {
    envs::insert(
        tx,
        &NewEnv {
            key: manifest.key,
            name: &manifest.name,
            interpreter: &manifest.interpreter,
            lock: manifest.lock_digest,
            tree_digest: manifest.tree_digest,
            bytes: manifest.bytes,
            files: manifest.files(),
            installer: &manifest.installed.installer,
            notes: &manifest.installed.notes,
            distributions: &manifest.installed.distributions,
            created_at: manifest.created_at,
        },
    )
}

/// An environment's directory while nobody can see it.
struct Unpublished<'a> {
    store: &'a Store,
    name: EnvName,
    lease: Lease,
}

impl<'a> Unpublished<'a> {
    /// Takes a name never used before and creates the directory, leased from its first moment. The caller holds the key's guard, which
    /// keeps collectors away until then.
    fn begin(store: &'a Store, key: &EnvKey) -> Result<Self> {
        let layout = &store.0.layout;
        let lowest = lowest_free(store, key)?;
        let op = "name an environment";
        let name = store.0.index.write(op, |tx| envs::take_name(tx, key, lowest).map_err(sql(op)))?;
        let dir = layout.env(&name);
        DirBuilder::new().mode(0o700).create(&dir).map_err(Error::io("create", &dir))?;
        match Lease::create(&layout.lease(&name)) {
            Ok(lease) => Ok(Self { store, name, lease }),
            Err(error) => {
                let _ = remove::remove_tree(&dir);
                Err(error)
            }
        }
    }

    fn publish(self) -> Lease {
        self.lease
    }

    /// Takes everything away again, manifest first: without one the rest counts for nothing.
    fn discard(self) {
        let layout = &self.store.0.layout;
        let _ = fs::remove_file(layout.manifest(&self.name));
        let trash = layout.dir("trash").join(durable::unique(self.name.as_str()));
        if fs::rename(layout.env(&self.name), &trash).is_ok()
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
            let name = entry.file_name().to_string_lossy().into_owned();
            let name = name.strip_suffix(".json").unwrap_or(&name);
            if name.starts_with(&stem)
                && let Ok(name) = name.parse::<EnvName>()
            {
                lowest = lowest.max(name.number() + 1);
            }
        }
    }
    Ok(lowest)
}
