//! `reindex`: brings the index and the store's files together again.
//!
//! Manifests bring environments back with their components and bytecode, binding files the packs with their whole history, pin files pins and
//! links. A sound index keeps everything else that it knows: events, failures, last uses. Its changes are one transaction, so that
//! other processes see the index as it was or as it will be. An index that cannot be used goes to `quarantine/`, and a new one, made
//! beside it, takes its place; then events and remembered failures are lost.
//!
//! Whenever something had been lost, nothing is collected for a week (I10): what is not yet back must not be taken for garbage.
//!
//! # Locking
//! `guards/index` exclusive, so that no other process writes. A directory that a builder is at work on (`guards/env-…`) is left to the builder.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Transaction;

use super::behind;
use super::bind::binding_file;
use super::lost_files::restore_lock;
use super::on_disk::{self, Files};
use super::publish::insert_row;
use super::report::{Cause, Finding, Level, Reindexed};
use super::runtime::Runtime;
use super::staging::Scratch;
use super::{Store, grace, identity, relearn};
use crate::binding::BindingFile;
use crate::cancel::Cancel;
use crate::clock::Clock;
use crate::digest::EnvKey;
use crate::epoch::Epoch;
use crate::error::{Error, Result};
use crate::fs::lock::Mode;
use crate::fs::{durable, nofollow};
use crate::guard::Guard;
use crate::index::roots::{self, LinkRoot, PinRoot};
use crate::index::{self, Access, Index, NewBinding, Opening, State, bindings, envs, events, sql};
use crate::layout::Layout;
use crate::manifest::Manifest;
use crate::pin::{self, Kept, LinkFile, PinFile};

const PATIENCE: Duration = Duration::from_secs(120);
const OP: &str = "be rebuilt";

impl Store {
    /// Brings the index and the store's files together again. Other processes that write wait; those that read see the index as it was or
    /// as it will be.
    ///
    /// # Errors
    /// Those of reading the root; a file that cannot be used is a finding, not an error.
    pub fn reindex(&self) -> Result<Reindexed> {
        self.require_owner("rebuild the index")?;
        let _guard = exclusive(&self.0.layout)?;
        let index = &self.0.index;
        let rebuild = Rebuild {
            layout: &self.0.layout,
            store_id: &self.0.id,
            epoch: index.epoch(),
            clock: self.0.clock.as_ref(),
            runtimes: &self.0.runtimes,
        };
        match index.check() {
            Ok(()) => rebuild.in_place(index),
            Err(Error::Corrupt { reason, .. }) => rebuild.beside(&reason),
            Err(error) => Err(error),
        }
    }
}

/// The guard under which nobody else writes to the index.
pub(super) fn exclusive(layout: &Layout) -> Result<Guard> {
    Guard::take(layout.guard_index(), Mode::Exclusive, Instant::now() + PATIENCE, &Cancel::new(), &|_, _| ())
}

/// What a rebuild needs.
pub(super) struct Rebuild<'a> {
    pub layout: &'a Layout,
    pub store_id: &'a str,
    pub epoch: Option<&'a Epoch>,
    pub clock: &'a dyn Clock,
    pub runtimes: &'a [Arc<dyn Runtime>],
}

