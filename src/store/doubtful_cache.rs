//! The installer's cache after a power cut.
//!
//! Installers write their caches without a sync, and trust what they find there. After a power cut that may be files with the right
//! names and nothing in them: locking then fails for ever, or worse, goes by half a file. (Tried on ext4 and xfs with uv.) So a
//! mark stands in `cache/` while what an installer wrote may not be on disk. It bears the boot it was made in; one of an earlier boot means that the cache is
//! thrown away before it is used. What it held can be fetched again.
//!
//! # Durability
//! The mark is synced before the installer starts, and removed after the filesystem was synced. One that a killed process left is removed by the next
//! sync of the same boot: the kernel still had what the dead had written.
//!
//! # Locking
//! A mark is locked while its process lives. Throwing the cache away takes `guards/cache` exclusive.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use super::Store;
use super::build::Order;
use nix::fcntl::OFlag;

use crate::error::{Error, Result};
use crate::fs::lock::{self, Mode};
use crate::fs::{durable, nofollow, probe, remove};
use crate::guard::Guard;

/// How the names of marks begin.
const PREFIX: &str = "unsynced";

/// What an installer writes from now on may not be on disk.
pub(super) struct Mark {
    path: PathBuf,
    guard: Guard,
}

impl Store {
    /// Says, durably, that an installer is about to write into the cache. None: this kernel does not tell its boots apart.
    pub(super) fn mark_cache(&self) -> Result<Option<Mark>> {
        let Some(boot) = self.0.clock.boot() else { return Ok(None) };
        let cache = self.0.layout.dir("cache");
        loop {
            let path = cache.join(durable::unique(PREFIX));
            // Whoever looked at it before it was locked holds it for a moment: another one, then.
            let Some(mut guard) = Guard::try_take(&path, Mode::Exclusive)? else { continue };
            let file = guard.file();
            file.write_all(boot.as_bytes()).and_then(|()| file.sync_all()).map_err(Error::io("write", &path))?;
            durable::sync_dir(&cache)?;
            return Ok(Some(Mark { path, guard }));
        }
    }

    /// The installer ended: what it wrote is made durable, and the mark goes. If that fails the mark stays (I8).
    pub(super) fn settle_cache(&self, mark: Mark) {
        let boot = self.0.clock.boot().unwrap_or_default();
        // Whoever died before this sync has nothing that it does not write out, or never began.
        let is_settled = |made: &str| made == boot || made.is_empty();
        let settled =
            self.marks().map(|marks| marks.into_iter().filter(|(_, made)| is_settled(made)).collect::<Vec<_>>());
        if let Err(error) = durable::sync_filesystem(self.root()) {
            tracing::warn!(%error, "the installer's cache is doubtful from now on");
            return;
        }
        let _ = nofollow::remove_file(&mark.path);
        drop(mark.guard);
        for (path, _) in settled.unwrap_or_default() {
            let _ = nofollow::remove_file(&path);
        }
    }

    /// Throws the cache away if an earlier boot ended while it was being written.
    pub(super) fn discard_doubtful_cache(&self, order: &Order<'_>) -> Result<()> {
        let Some(boot) = self.0.clock.boot() else { return Ok(()) };
        let is_doubtful =
            || Ok::<_, Error>(self.marks()?.into_iter().any(|(_, made)| !made.is_empty() && made != boot));
        if !is_doubtful()? {
            return Ok(());
        }
        let layout = &self.0.layout;
        let _guard =
            self.wait(vec![layout.guard_cache()], Mode::Exclusive, "the installer's cache to be thrown away", order)?;
        if !is_doubtful()? {
            return Ok(());
        }
        tracing::warn!("the last boot ended while an installer wrote into its cache: it is thrown away");
        let cache = layout.dir("cache");
        for entry in fs::read_dir(&cache).map_err(Error::io("list", &cache))? {
            let entry = entry.map_err(Error::io("list", &cache))?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let trash = layout.dir("trash").join(durable::unique("cache"));
                match nofollow::rename(&entry.path(), &trash) {
                    // A directory of an overlay's lower layer cannot be renamed.
                    Err(error) if error.kind() == ErrorKind::CrossesDevices && probe::is_overlay(&cache) => {
                        remove::remove_tree(&entry.path()).map(drop)?
                    }
                    moved => moved.map_err(Error::io("move to trash", entry.path()))?,
                }
            }
        }
        // Gone for good before the marks are: a power cut between leaves it doubtful.
        durable::sync_dir(&cache)?;
        for (path, _) in self.marks()? {
            nofollow::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
        // What this takes is the collector's to end, if it is cut short.
        let trash = layout.dir("trash");
        for entry in fs::read_dir(&trash).map_err(Error::io("list", &trash))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with("cache-") {
                let _ = remove::remove_tree(&entry.path());
            }
        }
        Ok(())
    }

    /// The marks of processes that are gone, each with the boot it was made in. One without a word was cut before it was synced: its
    /// installer never started.
    fn marks(&self) -> Result<Vec<(PathBuf, String)>> {
        let cache = self.0.layout.dir("cache");
        let mut marks = Vec::new();
        for entry in fs::read_dir(&cache).map_err(Error::io("list", &cache))? {
            let entry = entry.map_err(Error::io("list", &cache))?;
            if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
                continue;
            }
            let path = entry.path();
            // Opened, never made: one that is settled meanwhile stays away.
            let file = match nofollow::open(&path, OFlag::O_RDWR | OFlag::O_NONBLOCK, 0) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("open", &path)(error)),
            };
            if lock::try_lock(&file, Mode::Exclusive).map_err(Error::errno("lock", &path))? {
                let made = fs::read_to_string(&path).unwrap_or_default();
                marks.push((path, made));
            }
        }
        Ok(marks)
    }
}
