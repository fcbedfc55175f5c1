//! Building an environment and publishing it.
//!
//! # Durability
//! The order that makes I1 true: build at the final path (0700), seal, `syncfs`, manifest and lock file written and
//! synced, then the row. Whatever fails before the row takes everything with it; a process that dies leaves a
//! directory without a row, which the collector removes (no manifest) or adopts (a manifest).

use std::fs::{self, DirBuilder, Permissions};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Store;
use super::report::Outcome;
use super::runtime::{Job, Runtime};
use crate::cancel::Cancel;
use crate::digest::EnvKey;
use crate::error::{Error, Result};
use crate::fs::lock::Mode;
use crate::fs::{durable, probe, remove, scan};
use crate::guard::{Guard, Holder};
use crate::index::{EnvRow, NewEnv, State, envs, sql};
use crate::interpreter::Interpreter;
use crate::layout::{EnvName, LEASE};
use crate::lease::Lease;
use crate::lock::Lock;
use crate::manifest::{self, Manifest, Tree};
use crate::process::{Limits, Log};
use crate::spec::Spec;

/// Less than this is too little to begin with.
const LEAST_BYTES: u64 = 32 << 20;
const LEAST_INODES: u64 = 500;

/// What is wanted of a build.
pub(super) struct Order<'a> {
    pub runtime: &'a dyn Runtime,
    pub spec: &'a Spec,
    pub interpreter: &'a Interpreter,
    pub limits: Limits,
    pub cancel: &'a Cancel,
    pub progress: &'a (dyn Fn(&str) + Sync),
    /// Lock again although the spec became an environment before.
    pub relock: bool,
    /// Build again although the key's environment stands.
    pub rebuild: bool,
}

/// An environment that is ready, leased.
pub(super) struct Made {
    pub env: EnvRow,
    pub lease: Lease,
    pub outcome: Outcome,
    pub log: Option<PathBuf>,
}

impl Store {
    /// The environment a spec becomes for an interpreter: the one there is, or a new one. N processes that ask at
    /// once lock and build once; the others wait and share.
    pub(super) fn make(&self, order: &Order<'_>) -> Result<Made> {
        let again = order.relock || order.rebuild;
        let (spec, interpreter) = (order.spec.digest(), order.interpreter.digest());
        let find = || -> Result<Option<EnvRow>> {
            if again {
                return Ok(None);
            }
            if order.spec.is_empty() {
                // Every empty declaration becomes the one empty environment: no alias is needed to know it.
                return self.existing(&Lock::default().env_key(&order.interpreter.identity));
            }
            self.0.index.read("look up an alias", |db| envs::by_alias(db, &spec, &interpreter))
        };
        if let Some(made) = self.shared(find()?)? {
            return Ok(made);
        }
        let layout = &self.0.layout;
        let mut guard = self.wait(vec![layout.guard_spec(&spec, &interpreter)], "the same declaration", order)?;
        if let Some(made) = self.shared(find()?)? {
            return Ok(made);
        }
        let log_path = layout.log(&guard_name(&layout.guard_spec(&spec, &interpreter)));
        let log = Log::create(&log_path)?;
        guard.sign("locking and building", Some(&log_path));
        let scratch = Scratch::new(self)?;
        let cache = layout.dir("cache");
        let tools = layout.dir("tools");
        let job = Job {
            limits: order.limits,
            settings: &self.0.settings,
            interpreter: order.interpreter,
            scratch: &scratch.dir,
            cache: &cache,
            tools: &tools,
            log: &log,
            cancel: order.cancel,
            lease: None,
            progress: order.progress,
        };
        let lock = if order.spec.is_empty() {
            Lock::default()
        } else {
            (order.progress)("locking");
            order.runtime.lock(&job, order.spec)?
        };
        let key = lock.env_key(&order.interpreter.identity);
        // What the declaration became is noted before its guard is let go: whoever waited must not lock again.
        let find = || -> Result<Option<EnvRow>> {
            let env = if order.rebuild { None } else { self.existing(&key)? };
            if let Some(env) = &env {
                self.note_alias(order, env)?;
            }
            Ok(env)
        };
        if let Some(made) = self.shared(find()?)? {
            return Ok(made);
        }
        let mut guard = self.wait(vec![layout.guard_env(&key.stem())], "the same environment", order)?;
        guard.sign("building", Some(&log_path));
        if let Some(made) = self.shared(find()?)? {
            return Ok(made);
        }
        let slots = (0..self.0.settings.install.jobs.max(1)).map(|n| layout.guard_slot(n)).collect();
        let mut slot = self.wait(slots, "a build slot", order)?;
        slot.sign("building", Some(&log_path));
        let (env, lease) = self.build(order, &job, &key, &lock)?;
        Ok(Made { env, lease, outcome: Outcome::Built, log: Some(log_path) })
    }

