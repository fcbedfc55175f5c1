//! Building an environment of a lock: what is known is linked, the rest installed, everything learnt, then published.
//!
//! # Durability
//! The filesystem is synced once before anything becomes an object, and once more when that changed the environment; an
//! assembly makes no object and needs one sync.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use tracing::debug_span;

use super::Store;
use super::assemble::{self, Placed, Plan, Unplaced};
use super::learn;
use super::publish::Unpublished;
use super::report::Outcome;
use super::runtime::{DerivedFile, DerivedFiles, Installed, Job, Runtime, Skeleton};
use super::staging::Scratch;
use super::workshop::Workshop;
use crate::cancel::Cancel;
use crate::digest::{DerivedKey, EnvKey};
use crate::error::{Error, Result};
use crate::fs::link::{self, LinkMode};
use crate::fs::lock::Mode;
use crate::fs::read::Content;
use crate::fs::{durable, scan};
use crate::guard::Guard;
use crate::index::{EnvRow, components, sql};
use crate::interpreter::Interpreter;
use crate::layout::LEASE;
use crate::lease::Lease;
use crate::lock::Lock;
use crate::manifest::{self, Manifest, Tree};
use crate::objects::{Object, Objects, Staged};
use crate::process::Limits;
use crate::spec::Spec;

/// What is wanted of a build.
pub(super) struct Order<'a> {
    pub runtime: &'a dyn Runtime,
    pub spec: &'a Spec,
    pub interpreter: &'a Interpreter,
    pub limits: Limits,
    pub cancel: &'a Cancel,
    pub progress: &'a (dyn Fn(&str) + Sync),
    /// Make this lock's environment instead of locking the declaration. What the declaration became is not noted.
    pub given: Option<&'a Lock>,
    /// Versions to prefer, `name==version`, instead of the settings'. What the declaration became is neither asked nor noted.
    pub like: Option<&'a [String]>,
    /// `name==version` that locking leaves where they are, where that is possible.
    pub stay: &'a [String],
    /// Lock again although the spec became an environment before.
    pub relock: bool,
    /// Make it again although the key's environment stands; none: what stands will do.
    pub anew: Option<Anew>,
}

/// How an environment is made again that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anew {
    /// Of what is known, the rest installed.
    Assembled,
    /// All of it installed.
    Installed,
}

impl Order<'_> {
    /// Whether what is made answers for the declaration, for every pack.
    pub(super) fn is_alias(&self) -> bool {
        self.given.is_none() && self.like.is_none()
    }
}

/// A published environment.
pub(super) struct Built {
    pub env: EnvRow,
    pub lease: Lease,
    pub outcome: Outcome,
}

impl Store {
    /// Builds the environment of a lock. The caller holds its key's guard and a build slot.
    pub(super) fn build(&self, order: &Order<'_>, workshop: &Workshop<'_>, key: &EnvKey, lock: &Lock) -> Result<Built> {
        self.require_room()?;
        let mut plan = match order.anew {
            Some(Anew::Installed) => Plan::install_all(lock),
            _ => self.plan(lock, order.interpreter)?,
        };
        loop {
            let unpublished = Unpublished::begin(self, key)?;
            match self.attempt(order, workshop, lock, key, &plan, &unpublished) {
                Ok(Ok((manifest, derived))) => {
                    let outcome = if plan.is_assembly() { Outcome::Assembled } else { Outcome::Built };
                    // It is whole and written down. Should the index not say whether it took the row, it stays: the collector adopts it (I1, I8).
                    let env = debug_span!("index").in_scope(|| self.insert(&manifest, &derived))?;
                    return Ok(Built { env, lease: unpublished.publish(), outcome });
                }
                Ok(Err(unplaced)) => {
                    unpublished.discard();
                    plan = self.without(unplaced, lock, order)?;
                }
                Err(error) => {
                    unpublished.discard();
                    return Err(error);
                }
            }
        }
    }

    /// The plan after one that could not be carried out.
    fn without(&self, unplaced: Unplaced, lock: &Lock, order: &Order<'_>) -> Result<Plan> {
        match unplaced {
            Unplaced::Clash(path) => {
                tracing::debug!(path, "two artifacts claim a path: the installer decides");
                Ok(Plan::install_all(lock))
            }
            Unplaced::Lost(identity) => {
                tracing::warn!(component = %identity, "an object is missing or damaged: its artifact is installed again");
                let op = "forget a component";
                self.0.index.write(op, |tx| components::forget(tx, &identity).map_err(sql(op)))?;
                self.plan(lock, order.interpreter)
            }
        }
    }

