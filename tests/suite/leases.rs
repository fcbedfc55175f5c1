//! A lease keeps an environment where nothing else does: no reference in the index, and no sign of its process in `/proc`.

use envstore::store::Gc;
use envstore::{Cancel, Ensure, PackRef};

use crate::support::{Wheel, World, library, spec, uv_dir};

#[test]
fn a_lease_alone_keeps_an_environment_from_every_verb_that_deletes() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    // A collector takes no notice of what its own process shows in `/proc`, so only the lease can tell it.
    let store = library(&world, uv_dir()).handles(0).open().expect("opens");
    let pack = PackRef::new("pack").expect("a ref");
    let ready = store.ensure(&pack, &Ensure::new(spec("alpha")), &Cancel::new()).expect("made");
    let handle = ready.handle;
    let collect = || {
        let all = Gc { idle: Some(std::time::Duration::ZERO), drop_retained: true, ..Gc::default() };
        store.gc(&all, &Cancel::new()).expect("collects")
    };
    let removed = store.remove(&pack, false).expect("removes");
    assert!(!removed.env_removed && handle.path().is_dir(), "{removed:?}");
    let collected = collect();
    assert_eq!((collected.swept, collected.kept.leased), (0, 1), "{collected:?}");
    assert!(handle.interpreter().exists());
    let path = handle.path().to_owned();
    drop(handle);
    let collected = collect();
    assert_eq!((collected.swept, collected.kept.leased), (1, 0), "{collected:?}");
    assert!(!path.exists());
}
