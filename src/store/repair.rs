//! `verify --repair`: what is damaged is made anew beside, never mended in place.
//!
//! A damaged environment gets a new directory: assembled of objects where all of them are sound, else with what is missing installed,
//! of the lock that it was made of. Bindings, pins and links go over to it in the transaction that makes it ready. The damaged
//! directory goes to `quarantine/` with its manifest; one that a process uses is `corrupt` until a collector finds it free. A damaged
//! object goes to `quarantine/` before anything is assembled and comes back from the new environments, or from a sound file of
//! another; one that nothing has any more is forgotten with the components it was part of, whose artifacts are installed again when they are asked for.
//!
//! # Locking
//! As a build does for what it makes; `guards/gc` and the exclusive lease for what goes to quarantine; `guards/objects`
//! exclusive for objects that do.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::build::{Anew, Order};
use super::report::{Outcome, Repaired, Source, Unrepaired, Verified};
use super::staging::Scratch;
use super::survey::Survey;
use super::verify::{DamagedObject, Looked, Verify};
use super::{Store, in_use};
use crate::cancel::Cancel;
use crate::digest::{EnvKey, FileDigest};
use crate::error::{Error, Result};
use crate::failpoint::reached;
use crate::fs::lock::Mode;
use crate::fs::{durable, nofollow, parallel};
use crate::guard::Guard;
use crate::index::{EnvRow, State, collection, components, envs, events, sql};
use crate::interpreter::Interpreter;
use crate::lease::Lease;
use crate::manifest::{Content, Entry, Manifest};
use crate::objects::{self, Object, Staged};
use crate::pack::PackRef;
use crate::process::Limits;
use crate::spec::Spec;

/// An inode: device and number.
type Inode = (u64, u64);

impl Store {
    /// Looks as [`Store::verify`] does, and makes anew what is damaged; also what shares a damaged file and was not asked for.
    ///
    /// # Errors
    /// Those of [`Store::verify`], and where this process may not write. What could not be made anew is told in the report.
    pub fn repair(&self, ask: &Verify, progress: &(dyn Fn(&str) + Sync), cancel: &Cancel) -> Result<Verified> {
        self.require_owner("repair the store")?;
        self.require_home()?;
        let mut looked = self.look(ask, cancel)?;
        let sharers = self.look_at_sharers(ask.full, &mut looked, cancel)?;
        let objects = self.damaged_objects(ask, &looked)?;
        let mut report = std::mem::take(&mut looked.report);
        // First of all: what has lost its manifest is made again of its lock.
        self.restore_locks(&looked.locks, &mut report)?;
        let lost = self.quarantine_objects(&objects, &mut report, cancel)?;
        for survey in &looked.surveys {
            cancel.check("repairing")?;
            let packs = looked.packs.get(&survey.env.id).cloned().unwrap_or_default();
            let sharers = sharers.get(&survey.env.id).into_iter().flatten().copied().collect();
            match self.make_anew(survey, &packs, progress, cancel) {
                Ok((from, quarantined)) => {
                    report.repaired.push(Repaired { env: survey.env.key, packs, from, sharers, quarantined });
                }
                Err(error) if error.is_cancelled() => return Err(error),
                Err(error) => {
                    let message = error.explained();
                    report.unrepaired.push(Unrepaired { env: Some(survey.env.key), packs, message });
                }
            }
        }
        self.bring_back_objects(&lost, &mut report, cancel)?;
        Ok(report)
    }

    /// Looks at the environments that hold an inode which is damaged in another. The answer: with whom each shares one.
    fn look_at_sharers(
        &self,
        full: bool,
        looked: &mut Looked,
        cancel: &Cancel,
    ) -> Result<HashMap<i64, BTreeSet<EnvKey>>> {
        let mut seen: HashSet<i64> = looked.surveys.iter().map(|survey| survey.env.id).collect();
        loop {
            let holders = self.holders_of_damaged(looked)?;
            let mut sharers: HashMap<i64, BTreeSet<_>> = HashMap::new();
            for held_by in holders.values() {
                for one in held_by {
                    let others = held_by.iter().filter(|other| other.id != one.id).map(|other| other.key);
                    sharers.entry(one.id).or_default().extend(others);
                }
            }
            let more: Vec<EnvRow> = holders.into_values().flatten().filter(|env| seen.insert(env.id)).collect();
            if more.is_empty() {
                return Ok(sharers);
            }
            for env in more {
                cancel.check("verifying")?;
                self.look_at(&env, full, looked)?;
            }
        }
    }

