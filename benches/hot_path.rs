//! What a worker pays on every action: `resolve` and an `ensure` that is a hit, beside a prepared SQLite query that
//! answers the same question without a lease.
//!
//! `cargo bench --bench hot_path`

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use envstore::cancel::Cancel;
use envstore::pack::PackRef;
use envstore::runtime::python::Python;
use envstore::settings::{PackOptions, Settings};
use envstore::spec::requirements::Reader;
use envstore::spec::{RuntimeKind, Spec};
use envstore::store::{Ensure, Store};

/// A store whose packs are bound to the empty environment: no installer and no network is needed.
fn store(dir: &std::path::Path, packs: usize) -> Store {
    let mut settings = Settings::default();
    settings.install.path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let python = Arc::new(Python::new(&settings));
    let store = Store::builder(dir).settings(settings).runtime(python).create(true).open().expect("a store");
    for n in 0..packs {
        let pack = PackRef::new(format!("pack{n}")).expect("a ref");
        let ask = Ensure::new(Spec::empty(RuntimeKind::Python));
        store.ensure(&pack, &ask, &Cancel::new()).expect("the empty environment");
    }
    store
}

fn hot_path(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let root: PathBuf = dir.path().join("store");
    let store = store(&root, 200);
    let pack = PackRef::new("pack42").expect("a ref");

    let mut group = c.benchmark_group("hit");
    group.bench_function("resolve", |b| b.iter(|| store.resolve(&pack).expect("bound")));
    let ask = Ensure::new(Spec::empty(RuntimeKind::Python));
    group.bench_function("ensure", |b| b.iter(|| store.ensure(&pack, &ask, &Cancel::new()).expect("a hit")));
    let db = rusqlite::Connection::open(root.join("index.db")).expect("the index");
    let sql = "SELECT e.name FROM packs p JOIN bindings b ON b.pack = p.id AND b.generation = p.generation
               JOIN envs e ON e.id = b.env WHERE p.ref = ?1";
    let mut query = db.prepare(sql).expect("a query");
    group.bench_function("baseline_sqlite_query", |b| {
        b.iter(|| query.query_row(["pack42"], |row| row.get::<_, String>(0)).expect("a row"));
    });
    let json = dir.path().join("pack42.json");
    fs::write(&json, serde_json::to_vec(&store.resolve(&pack).expect("bound").summary()).expect("JSON"))
        .expect("writes");
    group.bench_function("baseline_json_file", |b| {
        b.iter(|| serde_json::from_slice::<serde_json::Value>(&fs::read(&json).expect("reads")).expect("JSON"));
    });
    group.finish();

    let text: String =
        (0..100).map(|n| format!("Dist_{n}[b,a] >= 1.{n}, <2 ; python_version >= '3.8'  # why\n")).collect();
    c.bench_function("spec/canonical_100_lines", |b| {
        b.iter(|| {
            let mut reader = Reader::new(PackOptions::Ignore);
            reader.text("bench", dir.path(), &text).expect("reads");
            reader.finish().expect("a spec").0.digest()
        });
    });
}

criterion_group!(benches, hot_path);
criterion_main!(benches);
