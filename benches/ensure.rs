//! An `ensure` that is a hit: nothing is locked, nothing moves, nothing is written.
//!
//! `cargo bench --bench ensure`. The packs are bound to the empty environment: no installer and no network is needed.

mod support {
    pub mod empty;
    pub mod store;
}

use criterion::{Criterion, criterion_group, criterion_main};
use envstore::spec::{RuntimeKind, Spec};
use envstore::{Cancel, Ensure};
use support::empty::bind_to_empty;
use support::store::{open, pack, settings};

fn ensure(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(&dir.path().join("store"), settings());
    (0..200).for_each(|number| bind_to_empty(&store, &pack(number)));
    let (pack, ask) = (pack(42), Ensure::new(Spec::empty(RuntimeKind::Python)));
    let mut group = c.benchmark_group("ensure");
    group.bench_function("hit", |b| b.iter(|| store.ensure(&pack, &ask, &Cancel::new()).expect("a hit")));
    // What it cannot do without: whether the interpreter and the environment are still those.
    let handle = store.resolve(&pack).expect("bound");
    let lease = handle.path().join(".lease");
    let interpreter = std::fs::canonicalize(handle.interpreter()).expect("a path");
    group.bench_function("baseline_two_stats", |b| {
        b.iter(|| (std::fs::metadata(&interpreter).expect("stat"), std::fs::metadata(&lease).expect("stat")));
    });
    group.finish();
}

criterion_group!(benches, ensure);
criterion_main!(benches);