    /// Each damaged inode that has several names, with the environments that hold it.
    fn holders_of_damaged(&self, looked: &Looked) -> Result<BTreeMap<Inode, Vec<EnvRow>>> {
        let mut holders: BTreeMap<Inode, Vec<EnvRow>> = BTreeMap::new();
        let mut digests = HashSet::new();
        for survey in &looked.surveys {
            let dir = self.0.layout.env(&survey.env.name);
            for entry in survey.damage.iter().filter_map(|damage| damage.entry.as_ref()) {
                if let (Content::File { digest, .. }, Some(inode)) = (&entry.content, shared(&dir.join(&entry.path))) {
                    digests.insert(*digest);
                    holders.entry(inode).or_default();
                }
            }
        }
        if holders.is_empty() {
            return Ok(holders);
        }
        for env in &looked.envs {
            // One that cannot be read is a finding of its own.
            let Ok(manifest) = Manifest::read(&self.0.layout.manifest(&env.name)) else { continue };
            let dir = self.0.layout.env(&env.name);
            let same = |entry: &&Entry| match entry.content {
                Content::File { digest, .. } => digests.contains(&digest),
                Content::Link { .. } => false,
            };
            for entry in manifest.entries.iter().filter(same) {
                if let Some(held_by) = shared(&dir.join(&entry.path)).and_then(|inode| holders.get_mut(&inode))
                    && held_by.iter().all(|other| other.id != env.id)
                {
                    held_by.push(env.clone());
                }
            }
        }
        Ok(holders)
    }

    /// The objects that are not what they are named after: of the whole store if it was looked at to the last byte, and of those that damaged
    /// environments would be assembled of.
    fn damaged_objects(&self, ask: &Verify, looked: &Looked) -> Result<Vec<DamagedObject>> {
        let mut damaged = looked.objects.clone();
        if ask.full && ask.only.is_empty() {
            return Ok(damaged);
        }
        let mut needed = HashSet::new();
        for survey in &looked.surveys {
            let held = |db: &rusqlite::Connection| components::objects_held_by(db, survey.env.id);
            needed.extend(self.0.index.read("list components", held)?);
        }
        let needed: Vec<Object> =
            needed.into_iter().filter(|object| !damaged.iter().any(|known| known.is(object))).collect();
        let found = parallel::map(&needed, |object| -> Result<_> {
            let path = self.0.layout.object(&object.digest, object.exec);
            let sound = objects::holds(&path, &object.digest).unwrap_or(false);
            Ok((!sound).then(|| DamagedObject::new(*object, !path.exists())))
        })?;
        damaged.extend(found.into_iter().flatten());
        Ok(damaged)
    }

    /// Moves damaged objects away, so that nothing is assembled of them. Returns those that are not there now.
    fn quarantine_objects(
        &self,
        damaged: &[DamagedObject],
        report: &mut Verified,
        cancel: &Cancel,
    ) -> Result<Vec<DamagedObject>> {
        let (mut lost, there): (Vec<_>, Vec<_>) = damaged.iter().copied().partition(|object| object.is_missing);
        if there.is_empty() {
            return Ok(lost);
        }
        let Some(_guard) = self.objects_alone(cancel)? else {
            let message = "builds are going on all the time: damaged objects stay where they are".into();
            report.unrepaired.push(Unrepaired { env: None, packs: Vec::new(), message });
            return Ok(lost);
        };
        let place = self.quarantine("objects")?;
        for object in &there {
            let path = self.0.layout.object(&object.digest, object.exec);
            reached("repair: before an object goes to quarantine")?;
            match move_aside(&path, &place.join(path.file_name().unwrap_or_default())) {
                Ok(()) => report.quarantined_objects += 1,
                Err(error) => {
                    let message = error.explained();
                    report.unrepaired.push(Unrepaired { env: None, packs: Vec::new(), message });
                }
            }
        }
        durable::sync_filesystem(self.root())?;
        let op = "forget derived files";
        self.0.index.write(op, |tx| {
            there.iter().try_for_each(|object| components::forget_derived_as(tx, &object.digest)).map_err(sql(op))
        })?;
        lost.extend(there);
        Ok(lost)
    }

