//! [`HandedOut`]: the leases behind the paths that managers returned.
//!
//! A path says nothing about how long it is used. Of each pack the environment handed out last and the one before stay leased, so that what
//! was asked for before an upgrade can still be started after it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::pack::PackRef;
use crate::store::EnvHandle;

/// How many environments of a pack stay leased.
const KEPT: usize = 2;

/// The environments handed out, newest last.
#[derive(Debug, Default)]
pub(super) struct HandedOut(Mutex<HashMap<PackRef, VecDeque<EnvHandle>>>);

impl HandedOut {
    /// Keeps what is handed out for a pack until the pack's next but one change.
    pub fn keep(&self, pack: &PackRef, handle: &EnvHandle) {
        let mut all = self.all();
        let kept = all.entry(pack.clone()).or_default();
        if kept.back().is_some_and(|last| last.path() == handle.path()) {
            return;
        }
        kept.push_back(handle.clone());
        let gone = if kept.len() > KEPT { kept.pop_front() } else { None };
        // Letting go is a system call.
        drop(all);
        drop(gone);
    }

    /// Lets go of everything of a pack.
    pub fn let_go(&self, pack: &PackRef) {
        let gone = self.all().remove(pack);
        drop(gone);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<PackRef, VecDeque<EnvHandle>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
