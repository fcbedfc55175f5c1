//! [`AsyncStore`]: the store behind `async` methods (feature `tokio`).
//!
//! A thin layer: each call runs the synchronous one on a thread that may block, with at most a set number of
//! `ensure`s at once. A future that is dropped cancels its work: the installer is stopped and nothing half-made stays.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::pack::PackRef;
use crate::store::{Ensure, EnsureError, EnvHandle, Ready, Store};

/// How many questions are answered at once.
pub const ASKS: usize = 16;

/// A store for async callers. Clones share the limits.
#[derive(Debug, Clone)]
pub struct AsyncStore {
    store: Store,
    permits: Arc<Semaphore>,
    asks: Arc<Semaphore>,
}

/// Cancels when it is dropped before its work ended.
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl AsyncStore {
    /// Wraps a store; at most `concurrent` calls of `ensure` work at once, the others wait their turn.
    pub fn new(store: Store, concurrent: usize) -> Self {
        Self { store, permits: Arc::new(Semaphore::new(concurrent.max(1))), asks: Arc::new(Semaphore::new(ASKS)) }
    }

    /// The store itself.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// [`Store::resolve`]. A hit needs no other thread.
    ///
    /// # Errors
    /// Those of [`Store::resolve`].
    pub async fn resolve(&self, pack: PackRef) -> Result<EnvHandle> {
        if let Some(handle) = self.store.resolve_kept(&pack) {
            return Ok(handle);
        }
        self.with(move |store| store.resolve(&pack)).await
    }

    /// Any other question to the store, on a thread that may block; so many at once at most as there are [`ASKS`]. Dropping the future does not stop it.
    ///
    /// # Errors
    /// Those of the work.
    pub async fn with<T: Send + 'static>(&self, work: impl FnOnce(&Store) -> Result<T> + Send + 'static) -> Result<T> {
        let stopped = |_| Error::Interrupted { what: "waiting for a turn".into() };
        let permit = Arc::clone(&self.asks).acquire_owned().await.map_err(stopped)?;
        let store = self.store.clone();
        blocking(move || {
            let _permit = permit;
            work(&store)
        })
        .await
    }

    /// [`Store::ensure`]. Dropping the future cancels it.
    ///
    /// # Errors
    /// Those of [`Store::ensure`].
    pub async fn ensure(&self, pack: PackRef, ask: Ensure) -> Result<Ready, EnsureError> {
        let stopped = || EnsureError::from(Error::Interrupted { what: "waiting for a turn".into() });
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| stopped())?;
        let cancel = CancelOnDrop(Cancel::new());
        let (store, flag) = (self.store.clone(), cancel.0.clone());
        let work = start(move || {
            let _permit = permit;
            store.ensure(&pack, &ask, &flag)
        })?;
        work.await.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => Err(stopped()),
        })
    }
}

/// Starts work on a thread that may block. tokio panics where it has no such thread and the system grants none (RLIMIT_NPROC, pids.max).
fn start<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>> {
    // Outside the closure: to be called without a runtime stays a mistake that panics.
    let runtime = Handle::current();
    let started = catch_unwind(AssertUnwindSafe(|| runtime.spawn_blocking(work)));
    started.map_err(|_| Error::io("start a thread in", "this process")(ErrorKind::WouldBlock.into()))
}

/// Does work on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    start(work)?.await.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_) => Err(Error::Interrupted { what: "waiting for a thread".into() }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::python::Python;
    use crate::settings::Settings;
    use crate::spec::{RuntimeKind, Spec};

    #[tokio::test(flavor = "multi_thread")]
    async fn many_ensures_at_once_share_the_empty_environment() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut settings = Settings::default();
        settings.python.interpreters = crate::runtime::python::discover::testing::interpreters()
            .iter()
            .take(1)
            .map(|interpreter| interpreter.path.clone())
            .collect();
        let python = Arc::new(Python::new(&settings));
        let store = Store::builder(dir.path().join("store"))
            .settings(settings)
            .runtime(python)
            .create(true)
            .open()
            .expect("opens");
        let store = AsyncStore::new(store, 4);
        let tasks: Vec<_> = (0..8)
            .map(|n| {
                let store = store.clone();
                let pack = PackRef::new(format!("pack{n}")).expect("a ref");
                tokio::spawn(async move {
                    store.ensure(pack.clone(), Ensure::new(Spec::empty(RuntimeKind::Python))).await.expect("ensures");
                    store.resolve(pack).await.expect("resolves").key()
                })
            })
            .collect();
        let mut keys = Vec::new();
        for task in tasks {
            keys.push(task.await.expect("no panic"));
        }
        keys.dedup();
        assert_eq!(keys.len(), 1);
        let gone = PackRef::new("gone").expect("a ref");
        assert!(store.resolve(gone).await.expect_err("unknown").is_not_found());
    }
}
