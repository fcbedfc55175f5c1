//! [`Observer`]: is told what a store does in this process.

use std::fmt;
use std::sync::Arc;

use super::report::{Collected, Outcome};
use crate::digest::EnvKey;
use crate::error::Error;
use crate::pack::PackRef;

/// Is told what a store does in this process, while it does it: for metrics and for logs of the caller's own.
///
/// Every method does nothing where it is not written. They are called on the thread that does the work, and it waits for them.
pub trait Observer: Send + Sync {
    /// A pack was resolved; a hit was answered from memory.
    fn resolved(&self, pack: &PackRef, is_hit: bool) {
        let _ = (pack, is_hit);
    }

    /// Nothing that stands answers a pack's declaration: it is being locked, and its environment made.
    fn build_started(&self, pack: &PackRef) {
        let _ = pack;
    }

    /// What is being done for it, as people are told.
    fn build_phase(&self, pack: &PackRef, phase: &str) {
        let _ = (pack, phase);
    }

    /// It is over: what came of it, or why nothing did.
    fn build_finished(&self, pack: &PackRef, result: Result<Outcome, &Error>) {
        let _ = (pack, result);
    }

    /// Another build, or all that may run at once, are waited for.
    fn waiting_for(&self, what: &str) {
        let _ = what;
    }

    /// A pack is bound to another environment, or to one for another declaration.
    fn bound(&self, pack: &PackRef, env: &EnvKey, generation: u64) {
        let _ = (pack, env, generation);
    }

    /// A collection ended.
    fn collected(&self, report: &Collected) {
        let _ = report;
    }

    /// Something is not as it was published.
    fn damaged(&self, message: &str) {
        let _ = message;
    }
}

/// The observer of an open store, if it has one.
#[derive(Clone, Default)]
pub(super) struct Observed(pub Option<Arc<dyn Observer>>);

impl Observed {
    /// Tells it something.
    #[inline]
    pub fn tell(&self, what: impl FnOnce(&dyn Observer)) {
        if let Some(observer) = &self.0 {
            what(observer.as_ref());
        }
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observed").field(&self.0.is_some()).finish()
    }
}
