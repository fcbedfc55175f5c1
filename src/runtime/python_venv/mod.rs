//! [`PythonVenvManager`]: a [`DependencyManager`] whose environments are those of a store.
//!
//! # Performance
//! The path of a pack that was asked for before costs what [`Store::resolve`] does. Everything that may wait runs on threads
//! that may block.

mod handed_out;
mod pack_name;
mod place;
mod site;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::OnceCell;

use self::place::Place;
use super::dependency::{DependencyError, DependencyManager, DependencyResult, DependencySpec, EnvironmentInfo};
use super::python::Python;
use crate::async_store::{AsyncStore, blocking};
use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::pack::PackRef;
use crate::process::{Limits, Log, run};
use crate::settings::Settings;
use crate::spec::{RuntimeKind, Spec};
use crate::store::report::{Entry, Level};
use crate::store::verify::Verify;
use crate::store::{Ensure, EnvHandle, Gc, Store};

/// How many `ensure`s of one manager work at once; those that build take turns by `install.jobs` too.
const CONCURRENT: usize = 16;
/// How long an interpreter may take to start.
const START: Duration = Duration::from_secs(30);

/// Python environments for a worker's packs, in a store.
///
/// Packs whose dependencies lock alike have one environment, and an entry each. An environment whose path was returned stays until
/// its pack's next but one change, also if it is removed from the index by somebody else, so that the path can be started.
///
/// Several managers on one directory, in one process or in many, are fine.
#[derive(Debug)]
pub struct PythonVenvManager {
    base_dir: PathBuf,
    python: Option<PathBuf>,
    settings: Option<Settings>,
    opened: OnceCell<Opened>,
}

#[derive(Debug, Clone)]
struct Opened {
    store: AsyncStore,
    place: Arc<Place>,
    settings: Arc<Settings>,
}

impl PythonVenvManager {
    /// Environments below a directory, made as the site's configuration says (`/etc/envstore/config.toml` and the user's, or the file that
    /// `ENVSTORE_CONFIG` names). Nothing is opened before it is needed.
    pub fn new(base_dir: PathBuf) -> Self {
        Self { base_dir, python: None, settings: None, opened: OnceCell::new() }
    }

    /// The same with a default interpreter: a path, or a name such as `python3.11`.
    pub fn with_python_path(base_dir: PathBuf, python_path: PathBuf) -> Self {
        Self { python: Some(python_path), ..Self::new(base_dir) }
    }

    /// The same with settings of the caller's own; no configuration is read.
    pub fn with_settings(base_dir: PathBuf, settings: Settings) -> Self {
        Self { settings: Some(settings), ..Self::new(base_dir) }
    }

    /// The directory it was given.
    pub fn base_dir(&self) -> &Path {
        &self.base_dir
    }

    /// The store itself. The first call opens it, and creates it if it is not there.
    ///
    /// # Errors
    /// Those of [`Builder::open`](crate::store::Builder::open), and a configuration that cannot be read.
    pub async fn store(&self) -> Result<AsyncStore> {
        self.opened().await.map(|opened| opened.store.clone())
    }

    /// The pack a worker's ref stands for: the ref itself, escaped where the store's refs are narrower.
    ///
    /// # Errors
    /// [`Error::PackRef`] for one that is too long.
    pub fn pack(pack_ref: &str) -> Result<PackRef> {
        pack_name::to_pack(pack_ref).map_err(Error::from)
    }

    /// The worker's ref that a pack stands for.
    pub fn pack_ref(pack: &PackRef) -> String {
        pack_name::of_pack(pack)
    }

    async fn opened(&self) -> Result<&Opened> {
        let open = || async {
            let (base_dir, python, settings) = (self.base_dir.clone(), self.python.clone(), self.settings.clone());
            blocking(move || open(&base_dir, python.as_deref(), settings)).await
        };
        self.opened.get_or_try_init(open).await
    }