    fn existing(&self, key: &EnvKey) -> Result<Option<EnvRow>> {
        self.0.index.read("look up an environment", |db| envs::by_key(db, key))
    }

    fn note_alias(&self, order: &Order<'_>, env: &EnvRow) -> Result<()> {
        let op = "note what a declaration became";
        let (spec, interpreter) = (order.spec.digest(), order.interpreter.digest());
        self.0.index.write(op, |tx| envs::set_alias(tx, &spec, &interpreter, env.id).map_err(sql(op)))
    }

    /// Leases an environment that stands. A condemned one counts: binding takes it back. None: there is none, or its directory
    /// is gone.
    fn shared(&self, env: Option<EnvRow>) -> Result<Option<Made>> {
        let Some(env) = env else { return Ok(None) };
        let Some(lease) = Lease::acquire(&self.0.layout.lease(&env.name))? else {
            self.mark_gone(&env)?;
            return Ok(None);
        };
        Ok(Some(Made { env, lease, outcome: Outcome::Shared, log: None }))
    }

    /// A row whose directory is gone answers no longer; what was bound to it finds that out when it asks.
    fn mark_gone(&self, env: &EnvRow) -> Result<()> {
        if self.0.layout.env(&env.name).exists() {
            return Ok(());
        }
        let op = "mark an environment";
        self.0.index.write(op, |tx| {
            envs::set_state(tx, env.id, &[State::Ready, State::Condemned], State::Corrupt).map(drop).map_err(sql(op))
        })
    }

    fn wait(&self, guards: Vec<PathBuf>, what: &str, order: &Order<'_>) -> Result<Guard> {
        let told = |waited: Duration, holder: Option<Holder>| {
            let by = holder.map(|holder| format!(": {holder}{}", last_line(holder.log.as_deref()))).unwrap_or_default();
            (order.progress)(&format!("waiting {} s for {what}{by}", waited.as_secs()));
        };
        let deadline = order.limits.deadline;
        Guard::take_any(&guards, Mode::Exclusive, deadline, order.cancel, &told).map_err(|error| match error {
            Error::Busy { holder, .. } => Error::Busy { what: what.into(), holder },
            other => other,
        })
    }

    fn build(&self, order: &Order<'_>, job: &Job<'_>, key: &EnvKey, lock: &Lock) -> Result<(EnvRow, Lease)> {
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
            self.insert(&manifest)
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
    fn insert(&self, manifest: &Manifest) -> Result<EnvRow> {
        let op = "publish an environment";
        self.0.index.write(op, |tx| {
            envs::retire(tx, &manifest.key).map_err(sql(op))?;
            let id = insert_row(tx, manifest).map_err(sql(op))?;
            envs::take_over(tx, &manifest.key, id).map_err(sql(op))?;
            envs::set_alias(tx, &manifest.spec.digest(), &manifest.interpreter.digest(), id).map_err(sql(op))?;
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

/// The last line of the log that a holder signed with.
fn last_line(log: Option<&Path>) -> String {
    let text = log.and_then(|log| fs::read(log).ok()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(4096)..]).into_owned();
    text.lines().rfind(|line| !line.trim().is_empty()).map(|line| format!(": {}", line.trim())).unwrap_or_default()
}

fn guard_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
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

/// A private directory under `staging/`, removed when dropped. Its guard tells collectors that its owner lives.
struct Scratch {
    top: PathBuf,
    dir: PathBuf,
    _guard: Guard,
}

impl Scratch {
    fn new(store: &Store) -> Result<Self> {
        let top = store.0.layout.dir("staging").join(durable::unique("build"));
        let dir = top.join("work");
        DirBuilder::new().mode(0o700).create(&top).map_err(Error::io("create", &top))?;
        let guard = Guard::take(top.join("guard"), Mode::Exclusive, Instant::now(), &Cancel::new(), &|_, _| ())?;
        DirBuilder::new().mode(0o700).create(&dir).map_err(Error::io("create", &dir))?;
        Ok(Self { top, dir, _guard: guard })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = remove::remove_tree(&self.top);
    }
}
