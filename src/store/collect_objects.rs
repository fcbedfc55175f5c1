//! Collecting components that no environment holds, and objects that no component names.
//!
//! # Locking
//! Objects are removed under `guards/objects`, exclusive: whoever links objects holds it shared until a row names them.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Store;
use super::gc::children;
use super::report::Collected;
use crate::cancel::Cancel;
use crate::component::Component;
use crate::digest::FileDigest;
use crate::error::{Error, Result};
use crate::fs::lock::Mode;
use crate::fs::remove;
use crate::guard::Guard;
use crate::index::{EnvRow, collection, components, sql};

/// How long builders may keep a collector waiting.
const PATIENCE: Duration = Duration::from_secs(60);

impl Store {
    /// Drops components that were not used since a time or are beyond their limit, then removes objects. A rehearsal counts what that would free once
    /// the environments of `plan` are gone.
    pub(super) fn collect_objects(
        &self,
        unused_since: Timestamp,
        plan: &[EnvRow],
        is_rehearsal: bool,
        patience: Duration,
        cancel: &Cancel,
        done: &mut Collected,
    ) -> Result<()> {
        let Some(_guard) = self.objects_alone_within(patience, cancel)? else { return Ok(()) };
        let op = "drop components";
        let look = |tx: &rusqlite::Transaction<'_>| {
            if is_rehearsal {
                let ids: Vec<i64> = plan.iter().map(|env| env.id).collect();
                components::let_go(tx, &ids).map_err(sql(op))?;
            }
            let limit = self.0.settings.gc.components_max_size;
            let (_, young) = components::drop_unheld(tx, unused_since, limit).map_err(sql(op))?;
            let named = components::named_objects(tx).map_err(sql(op))?;
            components::forget_derived(tx, &named).map_err(sql(op))?;
            Ok((young, named))
        };
        let index = &self.0.index;
        let (young, named) = if is_rehearsal { index.rehearse(op, look) } else { index.write(op, look) }?;
        done.kept.components = young;
        let objects = self.objects()?;
        for (path, freed) in objects.unnamed(&named)? {
            cancel.check("collecting")?;
            // While the environments of a rehearsal stand, their links hide what their deletion frees.
            let size = if is_rehearsal { path.metadata().map_or(freed, |meta| meta.len()) } else { freed };
            if !is_rehearsal {
                objects.remove(&path)?;
            }
            done.freed_by_kind.objects += size;
        }
        done.freed_by_kind.locks += self.collect_locks(is_rehearsal)?;
        Ok(())
    }

    /// Removes the locks that no generation and no environment names. The caller holds `guards/objects` exclusive: a build
    /// holds it from before its lock is written until its row names it.
    fn collect_locks(&self, is_rehearsal: bool) -> Result<u64> {
        let named = self.0.index.read("list locks", collection::named_locks)?;
        let kept: HashSet<_> = named.iter().map(|digest| self.0.layout.lock(digest)).collect();
        let mut freed = 0;
        for path in children(&self.0.layout.dir("locks"))?.into_iter().filter(|path| !kept.contains(path)) {
            freed +=
                if is_rehearsal { path.metadata().map_or(0, |meta| meta.len()) } else { remove::remove_tree(&path)? };
        }
        Ok(freed)
    }

    /// Removes what only an environment that is gone held. Returns the bytes that freed.
    pub(super) fn collect_objects_of(&self, held: &[i64]) -> Result<u64> {
        let Some(_guard) = self.objects_alone(&Cancel::new())? else { return Ok(0) };
        let op = "drop components";
        let (dropped, named): (Vec<Component>, HashSet<FileDigest>) = self.0.index.write(op, |tx| {
            let dropped = components::drop_if_unheld(tx, held).map_err(sql(op))?;
            let named = components::named_objects(tx).map_err(sql(op))?;
            components::forget_derived(tx, &named).map_err(sql(op))?;
            Ok((dropped, named))
        })?;
        let locks = self.collect_locks(false)?;
        let objects = self.objects()?;
        let files = dropped.iter().flat_map(|component| &component.files);
        let unnamed: HashSet<_> =
            files.filter(|file| !named.contains(&file.digest)).map(|file| (file.digest, file.exec)).collect();
        let freed: Result<u64> =
            unnamed.into_iter().map(|(digest, exec)| objects.remove(&self.0.layout.object(&digest, exec))).sum();
        Ok(freed? + locks)
    }

    /// The guard that keeps everybody else from linking objects. None: builders did not let go in time; the next run
    /// does it.
    pub(super) fn objects_alone(&self, cancel: &Cancel) -> Result<Option<Guard>> {
        self.objects_alone_within(PATIENCE, cancel)
    }

    fn objects_alone_within(&self, patience: Duration, cancel: &Cancel) -> Result<Option<Guard>> {
        let path = self.0.layout.guard_objects();
        match Guard::take(path, Mode::Exclusive, Instant::now() + patience, cancel, &|_, _| ()) {
            Ok(guard) => Ok(Some(guard)),
            Err(Error::Busy { .. }) => {
                tracing::warn!("builds are going on all the time: objects are left for the next collection");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
