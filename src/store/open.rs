//! Opening and creating a store.
//!
//! # Compatibility
//! Opening never changes the format. A newer format is refused.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};

use serde::{Deserialize, Serialize};

use super::handles::{HANDLES, Handles};
use super::identity::{self, Located, Place};
use super::observer::{Observed, Observer};
use super::open_epoch::open_epoch;
use super::reindex::Rebuild;
use super::stats::Counters;
use super::{Inner, Store, access, after_boot, create};
use crate::clock::{Clock, SystemClock};
use crate::credentials::{Callback, Login};
use crate::epoch::Epoch;
use crate::error::{Error, Result};
use crate::index::{self, Access, Index, Opening};
use crate::layout::{Layout, STORE_JSON};
use crate::settings::{CredentialSource, Settings};
use crate::store::runtime::Runtime;
use crate::store_file::StoreFile;

/// Who may read a store, set at its creation. Only its owner ever writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShareWith {
    /// The root directory's group: mode 0750.
    #[default]
    Group,
    /// Everybody on the host: mode 0755.
    All,
}

/// How a store is opened.
#[derive(Debug)]
pub struct Builder {
    root: PathBuf,
    settings: Settings,
    runtimes: Vec<Arc<dyn Runtime>>,
    clock: Arc<dyn Clock>,
    read_only: bool,
    create: bool,
    restore: bool,
    asks_once: bool,
    share_with: ShareWith,
    handles: usize,
    observed: Observed,
    credentials: Option<Callback>,
}

