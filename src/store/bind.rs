//! Binding a pack to an environment: one transaction, and the pack's file before it commits.

use std::path::Path;

use super::report::Cause;
use super::{Store, behind};
use crate::binding::{BindingFile, GenerationRecord, VERSION};
use crate::digest::SpecDigest;
use crate::error::{Error, Result};
use crate::index::{Bound, EnvRow, NewBinding, PackRow, bindings, collection, envs, events, failures, sql};
use crate::pack::PackRef;
use crate::spec::Spec;

/// A binding to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Binding<'a> {
    pub pack: &'a PackRef,
    pub spec: &'a Spec,
    pub origin: Option<&'a Path>,
    pub env: &'a EnvRow,
    pub cause: Cause,
}

impl Store {
    /// Binds a pack to an environment the caller leases. Nothing is written when it is bound to it already and answers
    /// the same declaration. None: the environment was swept meanwhile, or made again: the caller looks again which one there is.
    pub(super) fn bind(&self, new: Binding<'_>) -> Result<Option<Bound>> {
        let now = self.0.clock.now();
        let answers = new.spec.digest();
        let op = "bind a pack";
        let mut is_new = false;
        let bound = self.0.index.write(op, |tx| {
            let failed = || sql(op);
            // A condemned environment is taken back by whoever wants it.
            if !envs::take_back(tx, new.env.id).map_err(failed())? {
                return Ok(None);
            }
            let before = bindings::resolve(tx, new.pack).map_err(failed())?;
            let pack = bindings::declare(tx, new.pack, new.spec, new.origin).map_err(failed())?;
            collection::forget_failure(tx, &answers, &new.env.interpreter.digest()).map_err(failed())?;
            failures::forget(tx, new.pack).map_err(failed())?;
            let unchanged = before.as_ref().is_some_and(|b| b.env.id == new.env.id && b.answers == answers);
            is_new = !unchanged;
            // Before a generation gets its number: the file may have later ones.
            let came_back = behind::catch_up(tx, &self.0.layout, new.pack, pack)?;
            let is_same = |past: &GenerationRecord| past.key == new.env.key && past.answers == answers;
            if let Some(past) = came_back.filter(|past| !unchanged && is_same(past)) {
                // It was written before, and its transaction was lost.
                bindings::set_current(tx, pack, Some(past.generation)).map_err(failed())?;
            } else if !unchanged {
                let generation = bindings::next_generation(tx, pack).map_err(failed())?;
                let binding = NewBinding {
                    env: Some(new.env.id),
                    key: &new.env.key,
                    interpreter: new.env.interpreter.digest(),
                    lock: &new.env.lock,
                    answers: &answers,
                    at: now,
                    cause: new.cause,
                    uid: Some(nix::unistd::getuid().as_raw()),
                };
                bindings::bind(tx, pack, generation, &binding).map_err(failed())?;
                // Before the file is written: it has the history that the index will have.
                bindings::trim_history(tx, pack, self.0.settings.gc.history_limit()).map_err(failed())?;
            }
            if is_new {
                let old = before.as_ref().map(|b| b.env.key.to_string());
                let key = new.env.key.to_string();
                let change = (old.as_deref(), Some(key.as_str()));
                events::event(tx, now, "bound", Some(new.pack.as_str()), Some(new.cause.as_str()), change)
                    .map_err(failed())?;
            }
            for env in before.iter().map(|b| b.env.id).chain([new.env.id]) {
                envs::touch(tx, env, now).map_err(failed())?;
            }
            let is_told =
                before.is_some_and(|b| unchanged && b.pack.spec == answers && b.pack.origin.as_deref() == new.origin);
            if !is_told {
                // Before the commit: an index that is lost afterwards finds it.
                self.write_binding_file(tx, new.pack)?;
            }
            bindings::resolve(tx, new.pack).map_err(failed())
        })?;
        if let Some(bound) = bound.as_ref().filter(|_| is_new) {
            self.0.observed.tell(|observer| observer.bound(new.pack, &bound.env.key, bound.generation));
        }
        self.follow_links(Some(new.pack))?;
        Ok(bound)
    }

    /// Records a declaration whose environment could not be made, for a pack that keeps the one it has.
    pub(super) fn record_declaration(&self, pack: &PackRef, spec: &Spec, origin: Option<&Path>) -> Result<()> {
        let op = "record a declaration";
        self.0.index.write(op, |tx| {
            let id = bindings::declare(tx, pack, spec, origin).map_err(sql(op))?;
            behind::catch_up(tx, &self.0.layout, pack, id)?;
            self.write_binding_file(tx, pack)
        })
    }

