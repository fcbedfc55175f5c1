//! [`Place`]: what the managers of one process on one directory share.
//!
//! A lease that one manager keeps must not stay in the way when another one removes the pack, so they know of each other.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::handed_out::HandedOut;
use crate::error::Result;
use crate::layout::Layout;
use crate::pack::PackRef;
use crate::store::{Store, WeakStore};

static PLACES: Mutex<Option<HashMap<PathBuf, Weak<Place>>>> = Mutex::new(None);

/// The directory that a store is kept below when the one given holds other things, such as environments made by hand.
const BESIDE: &str = "envstore";

/// One store, as this process uses it.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub handed_out: HandedOut,
    stores: Mutex<Vec<WeakStore>>,
}

impl Place {
    /// What is shared by whoever has this store open.
    pub fn of(store: &Store) -> Arc<Self> {
        let root = std::fs::canonicalize(store.root()).unwrap_or_else(|_| store.root().to_owned());
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        let places = places.get_or_insert_default();
        places.retain(|_, place| place.strong_count() > 0);
        let place = places.get(&root).and_then(Weak::upgrade).unwrap_or_default();
        places.insert(root, Arc::downgrade(&place));
        let mut stores = place.stores();
        stores.retain(|store| store.upgrade().is_some());
        stores.push(store.downgrade());
        drop(stores);
        place
    }

    /// Lets go of all leases that this process keeps for a pack on nobody's behalf.
    pub fn let_go_of(&self, pack: &PackRef) {
        self.handed_out.let_go(pack);
        let open: Vec<Store> = self.stores().iter().filter_map(WeakStore::upgrade).collect();
        for store in open {
            store.let_go_of(pack);
        }
    }

    fn stores(&self) -> MutexGuard<'_, Vec<WeakStore>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the store of a base directory is: there, or below it where other things were there first.
pub(super) fn root(base_dir: &Path) -> Result<PathBuf> {
    let layout = Layout::new(base_dir);
    if layout.store_json().exists() {
        return Ok(base_dir.to_owned());
    }
    let beside = base_dir.join(BESIDE);
    let is_taken = base_dir.is_dir() && Store::stranger_in(base_dir)?.is_some();
    Ok(if is_taken { beside } else { base_dir.to_owned() })
}