impl Rebuild<'_> {
    /// Rebuilds an index that could not be opened. None: another process did meanwhile.
    pub fn unless_it_opens(&self) -> Result<Option<Reindexed>> {
        let _guard = exclusive(self.layout)?;
        index::clear_beside(self.layout, &self.aside())?;
        let opening =
            Opening { access: Access::Owner, epoch: None, store_id: Some(self.store_id), is_for_one_question: false };
        match Index::open_as(self.layout, opening) {
            Ok(_) => Ok(None),
            Err(Error::Corrupt { reason, .. }) => self.beside(&reason).map(Some),
            Err(error) => Err(error),
        }
    }

    /// Rebuilds an open index whose pages are damaged. None: another process did meanwhile.
    pub fn unless_it_is_sound(&self, index: &Index) -> Result<Option<Reindexed>> {
        let _guard = exclusive(self.layout)?;
        match index.check() {
            Ok(()) => Ok(None),
            Err(Error::Corrupt { reason, .. }) => self.beside(&reason).map(Some),
            Err(error) => Err(error),
        }
    }

    /// Adds to a sound index what it does not know. The caller holds `guards/index` exclusive.
    fn in_place(&self, index: &Index) -> Result<Reindexed> {
        let (mut report, on_disk) = self.read()?;
        index.write_alone(OP, |tx| {
            let mut merge = Merge { tx, layout: self.layout, is_live: true, came_back: false, report: &mut report };
            merge.all(on_disk, self.runtimes)?;
            merge.write_missing_files()?;
            let lost = if merge.came_back {
                Some("an older index had been put back, or a command was killed")
            } else {
                report.lost_files.then_some("files of packs, pins or environments could not be read")
            };
            self.finish(tx, lost, &mut report)
        })?;
        Ok(report)
    }

    /// Makes an index in the place of one that cannot be used. The caller holds `guards/index` exclusive.
    fn beside(&self, reason: &str) -> Result<Reindexed> {
        let (mut report, on_disk) = self.read()?;
        // Made beside and renamed, so that a process that is killed half-way leaves the old one.
        let scratch = Scratch::new(self.layout, "reindex")?;
        let beside = Layout::new(&scratch.dir);
        let result = self.fill(&beside, reason, on_disk, &mut report).and_then(|()| {
            // Processes that keep answers ask again, and ask the new index. If this fails half-way every counter stays odd.
            let every_answer = self.epoch.map(Epoch::begin_rebuild).transpose()?;
            index::replace(self.layout, &beside, &self.aside())?;
            if let Some(changed) = every_answer {
                changed.settle();
            }
            Ok(())
        });
        report.rebuilt = true;
        result.map(|()| report)
    }

    fn fill(&self, beside: &Layout, reason: &str, on_disk: OnDisk, report: &mut Reindexed) -> Result<()> {
        let guards = beside.dir("guards");
        nofollow::create_dir(&guards, 0o700).map_err(Error::io("create", &guards))?;
        Index::create(beside, 0o644)?;
        let opening =
            Opening { access: Access::Owner, epoch: None, store_id: Some(self.store_id), is_for_one_question: false };
        Index::open_as(beside, opening)?.write_alone(OP, |tx| {
            let mut merge = Merge { tx, layout: self.layout, is_live: false, came_back: false, report };
            merge.all(on_disk, self.runtimes)?;
            let incarnation = self.epoch.map_or(1, |epoch| epoch.incarnation().wrapping_add(1));
            index::set_incarnation(tx, incarnation).map_err(sql(OP))?;
            self.finish(tx, Some(&format!("the index was lost or damaged: {reason}")), report)
        })
    }

    /// A new directory's name for what cannot be used.
    fn aside(&self) -> PathBuf {
        self.layout.dir("quarantine").join(durable::unique("index"))
    }

    fn read(&self) -> Result<(Reindexed, OnDisk)> {
        let mut report = Reindexed::default();
        let on_disk = OnDisk {
            manifests: take(on_disk::manifests(self.layout)?, &mut report),
            files: take(on_disk::bindings(self.layout)?, &mut report),
            pins: take(on_disk::pins(self.layout)?, &mut report),
        };
        Ok((report, on_disk))
    }

    /// Notes what was lost, and that it was rebuilt.
    fn finish(&self, tx: &Transaction<'_>, lost: Option<&str>, report: &mut Reindexed) -> Result<()> {
        let now = self.clock.now();
        if let Some(lost) = lost {
            report.collect_after = grace::begin(tx, now, lost)?;
            report.lost = Some(lost.to_owned());
        }
        events::event(tx, now, "reindexed", None, None, (None, None)).map_err(sql(OP))
    }
}

/// What was read.
struct OnDisk {
    manifests: Vec<Manifest>,
    files: Vec<BindingFile>,
    pins: Vec<Kept>,
}

