//! Collecting components that no environment holds, and objects that no component names.
//!
//! # Locking
//! Objects are removed under `guards/objects`, exclusive: whoever links objects holds it shared until a row names them.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Store;
use super::report::Collected;
use crate::cancel::Cancel;
use crate::component::Component;
use crate::digest::FileDigest;
use crate::error::{Error, Result};
use crate::fs::link::LinkMode;
use crate::fs::lock::Mode;
use crate::fs::remove;
use crate::guard::Guard;
use crate::index::components::Unheld;
use crate::index::{Candidate, collection, components, sql};
use crate::objects::Objects;

/// How long builders may keep a collector waiting.
const PATIENCE: Duration = Duration::from_secs(60);

impl Store {
    /// Drops components that were not used since a time or are beyond their limit, then removes objects. A rehearsal says what that would
    /// free once the environments of `plan` are gone, and writes nothing.
    pub(super) fn collect_objects(
        &self,
        unused_since: Timestamp,
        plan: &[Candidate],
        is_rehearsal: bool,
        patience: Duration,
        cancel: &Cancel,
        done: &mut Collected,
    ) -> Result<()> {
        let _guard = match self.objects_alone_within(patience, cancel) {
            Ok(Some(guard)) => guard,
            Ok(None) => return Ok(()),
            Err(error) if error.is_cancelled() => return Err(error),
            Err(error) => {
                done.skip(&self.0.layout.guard_objects(), &error);
                return Ok(());
            }
        };
        let limit = self.0.settings.gc.components_max_size;
        let index = &self.0.index;
        let named = if is_rehearsal {
            let gone: HashMap<i64, Timestamp> = plan.iter().map(|env| (env.id, env.last_used_at)).collect();
            let unheld = index.read("list components", |db| components::unheld(db, &gone))?;
            let dropped = superfluous(&unheld, unused_since, limit);
            done.kept.components = (unheld.len() - dropped.len()) as u64;
            index.read("list objects", |db| components::named_objects(db, &dropped))?
        } else {
            let op = "drop components";
            index.write(op, |tx| {
                let unheld = components::unheld(tx, &HashMap::new()).map_err(sql(op))?;
                let dropped = superfluous(&unheld, unused_since, limit);
                components::drop_all(tx, &dropped).map_err(sql(op))?;
                done.kept.components = (unheld.len() - dropped.len()) as u64;
                let named = components::named_objects(tx, &HashSet::new()).map_err(sql(op))?;
                components::forget_derived(tx, &named).map_err(sql(op))?;
                Ok(named)
            })?
        };
        let objects = self.objects_without_links();
        let (unnamed, unseen) = objects.unnamed(&named);
        for (path, error) in unseen {
            done.skip(&path, &error);
        }
        for path in unnamed {
            cancel.check("collecting")?;
            // While the environments of a rehearsal stand, their links hide what their deletion frees.
            let freed = if is_rehearsal {
                Ok(path.symlink_metadata().map_or(0, |meta| meta.len()))
            } else {
                objects.remove(&path)
            };
            done.freed_by_kind.objects += done.freed(&path, freed);
        }
        done.freed_by_kind.locks += self.collect_locks(is_rehearsal, done)?;
        Ok(())
    }

    /// Removes the locks that no generation and no environment names. The caller holds `guards/objects` exclusive: a build
    /// holds it from before its lock is written until its row names it.
    fn collect_locks(&self, is_rehearsal: bool, done: &mut Collected) -> Result<u64> {
        let digest = |path: &Path| path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let paths = done.children(&self.0.layout.dir("locks"));
        let named = || paths.iter().map(|path| digest(path)).collect();
        let unnamed = self.0.index.read("list locks", |db| collection::unnamed_locks(db, named()))?;
        let mut freed = 0;
        for path in paths.into_iter().filter(|path| unnamed.contains(&digest(path))) {
            freed += if is_rehearsal {
                path.symlink_metadata().map_or(0, |meta| meta.len())
            } else {
                done.freed(&path, remove::remove_tree(&path))
            };
        }
        Ok(freed)
    }

    /// Removes what only an environment that is gone held. Returns the bytes that freed.
    pub(super) fn collect_objects_of(&self, held: &[i64], done: &mut Collected) -> Result<u64> {
        let Some(_guard) = self.objects_alone(&Cancel::new())? else { return Ok(0) };
        let op = "drop components";
        let (dropped, named): (Vec<Component>, HashSet<FileDigest>) = self.0.index.write(op, |tx| {
            let dropped = components::drop_if_unheld(tx, held).map_err(sql(op))?;
            let named = components::named_objects(tx, &HashSet::new()).map_err(sql(op))?;
            components::forget_derived(tx, &named).map_err(sql(op))?;
            Ok((dropped, named))
        })?;
        let locks = self.collect_locks(false, done)?;
        let objects = self.objects_without_links();
        let files = dropped.iter().flat_map(|component| &component.files);
        let unnamed: HashSet<_> =
            files.filter(|file| !named.contains(&file.digest)).map(|file| (file.digest, file.exec)).collect();
        let paths = unnamed.into_iter().map(|(digest, exec)| self.0.layout.object(&digest, exec));
        let freed: u64 = paths.map(|path| done.freed(&path, objects.remove(&path))).sum();
        Ok(freed + locks)
    }

    /// The objects where none is put anywhere: to find out how that is done would need room in `staging/`.
    fn objects_without_links(&self) -> Objects<'_> {
        Objects::new(&self.0.layout, LinkMode::Copy)
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

/// Which of the components that no environment holds go: those of one environment at once, others when they were not used since a time,
/// then those used longest ago until the rest has no more than `limit` bytes.
fn superfluous(unheld: &[Unheld], unused_since: Timestamp, limit: u64) -> HashSet<i64> {
    let is_old = |component: &&Unheld| !component.has_identity || component.last_used_at <= unused_since;
    let (old, mut young): (Vec<&Unheld>, Vec<&Unheld>) = unheld.iter().partition(is_old);
    young.sort_unstable_by_key(|component| Reverse((component.last_used_at, component.id)));
    let mut kept: u64 = 0;
    let beyond = young.into_iter().filter(|component| {
        kept = kept.saturating_add(component.bytes);
        kept > limit
    });
    old.into_iter().chain(beyond).map(|component| component.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_components_go_first_and_what_no_other_environment_can_use_goes_at_once() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let one = |id, has_identity, bytes, second| Unheld { id, has_identity, bytes, last_used_at: at(second) };
        let unheld = [one(1, true, 10, 5), one(2, true, 10, 9), one(3, true, 10, 8), one(4, false, 1, 9)];
        let going = |since, limit| {
            let mut going: Vec<i64> = superfluous(&unheld, at(since), limit).into_iter().collect();
            going.sort_unstable();
            going
        };
        assert_eq!(going(0, 100), [4]);
        assert_eq!(going(5, 100), [1, 4]);
        assert_eq!(going(0, 29), [1, 4]);
        assert_eq!(going(0, 10), [1, 3, 4]);
        assert_eq!(going(0, 9), [1, 2, 3, 4]);
    }
}
