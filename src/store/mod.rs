//! [`Store`]: packs, their bindings and the environments they share.
//!
//! One verb a file: [`open`], [`ensure`], [`make`], [`build`], [`bind`], [`resolve`], `ask`, [`remove`], [`gc`] (which
//! condemns and [`sweep`]s), [`reindex`], [`inspect`], [`logs`], [`export`], [`checkout`],
//! [`history`], [`rollback`], [`observer`], [`doctor`], `seal`, [`verify`] (which repairs too). The store alone knows both names on disk and the
//! index; what is below it knows one of the two.

mod access;
mod after_boot;
#[cfg(feature = "cli")]
pub(crate) mod ask;
mod assemble;
mod ballast;
mod behind;
pub mod bind;
pub mod build;
pub mod checkout;
mod clock_jump;
mod collect_objects;
mod create;
pub mod diff;
pub mod doctor;
mod doubtful_cache;
pub mod du;
mod due;
pub mod ensure;
pub mod events;
mod expire;
pub mod export;
pub mod finding;
mod floor;
mod foreign;
pub mod gc;
mod grace;
mod handles;
pub mod history;
mod identity;
pub mod in_use;
pub mod inspect;
mod learn;
pub mod link;
pub mod logs;
mod lost_files;
pub mod make;
mod migrate;
pub mod observer;
mod on_disk;
pub mod open;
mod open_epoch;
mod outside;
pub mod pin;
mod publish;
pub mod reindex;
mod relearn;
pub mod relocate;
pub mod remove;
mod repair;
pub mod report;
pub mod resolve;
pub mod rollback;
mod running;
pub mod runtime;
mod seal;
mod skipped;
mod staging;
mod stats;
mod survey;
pub mod sweep;
mod trim_cache;
pub mod upgrade;
pub mod verify;
pub mod who_uses;
pub mod why;
mod workshop;

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};

pub use ensure::{Ensure, EnsureError, Ready};
pub use gc::Gc;
pub use inspect::What;
pub use observer::Observer;
pub use open::{Builder, ShareWith};
pub use resolve::EnvHandle;
pub use rollback::Rollback;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::fs::link::LinkMode;
pub use crate::index::Access;
use crate::index::Index;
use crate::layout::{EnvName, Layout};
use crate::settings::Settings;
use crate::spec::RuntimeKind;
use handles::Handles;
use runtime::Runtime;

/// A store of environments on this host. Clones share one index connection.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    layout: Layout,
    id: String,
    access: Access,
    /// Whether it was sealed when it was opened.
    sealed: bool,
    /// Where it is, compared with where its environments say it is.
    place: identity::Place,
    /// Whether this process tried to record the root.
    asked_to_record: AtomicBool,
    /// Whether it was asked for that nothing is written.
    read_only: bool,
    index: Index,
    handles: Handles,
    counters: stats::Counters,
    observed: observer::Observed,
    settings: Settings,
    runtimes: Vec<Arc<dyn Runtime>>,
    clock: Arc<dyn Clock>,
    /// The boot in which this process runs. None: it may not write, or cannot tell.
    boot: Option<String>,
    recovered: Option<report::Reindexed>,
    /// Environments that this process has leased.
    used: Mutex<HashSet<EnvName>>,
    /// How objects are put into environments, once it was tried.
    link_mode: OnceLock<LinkMode>,
}

/// A store that closes when nothing else keeps it open.
#[cfg(feature = "worker")]
#[derive(Debug, Clone)]
pub(crate) struct WeakStore(std::sync::Weak<Inner>);

#[cfg(feature = "worker")]
impl WeakStore {
    /// The store, while it is open.
    pub fn upgrade(&self) -> Option<Store> {
        self.0.upgrade().map(Store)
    }
}

impl Store {
    /// A way back to this store that does not keep it open.
    #[cfg(feature = "worker")]
    pub(crate) fn downgrade(&self) -> WeakStore {
        WeakStore(Arc::downgrade(&self.0))
    }

    /// Begins to open the store at a root.
    pub fn builder(root: impl AsRef<Path>) -> Builder {
        Builder::new(root.as_ref())
    }

    /// The store's id, made at its creation.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The store's root.
    pub fn root(&self) -> &Path {
        self.0.layout.root()
    }

    /// What this process may do.
    pub fn access(&self) -> Access {
        self.0.access
    }

    /// What opening brought back, if the index had been lost or damaged.
    pub fn recovered(&self) -> Option<&report::Reindexed> {
        self.0.recovered.as_ref()
    }

    /// Every interpreter found on this host for a runtime.
    pub fn interpreters(&self, kind: RuntimeKind) -> Result<Vec<runtime::FoundInterpreter>> {
        Ok(self.runtime(kind)?.interpreters(&self.0.index))
    }

    fn runtime(&self, kind: RuntimeKind) -> Result<&dyn Runtime> {
        self.0.runtimes.iter().find(|runtime| runtime.kind() == kind).map(AsRef::as_ref).ok_or_else(|| {
            let reason = format!("no runtime for {} was given to the store", kind.as_str());
            Error::NotPermitted { what: "make an environment".into(), reason }
        })
    }

    /// Refuses what only the owner may do.
    fn require_owner(&self, what: &str) -> Result<()> {
        if self.0.sealed && !self.0.read_only {
            return Err(Error::Sealed { what: what.into() });
        }
        if self.0.access == Access::Owner {
            self.record_root();
            return Ok(());
        }
        Err(Error::NotPermitted { what: what.into(), reason: self.why_reader() })
    }
}