    /// Publishes a directory in a damaged one's place and moves that to quarantine. Says what the new one is made of, if one was
    /// needed, and whether the old one could be moved.
    fn make_anew(
        &self,
        survey: &Survey,
        packs: &[PackRef],
        progress: &(dyn Fn(&str) + Sync),
        cancel: &Cancel,
    ) -> Result<(Option<Source>, bool)> {
        let env = &survey.env;
        let (standing, is_named) = self.0.index.read("look up an environment", |db| {
            Ok((envs::by_key(db, &env.key)?, collection::is_referenced(db, env.id)?))
        })?;
        let is_it = standing.is_some_and(|standing| standing.id == env.id);
        let from = if is_it && (is_named || env.state == State::Ready) {
            Some(self.publish_anew(survey, packs, progress, cancel)?)
        } else {
            None
        };
        let op = "note a repair";
        self.0.index.write(op, |tx| {
            let from = from.map(Source::as_str);
            let key = env.key.to_string();
            // What is taken back is ready; this must not be.
            envs::set_state(tx, env.id, &[State::Ready, State::Condemned], State::Corrupt).map_err(sql(op))?;
            events::event(tx, self.0.clock.now(), "repaired", None, from, (Some(&key), Some(&key))).map_err(sql(op))
        })?;
        Ok((from, self.set_aside(env)?))
    }

    fn publish_anew(
        &self,
        survey: &Survey,
        packs: &[PackRef],
        progress: &(dyn Fn(&str) + Sync),
        cancel: &Cancel,
    ) -> Result<Source> {
        let env = &survey.env;
        let interpreter = self.standing_interpreter(&env.interpreter)?;
        let runtime = self.runtime(interpreter.identity.runtime)?;
        let lock = match &survey.manifest {
            Some(manifest) => manifest.lock.clone(),
            None => self.kept_lock_of(&env.lock, runtime)?,
        };
        if lock.env_key(&interpreter.identity) != env.key {
            let reason = format!("it is not what `{}` was made of", env.name);
            return Err(Error::Corrupt { path: self.0.layout.lock(&env.lock), reason });
        }
        let spec = match (&survey.manifest, packs.first()) {
            (Some(manifest), _) => manifest.spec.clone(),
            (None, Some(pack)) => self.recorded(pack)?.0,
            (None, None) => Spec::empty(interpreter.identity.runtime),
        };
        let settings = &self.0.settings.install;
        let made = self.make(&Order {
            runtime,
            spec: &spec,
            interpreter: &interpreter,
            limits: Limits::starting_now(settings.timeout, settings.silence_timeout),
            cancel,
            progress,
            given: Some(&lock),
            like: None,
            stay: &[],
            relock: false,
            anew: Some(Anew::Assembled),
        })?;
        Ok(if made.outcome == Outcome::Assembled { Source::Objects } else { Source::Rebuilt })
    }

    /// An interpreter where it was, or one of the same identity elsewhere.
    pub(super) fn standing_interpreter(&self, interpreter: &Interpreter) -> Result<Interpreter> {
        if interpreter.is_unchanged() {
            return Ok(interpreter.clone());
        }
        let found = self.interpreters(interpreter.identity.runtime)?.into_iter().filter_map(|found| found.result.ok());
        let mut same = found.filter(|other| other.digest() == interpreter.digest());
        same.next().ok_or_else(|| Error::NoInterpreter {
            wanted: format!("the one at `{}`, as it was", interpreter.path.display()),
            found: Vec::new(),
        })
    }