    /// The environment a pack is bound to, kept from now on.
    async fn resolve(&self, pack: &PackRef) -> Result<Option<EnvHandle>> {
        let opened = self.opened().await?;
        match opened.store.resolve(pack.clone()).await {
            Ok(handle) => {
                opened.place.handed_out.keep(pack, &handle);
                Ok(Some(handle))
            }
            Err(Error::NoPack(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn entry(&self, pack: &PackRef) -> Result<Option<EnvironmentInfo>> {
        let pack = pack.clone();
        self.ask(move |store| Ok(store.entry(&pack)?.map(info))).await
    }

    /// Asks the store on a thread that may block.
    async fn ask<T: Send + 'static>(&self, work: impl FnOnce(&Store) -> Result<T> + Send + 'static) -> Result<T> {
        self.opened().await?.store.with(work).await
    }

    async fn declaration(&self, spec: &DependencySpec) -> Result<Spec> {
        spec.require_runtime(self.runtime_type())?;
        spec.declaration(&self.opened().await?.settings.install)
    }
}

#[async_trait]
impl DependencyManager for PythonVenvManager {
    fn runtime_type(&self) -> &str {
        RuntimeKind::Python.as_str()
    }

    async fn ensure_environment(&self, pack_ref: &str, spec: &DependencySpec) -> DependencyResult<EnvironmentInfo> {
        let pack = Self::pack(pack_ref)?;
        let declaration = self.declaration(spec).await?;
        let opened = self.opened().await?;
        let ready = opened.store.ensure(pack.clone(), Ensure::new(declaration)).await?;
        opened.place.handed_out.keep(&pack, &ready.handle);
        self.entry(&pack).await?.ok_or_else(|| not_found(pack_ref))
    }

    async fn get_environment(&self, pack_ref: &str) -> DependencyResult<Option<EnvironmentInfo>> {
        let pack = Self::pack(pack_ref)?;
        match self.resolve(&pack).await {
            // An entry whose environment is gone is there all the same, and says so.
            Ok(Some(_)) | Err(Error::Corrupt { .. }) => Ok(self.entry(&pack).await?),
            Ok(None) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn remove_environment(&self, pack_ref: &str) -> DependencyResult<()> {
        let pack = Self::pack(pack_ref)?;
        let place = Arc::clone(&self.opened().await?.place);
        let removed = self.ask(move |store| {
            place.let_go_of(&pack);
            store.remove(&pack, false)
        });
        match removed.await {
            Ok(_) | Err(Error::NoPack(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn validate_environment(&self, pack_ref: &str) -> DependencyResult<bool> {
        let pack = Self::pack(pack_ref)?;
        match self.resolve(&pack).await {
            Ok(Some(handle)) => Ok(self.ask(move |store| is_sound(store, &handle)).await?),
            Ok(None) | Err(Error::Corrupt { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn get_executable_path(&self, pack_ref: &str) -> DependencyResult<PathBuf> {
        let pack = Self::pack(pack_ref)?;
        let handle = self.resolve(&pack).await?.ok_or_else(|| not_found(pack_ref))?;
        Ok(handle.interpreter())
    }

    async fn list_environments(&self) -> DependencyResult<Vec<EnvironmentInfo>> {
        let entries = self.ask(Store::entries).await?;
        Ok(entries.into_iter().filter(|entry| entry.runtime == RuntimeKind::Python).map(info).collect())
    }

    /// Takes away the entries whose environment or interpreter is gone, but for the `keep_recent` packs that changed last; then collects
    /// what nothing names any more. What works is never taken from a pack.
    async fn cleanup(&self, keep_recent: usize) -> DependencyResult<Vec<String>> {
        let mut entries = self.list_environments().await?;
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.updated_at));
        let mut removed = Vec::new();
        for entry in entries.into_iter().skip(keep_recent).filter(|entry| !entry.is_valid) {
            self.remove_environment(&entry.id).await?;
            removed.push(entry.id);
        }
        self.ask(|store| store.gc(&Gc::default(), &Cancel::new())).await?;
        Ok(removed)
    }

    async fn needs_update(&self, pack_ref: &str, spec: &DependencySpec) -> DependencyResult<bool> {
        let pack = Self::pack(pack_ref)?;
        let declaration = self.declaration(spec).await?;
        let answered = {
            let pack = pack.clone();
            self.ask(move |store| store.answers(&pack, &declaration)).await?
        };
        Ok(!answered || self.entry(&pack).await?.is_none_or(|entry| !entry.is_valid))
    }
}

fn open(base_dir: &Path, python: Option<&Path>, settings: Option<Settings>) -> Result<Opened> {
    let settings = settings.map_or_else(|| site::settings(python), Ok)?;
    let store = Store::builder(place::root(base_dir)?)
        .runtime(Arc::new(Python::new(&settings)))
        .settings(settings.clone())
        .create(true)
        .open()?;
    let place = Place::of(&store);
    Ok(Opened { store: AsyncStore::new(store, CONCURRENT), place, settings: Arc::new(settings) })
}

/// Whether an environment is as it was published, and its interpreter starts.
fn is_sound(store: &Store, handle: &EnvHandle) -> Result<bool> {
    let only = handle.path().file_name().map(|name| name.to_string_lossy().into_owned());
    let verified = store.verify(&Verify { only: only.into_iter().collect(), full: false }, &Cancel::new())?;
    if verified.findings.iter().any(|finding| finding.level == Level::Damage) {
        return Ok(false);
    }
    let mut command = Command::new(handle.interpreter());
    command.args(["-I", "-c", ""]);
    handle.activate(&mut command, None);
    let limits = Limits::starting_now(START, START);
    let started = run(command, "starting the interpreter", &Log::memory(), limits, &Cancel::new(), None);
    Ok(started.is_ok_and(|started| started.status.success()))
}

fn info(entry: Entry) -> EnvironmentInfo {
    EnvironmentInfo {
        id: pack_name::of_pack(&entry.pack),
        runtime: entry.runtime.as_str().into(),
        runtime_version: entry.version,
        installed_dependencies: entry.distributions.iter().map(|d| format!("{}=={}", d.name, d.version)).collect(),
        created_at: utc(entry.answers_since),
        updated_at: utc(entry.bound_at),
        // The link leads to the interpreter itself: both must be there.
        is_valid: entry.interpreter.exists(),
        executable_path: entry.interpreter,
        path: entry.path,
    }
}

fn utc(at: jiff::Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.as_microsecond()).unwrap_or_default()
}

fn not_found(pack_ref: &str) -> DependencyError {
    DependencyError::EnvironmentNotFound(format!("of pack `{pack_ref}`").into())
}
