//! Sweeping one condemned environment: the second step of collection.
//!
//! # Locking
//! The exclusive lock on its lease proves that no process uses it; it is held until the directory is gone. Then
//! one transaction asks again whether anything names it (I4) and says `deleting`. The directory leaves by one
//! durable rename (I2) before anything in it is unlinked. If it cannot be renamed, nothing was changed yet but the row, and that
//! says again what it said before.

use std::io::ErrorKind;
use std::path::Path;

use super::Store;
use super::report::Collected;
use crate::error::{Error, Result};
use crate::failpoint::reached;
use crate::fs::{durable, nofollow, probe, remove};
use crate::index::{EnvRow, State, collection, components, envs, events, sql};
use crate::layout::EnvName;
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
    /// It is in a lower layer of an overlay filesystem, where nothing can be deleted. It stays as it is, and an `ensure` may take it back.
    Immovable,
}

impl Store {
    /// Deletes a condemned environment unless somebody uses or names it. The caller looked through `/proc` and
    /// holds `guards/gc`, or is about to delete what it just unbound.
    pub(super) fn sweep(&self, env: &EnvRow, done: &mut Collected) -> Result<Swept> {
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
        self.delete(env, done)
    }

    /// Deletes the directory, manifest and row of an environment that is `deleting`. What stays of it in `trash/` is noted.
    pub(super) fn delete(&self, env: &EnvRow, done: &mut Collected) -> Result<Swept> {
        let layout = &self.0.layout;
        let dir = layout.env(&env.name);
        // What it shares by reflinks is freed with the objects, once no environment has them.
        let shared = self.0.index.read("weigh an environment", |db| components::reflinked_of(db, env.id))?;
        let trash = layout.dir("trash").join(durable::unique(env.name.as_str()));
        reached("sweep: before the rename to trash")?;
        match nofollow::rename(&dir, &trash) {
            Ok(()) => durable::sync_dir(&layout.dir("envs"))?,
            // Only if it is the directory that is gone, and not `trash/`.
            Err(error) if error.kind() == ErrorKind::NotFound && dir.symlink_metadata().is_err() => {}
            Err(error) => {
                let known = matches!(env.state, State::Ready | State::Condemned);
                self.spare(env, if known { State::Condemned } else { State::Corrupt })?;
                // On another filesystem `trash/` was mounted, which is a mistake of its own: report it as it is.
                if error.kind() == ErrorKind::CrossesDevices && probe::is_overlay(&dir) {
                    return Ok(Swept::Immovable);
                }
                return Err(Error::io("move to trash", &dir)(error));
            }
        }
        // From here on a process that dies, or fails, leaves a row that is `deleting`: the next collection goes on here. Should the index be
        // lost as well, what is in `trash/` tells whose manifest is left.
        let mut freed = remove::remove_tree(&layout.manifest(&env.name))?;
        durable::sync_dir(&layout.dir("manifests"))?;
        let emptied = remove::remove_tree(&trash);
        freed += done.freed(&trash, emptied).saturating_sub(shared);
        let op = "forget an environment";
        let now = self.0.clock.now();
        self.0.index.write(op, |tx| {
            let key = env.key.to_string();
            events::event(tx, now, "collected", None, None, (Some(&key), None)).map_err(sql(op))?;
            envs::delete(tx, env.id).map_err(sql(op))
        })?;
        Ok(Swept::Gone(freed))
    }

    /// Empties `trash/`. A manifest is removed before the environment that it was of, unless a row names it or the directory is there again.
    pub(super) fn empty_trash(&self, done: &mut Collected) {
        let layout = &self.0.layout;
        let remove = |path: &Path| -> Result<u64> {
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split('-').next());
            let mut freed = 0;
            if let Some(name) = name.and_then(|name| name.parse::<EnvName>().ok())
                && !layout.env(&name).exists()
                && self.0.index.read("look up an environment", |db| envs::by_name(db, &name))?.is_none()
            {
                freed += remove::remove_tree(&layout.manifest(&name))?;
            }
            Ok(freed + remove::remove_tree(path)?)
        };
        for path in done.children(&layout.dir("trash")) {
            done.freed_by_kind.trash += done.freed(&path, remove(&path));
        }
    }

    /// Takes back that an environment is `deleting`, because it could not be moved. What is not known to be whole must become `corrupt`: a
    /// condemned environment may be used again.
    pub(super) fn spare(&self, env: &EnvRow, state: State) -> Result<()> {
        let op = "mark an environment";
        self.0.index.write(op, |tx| envs::set_state(tx, env.id, &[State::Deleting], state).map(drop).map_err(sql(op)))
    }
}
