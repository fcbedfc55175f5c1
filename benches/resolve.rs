//! What a worker pays on every action, beside what it would pay without a store: a prepared SQLite query, a map in memory that nobody
//! tells of changes, and a JSON file a pack read per call.
//!
//! `cargo bench --bench resolve`. The packs are bound to the empty environment: no installer and no network is needed.

mod support {
    pub mod empty;
    pub mod store;
}

use std::collections::HashMap;
use std::fs;
use std::sync::{Barrier, RwLock};
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use envstore::epoch::Epoch;
use envstore::index::{Access, Index, NewBinding, bindings};
use envstore::layout::Layout;
use envstore::store::report::Cause;
use envstore::{EnvHandle, PackRef, Store};
use support::empty::bind_to_empty;
use support::store::{open, pack, settings};

const PACKS: u64 = 200;

/// The time of so many calls, shared by two threads on packs of their own.
fn on_two_threads(calls: u64, call: impl Fn(&PackRef) + Sync) -> Duration {
    let start = Barrier::new(3);
    std::thread::scope(|scope| {
        for number in [42, 137] {
            let (call, start) = (&call, &start);
            scope.spawn(move || {
                let pack = pack(number);
                start.wait();
                for _ in 0..calls.div_ceil(2) {
                    call(&pack);
                }
                start.wait();
            });
        }
        start.wait();
        let started = Instant::now();
        start.wait();
        started.elapsed()
    })
}

/// Another connection to the same index, as another process has it, with two generations of a pack to switch between.
fn writer(store: &Store, pack: &PackRef) -> Index {
    let layout = Layout::new(store.root());
    let epoch = Epoch::open(&layout.epoch(), store.id(), true).expect("opens");
    let index = Index::open(&layout, Access::Owner, epoch).expect("opens");
    let bind = |tx: &rusqlite::Transaction<'_>| {
        let bound = bindings::resolve(tx, pack).expect("reads").expect("a binding");
        let new = NewBinding {
            env: Some(bound.env.id),
            key: &bound.env.key,
            interpreter: bound.env.interpreter.digest(),
            lock: &bound.env.lock,
            answers: &bound.answers,
            at: bound.at,
            cause: Cause::Ensure,
            uid: None,
        };
        bindings::bind(tx, bound.pack.id, bound.generation + 1, &new).expect("writes");
        Ok(())
    };
    index.write("bind", bind).expect("commits");
    index
}

fn resolve(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(&dir.path().join("store"), settings());
    (0..PACKS).for_each(|number| bind_to_empty(&store, &pack(number)));
    let (one, unknown) = (pack(42), pack(PACKS));
    let hit = |pack: &PackRef| store.resolve(pack).expect("bound");

    let mut group = c.benchmark_group("resolve");
    group.bench_function("hit", |b| b.iter(|| hit(&one)));
    group.bench_function("hit_2_threads", |b| b.iter_custom(|calls| on_two_threads(calls, |pack| drop(hit(pack)))));

    let map: RwLock<HashMap<PackRef, EnvHandle>> =
        RwLock::new((0..PACKS).map(|number| (pack(number), hit(&pack(number)))).collect());
    let look_up = |pack: &PackRef| map.read().expect("no panic").get(pack).expect("bound").clone();
    group.bench_function("baseline_rwlock_map", |b| b.iter(|| look_up(&one)));
    group.bench_function("baseline_rwlock_map_2_threads", |b| {
        b.iter_custom(|calls| on_two_threads(calls, |pack| drop(look_up(pack))));
    });

    let db = rusqlite::Connection::open(Layout::new(store.root()).index_db()).expect("the index");
    let sql = "SELECT e.name FROM packs p JOIN bindings b ON b.pack = p.id AND b.generation = p.generation
               JOIN envs e ON e.id = b.env WHERE p.ref = ?1";
    let mut query = db.prepare(sql).expect("a query");
    group.bench_function("baseline_sqlite_query", |b| {
        b.iter(|| query.query_row([one.as_str()], |row| row.get::<_, String>(0)).expect("a row"));
    });

    let json = dir.path().join("pack42.json");
    fs::write(&json, serde_json::to_vec(&hit(&one).summary()).expect("JSON")).expect("writes");
    group.bench_function("baseline_json_file", |b| {
        b.iter(|| serde_json::from_slice::<serde_json::Value>(&fs::read(&json).expect("reads")).expect("JSON"));
    });

    group.bench_function("unknown", |b| b.iter(|| store.resolve(&unknown).expect_err("nobody knows it")));

    let writer = writer(&store, &one);
    let mut generation = 2;
    // The commits are not what is measured, and take most of the time.
    group.measurement_time(Duration::from_millis(200)).warm_up_time(Duration::from_millis(500));
    group.bench_function("after_foreign_commit", |b| {
        let mut switch = || {
            generation = 3 - generation;
            let set = |tx: &rusqlite::Transaction<'_>| {
                let row = bindings::find_pack(tx, &one).expect("reads").expect("a pack");
                bindings::set_current(tx, row.id, Some(generation)).expect("writes");
                Ok(generation)
            };
            writer.write("switch", set).expect("commits")
        };
        let answer = |generation| assert_eq!(hit(&one).generation(), generation);
        b.iter_batched(&mut switch, answer, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, resolve);
criterion_main!(benches);
