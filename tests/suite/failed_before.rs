//! A declaration that failed for a reason that cannot mend itself is not tried again for ten minutes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use envstore::clock::Clock;
use envstore::{Cancel, Ensure, Error, Kind, PackRef, Store};
use jiff::Timestamp;

use crate::support::{NotingUv, Wheel, World, library, spec};

/// A clock that stands still until it is set.
#[derive(Debug, Clone)]
struct SetClock(Arc<Mutex<Timestamp>>);

impl SetClock {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Timestamp::from_second(1_900_000_000).expect("a time"))))
    }

    fn set_on(&self, seconds: i64) {
        let mut now = self.0.lock().expect("no panic");
        *now = Timestamp::from_second(now.as_second() + seconds).expect("a time");
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("no panic")
    }
}

/// No versions can answer this: `alpha` needs `beta` 1.0.
const CONFLICT: &str = "alpha\nbeta==2.0";

/// A store that has wheels for a declaration that cannot be locked.
struct Failing {
    world: World,
    uv: NotingUv,
    clock: SetClock,
    store: Store,
}

impl Failing {
    fn new() -> Self {
        let world = World::new();
        let uv = NotingUv::new(&world);
        world.wheel(&Wheel::new("alpha", "1.0").requires("beta==1.0"));
        world.wheel(&Wheel::new("beta", "1.0"));
        world.wheel(&Wheel::new("beta", "2.0"));
        let clock = SetClock::new();
        let store = library(&world, uv.dir()).clock(Arc::new(clock.clone())).open().expect("opens");
        Self { world, uv, clock, store }
    }

    /// Asks for a pack with these requirements. Returns the error, and how often the installer locked so far.
    fn ensure(&self, pack: &str, requirements: &str, retry: bool) -> (Option<Error>, usize) {
        let pack = PackRef::new(pack).expect("a ref");
        let ask = Ensure::new(spec(requirements)).retry_failed(retry);
        let error = self.store.ensure(&pack, &ask, &Cancel::new()).err().map(|failed| failed.error);
        (error, self.uv.asked("pip compile"))
    }
}

/// Asserts that an `ensure` was refused for an earlier failure, so many seconds ago, and that the installer was not asked again.
#[track_caller]
fn refused((error, locked): (Option<Error>, usize), seconds: u64, times: usize) {
    let Some(Error::FailedBefore { kind, ago, message }) = &error else { panic!("{error:?}") };
    assert_eq!((*kind, *ago, locked), (Kind::NoSolution, Duration::from_secs(seconds), times), "{message}");
}

/// Asserts that the installer was asked, and failed.
#[track_caller]
fn tried((error, locked): (Option<Error>, usize), times: usize) {
    let error = error.expect("it fails");
    assert!(!matches!(error, Error::FailedBefore { .. }) && error.kind() == Kind::NoSolution, "{error:?}");
    assert_eq!(locked, times);
}

#[test]
fn a_failed_declaration_is_not_tried_again_for_ten_minutes() {
    let failing = Failing::new();
    tried(failing.ensure("pack", CONFLICT, false), 1);
    refused(failing.ensure("pack", CONFLICT, false), 0, 1);
    // It is the declaration that failed, whichever pack it is of; another one may do.
    refused(failing.ensure("other", CONFLICT, false), 0, 1);
    tried(failing.ensure("pack", "alpha==1.0\nbeta==2.0", false), 2);
    failing.clock.set_on(599);
    refused(failing.ensure("pack", CONFLICT, false), 599, 2);
    failing.clock.set_on(1);
    tried(failing.ensure("pack", CONFLICT, false), 3);
    refused(failing.ensure("pack", CONFLICT, false), 0, 3);
}

#[test]
fn who_asks_expressly_and_a_clock_that_went_back_try_again() {
    let failing = Failing::new();
    tried(failing.ensure("pack", CONFLICT, false), 1);
    tried(failing.ensure("pack", CONFLICT, true), 2);
    failing.clock.set_on(-3600);
    tried(failing.ensure("pack", CONFLICT, false), 3);
}

#[test]
fn a_success_ends_what_was_remembered() {
    let failing = Failing::new();
    tried(failing.ensure("pack", CONFLICT, false), 1);
    let wheel = failing.world.wheel(&Wheel::new("alpha", "1.1"));
    assert!(failing.ensure("pack", CONFLICT, true).0.is_none());
    failing.store.remove(&PackRef::new("pack").expect("a ref"), false).expect("removes");
    std::fs::remove_file(wheel).expect("removes");
    tried(failing.ensure("pack", CONFLICT, false), 3);
}
