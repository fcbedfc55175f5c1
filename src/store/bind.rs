//! Binding a pack to an environment: one transaction, and the pack's file before it commits.

use std::path::Path;

use super::Store;
use super::report::Cause;
use crate::binding::{BindingFile, GenerationRecord, VERSION};
use crate::digest::SpecDigest;
use crate::error::{Error, Result};
use crate::index::{Bound, EnvRow, NewBinding, bindings, collection, envs, events, failures, sql};
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
            if !unchanged {
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
                self.write_binding_file(tx, pack, new.pack, new.spec, new.origin)?;
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
            self.write_binding_file(tx, id, pack, spec, origin)
        })
    }

    /// Writes a pack's file as the transaction will leave the pack.
    fn write_binding_file(
        &self,
        tx: &rusqlite::Connection,
        id: i64,
        pack: &PackRef,
        spec: &Spec,
        origin: Option<&Path>,
    ) -> Result<()> {
        let op = "read a pack's history";
        let history = bindings::history(tx, id).map_err(sql(op))?;
        let current = bindings::resolve(tx, pack).map_err(sql(op))?.map(|bound| bound.generation);
        let mut earlier: Vec<SpecDigest> = history.iter().map(|past| past.answers).collect();
        earlier.sort_unstable();
        earlier.dedup();
        earlier.retain(|digest| *digest != spec.digest());
        let earlier = earlier.iter().map(|digest| bindings::spec(tx, digest));
        let file = BindingFile {
            version: VERSION,
            earlier: earlier.filter_map(Result::transpose).collect::<rusqlite::Result<_>>().map_err(sql(op))?,
            pack: pack.clone(),
            origin: origin.map(Path::to_owned),
            spec: spec.clone(),
            current,
            generations: history.into_iter().map(GenerationRecord::from).collect(),
        };
        file.write(&self.0.layout)
    }

    /// Removes a pack's binding, and its history unless it is kept. Returns the environment it had.
    pub(super) fn unbind(&self, pack: &PackRef, keep_history: bool) -> Result<Option<EnvRow>> {
        let now = self.0.clock.now();
        let op = "remove a pack";
        self.0.index.write(op, |tx| {
            let row = bindings::find_pack(tx, pack).map_err(sql(op))?.ok_or_else(|| Error::NoPack(pack.clone()))?;
            let bound = bindings::resolve(tx, pack).map_err(sql(op))?;
            let spec = bindings::spec(tx, &row.spec).map_err(sql(op))?;
            if bound.is_none() && keep_history {
                return Err(Error::NoPack(pack.clone()));
            }
            bindings::unbind(tx, row.id, keep_history).map_err(sql(op))?;
            failures::forget(tx, pack).map_err(sql(op))?;
            let key = bound.as_ref().map(|b| b.env.key.to_string());
            events::event(tx, now, "removed", Some(pack.as_str()), None, (key.as_deref(), None)).map_err(sql(op))?;
            if let Some(bound) = &bound {
                envs::touch(tx, bound.env.id, now).map_err(sql(op))?;
            }
            match spec {
                Some(spec) if keep_history => {
                    self.write_binding_file(tx, row.id, pack, &spec, row.origin.as_deref())?;
                }
                _ => BindingFile::remove(&self.0.layout, pack)?,
            }
            Ok(bound.map(|b| b.env))
        })
    }
}