    /// Makes it whole, and writes it down.
    fn attempt(
        &self,
        order: &Order<'_>,
        workshop: &Workshop<'_>,
        lock: &Lock,
        key: &EnvKey,
        plan: &Plan,
        unpublished: &Unpublished<'_>,
    ) -> Result<Result<(Manifest, Vec<DerivedFile>), Unplaced>> {
        let layout = &self.0.layout;
        let job = workshop.job(order);
        let env_dir = layout.env(&unpublished.name);
        let objects = self.objects()?;
        let skeleton = order.runtime.skeleton(order.interpreter, &env_dir)?;
        let installed = if plan.is_assembly() {
            (order.progress)("assembling");
            Installed::default()
        } else {
            (order.progress)("building");
            let derived = KnownDerived { store: self, objects };
            workshop.use_cache()?;
            let job = Job { lease: Some(unpublished.lease.as_fd()), derived: &derived, ..job };
            order.runtime.install(&job, &plan.missing, &env_dir)?
        };
        order.cancel.check("publishing an environment")?;
        (order.progress)("publishing");
        let walked = debug_span!("hash")
            .in_scope(|| scan::seal_files(&env_dir, &[LEASE], &env_dir.to_string_lossy(), &installed.known))?;
        let derived: Vec<&str> = installed.derived.iter().map(|made| made.path.as_str()).collect();
        let mut tree = Tree::new(&env_dir, walked.nodes, &skeleton, &derived)?;

        // From here on objects may be linked that no row names yet.
        let _objects = self.hold_objects(order.limits.deadline, order.cancel)?;
        let staged = debug_span!("objects").in_scope(|| stage(objects, &env_dir, &skeleton, &tree, job.scratch))?;
        let placed = debug_span!("link")
            .in_scope(|| assemble::place(objects, &env_dir, &skeleton, &plan.known, &tree.entries, walked.dirs))?;
        let Placed { entries: placed, dirs } = match placed {
            Ok(placed) => placed,
            Err(unplaced) => return Ok(Err(unplaced)),
        };
        tree.extend(placed);
        let parts = learn::parts(&installed, plan, order.interpreter, &skeleton, &tree);

        let sync = || debug_span!("sync").in_scope(|| durable::sync_filesystem(layout.root()));
        if !staged.is_empty() {
            sync()?;
            debug_span!("objects").in_scope(|| staged.iter().try_for_each(|staged| objects.adopt(staged)))?;
        }
        debug_span!("link").in_scope(|| scan::seal_dirs(&dirs))?;
        unpublished.open_up()?;
        sync()?;

        let lock_text = order.runtime.write_lock(lock, order.interpreter);
        let manifest = Manifest {
            version: manifest::VERSION,
            key: *key,
            name: unpublished.name.clone(),
            created_at: self.0.clock.now(),
            spec: order.spec.clone(),
            given: !order.is_alias(),
            interpreter: order.interpreter.clone(),
            lock_digest: blake3::hash(lock_text.as_bytes()).into(),
            lock: lock.clone(),
            installer: if installed.installer.is_empty() { "none".into() } else { installed.installer },
            notes: installed.notes,
            link_mode: objects.mode(),
            parts,
            host_bound: tree.is_host_bound(),
            tree_digest: tree.digest(),
            bytes: tree.bytes(),
            entries: tree.entries,
        };
        debug_span!("manifest").in_scope(|| self.write_down(&manifest, Some(&lock_text)))?;
        Ok(Ok((manifest, installed.derived)))
    }

    /// The store's objects, in the mode of the settings or the best the filesystem has.
    pub(super) fn objects(&self) -> Result<Objects<'_>> {
        Ok(Objects::new(&self.0.layout, self.link_mode()?))
    }

    /// How objects are put into environments. Tried once, in `staging/`.
    pub(super) fn link_mode(&self) -> Result<LinkMode> {
        let wanted = self.0.settings.install.link_mode;
        if let Some(mode) = self.0.link_mode.get() {
            return Ok(*mode);
        }
        let best = link::best(&Scratch::new(&self.0.layout, "probe")?.dir)?;
        let mode = match wanted {
            None => best,
            Some(LinkMode::Reflink) if best != LinkMode::Reflink => {
                let reason = "its filesystem has no reflinks; set `install.link_mode` to `auto`".into();
                return Err(Error::UnsupportedFilesystem { path: self.root().to_owned(), reason });
            }
            Some(mode) => mode,
        };
        Ok(*self.0.link_mode.get_or_init(|| mode))
    }

    pub(super) fn hold_objects(&self, deadline: Instant, cancel: &Cancel) -> Result<Guard> {
        Guard::take(self.0.layout.guard_objects(), Mode::Shared, deadline, cancel, &|_, _| ())
    }
}

/// Makes every installed file that is to be shared ready to become an object: the skeleton is the environment's own, empty files
/// are never shared, and what names the environment is kept in placeholder form.
fn stage(
    objects: Objects<'_>,
    env_dir: &Path,
    skeleton: &Skeleton,
    tree: &Tree,
    scratch: &Path,
) -> Result<Vec<Staged>> {
    let mut all = Vec::new();
    for entry in tree.entries.iter().filter(|entry| !skeleton.names.contains(&entry.path)) {
        let manifest::Content::File { digest, size, exec, .. } = entry.content else { continue };
        if let Some(neutral) = tree.neutral.get(&entry.path) {
            all.push(objects.stage_bytes(neutral, exec, scratch)?);
        } else if size > 0 {
            all.push(objects.stage(&env_dir.join(&entry.path), Object { digest, exec, size }, scratch)?);
        }
    }
    Ok(all)
}

/// Derived files that the index knows, put there as objects.
struct KnownDerived<'a> {
    store: &'a Store,
    objects: Objects<'a>,
}

impl DerivedFiles for KnownDerived<'_> {
    fn place(&self, key: &DerivedKey, target: &Path) -> Option<Content> {
        let known = self.store.0.index.read("look up a derived file", |db| components::derived(db, key)).ok()??;
        let (digest, size) = known;
        std::fs::create_dir_all(target.parent()?).ok()?;
        let placed = self.objects.place(&Object { digest, exec: false, size }, target).ok()?;
        placed.then(|| Content { digest: blake3::Hash::from_bytes(*digest.as_bytes()), size, found: false })
    }
}
