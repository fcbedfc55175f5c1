//! `remove`: drops packs, and the environments that only they used.
//!
//! Many packs leave in one transaction; their environments are condemned in another, and swept one by one. A pack whose
//! removal is committed is gone, whatever happens afterwards: what could not be swept is left for the next collection.

use std::collections::HashSet;

use super::report::{Collected, Removed};
use super::sweep::Swept;
use super::{Store, in_use};
use crate::cancel::Cancel;
use crate::digest::SpecDigest;
use crate::error::{Error, Result};
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
    /// [`Error::NoPack`].
    pub fn remove(&self, pack: &PackRef, keep_history: bool) -> Result<Removed> {
        let mut removed = self.remove_all(std::slice::from_ref(pack), keep_history, &Cancel::new())?;
        removed.pop().unwrap_or_else(|| Err(Error::NoPack(pack.clone())))
    }

    /// [`Store::remove`] of many packs, with one result for each in their order. An environment that several of them had, and the objects of all of
    /// them, count for the first. Cancelled, it collects no further environment.
    ///
    /// # Errors
    /// If the transaction fails; then no pack was removed.
    pub fn remove_all(&self, packs: &[PackRef], keep_history: bool, cancel: &Cancel) -> Result<Vec<Result<Removed>>> {
        self.require_owner("remove a pack")?;
        let logs = packs.iter().map(|pack| self.logs_of(pack)).collect::<Result<Vec<_>>>()?;
        let unbound = self.unbind(packs, keep_history)?;
        // The packs that had each environment; the first of them reports what became of it.
        let mut had: Vec<(&EnvRow, Vec<usize>)> = Vec::new();
        for (at, env) in unbound.iter().enumerate() {
            let Ok(Some(env)) = env else { continue };
            match had.iter_mut().find(|(known, _)| known.id == env.id) {
                Some((_, packs)) => packs.push(at),
                None => had.push((env, vec![at])),
            }
        }
        let rows: Vec<&EnvRow> = had.iter().map(|(env, _)| *env).collect();
        let held = self.components_of(&rows)?;
        // The packs are gone from here on. What cannot be deleted with them is reported and left to a collection.
        let mut done = Collected::default();
        let swept = self.collect_at_once(&rows, cancel, &mut done)?;

        let none =
            |pack: &PackRef| Removed { pack: pack.clone(), env_removed: false, freed_bytes: 0, skipped: Vec::new() };
        let mut removed: Vec<Result<Removed>> = packs.iter().map(|pack| Ok(none(pack))).collect();
        let mut gone = Vec::new();
        for (((env, of), held), swept) in had.iter().zip(&held).zip(swept) {
            match (swept, &mut removed[of[0]]) {
                (Ok(Swept::Gone(freed)), Ok(first)) => {
                    first.env_removed = true;
                    first.freed_bytes = freed;
                    gone.push((env, of, held));
                }
                (Ok(_), _) => {}
                (Err(error), _) => done.skip(&self.0.layout.env(&env.name), &error),
            }
        }
        // A history may be taken up again: then its components can be linked.
        if let (false, Some((_, of, _))) = (keep_history, gone.first()) {
            let first = of[0];
            let held: Vec<i64> = gone.iter().flat_map(|(_, _, held)| held.iter().copied()).collect();
            let logs: Vec<SpecDigest> =
                gone.iter().flat_map(|(_, of, _)| of.iter()).flat_map(|at| logs[*at].clone()).collect();
            let mut freed = self.collect_objects_of(&held, &mut done)? + self.remove_logs(&logs, &mut done)?;
            for (env, ..) in &gone {
                let log = self.0.layout.log_of_env(env.name.stem());
                freed += done.freed(&log, remove::remove_tree(&log));
            }
            if let Ok(first) = &mut removed[first] {
                first.freed_bytes += freed;
            }
        }
        if let Some(Ok(first)) = removed.iter_mut().find(|removed| removed.is_ok()) {
            first.skipped = done.skipped;
        }
        Ok(removed.into_iter().zip(unbound).map(|(removed, unbound)| unbound.and(removed)).collect())
    }

    /// The components that each environment holds.
    fn components_of(&self, envs: &[&EnvRow]) -> Result<Vec<Vec<i64>>> {
        self.0.index.read("look up components", |db| envs.iter().map(|env| components::of_env(db, env.id)).collect())
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

    /// Condemns environments in one transaction and sweeps them, unless a collector is at work (which will find them) or anything keeps them.
    /// One result for each environment.
    pub(super) fn collect_at_once(
        &self,
        envs: &[&EnvRow],
        cancel: &Cancel,
        done: &mut Collected,
    ) -> Result<Vec<Result<Swept>>> {
        let layout = &self.0.layout;
        let all = |swept: Swept| envs.iter().map(|_| Ok(swept)).collect();
        if envs.is_empty() {
            return Ok(Vec::new());
        }
        let Some(_guard) = Guard::try_take(&layout.guard_gc(), Mode::Exclusive)? else { return Ok(all(Swept::Leased)) };
        // What they were bound to may be another pack's, which the index does not know.
        if self.behind()?.reason().is_some() {
            return Ok(all(Swept::Referenced));
        }
        let op = "condemn environments";
        let condemned: HashSet<i64> = self.0.index.write(op, |tx| {
            let mut condemned = HashSet::new();
            for env in envs {
                if !collection::is_referenced(tx, env.id).map_err(sql(op))?
                    && envs::condemn(tx, env.id).map_err(sql(op))?
                {
                    condemned.insert(env.id);
                }
            }
            Ok(condemned)
        })?;
        if condemned.is_empty() {
            return Ok(all(Swept::Referenced));
        }
        self.let_go_of_changed();
        let in_use = in_use::scan(layout);
        let sweep = |env: &&EnvRow| {
            if !condemned.contains(&env.id) {
                return Ok(Swept::Referenced);
            }
            // Condemned environments are swept by the next collection.
            if cancel.is_cancelled() || in_use.by_name.contains_key(env.name.as_str()) {
                return Ok(Swept::Leased);
            }
            self.sweep(env, done)
        };
        Ok(envs.iter().map(sweep).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::runtime::python::{Python, discover};
    use crate::settings::Settings;
    use crate::spec::{RuntimeKind, Spec};
    use crate::store::Ensure;

    #[test]
    fn each_of_many_packs_has_its_own_result_and_an_environment_counts_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut settings = Settings::default();
        let found = discover::testing::interpreters();
        settings.python.interpreters = found.iter().take(1).map(|one| one.path.clone()).collect();
        let python = Arc::new(Python::new(&settings));
        let store = Store::builder(dir.path().join("store")).settings(settings).runtime(python).create(true);
        let store = store.open().expect("opens");
        let pack = |name: &str| PackRef::new(name).expect("a ref");
        for name in ["a", "b", "c"] {
            let ask = Ensure::new(Spec::empty(RuntimeKind::Python));
            store.ensure(&pack(name), &ask, &Cancel::new()).expect("ensures");
        }
        let remove = |names: &[&str]| {
            let packs: Vec<PackRef> = names.iter().map(|name| pack(name)).collect();
            let removed = store.remove_all(&packs, false, &Cancel::new()).expect("removes");
            removed.into_iter().map(|one| one.map(|one| one.env_removed).ok()).collect::<Vec<_>>()
        };
        assert_eq!(remove(&["a", "unknown"]), [Some(false), None]);
        assert_eq!(remove(&["b", "a", "c"]), [Some(true), None, Some(false)]);
        assert_eq!(remove(&[]), []);
        assert!(store.list().expect("lists").is_empty());
    }
}