fn take<T>(files: Files<T>, report: &mut Reindexed) -> Vec<T> {
    report.lost_files |= !files.unreadable.is_empty();
    report.findings.extend(files.unreadable.into_iter().chain(files.strays));
    files.found
}

/// Adds to an index what files know.
struct Merge<'a> {
    tx: &'a Transaction<'a>,
    layout: &'a Layout,
    /// Whether other processes know the index: then what it says stands, and builders may be at work.
    is_live: bool,
    /// Whether something came back that the index should have known.
    came_back: bool,
    report: &'a mut Reindexed,
}

impl Merge<'_> {
    fn all(&mut self, on_disk: OnDisk, runtimes: &[Arc<dyn Runtime>]) -> Result<()> {
        // What names another path comes back only where `relocate` may still make it again.
        let is_home = identity::is_home(self.layout)?;
        for manifest in &on_disk.manifests {
            relearn::derived(self.tx, manifest, runtimes).map_err(sql(OP))?;
            if let Err(error) = restore_lock(self.layout, runtimes, manifest) {
                self.report.findings.push(Finding::new("lock_missing", Level::Damage, error.explained()));
            }
            if is_home && identity::names_elsewhere(self.layout, &manifest.name) {
                relearn::components(self.tx, manifest).map_err(sql(OP))?;
                self.missing(format!("`{}` was made for another path and is not used", manifest.name));
            } else if self.layout.lease(&manifest.name).exists() {
                self.environment(manifest)?;
                self.report.environments += 1;
            } else {
                relearn::components(self.tx, manifest).map_err(sql(OP))?;
                self.missing(format!("`{}` has a manifest but no directory", manifest.name));
            }
        }
        for file in &on_disk.files {
            self.pack(file).map_err(sql(OP))?;
            self.report.generations += file.generations.len() as u64;
            self.report.packs += 1;
        }
        let pins = roots::pins(self.tx).map_err(sql(OP))?;
        let links: HashSet<PathBuf> =
            roots::links(self.tx, None).map_err(sql(OP))?.into_iter().map(|link| link.path).collect();
        for kept in on_disk.pins {
            match kept {
                Kept::Pin(pin) => self.pin(pin, &pins).map_err(sql(OP))?,
                Kept::Link(link) => self.link(link, &links).map_err(sql(OP))?,
            }
        }
        Ok(())
    }

    fn environment(&mut self, manifest: &Manifest) -> Result<()> {
        if self.is_live {
            if envs::by_name(self.tx, &manifest.name).map_err(sql(OP))?.is_some() {
                return Ok(());
            }
            // Another directory of its key answers: what packs are bound to must not move by itself (P14).
            let other = envs::by_key(self.tx, &manifest.key).map_err(sql(OP))?;
            if other.is_some_and(|other| self.layout.lease(&other.name).exists()) {
                return Ok(());
            }
            // Its builder is about to write the row itself.
            if Guard::try_take(&self.layout.guard_env(manifest.name.stem()), Mode::Exclusive)?.is_none() {
                return Ok(());
            }
            self.came_back = true;
        }
        bring_back_env(self.tx, manifest).map_err(sql(OP))
    }

    fn pack(&mut self, file: &BindingFile) -> rusqlite::Result<()> {
        if let Some(row) = bindings::find_pack(self.tx, &file.pack)? {
            // Where both have the same generations, the index is right: the file is written first. An older file may have been put back.
            if behind::knows(self.tx, file)? || behind::is_later(self.tx, file)? {
                return bindings::reattach(self.tx, row.id);
            }
            bindings::unbind(self.tx, row.id, false)?;
        }
        self.came_back |= self.is_live;
        self.bring_back_pack(file)
    }

    fn bring_back_pack(&mut self, file: &BindingFile) -> rusqlite::Result<()> {
        let pack = bindings::declare(self.tx, &file.pack, &file.spec, file.origin.as_deref())?;
        for spec in &file.earlier {
            bindings::keep_spec(self.tx, spec)?;
        }
        for past in &file.generations {
            let env = envs::by_key(self.tx, &past.key)?;
            bindings::add(self.tx, pack, past.generation, &NewBinding::of(past, env.as_ref().map(|env| env.id)))?;
            if let Some(env) = env {
                envs::set_state(self.tx, env.id, &[State::Condemned], State::Ready)?;
                // What a pack was rolled back to is not what its declaration becomes for others.
                if past.cause != Cause::Rollback {
                    envs::set_alias(self.tx, &past.answers, &past.interpreter, env.id)?;
                }
            } else if file.current == Some(past.generation) {
                self.missing(format!("the environment of pack `{}` is gone; `ensure` makes it again", file.pack));
            }
        }
        bindings::set_current(self.tx, pack, file.current)
    }

    fn pin(&mut self, pin: PinFile, known: &[(PinRoot, EnvKey)]) -> rusqlite::Result<()> {
        self.report.pins += 1;
        let known = known.iter().find(|(known, _)| known.name == pin.name);
        // The later one of two that differ: a file is written before its row.
        if known.is_some_and(|(known, key)| *key == pin.key || known.at > pin.at) {
            return Ok(());
        }
        let Some(env) = self.kept_env(&pin.key, || format!("pin `{}`", pin.name))? else {
            self.report.pins -= 1;
            return Ok(());
        };
        roots::set_pin(self.tx, env, &PinRoot { name: pin.name, at: pin.at, until: pin.until })
    }

    fn link(&mut self, link: LinkFile, known: &HashSet<PathBuf>) -> rusqlite::Result<()> {
        self.report.links += 1;
        if known.contains(&link.link) {
            return Ok(());
        }
        let Some(env) = self.kept_env(&link.key, || format!("link `{}`", link.link.display()))? else {
            self.report.links -= 1;
            return Ok(());
        };
        roots::set_link(self.tx, &LinkRoot { path: link.link, pack: link.pack, env, at: link.at })
    }

    /// The environment that a pin or link that comes back keeps.
    fn kept_env(&mut self, key: &EnvKey, what: impl Fn() -> String) -> rusqlite::Result<Option<i64>> {
        let Some(env) = envs::by_key(self.tx, key)? else {
            self.missing(format!("the environment that {} keeps is gone", what()));
            return Ok(None);
        };
        self.came_back |= self.is_live;
        envs::set_state(self.tx, env.id, &[State::Condemned], State::Ready)?;
        Ok(Some(env.id))
    }

    /// Writes the files of packs, pins and links that only the index knows.
    fn write_missing_files(&mut self) -> Result<()> {
        for row in bindings::packs(self.tx).map_err(sql(OP))? {
            let file = binding_file(self.tx, &row)?;
            let path = self.layout.binding(&row.pack);
            let has_all = |known: BindingFile| file.generations.iter().all(|past| known.generations.contains(past));
            if !BindingFile::read(&path).is_ok_and(has_all) {
                self.written(format!("the file of pack `{}`", row.pack));
                file.write(self.layout)?;
            }
        }
        for (pin, key) in roots::pins(self.tx).map_err(sql(OP))? {
            if !self.layout.pin(&pin.name).exists() {
                self.written(format!("the file of pin `{}`", pin.name));
                let file = PinFile { version: pin::VERSION, name: pin.name, key, at: pin.at, until: pin.until };
                file.write(self.layout)?;
            }
        }
        for link in roots::links(self.tx, None).map_err(sql(OP))? {
            if !self.layout.link(&link.path).exists()
                && let Some(env) = envs::by_id(self.tx, link.env).map_err(sql(OP))?
            {
                self.written(format!("the file of link `{}`", link.path.display()));
                let LinkRoot { path, pack, at, .. } = link;
                LinkFile { version: pin::VERSION, link: path, pack, key: env.key, at }.write(self.layout)?;
            }
        }
        Ok(())
    }

    fn written(&mut self, what: String) {
        let message = format!("{what} was lost or older than the index, and is written again");
        self.report.findings.push(Finding::new("file_written", Level::Note, message));
    }

    fn missing(&mut self, message: String) {
        self.report.findings.push(Finding::new("environment_missing", Level::Warning, message));
    }
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
