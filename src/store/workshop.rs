//! Where locks and environments are made: a log, a private directory, the installer's cache.

use std::cell::OnceCell;
use std::path::PathBuf;

use super::Store;
use super::build::Order;
use super::doubtful_cache::Mark;
use super::runtime::{Job, NoDerivedFiles};
use super::staging::Scratch;
use crate::error::Result;
use crate::fs::lock::Mode;
use crate::guard::Guard;
use crate::lock::Lock;
use crate::process::Log;

/// What a build works in: its log and a private directory.
pub(super) struct Workshop<'a> {
    store: &'a Store,
    pub log: Log,
    scratch: Scratch,
    /// Nobody trims the cache while an installer may use it.
    _cache: Guard,
    /// What an installer wrote into it, if one was started, is not on disk yet.
    mark: OnceCell<Option<Mark>>,
    cache: PathBuf,
    tools: PathBuf,
    pub preferences: Vec<String>,
}

impl<'a> Workshop<'a> {
    pub fn new(store: &'a Store, log_name: &str, order: &Order<'_>) -> Result<Self> {
        let layout = &store.0.layout;
        store.discard_doubtful_cache(order)?;
        Ok(Self {
            store,
            log: Log::create(&layout.log(log_name))?,
            scratch: Scratch::new(layout, "build")?,
            _cache: store.wait(vec![layout.guard_cache()], Mode::Shared, "the installer's cache", order)?,
            cache: layout.dir("cache"),
            tools: layout.dir("tools"),
            mark: OnceCell::new(),
            preferences: Vec::new(),
        })
    }

    /// An installer makes the lock of a declaration.
    pub fn lock(&self, order: &Order<'_>) -> Result<Lock> {
        self.use_cache()?;
        order.runtime.lock(&self.job(order), order.spec)
    }

    /// Comes before whatever starts an installer.
    pub fn use_cache(&self) -> Result<()> {
        if self.mark.get().is_none() {
            let _ = self.mark.set(self.store.mark_cache()?);
        }
        Ok(())
    }

    pub fn job<'j>(&'j self, order: &'j Order<'_>) -> Job<'j> {
        Job {
            limits: order.limits,
            settings: &self.store.0.settings,
            interpreter: order.interpreter,
            scratch: &self.scratch.dir,
            cache: &self.cache,
            tools: &self.tools,
            log: &self.log,
            cancel: order.cancel,
            lease: None,
            progress: order.progress,
            derived: &NoDerivedFiles,
            preferences: &self.preferences,
        }
    }
}

impl Drop for Workshop<'_> {
    fn drop(&mut self) {
        if let Some(Some(mark)) = self.mark.take() {
            self.store.settle_cache(mark);
        }
    }
}
