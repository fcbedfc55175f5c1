//! `gc`: what no root keeps is condemned, then swept; what dead processes left is cleared away.
//!
//! Roots are rows (bindings, retained generations, pins) and leases; nothing is counted, so nothing leaks (P6).
//! Any error while looking keeps what it was about (I8).

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::publish::insert_row;
use super::report::{Collected, Kept};
use super::sweep::Swept;
use super::{Store, in_use};
use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::fs::lock::Mode;
use crate::fs::{durable, parallel, probe, remove, size};
use crate::guard::Guard;
use crate::index::{Candidate, Retention, State, bindings, collection, components, envs, roots, sql};
use crate::layout::EnvName;
use crate::lease::Lease;
use crate::manifest::Manifest;
use crate::pin::PinFile;
use crate::settings::MinFree;

/// The name in `meta` of the time before which nothing is condemned.
pub(super) const GRACE: &str = "collect_after";

/// How long builders may keep a collector waiting.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a collection is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gc {
    /// Change nothing, say what would go.
    pub dry_run: bool,
    /// Only what was not used for this long; none: the settings'.
    pub idle: Option<Duration>,
    /// Stop once everything under the root fits into this many bytes.
    pub max_size: Option<u64>,
    /// Stop once this much is free.
    pub min_free: Option<MinFree>,
    /// Environments of earlier generations may go too.
    pub drop_retained: bool,
    /// End the time after a loss of the index in which nothing is collected.
    pub end_grace: bool,
}

impl Store {
    /// Collects what no root keeps. Without a target everything goes that may.
    ///
    /// # Errors
    /// Only where the index or the root cannot be read; what cannot be deleted is kept and reported.
    pub fn gc(&self, ask: &Gc, cancel: &Cancel) -> Result<Collected> {
        self.collect(ask, PATIENCE, cancel)
    }

    /// The same, waiting for builders for so long at most.
    pub(super) fn collect(&self, ask: &Gc, patience: Duration, cancel: &Cancel) -> Result<Collected> {
        let done = tracing::debug_span!("collect").in_scope(|| self.collect_alone(ask, patience, cancel))?;
        self.0.observed.tell(|observer| observer.collected(&done));
        Ok(done)
    }

    fn collect_alone(&self, ask: &Gc, patience: Duration, cancel: &Cancel) -> Result<Collected> {
        self.require_owner("collect")?;
        // On a full disk first of all: even a guard may need room.
        self.open_ballast(ask.dry_run)?;
        let Some(_guard) = Guard::try_take(&self.0.layout.guard_gc(), Mode::Exclusive)? else {
            return Ok(Collected { already_running: true, ..Collected::default() });
        };
        if let Some(reason) = self.behind()?.reason() {
            tracing::warn!(%reason, "nothing is collected");
            let target_reached = self.missing_bytes(ask)? == 0;
            return Ok(Collected { refused: Some(reason), target_reached, ..Collected::default() });
        }
        if ask.end_grace && !ask.dry_run {
            self.end_grace()?;
        }
        let mut done = Collected { mark_only: self.has_clock_jumped()?, ..Collected::default() };
        if !ask.dry_run {
            // Before anything counts as garbage: what a killed process left behind.
            self.follow_links(None)?;
            self.clear_leavings(&mut done)?;
        }
        let is_wanted = || Ok::<_, Error>(!has_target(ask) || self.missing_bytes(ask)? > 0);
        if is_wanted()? {
            self.trim_cache(self.cache_limit(ask)?, ask.dry_run, cancel, &mut done)?;
        }
        if !done.mark_only {
            self.expire(ask.dry_run, &mut done)?;
        }
        self.collect_environments(ask, patience, cancel, &mut done)?;
        let freed = &done.freed_by_kind;
        done.freed_bytes = [
            freed.environments,
            freed.objects,
            freed.staging,
            freed.trash,
            freed.cache,
            freed.logs,
            freed.locks,
            freed.guards,
            freed.quarantine,
        ]
        .iter()
        .sum();
        done.target_reached = self.missing_bytes(ask)? == 0;
        if !ask.dry_run {
            self.note_collection()?;
            self.close_ballast();
        }
        Ok(done)
    }

