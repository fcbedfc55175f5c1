//! `reindex`: the index again, from what stands on disk.
//!
//! Manifests bring the environments back with their components and bytecode, binding files the packs with their whole history. Nothing is collected for a week
//! afterwards (I10): what is not yet back must not be taken for garbage. Events and remembered failures are lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use rusqlite::Transaction;
use walkdir::WalkDir;

use super::gc::GRACE;
use super::lost_files::restore_lock;
use super::publish::insert_row;
use super::report::{Cause, Finding, Level, Reindexed};
use super::runtime::Runtime;
use super::skipped::explained;
use super::staging::Scratch;
use super::{Store, relearn};
use crate::binding::BindingFile;
use crate::cancel::Cancel;
use crate::clock::Clock;
use crate::epoch::Epoch;
use crate::error::{Error, Result};
use crate::fs::durable;
use crate::fs::lock::Mode;
use crate::guard::Guard;
use crate::index::roots::{self, LinkRoot, PinRoot};
use crate::index::{self, Access, Index, NewBinding, bindings, collection, envs, events, sql};
use crate::layout::Layout;
use crate::manifest::Manifest;
use crate::pin::Kept;

const GRACE_PERIOD: SignedDuration = SignedDuration::from_hours(7 * 24);
const PATIENCE: Duration = Duration::from_secs(120);

impl Store {
    /// Rebuilds the index. Other processes wait, then go on with the new one.
    ///
    /// # Errors
    /// Those of reading the root; a file that cannot be used is a finding, not an error.
    pub fn reindex(&self) -> Result<Reindexed> {
        self.require_owner("rebuild the index")?;
        let _guard = exclusive(&self.0.layout)?;
        rebuild(&self.0.layout, self.0.index.epoch(), self.0.clock.as_ref(), &self.0.runtimes)
    }
}

/// The guard under which nobody else writes to the index.
pub(super) fn exclusive(layout: &Layout) -> Result<Guard> {
    Guard::take(layout.guard_index(), Mode::Exclusive, Instant::now() + PATIENCE, &Cancel::new(), &|_, _| ())
}

/// Rebuilds an index that could not be opened, unless another process did meanwhile.
pub(super) fn rebuild_if_needed(
    layout: &Layout,
    epoch: Option<&Epoch>,
    clock: &dyn Clock,
    runtimes: &[Arc<dyn Runtime>],
) -> Result<Reindexed> {
    let _guard = exclusive(layout)?;
    match Index::open(layout, Access::Owner, None) {
        Ok(_) => Ok(Reindexed::default()),
        Err(Error::Corrupt { .. }) => rebuild(layout, epoch, clock, runtimes),
        Err(error) => Err(error),
    }
}

/// Rebuilds an open index whose pages are damaged, unless another process did meanwhile.
pub(super) fn rebuild_if_damaged(
    layout: &Layout,
    index: &Index,
    clock: &dyn Clock,
    runtimes: &[Arc<dyn Runtime>],
) -> Result<Option<Reindexed>> {
    let _guard = exclusive(layout)?;
    match index.check() {
        Ok(()) => Ok(None),
        Err(Error::Corrupt { .. }) => rebuild(layout, index.epoch(), clock, runtimes).map(Some),
        Err(error) => Err(error),
    }
}

/// The caller holds `guards/index` exclusive.
fn rebuild(
    layout: &Layout,
    epoch: Option<&Epoch>,
    clock: &dyn Clock,
    runtimes: &[Arc<dyn Runtime>],
) -> Result<Reindexed> {
    let mut found = Reindexed::default();
    let on_disk = OnDisk {
        manifests: read_all(&layout.dir("manifests"), Manifest::read, &mut found.findings)?,
        files: read_all(&layout.dir("bindings"), BindingFile::read, &mut found.findings)?,
        pins: read_all(&layout.dir("pins"), Kept::read, &mut found.findings)?,
    };
    // Built beside and renamed, so that a process killed half-way leaves the old one.
    let scratch = Scratch::new(layout, "reindex")?;
    let beside = Layout::new(&scratch.dir);
    let result = fill(&beside, layout, clock, runtimes, on_disk, &mut found);
    let result = result.and_then(|()| {
        // Whoever keeps an answer asks again, and asks the new index. If this fails half-way every counter stays odd.
        let every_answer = epoch.map(Epoch::begin_rebuild);
        index::set_aside(layout, &layout.dir("quarantine").join(durable::unique("index")))?;
        for (from, to) in beside.index_files().iter().zip(layout.index_files()) {
            if from.exists() {
                fs::rename(from, &to).map_err(Error::io("rename to", &to))?;
            }
        }
        durable::sync_dir(layout.root())?;
        if let Some(changed) = every_answer {
            changed.settle();
        }
        Ok(())
    });
    result.map(|()| found)
}

/// What was read.
struct OnDisk {
    manifests: Vec<Manifest>,
    files: Vec<BindingFile>,
    pins: Vec<Kept>,
}