impl Builder {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            settings: Settings::default(),
            runtimes: Vec::new(),
            clock: Arc::new(SystemClock),
            read_only: false,
            create: false,
            restore: false,
            asks_once: false,
            share_with: ShareWith::default(),
            handles: HANDLES,
            observed: Observed::default(),
            credentials: None,
        }
    }

    /// Uses these settings.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Can make environments of this language.
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.runtimes.push(runtime);
        self
    }

    /// Asks this clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Writes nothing, whatever the mount allows.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Opens it for a process that asks a question or two and ends, or becomes another program: [`Opening::is_for_one_question`], and no handles are kept.
    #[cfg(feature = "cli")]
    pub(crate) fn asks_once(mut self, asks_once: bool) -> Self {
        self.asks_once = asks_once;
        self
    }

    /// Creates the store when there is none.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Writes `store.json` again where it was lost and a store's files are there.
    pub fn restore(mut self, restore: bool) -> Self {
        self.restore = restore;
        self
    }

    /// Who may read it, if it is created now.
    pub fn share_with(mut self, share_with: ShareWith) -> Self {
        self.share_with = share_with;
        self
    }

    /// Keeps the environments of at most so many packs leased, so that resolving them again costs nothing; 512 where nothing is said.
    /// Each takes a descriptor. None are kept with 0.
    pub fn handles(mut self, handles: usize) -> Self {
        self.handles = handles;
        self
    }

    /// Tells this what the store does in this process.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observed = Observed(Some(observer));
        self
    }

    /// Asks this for the login of each index that has no credentials of its own, by the index's name, at each build; none: it needs none. What
    /// it says is kept nowhere.
    pub fn credentials(mut self, ask: impl Fn(&str) -> Result<Option<Login>, String> + Send + Sync + 'static) -> Self {
        self.credentials = Some(Callback::new(ask));
        self
    }

    /// Opens the store. An index that is missing or damaged is rebuilt first, if this process may.
    ///
    /// Only a process of the user who owns the root directory can write. Any other, root included, opens the store for reading: what root wrote, the owner could
    /// neither replace nor delete. The library never changes the ids of its process; a service of root that is to write runs as the owner, for example by
    /// `User=` of its systemd unit.
    ///
    /// # Errors
    /// [`Error::NoStore`], [`Error::UnsupportedFormat`], [`Error::NotPermitted`] for a root that others may write to, and at creation for a directory of another user,
    /// [`Error::UnsupportedFilesystem`] at creation.
    pub fn open(self) -> Result<Store> {
        let found = self.find()?;
        self.open_found(found)
    }

    /// Finds the store, or creates it.
    pub(super) fn find(&self) -> Result<Found> {
        let located = match identity::locate(&self.root) {
            Err(Error::NoStore { .. }) if self.create && !self.read_only => {
                create::create(&self.root, self.share_with, self.clock.as_ref())?;
                identity::locate(&self.root)?
            }
            Err(Error::LostStoreFile { path }) if self.restore && !self.read_only => {
                create::restore(&path, self.clock.as_ref())?;
                identity::locate(&self.root)?
            }
            Err(Error::Corrupt { path, .. }) if self.restore && !self.read_only && path.ends_with(STORE_JSON) => {
                create::set_aside_store_file(&path)?;
                create::restore(path.parent().unwrap_or(&path), self.clock.as_ref())?;
                identity::locate(&self.root)?
            }
            located => located?,
        };
        let Located { layout, store, place } = located;
        create::require_usable_path(&layout)?;
        let access = access::access(&layout, &store, self.read_only)?;
        let epoch = open_epoch(&layout, access, &store.id);
        let boot = if access == Access::Immutable { None } else { self.clock.boot() };
        Ok(Found { layout, store, place, access, epoch, boot })
    }

    pub(super) fn open_found(mut self, found: Found) -> Result<Store> {
        let Found { layout, store, place, access, epoch: found_epoch, boot } = found;
        if access == Access::Owner {
            create::make_missing(&layout)?;
        } else {
            create::check_directories(&layout)?;
        }
        if let Some(callback) = &self.credentials {
            for index in self.settings.indexes.iter_mut().filter(|index| index.credentials.is_none()) {
                index.credentials = Some(CredentialSource::Callback(callback.clone()));
            }
        }
        let mut recovered = None;
        // The index of a copy carries the original's id until `relocate` has ended.
        let is_of_former = store.former_id.is_some() && index::store_of(&layout) == store.former_id;
        let store_id = store.former_id.as_deref().filter(|_| is_of_former).or(Some(store.id.as_str()));
        let opening = |epoch, is_for_one_question| Opening { access, epoch, store_id, is_for_one_question };
        let index = match Index::open_as(&layout, opening(found_epoch, self.asks_once)) {
            Err(Error::Corrupt { reason, .. }) if access == Access::Owner => {
                tracing::warn!(%reason, "the index cannot be used and is rebuilt");
                let epoch = || open_epoch(&layout, access, &store.id);
                let (layout, store_id) = (&layout, store.id.as_str());
                let (clock, runtimes) = (self.clock.as_ref(), self.runtimes.as_slice());
                let counters = epoch();
                let rebuild = Rebuild { layout, store_id, epoch: counters.as_ref(), clock, runtimes };
                recovered = rebuild.unless_it_opens()?;
                Index::open_as(layout, opening(epoch(), false))?
            }
            opened => opened?,
        };
        let boot = boot.filter(|_| access == Access::Owner);
        if let Some(boot) = boot.as_ref().filter(|_| recovered.is_none()) {
            let (layout, store_id) = (&layout, store.id.as_str());
            let (clock, runtimes) = (self.clock.as_ref(), self.runtimes.as_slice());
            let rebuild = Rebuild { layout, store_id, epoch: index.epoch(), clock, runtimes };
            recovered = after_boot::check_index(&index, boot, &rebuild)?;
        }
        Ok(Store(Arc::new(Inner {
            layout,
            id: store.id,
            access,
            sealed: store.sealed,
            place,
            asked_to_record: AtomicBool::new(false),
            read_only: self.read_only,
            index,
            counters: Counters::default(),
            observed: self.observed,
            handles: Handles::new(if self.asks_once { 0 } else { self.handles }, self.clock.now()),
            settings: self.settings,
            runtimes: self.runtimes,
            clock: self.clock,
            boot,
            recovered,
            used: Mutex::default(),
            link_mode: OnceLock::new(),
        })))
    }
}

/// A store before its index is opened.
#[derive(Debug)]
pub(super) struct Found {
    pub layout: Layout,
    pub store: StoreFile,
    pub place: Place,
    pub access: Access,
    pub epoch: Option<Epoch>,
    /// The boot in which this process runs. None: nothing is written here, or it cannot be told.
    pub boot: Option<String>,
}

impl Store {
    /// Something in a directory that keeps a store from being created there.
    #[cfg(feature = "worker")]
    pub(crate) fn stranger_in(root: &Path) -> Result<Option<String>> {
        create::stranger(&Layout::new(root))
    }
}
