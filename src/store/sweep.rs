//! Sweeping one condemned environment: the second step of collection.
//!
//! # Locking
//! The exclusive lock on its lease proves that no process uses it; it is held until the directory is gone. Then
//! one transaction asks again whether anything names it (I4) and says `deleting`. The directory leaves by one
//! durable rename (I2) before anything in it is unlinked.

use std::fs;

use super::Store;
use crate::error::{Error, Result};
use crate::failpoint::reached;
use crate::fs::{durable, remove};
use crate::index::{EnvRow, State, collection, components, envs, events, sql};
use crate::lease::Lease;

/// What became of a condemned environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Swept {
    /// Deleted, with the bytes that gave.
    Gone(u64),
    /// A process uses it.
    Leased,
    /// Something names it again.
    Referenced,
}

impl Store {
    /// Deletes a condemned environment unless somebody uses or names it. The caller looked through `/proc` and
    /// holds `guards/gc`, or is about to delete what it just unbound.
    pub(super) fn sweep(&self, env: &EnvRow) -> Result<Swept> {
        let layout = &self.0.layout;
        let lease = layout.lease(&env.name);
        let exclusive = Lease::try_exclusive(&lease)?;
        if exclusive.is_none() && lease.exists() {
            return Ok(Swept::Leased);
        }
        let op = "mark an environment";
        let free = self.0.index.write(op, |tx| {
            if collection::is_referenced(tx, env.id).map_err(sql(op))? {
                return Ok(false);
            }
            envs::set_state(tx, env.id, &[State::Condemned, State::Corrupt, State::Deleting], State::Deleting)
                .map_err(sql(op))
        })?;
        if !free {
            return Ok(Swept::Referenced);
        }
        let freed = self.delete(env)?;
        Ok(Swept::Gone(freed))
    }

    /// Deletes the directory, manifest and row of an environment that is `deleting`.
    pub(super) fn delete(&self, env: &EnvRow) -> Result<u64> {
        let layout = &self.0.layout;
        let dir = layout.env(&env.name);
        // What it shares by reflinks is freed with the objects, once no environment has them.
        let shared = self.0.index.read("weigh an environment", |db| components::reflinked_of(db, env.id))?;
        // The manifest first: from here on a process that dies leaves an orphan, which counts for nothing.
        let manifest = layout.manifest(&env.name);
        let freed = remove::remove_tree(&manifest)?;
        durable::sync_dir(&layout.dir("manifests"))?;
        let trash = layout.dir("trash").join(durable::unique(env.name.as_str()));
        reached("sweep: before the rename to trash")?;
        match fs::rename(&dir, &trash) {
            Ok(()) => durable::sync_dir(&layout.dir("envs"))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("move to trash", &dir)(error)),
        }
        let freed = freed + remove::remove_tree(&trash)?.saturating_sub(shared);
        let op = "forget an environment";
        let now = self.0.clock.now();
        self.0.index.write(op, |tx| {
            let key = env.key.to_string();
            events::event(tx, now, "collected", None, None, (Some(&key), None)).map_err(sql(op))?;
            envs::delete(tx, env.id).map_err(sql(op))
        })?;
        Ok(freed)
    }
}
