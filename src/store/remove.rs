//! `remove`: a pack lets go of its environment.

use super::report::{Collected, Removed};
use super::sweep::Swept;
use super::{Store, in_use};
use crate::digest::SpecDigest;
use crate::error::Result;
use crate::fs::lock::Mode;
use crate::fs::remove;
use crate::guard::Guard;
use crate::index::{EnvRow, bindings, collection, components, envs, interpreters, sql};
use crate::pack::PackRef;

impl Store {
    /// Drops a pack's binding and collects its environment at once if nothing else keeps it. With
    /// `keep_history` its generations stay for a later `rollback`.
    ///
    /// # Errors
    /// [`Error::NoPack`](crate::error::Error::NoPack).
    pub fn remove(&self, pack: &PackRef, keep_history: bool) -> Result<Removed> {
        self.require_owner("remove a pack")?;
        let mut removed = Removed { pack: pack.clone(), env_removed: false, freed_bytes: 0, skipped: Vec::new() };
        let logs = self.logs_of(pack)?;
        if let Some(env) = self.unbind(pack, keep_history)? {
            // The pack is gone from here on. What cannot be deleted with it is told, and left to a collection.
            let mut done = Collected::default();
            if let Err(error) = self.remove_env(&env, keep_history, &logs, &mut removed, &mut done) {
                done.skip(&self.0.layout.env(&env.name), &error);
            }
            removed.skipped = done.skipped;
        }
        Ok(removed)
    }

    /// Deletes the environment that a pack had, and what only that held.
    fn remove_env(
        &self,
        env: &EnvRow,
        keep_history: bool,
        logs: &[SpecDigest],
        removed: &mut Removed,
        done: &mut Collected,
    ) -> Result<()> {
        let held = self.0.index.read("look up components", |db| components::of_env(db, env.id))?;
        let Swept::Gone(freed) = self.collect_at_once(env, done)? else { return Ok(()) };
        removed.env_removed = true;
        removed.freed_bytes = freed;
        // A history may be taken up again: then its components can be linked.
        if !keep_history {
            removed.freed_bytes += self.collect_objects_of(&held, done)?;
            removed.freed_bytes += self.remove_logs(logs, done)?;
            let log = self.0.layout.log_of_env(env.name.stem());
            let freed = remove::remove_tree(&log);
            removed.freed_bytes += done.freed(&log, freed);
        }
        Ok(())
    }

    /// The declarations under which logs of a pack may stand.
    fn logs_of(&self, pack: &PackRef) -> Result<Vec<SpecDigest>> {
        self.0.index.read("look up a declaration", |db| {
            let declared = bindings::find_pack(db, pack)?.map(|row| row.spec);
            let answered = bindings::resolve(db, pack)?.map(|bound| bound.answers);
            Ok(declared.into_iter().chain(answered).collect())
        })
    }

    /// Removes the logs of declarations that no pack has.
    fn remove_logs(&self, of: &[SpecDigest], done: &mut Collected) -> Result<u64> {
        let (declared, known) =
            self.0.index.read("list declarations", |db| Ok((collection::declared(db)?, interpreters::digests(db)?)))?;
        let gone = of.iter().filter(|spec| !declared.contains(spec));
        let logs = gone.flat_map(|spec| known.iter().map(|interpreter| self.0.layout.log_of(spec, interpreter)));
        Ok(logs.map(|log| done.freed(&log, remove::remove_tree(&log))).sum())
    }

    /// Condemns and sweeps one environment, unless a collector is at work (which will find it) or anything keeps it.
    fn collect_at_once(&self, env: &EnvRow, done: &mut Collected) -> Result<Swept> {
        let layout = &self.0.layout;
        let Some(_guard) = Guard::try_take(&layout.guard_gc(), Mode::Exclusive)? else { return Ok(Swept::Leased) };
        let op = "condemn an environment";
        let condemned = self.0.index.write(op, |tx| {
            if collection::is_referenced(tx, env.id).map_err(sql(op))? {
                return Ok(false);
            }
            envs::condemn(tx, env.id).map_err(sql(op))
        })?;
        if !condemned {
            return Ok(Swept::Referenced);
        }
        self.let_go_of_changed();
        if in_use::scan(layout).by_name.contains_key(env.name.as_str()) {
            return Ok(Swept::Leased);
        }
        self.sweep(env, done)
    }
}