fn fill(
    beside: &Layout,
    layout: &Layout,
    clock: &dyn Clock,
    runtimes: &[Arc<dyn Runtime>],
    OnDisk { manifests, files, pins }: OnDisk,
    found: &mut Reindexed,
) -> Result<()> {
    Index::create(beside, 0o644)?;
    let guards = beside.dir("guards");
    fs::create_dir(&guards).map_err(Error::io("create", &guards))?;
    let index = Index::open(beside, Access::Owner, None)?;
    let op = "be rebuilt";
    index.write(op, |tx| {
        for manifest in manifests {
            relearn::derived(tx, &manifest, runtimes).map_err(sql(op))?;
            if let Err(error) = restore_lock(layout, runtimes, &manifest) {
                found.findings.push(finding("lock_missing", explained(&error)));
            }
            if layout.lease(&manifest.name).exists() {
                bring_back_env(tx, &manifest).map_err(sql(op))?;
                found.environments += 1;
            } else {
                relearn::components(tx, &manifest).map_err(sql(op))?;
                found.findings.push(finding(
                    "environment_missing",
                    format!("`{}` has a manifest but no directory", manifest.name),
                ));
            }
        }
        for file in files {
            found.generations += file.generations.len() as u64;
            bring_back_pack(tx, &file, found).map_err(sql(op))?;
            found.packs += 1;
        }
        for kept in pins {
            let (name, key) = match &kept {
                Kept::Pin(pin) => (format!("pin `{}`", pin.name), pin.key),
                Kept::Link(link) => (format!("link `{}`", link.link.display()), link.key),
            };
            let Some(env) = envs::by_key(tx, &key).map_err(sql(op))? else {
                let message = format!("the environment that {name} keeps is gone");
                found.findings.push(finding("environment_missing", message));
                continue;
            };
            match kept {
                Kept::Pin(pin) => {
                    let root = PinRoot { name: pin.name, at: pin.at, until: pin.until };
                    roots::set_pin(tx, env.id, &root).map_err(sql(op))?;
                    found.pins += 1;
                }
                Kept::Link(link) => {
                    let root = LinkRoot { path: link.link, pack: link.pack, env: env.id, at: link.at };
                    roots::set_link(tx, &root).map_err(sql(op))?;
                    found.links += 1;
                }
            }
        }
        if let Ok(until) = clock.now().checked_add(GRACE_PERIOD) {
            collection::set_meta(tx, GRACE, &until.to_string()).map_err(sql(op))?;
        }
        events::event(tx, clock.now(), "reindexed", None, None, (None, None)).map_err(sql(op))
    })
}

/// Of several directories of one key the highest number is the ready one.
fn bring_back_env(tx: &Transaction<'_>, manifest: &Manifest) -> rusqlite::Result<()> {
    let number = manifest.name.number();
    if envs::by_key(tx, &manifest.key)?.is_some_and(|other| other.name.number() > number) {
        return Ok(());
    }
    envs::retire(tx, &manifest.key)?;
    let id = insert_row(tx, manifest)?;
    envs::take_over(tx, &manifest.key, id)?;
    if manifest.given {
        return Ok(());
    }
    envs::set_alias(tx, &manifest.spec.digest(), &manifest.interpreter.digest(), id)
}

fn bring_back_pack(tx: &Transaction<'_>, file: &BindingFile, found: &mut Reindexed) -> rusqlite::Result<()> {
    let pack = bindings::declare(tx, &file.pack, &file.spec, file.origin.as_deref())?;
    for spec in &file.earlier {
        bindings::keep_spec(tx, spec)?;
    }
    for past in &file.generations {
        let env = envs::by_key(tx, &past.key)?;
        let new = NewBinding {
            env: env.as_ref().map(|env| env.id),
            key: &past.key,
            interpreter: past.interpreter,
            lock: &past.lock,
            answers: &past.answers,
            at: past.at,
            cause: past.cause,
            uid: past.uid,
        };
        bindings::bind(tx, pack, past.generation, &new)?;
        if let Some(env) = env {
            // What a pack was rolled back to is not what its declaration becomes for others.
            if past.cause == Cause::Rollback {
                continue;
            }
            envs::set_alias(tx, &past.answers, &past.interpreter, env.id)?;
        } else if file.current == Some(past.generation) {
            let message = format!("the environment of pack `{}` is gone; `ensure` makes it again", file.pack);
            found.findings.push(finding("environment_missing", message));
        }
    }
    bindings::set_current(tx, pack, file.current)
}

fn finding(kind: &str, message: String) -> Finding {
    Finding::new(kind, Level::Warning, message)
}

/// Reads every file below a directory; what cannot be read is a finding.
fn read_all<T>(dir: &Path, read: fn(&Path) -> Result<T>, findings: &mut Vec<Finding>) -> Result<Vec<T>> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in WalkDir::new(dir).sort_by_file_name() {
        let entry = entry.map_err(|error| Error::Io { op: "list", path: dir.to_owned(), source: error.into() })?;
        if entry.file_type().is_file() {
            paths.push(entry.into_path());
        }
    }
    let mut all = Vec::with_capacity(paths.len());
    for path in paths {
        match read(&path) {
            Ok(value) => all.push(value),
            Err(error @ Error::UnsupportedFormat { .. }) => return Err(error),
            Err(error) => findings.push(finding("unreadable", error.to_string())),
        }
    }
    Ok(all)
}
