//! What a collector needs to know what it would take, in a store of 100,000 environments; nothing is deleted.
//!
//! `cargo bench --bench gc`, `ENVSTORE_BENCH_PACKS=1000000 cargo bench --bench gc` with other than 100,000 packs. `ENVSTORE_BENCH_DIR` is where the
//! store is made (default: the temporary directory).

mod support {
    pub mod empty;
    pub mod store;
    pub mod synthetic;
}

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use envstore::Cancel;
use envstore::layout::Layout;
use envstore::store::Gc;
use support::store::{open, settings};
use support::synthetic::{Size, make};

fn plan(c: &mut Criterion) {
    let top = std::env::var_os("ENVSTORE_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(top).expect("a directory");
    let root = dir.path().join("store");
    let packs = std::env::var("ENVSTORE_BENCH_PACKS").ok().and_then(|packs| packs.parse().ok()).unwrap_or(100_000);
    make(&root, Size { packs, envs: 100_000, files: false });
    let store = open(&root, settings());
    let ask = Gc { dry_run: true, idle: Some(Duration::ZERO), ..Gc::default() };
    let mut group = c.benchmark_group("gc");
    group.sample_size(10);
    group.bench_function("plan_100k_envs", |b| {
        b.iter(|| {
            let plan = store.gc(&ask, &Cancel::new()).expect("looks");
            assert!(plan.condemned > 0, "some have no root");
        });
    });
    let db = rusqlite::Connection::open(Layout::new(&root).index_db()).expect("opens");
    group.bench_function("baseline_sqlite_query", |b| {
        b.iter(|| {
            let sql = "SELECT count(*) FROM envs e WHERE NOT EXISTS (SELECT 1 FROM bindings b WHERE b.env = e.id)";
            db.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("reads")
        });
    });
    group.finish();
}

criterion_group!(benches, plan);
criterion_main!(benches);