    /// Environments, then what only they held; round by round until the target is met, for nobody knows beforehand what an environment
    /// shares.
    fn collect_environments(&self, ask: &Gc, patience: Duration, cancel: &Cancel, done: &mut Collected) -> Result<()> {
        loop {
            let (mut kept, before) = (Kept::default(), done.swept);
            let plan = self.condemn(ask, done.mark_only, &mut kept)?;
            kept.components = done.kept.components;
            done.kept = kept;
            done.condemned = before + plan.len() as u64;
            if done.mark_only {
                return Ok(());
            }
            if ask.dry_run {
                let shared = self.0.index.read("weigh environments", components::reflinked)?;
                let own = |env: &Candidate| {
                    let own = size::own_bytes(&self.0.layout.env(&env.name));
                    Ok::<_, Error>(own.saturating_sub(shared.get(&env.id).copied().unwrap_or(0)))
                };
                done.freed_by_kind.environments = parallel::map(&plan, own)?.iter().sum();
            } else {
                self.sweep_all(&plan, cancel, done)?;
            }
            if (ask.end_grace || !self.is_in_grace()?) && (!has_target(ask) || self.missing_bytes(ask)? > 0) {
                // Short of room even young components go: what they are made of can be fetched again.
                let unused_since =
                    if has_target(ask) { Timestamp::MAX } else { ago(self.0.clock.now(), self.idle(ask)) };
                self.collect_objects(unused_since, &plan, ask.dry_run, patience, cancel, done)?;
            }
            let is_over = ask.dry_run || !has_target(ask) || done.swept == before;
            if is_over || self.missing_bytes(ask)? == 0 {
                return Ok(());
            }
        }
    }

    /// What the cache may hold: less than its limit where room is short.
    fn cache_limit(&self, ask: &Gc) -> Result<u64> {
        let limit = self.0.settings.gc.cache_max_size;
        if !has_target(ask) {
            return Ok(limit);
        }
        let now = size::own_bytes(&self.0.layout.dir("cache"));
        Ok(limit.min(now.saturating_sub(self.missing_bytes(ask)?)))
    }

