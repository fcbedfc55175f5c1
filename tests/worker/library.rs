//! The library as its callers use it: observers, counters, credentials, errors, commands and cancellation.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use envstore::async_store::AsyncStore;
use envstore::digest::EnvKey;
use envstore::runtime::python::Python;
use envstore::settings::{Index, PackOptions, Settings};
use envstore::spec::Spec;
use envstore::spec::requirements::Reader;
use envstore::store::report::{Collected, Outcome};
use envstore::store::verify::Verify;
use envstore::store::{Builder, Gc, Observer};
use envstore::{Cancel, Ensure, Error, Kind, PackRef, Store};

use crate::support::{Wheel, World};

fn builder(world: &World, settings: Settings) -> Builder {
    let python = Arc::new(Python::new(&settings));
    Store::builder(world.store()).runtime(python).settings(settings).create(true)
}

fn declared(text: &str) -> Spec {
    let mut reader = Reader::new(PackOptions::Ignore);
    reader.text("a test", "/".as_ref(), text).expect("reads");
    reader.finish().expect("a spec").0
}

fn pack(text: &str) -> PackRef {
    PackRef::new(text).expect("a ref")
}

/// Notes what it is told.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Notes {
    fn note(&self, text: String) {
        self.0.lock().expect("a lock").push(text);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("a lock"))
    }
}

impl Observer for Notes {
    fn resolved(&self, pack: &PackRef, is_hit: bool) {
        self.note(format!("resolved {pack} {is_hit}"));
    }
    fn build_started(&self, pack: &PackRef) {
        self.note(format!("started {pack}"));
    }
    fn build_phase(&self, pack: &PackRef, phase: &str) {
        self.note(format!("phase {pack} {phase}"));
    }
    fn build_finished(&self, pack: &PackRef, result: Result<Outcome, &Error>) {
        self.note(format!("finished {pack} {:?}", result.map_err(Error::kind)));
    }
    fn bound(&self, pack: &PackRef, _: &EnvKey, generation: u64) {
        self.note(format!("bound {pack} {generation}"));
    }
    fn collected(&self, report: &Collected) {
        self.note(format!("collected {}", report.swept));
    }
    fn damaged(&self, message: &str) {
        self.note(format!("damaged {message}"));
    }
}

#[test]
fn an_observer_is_told_and_counters_count() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    let notes = Arc::new(Notes::default());
    let store = builder(&world, crate::settings(&world)).observer(notes.clone()).open().expect("opens");
    let ask = Ensure::new(declared("alpha\n"));
    let ready = store.ensure(&pack("one"), &ask, &Cancel::new()).expect("made");
    let told = notes.take();
    assert_eq!(told.first().map(String::as_str), Some("started one"), "{told:?}");
    assert!(told.iter().any(|note| note == "phase one locking"), "{told:?}");
    assert_eq!(told[told.len() - 2..], ["bound one 1", "finished one Ok(Built)"], "{told:?}");
    assert_eq!(ready.handle.distributions().expect("reads")[0].name, "alpha");

    store.ensure(&pack("one"), &ask, &Cancel::new()).expect("a hit");
    assert!(notes.take().is_empty(), "nothing is made of a hit");
    store.resolve(&pack("one")).expect("bound");
    store.resolve(&pack("one")).expect("bound");
    store.resolve(&pack("two")).expect_err("unbound");
    assert_eq!(notes.take().last().map(String::as_str), Some("resolved one true"));
    store.ensure(&pack("two"), &ask, &Cancel::new()).expect("shared");
    let failed = store.ensure(&pack("two"), &Ensure::new(declared("nowhere\n")), &Cancel::new()).expect_err("fails");
    assert!(failed.last_good().is_some_and(|kept| kept.outcome == Outcome::Kept) && !failed.answers_current_spec());
    assert!(failed.log_path().is_some_and(std::path::Path::exists), "{failed:?}");
    assert!(notes.take().iter().any(|note| note.starts_with("finished two Err(")), "a failure is told");

    let stats = store.stats();
    assert_eq!(
        (stats.ensured, stats.ensure_hits, stats.built, stats.shared, stats.failed),
        (4, 1, 1, 1, 1),
        "{stats:?}"
    );
    assert!(stats.resolved > stats.hits && stats.hits >= 1 && stats.hit_ratio().is_some(), "{stats:?}");

    let file = ready.handle.path().join("pyvenv.cfg");
    std::fs::remove_file(file).expect("removes");
    store.verify(&Verify::default(), &Cancel::new()).expect("verifies");
    store.gc(&Gc { idle: Some(Duration::ZERO), ..Gc::default() }, &Cancel::new()).expect("collects");
    let told = notes.take();
    assert!(told[0].starts_with("damaged ") && told.last().is_some_and(|last| last == "collected 0"), "{told:?}");
}

#[test]
fn credentials_are_asked_of_the_caller() {
    let world = World::new();
    let mut settings = crate::settings(&world);
    settings.install.offline = false;
    settings.indexes =
        vec![Index { name: "corp".into(), url: "http://127.0.0.1:9/simple/".into(), default: true, credentials: None }];
    let asked = Arc::new(Mutex::new(Vec::new()));
    let names = Arc::clone(&asked);
    let ask = move |index: &str| {
        names.lock().expect("a lock").push(index.to_owned());
        Err("the vault is closed".to_owned())
    };
    let store = builder(&world, settings).credentials(ask).open().expect("opens");
    let failed = store.ensure(&pack("one"), &Ensure::new(declared("alpha\n")), &Cancel::new()).expect_err("no login");
    assert_eq!(failed.error.kind(), Kind::Credentials);
    assert!(failed.to_string().contains("the vault is closed"), "{failed}");
    assert_eq!(asked.lock().expect("a lock").first().map(String::as_str), Some("corp"));
}

#[test]
fn a_command_of_a_handle_keeps_the_environment_when_the_handle_is_gone() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    let store = builder(&world, crate::settings(&world)).handles(0).open().expect("opens");
    let ready = store.ensure(&pack("one"), &Ensure::new(declared("alpha\n")), &Cancel::new()).expect("made");
    let script = world.path().join("wait.py");
    std::fs::write(
        &script,
        "import sys; print('begun', flush=True); sys.stdin.read(); import alpha; print(alpha.version)",
    )
    .expect("writes");
    let mut command = ready.handle.command(&script).expect("a lease");
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().expect("starts");
    drop((command, ready, store));
    assert_eq!(world.json(["remove", "one"])["env_removed"], false);
    assert_eq!(world.json(["gc", "--idle", "0s"])["kept"]["leased"], 1);
    drop(child.stdin.take());
    let output = child.wait_with_output().expect("ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "begun\n1.0\n");
    assert_eq!(world.json(["gc", "--idle", "0s"])["swept"], 1);
}

#[tokio::test]
async fn an_async_store_answers_everything_and_a_timeout_is_told() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    let store = builder(&world, crate::settings(&world)).open().expect("opens");
    let store = AsyncStore::new(store, 2);
    let ask = Ensure::new(declared("alpha\n"));
    let late = store.ensure(pack("one"), ask.clone().timeout(Duration::ZERO)).await.expect_err("no time");
    assert_eq!(late.error.kind(), Kind::Timeout, "{late:?}");
    let ready = store.ensure(pack("one"), ask).await.expect("made");
    assert_eq!(store.resolve(pack("one")).await.expect("bound").key(), ready.handle.key());
    assert_eq!(store.with(Store::list).await.expect("listed").len(), 1);
}