    /// Moves a damaged environment and its manifest to quarantine. False: a process uses it, or a collector is at work, and it
    /// stays for that.
    fn set_aside(&self, env: &EnvRow) -> Result<bool> {
        let layout = &self.0.layout;
        let Some(_guard) = Guard::try_take(&layout.guard_gc(), Mode::Exclusive)? else { return Ok(false) };
        let lease = layout.lease(&env.name);
        let exclusive = Lease::try_exclusive(&lease)?;
        if exclusive.is_none() && lease.exists() || in_use::scan(layout).by_name.contains_key(env.name.as_str()) {
            return Ok(false);
        }
        let op = "mark an environment";
        let free = self.0.index.write(op, |tx| {
            if collection::is_referenced(tx, env.id).map_err(sql(op))? {
                return Ok(false);
            }
            envs::set_state(tx, env.id, &[State::Corrupt], State::Deleting).map_err(sql(op))
        })?;
        if !free {
            return Ok(false);
        }
        // From here on a process that dies leaves what the collector deletes.
        let place = self.quarantine(env.name.as_str())?;
        reached("repair: before a rename to quarantine")?;
        move_aside(&layout.manifest(&env.name), &place.join("manifest.json.gz"))?;
        reached("repair: before a rename to quarantine")?;
        if let Err(error) = move_aside(&layout.env(&env.name), &place.join("env")) {
            // A directory in a lower layer of an overlay, or with a mount in it, cannot be moved: it stays where it is, and is not used again.
            tracing::warn!(error = error.explained(), "a damaged environment stays where it is");
            self.spare(env, State::Corrupt)?;
            return Ok(false);
        }
        durable::sync_dir(&place)?;
        let op = "forget an environment";
        self.0.index.write(op, |tx| envs::delete(tx, env.id).map_err(sql(op)))?;
        Ok(true)
    }

    fn quarantine(&self, what: &str) -> Result<PathBuf> {
        let place = self.0.layout.dir("quarantine").join(durable::unique(what));
        nofollow::create_dir(&place, 0o700).map_err(Error::io("create", &place))?;
        Ok(place)
    }

    /// Makes objects that are gone again of sound files of environments; what no environment has is forgotten.
    fn bring_back_objects(&self, lost: &[DamagedObject], report: &mut Verified, cancel: &Cancel) -> Result<()> {
        let layout = &self.0.layout;
        let is_gone = |object: &&DamagedObject| !layout.object(&object.digest, object.exec).exists();
        let mut gone: HashMap<(FileDigest, bool), DamagedObject> =
            lost.iter().filter(is_gone).map(|object| ((object.digest, object.exec), *object)).collect();
        report.replaced_objects += (lost.len() - gone.len()) as u64;
        if gone.is_empty() {
            return Ok(());
        }
        let objects = self.objects()?;
        let scratch = Scratch::new(layout, "repair")?;
        let _guard = self.hold_objects(Instant::now() + self.0.settings.install.timeout, cancel)?;
        let mut staged: Vec<Staged> = Vec::new();
        for env in self.0.index.read("list environments", envs::all)? {
            let Some(_lease) = Lease::acquire(&layout.lease(&env.name))? else { continue };
            let Ok(manifest) = Manifest::read(&layout.manifest(&env.name)) else { continue };
            for entry in &manifest.entries {
                let Content::File { digest, exec, size, .. } = entry.content else { continue };
                let path = layout.env(&env.name).join(&entry.path);
                if gone.contains_key(&(digest, exec)) && objects::holds(&path, &digest).unwrap_or(false) {
                    staged.push(objects.stage(&path, Object { digest, exec, size }, &scratch.dir)?);
                    gone.remove(&(digest, exec));
                }
            }
        }
        if !staged.is_empty() {
            durable::sync_filesystem(self.root())?;
            for staged in &staged {
                objects.adopt(staged)?;
                report.replaced_objects += 1;
            }
        }
        let op = "forget components";
        let gone: HashSet<FileDigest> = gone.into_values().map(|object| object.digest).collect();
        self.0.index.write(op, |tx| components::forget_made_of(tx, &gone).map_err(sql(op)))?;
        Ok(())
    }
}

/// Moves something to quarantine, durably. A missing one is no error.
fn move_aside(from: &Path, to: &Path) -> Result<()> {
    match nofollow::rename(from, to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("move to quarantine", from)(error)),
        _ => durable::sync_dir(from.parent().unwrap_or(from)),
    }
}

/// The inode of a file that has more than one name.
fn shared(path: &Path) -> Option<Inode> {
    let meta = fs::symlink_metadata(path).ok().filter(|meta| meta.is_file() && meta.nlink() > 1)?;
    Some((meta.dev(), meta.ino()))
}
