//! Opening and creating a store.
//!
//! # Compatibility
//! Opening never changes the format. A newer format is refused.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::handles::{HANDLES, Handles};
use super::observer::{Observed, Observer};
use super::reindex::Rebuild;
use super::stats::Counters;
use super::{Inner, Store, access, after_boot, ballast};
use crate::cancel::Cancel;
use crate::clock::{Clock, SystemClock};
use crate::credentials::{Callback, Login};
use crate::epoch::Epoch;
use crate::error::{Error, Result};
use crate::fs::lock::Mode;
use crate::fs::{durable, probe};
use crate::guard::Guard;
use crate::index::{Access, Index, Opening, require_root};
use crate::layout::{BALLAST, DIRECTORIES, FORMAT, Layout};
use crate::settings::{CredentialSource, Settings};
use crate::store::runtime::Runtime;
use crate::store_file::StoreFile;

/// Who may read a store, set at its creation. Only its owner (and root) ever writes.
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
    /// # Errors
    /// [`Error::NoStore`], [`Error::UnsupportedFormat`], [`Error::NotPermitted`] for a root that others may write to,
    /// [`Error::UnsupportedFilesystem`] at creation.
    pub fn open(self) -> Result<Store> {
        let found = self.find()?;
        self.open_found(found)
    }

    /// Finds the store, or creates it.
    pub(super) fn find(&self) -> Result<Found> {
        let root = std::path::absolute(&self.root).map_err(Error::io("make absolute", &self.root))?;
        let layout = Layout::new(&root);
        let store = match StoreFile::read(&layout)? {
            Some(store) => store,
            None if self.create && !self.read_only => {
                create(&layout, self.share_with, self.clock.as_ref())?;
                StoreFile::read(&layout)?.ok_or(Error::NoStore { path: root })?
            }
            None => return Err(Error::NoStore { path: root }),
        };
        let access = access::access(&layout, &store, self.read_only)?;
        let epoch = epoch(&layout, access, &store.id)?;
        let boot = if access == Access::Immutable { None } else { self.clock.boot() };
        Ok(Found { layout, store, access, epoch, boot })
    }

    pub(super) fn open_found(mut self, found: Found) -> Result<Store> {
        let Found { layout, store, access, epoch: found_epoch, boot } = found;
        if let Some(callback) = &self.credentials {
            for index in self.settings.indexes.iter_mut().filter(|index| index.credentials.is_none()) {
                index.credentials = Some(CredentialSource::Callback(callback.clone()));
            }
        }
        let mut recovered = None;
        let store_id = Some(store.id.as_str());
        let opening = |epoch, is_for_one_question| Opening { access, epoch, store_id, is_for_one_question };
        let index = match Index::open_as(&layout, opening(found_epoch, self.asks_once)) {
            Err(Error::Corrupt { reason, .. }) if access == Access::Owner => {
                tracing::warn!(%reason, "the index cannot be used and is rebuilt");
                let epoch = || epoch(&layout, access, &store.id);
                let (layout, store_id) = (&layout, store.id.as_str());
                let (clock, runtimes) = (self.clock.as_ref(), self.runtimes.as_slice());
                let counters = epoch()?;
                let rebuild = Rebuild { layout, store_id, epoch: counters.as_ref(), clock, runtimes };
                recovered = rebuild.unless_it_opens()?;
                Index::open_as(layout, opening(epoch()?, false))?
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
            was_behind: OnceLock::new(),
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
    pub access: Access,
    pub epoch: Option<Epoch>,
    /// The boot in which this process runs. None: nothing is written here, or it cannot be told.
    pub boot: Option<String>,
}

impl Store {
    /// Something in a directory that keeps a store from being created there.
    #[cfg(feature = "worker")]
    pub(crate) fn stranger_in(root: &Path) -> Result<Option<String>> {
        stranger(&Layout::new(root))
    }
}

/// The counters that tell what changed. A store made before there were any gets them from whoever may write.
///
/// # Errors
/// [`Error::Corrupt`] for the owner: what it wrote would be told to nobody. A reader does without.
fn epoch(layout: &Layout, access: Access, store_id: &str) -> Result<Option<Epoch>> {
    let path = layout.epoch();
    match access {
        Access::Owner => {
            if let Some(epoch) = Epoch::open(&path, store_id, true)? {
                return Ok(Some(epoch));
            }
            // They hold for counters that are gone.
            let _ = fs::remove_file(layout.answers());
            Epoch::create(&layout.dir("staging"), &path, store_id)?;
            Epoch::open(&path, store_id, true)
        }
        Access::Reader => Ok(Epoch::open(&path, store_id, false).unwrap_or_default()),
        // Nobody writes it, and nobody would be told.
        Access::Immutable => Ok(None),
    }
}

/// Creates a store. Two processes may do it at once: the second finds the first one's.
fn create(layout: &Layout, share_with: ShareWith, clock: &dyn Clock) -> Result<()> {
    let root = layout.root();
    require_root(root)?;
    let made = !root.exists();
    if made {
        fs::create_dir_all(root).map_err(Error::io("create the store", root))?;
    }
    let guards = layout.dir("guards");
    if let Some(stranger) = stranger(layout)? {
        let reason = format!("`{}` is not empty and is no store (it holds `{stranger}`)", root.display());
        return Err(Error::NotPermitted { what: "create a store".into(), reason });
    }
    make_dir(&guards, 0o700)?;
    let deadline = Instant::now() + Duration::from_secs(60);
    let _guard = Guard::take(layout.guard_index(), Mode::Exclusive, deadline, &Cancel::new(), &|_, _| ())?;
    if layout.store_json().exists() {
        return Ok(());
    }
    let result = populate(layout, share_with, clock);
    if result.is_err() && made {
        // Nothing half-made stays; nobody can have used it.
        let _ = crate::fs::remove::remove_tree(root);
    }
    result
}

/// Something in a directory that no store has.
fn stranger(layout: &Layout) -> Result<Option<String>> {
    let root = layout.root();
    let listed = fs::read_dir(root).map_err(Error::io("list", root))?;
    let mut names = listed.filter_map(|entry| entry.ok().map(|entry| entry.file_name().to_string_lossy().into_owned()));
    Ok(names.find(|name| {
        // `store.json`: another process created the store since we looked.
        name != "store.json"
            && name != "lost+found"
            && name != BALLAST
            && !DIRECTORIES.iter().any(|(d, _)| d == name)
            && !name.starts_with("index.db")
            && [layout.epoch(), layout.answers()].iter().all(|file| !file.ends_with(name))
            && !name.starts_with(".probe")
    }))
}

fn populate(layout: &Layout, share_with: ShareWith, clock: &dyn Clock) -> Result<()> {
    let root = layout.root();
    let mode = match share_with {
        ShareWith::Group => 0o750,
        ShareWith::All => 0o755,
    };
    fs::set_permissions(root, fs::Permissions::from_mode(mode)).map_err(Error::io("set the mode of", root))?;
    probe::probe(root)?;
    for (name, readable) in DIRECTORIES {
        make_dir(&layout.dir(name), if readable { 0o755 } else { 0o700 })?;
    }
    let tag = "Signature: 8a477f597d28d172789f06886806bc55\n# What envstore can fetch again (bford.info/cachedir).\n";
    durable::write(&layout.dir("staging"), &layout.dir("cache").join("CACHEDIR.TAG"), tag.as_bytes(), 0o644)?;
    // What an attempt that was killed left of an index.
    for file in layout.index_files().into_iter().chain([layout.epoch(), layout.answers()]) {
        let _ = fs::remove_file(file);
    }
    Index::create(layout, 0o644)?;
    // What a collector of a full disk cannot make any more.
    for guard in [layout.guard_gc(), layout.guard_objects(), layout.guard_cache(), layout.guard_links()] {
        Guard::try_take(&guard, Mode::Shared)?;
    }
    ballast::make(layout)?;
    let store = StoreFile { format: FORMAT, id: new_id(root)?, created_at: clock.now(), sealed: false };
    Epoch::create(&layout.dir("staging"), &layout.epoch(), &store.id)?;
    durable::sync_filesystem(root)?;
    store.write(layout)
}

fn make_dir(path: &Path, mode: u32) -> Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(Error::io("create", path)(error)),
        // Whatever the umask, or an attempt that was killed.
        _ => fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(Error::io("set the mode of", path)),
    }
}

fn new_id(root: &Path) -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Error::io("name the store", root)(error.into()))?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}
