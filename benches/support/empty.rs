//! Packs bound to the empty environment: needs no installer and no network.

use envstore::spec::{RuntimeKind, Spec};
use envstore::{Cancel, Ensure, PackRef, Store};

/// Binds a pack to the empty environment.
pub fn bind_to_empty(store: &Store, pack: &PackRef) {
    let ask = Ensure::new(Spec::empty(RuntimeKind::Python));
    store.ensure(pack, &ask, &Cancel::new()).expect("the empty environment");
}