    /// Writes a pack's file as the transaction will leave the pack.
    fn write_binding_file(&self, tx: &rusqlite::Connection, pack: &PackRef) -> Result<()> {
        let op = "look up a pack";
        let row = bindings::find_pack(tx, pack).map_err(sql(op))?.ok_or_else(|| Error::NoPack(pack.clone()))?;
        binding_file(tx, &row)?.write(&self.0.layout)
    }

    /// Removes the bindings of packs in one transaction, and their histories unless they are kept. The results, in the packs' order, are the
    /// environments that they had, or [`Error::NoPack`].
    pub(super) fn unbind(&self, packs: &[PackRef], keep_history: bool) -> Result<Vec<Result<Option<EnvRow>>>> {
        let op = "remove packs";
        self.0.index.write(op, |tx| {
            let mut unbound = Vec::with_capacity(packs.len());
            let mut files = Vec::new();
            for pack in packs {
                unbound.push(match self.unbind_one(tx, pack, keep_history)? {
                    None => Err(Error::NoPack(pack.clone())),
                    Some((env, is_file_kept)) => {
                        files.extend((!is_file_kept).then_some(pack));
                        Ok(env)
                    }
                });
            }
            bindings::forget_unused_specs(tx).map_err(sql(op))?;
            // Last, when nothing else can fail: the files cannot be rolled back.
            BindingFile::remove_all(&self.0.layout, &files)?;
            Ok(unbound)
        })
    }

    /// Removes one pack's rows. None: there is no such pack. Else the environment it had, and whether its file stays.
    fn unbind_one(
        &self,
        tx: &rusqlite::Transaction<'_>,
        pack: &PackRef,
        keep_history: bool,
    ) -> Result<Option<(Option<EnvRow>, bool)>> {
        let (now, op) = (self.0.clock.now(), "remove a pack");
        let Some(row) = bindings::find_pack(tx, pack).map_err(sql(op))? else { return Ok(None) };
        let bound = bindings::resolve(tx, pack).map_err(sql(op))?;
        let spec = bindings::spec(tx, &row.spec).map_err(sql(op))?;
        if bound.is_none() && keep_history {
            return Ok(None);
        }
        bindings::unbind(tx, row.id, keep_history).map_err(sql(op))?;
        failures::forget(tx, pack).map_err(sql(op))?;
        let key = bound.as_ref().map(|b| b.env.key.to_string());
        events::event(tx, now, "removed", Some(pack.as_str()), None, (key.as_deref(), None)).map_err(sql(op))?;
        if let Some(bound) = &bound {
            envs::touch(tx, bound.env.id, now).map_err(sql(op))?;
        }
        let is_file_kept = keep_history && spec.is_some();
        if is_file_kept {
            behind::catch_up(tx, &self.0.layout, pack, row.id)?;
            self.write_binding_file(tx, pack)?;
        }
        Ok(Some((bound.map(|b| b.env), is_file_kept)))
    }
}

/// A pack's file as the index has the pack.
pub(super) fn binding_file(db: &rusqlite::Connection, row: &PackRow) -> Result<BindingFile> {
    let op = "read a pack's history";
    let history = bindings::history(db, row.id).map_err(sql(op))?;
    let spec = bindings::spec(db, &row.spec).map_err(sql(op))?.ok_or_else(|| Error::Corrupt {
        path: "index.db".into(),
        reason: format!("it lacks the declaration of pack `{}`", row.pack),
    })?;
    let mut earlier: Vec<SpecDigest> = history.iter().map(|past| past.answers).collect();
    earlier.sort_unstable();
    earlier.dedup();
    earlier.retain(|digest| *digest != row.spec);
    let earlier = earlier.iter().map(|digest| bindings::spec(db, digest));
    Ok(BindingFile {
        version: VERSION,
        earlier: earlier.filter_map(Result::transpose).collect::<rusqlite::Result<_>>().map_err(sql(op))?,
        pack: row.pack.clone(),
        origin: row.origin.clone(),
        spec,
        current: bindings::resolve(db, &row.pack).map_err(sql(op))?.map(|bound| bound.generation),
        generations: history.into_iter().map(GenerationRecord::from).collect(),
    })
}