    /// The first step: what has no root and was idle long enough, least recently used first, until the target is met. One
    /// transaction looks and marks (I4); a dry run rolls it back.
    fn condemn(&self, ask: &Gc, mark_only: bool, kept: &mut Kept) -> Result<Vec<Candidate>> {
        let settings = &self.0.settings.gc;
        let now = self.0.clock.now();
        let idle = self.idle(ask);
        let keep = Retention {
            generations: if ask.drop_retained { 0 } else { settings.retain_generations },
            since: ago(now, settings.retain_for),
        };
        let grace = !ask.end_grace && self.is_in_grace()?;
        let mut wanted = if has_target(ask) { self.missing_bytes(ask)? } else { u64::MAX };
        let op = "condemn environments";
        let look = |tx: &rusqlite::Transaction<'_>| {
            // With a clock that jumped nothing counts as over.
            if !mark_only {
                for name in roots::expire_pins(tx, now).map_err(sql(op))? {
                    if !ask.dry_run {
                        PinFile::remove(&self.0.layout, &name)?;
                    }
                }
            }
            let named = collection::named_by_bindings(tx, (!mark_only).then_some(keep)).map_err(sql(op))?;
            if !ask.dry_run {
                collection::release(tx, &named).map_err(sql(op))?;
                bindings::forget_unused_specs(tx).map_err(sql(op))?;
            }
            let mut plan = Vec::new();
            for env in collection::candidates(tx, &named).map_err(sql(op))? {
                // A use in the future is a clock that went back: as young as can be.
                let idle_for = Duration::try_from(now.duration_since(env.last_used_at)).unwrap_or_default();
                if env.pinned {
                    kept.pinned += 1;
                } else if env.retained {
                    kept.retained += 1;
                } else if grace || idle_for < idle {
                    kept.young += 1;
                } else if wanted > 0 {
                    wanted = wanted.saturating_sub(env.bytes);
                    if !ask.dry_run {
                        let from = [State::Ready, State::Corrupt];
                        envs::set_state(tx, env.id, &from, State::Condemned).map_err(sql(op))?;
                    }
                    plan.push(env);
                }
            }
            Ok(plan)
        };
        if ask.dry_run { self.0.index.rehearse(op, look) } else { self.0.index.write(op, look) }
    }

    fn idle(&self, ask: &Gc) -> Duration {
        ask.idle.unwrap_or(self.0.settings.gc.idle)
    }

    /// Whether the index was rebuilt a short while ago, so that nothing counts as garbage yet (I10).
    fn is_in_grace(&self) -> Result<bool> {
        self.grace().map(|grace| grace.is_some())
    }

    /// The second step, one environment after the other.
    fn sweep_all(&self, plan: &[Candidate], cancel: &Cancel, done: &mut Collected) -> Result<()> {
        self.let_go_of_changed();
        let in_use = in_use::scan(&self.0.layout);
        for env in plan {
            cancel.check("collecting")?;
            if in_use.by_name.contains_key(env.name.as_str()) {
                done.kept.leased += 1;
                continue;
            }
            let Some(row) = self.0.index.read("look up an environment", |db| envs::by_id(db, env.id))? else {
                continue;
            };
            match self.sweep(&row) {
                Ok(Swept::Gone(freed)) => {
                    done.swept += 1;
                    done.freed_by_kind.environments += freed;
                }
                Ok(Swept::Leased) => done.kept.leased += 1,
                Ok(Swept::Referenced) => {}
                Err(error) => tracing::warn!(%error, env = %env.name, "an environment is kept"),
            }
        }
        Ok(())
    }

    /// How many bytes must still go until the target is met.
    pub(super) fn missing_bytes(&self, ask: &Gc) -> Result<u64> {
        let over = match ask.max_size {
            None => 0,
            Some(limit) => self.total_bytes()?.saturating_sub(limit),
        };
        let short = match ask.min_free {
            None => 0,
            Some(least) => {
                let space = probe::space(self.0.layout.root())?;
                least.bytes(space.total_bytes).saturating_sub(space.free_bytes)
            }
        };
        Ok(over.max(short))
    }

    /// Trash, staging of dead builders, rows half-way out, directories nobody knows.
    fn clear_leavings(&self, done: &mut Collected) -> Result<()> {
        let layout = &self.0.layout;
        for env in self.0.index.read("list environments", envs::all)? {
            if env.state == State::Deleting {
                done.freed_by_kind.environments += self.delete(&env)?;
            }
        }
        for path in children(&layout.dir("trash"))? {
            done.freed_by_kind.trash += remove::remove_tree(&path)?;
        }
        for path in children(&layout.dir("staging"))? {
            if is_abandoned(&path)? {
                done.freed_by_kind.staging += remove::remove_tree(&path)?;
            }
        }
        self.clear_orphans(done)
    }

    /// Directories under `envs/` that the index does not know: one with a manifest is adopted, one without, whose
    /// builder is dead, goes.
    fn clear_orphans(&self, done: &mut Collected) -> Result<()> {
        let layout = &self.0.layout;
        let known: HashSet<String> = self.0.index.read("list environments", collection::known_names)?;
        for path in children(&layout.dir("envs"))? {
            let Some(name) =
                path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<EnvName>().ok())
            else {
                continue;
            };
            if known.contains(name.as_str()) {
                continue;
            }
            // The guard of its key says whether a builder is at work on it.
            let Some(_guard) = Guard::try_take(&layout.guard_env(name.stem()), Mode::Exclusive)? else { continue };
            let op = "adopt an environment";
            if self.0.index.read("look up an environment", |db| envs::by_name(db, &name))?.is_some() {
                continue;
            }
            let manifest_path = layout.manifest(&name);
            if manifest_path.exists() {
                // I8: one that cannot be read keeps its environment.
                let Ok(manifest) = Manifest::read(&manifest_path) else { continue };
                // Only where nothing answers for its key: what packs are bound to must not move by itself (P14).
                let adopted = self.0.index.write(op, |tx| {
                    if envs::by_key(tx, &manifest.key).map_err(sql(op))?.is_some() {
                        return Ok(false);
                    }
                    let id = insert_row(tx, &manifest).map_err(sql(op))?;
                    envs::take_over(tx, &manifest.key, id).map_err(sql(op))?;
                    Ok(true)
                })?;
                if adopted {
                    continue;
                }
            }
            // An orphaned installer still holds a lease.
            if Lease::try_exclusive(&layout.lease(&name))?.is_none() && layout.lease(&name).exists() {
                continue;
            }
            // The manifest first: without one the rest counts for nothing.
            done.freed_by_kind.staging += remove::remove_tree(&manifest_path)?;
            let trash = layout.dir("trash").join(durable::unique(name.as_str()));
            fs::rename(&path, &trash).map_err(Error::io("move to trash", &path))?;
            durable::sync_dir(&layout.dir("envs"))?;
            done.freed_by_kind.staging += remove::remove_tree(&trash)?;
        }
        Ok(())
    }
}

