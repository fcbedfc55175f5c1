//! Opening a store of a million packs, beside opening its database alone.
//!
//! `cargo bench --bench open`. `ENVSTORE_BENCH_DIR` is where the store is made (default: the temporary directory).

mod support {
    pub mod empty;
    pub mod store;
    pub mod synthetic;
}

use criterion::{Criterion, criterion_group, criterion_main};
use envstore::layout::Layout;
use support::store::{open, settings};
use support::synthetic::{Size, make};

fn opening(c: &mut Criterion) {
    let top = std::env::var_os("ENVSTORE_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(top).expect("a directory");
    let root = dir.path().join("store");
    make(&root, Size { packs: 1_000_000, envs: 1000, files: false });
    let mut group = c.benchmark_group("open");
    group.bench_function("1M_packs", |b| b.iter(|| open(&root, settings())));
    let path = Layout::new(&root).index_db();
    group.bench_function("baseline_sqlite", |b| {
        b.iter(|| {
            let db = rusqlite::Connection::open(&path).expect("opens");
            db.query_row("SELECT count(*) FROM meta", [], |row| row.get::<_, i64>(0)).expect("reads")
        });
    });
    group.finish();
}

criterion_group!(benches, opening);
criterion_main!(benches);