fn has_target(ask: &Gc) -> bool {
    ask.max_size.is_some() || ask.min_free.is_some()
}

fn ago(now: Timestamp, span: Duration) -> Timestamp {
    SignedDuration::try_from(span).ok().and_then(|span| now.checked_sub(span).ok()).unwrap_or(Timestamp::MIN)
}

pub(super) fn children(dir: &Path) -> Result<Vec<std::path::PathBuf>> {
    let listed = fs::read_dir(dir).map_err(Error::io("list", dir))?;
    listed.map(|entry| entry.map(|entry| entry.path()).map_err(Error::io("list", dir))).collect()
}

/// A staging entry whose process is dead. Names are `<what>-<pid>-…`; a process id that lives again keeps a few bytes until the next run. Of one that is
/// dead here, perhaps in another namespace of processes, a build's directory has a guard that decides. A living one is not asked for it: between its making a
/// guard and taking it, it has none.
fn is_abandoned(path: &Path) -> Result<bool> {
    let pid = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split('-').nth(1));
    if pid.is_some_and(|pid| Path::new("/proc").join(pid).exists()) {
        return Ok(false);
    }
    let guard = path.join("guard");
    if !guard.exists() {
        return Ok(true);
    }
    match Guard::try_take(&guard, Mode::Exclusive) {
        Ok(taken) => Ok(taken.is_some()),
        // Its owner cleared it away meanwhile.
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_living_process_makes_is_not_taken_away() {
        let top = tempfile::tempdir().expect("a directory");
        let entry = |pid: u32| {
            let path = top.path().join(format!("build-{pid}-0-x"));
            fs::create_dir(&path).expect("a directory");
            path
        };
        let (ours, dead) = (entry(std::process::id()), entry(u32::MAX));
        assert!(!is_abandoned(&ours).expect("looks") && is_abandoned(&dead).expect("looks"));
        for path in [&ours, &dead] {
            fs::write(path.join("guard"), "").expect("a guard that nobody holds yet");
        }
        assert!(!is_abandoned(&ours).expect("looks") && is_abandoned(&dead).expect("looks"));
        let held = Guard::try_take(&dead.join("guard"), Mode::Exclusive).expect("takes");
        assert!(held.is_some() && !is_abandoned(&dead).expect("looks"));
    }
}
