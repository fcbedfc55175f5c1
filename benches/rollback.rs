//! Rollback of a pack among 10,000, whose earlier environment stands: what it takes until the pack is bound to it and that is on disk.
//! Beside it what cannot be avoided: one small file written durably and one SQLite transaction.
//!
//! `cargo bench --bench rollback`. The packs are bound to empty environments of two interpreters: no installer and no network is needed.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use envstore::binding::BindingFile;
use envstore::cancel::Cancel;
use envstore::layout::Layout;
use envstore::pack::PackRef;
use envstore::runtime::python::Python;
use envstore::settings::Settings;
use envstore::spec::{InterpreterRange, RuntimeKind, Spec};
use envstore::store::report::Outcome;
use envstore::store::{Ensure, Rollback, Store};

const PACKS: usize = 10_000;

fn pack(number: usize) -> PackRef {
    PackRef::new(format!("pack{number}")).expect("a ref")
}

/// One pack's two generations are made; the other packs' files are copies of its file, and the index is made of them.
fn store(root: &std::path::Path) -> Option<Store> {
    let mut settings = Settings::default();
    settings.install.path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let python = Arc::new(Python::new(&settings));
    let store = Store::builder(root).settings(settings).runtime(python).create(true).open().expect("a store");
    let found = store.interpreters(RuntimeKind::Python).expect("looks for interpreters");
    let mut paths: Vec<PathBuf> = found.into_iter().filter_map(|one| Some(one.result.ok()?.path)).collect();
    paths.sort();
    paths.dedup();
    let [first, second, ..] = paths.as_slice() else { return None };
    for path in [first, second] {
        let mut spec = Spec::empty(RuntimeKind::Python);
        spec.interpreter = InterpreterRange::Path(path.clone());
        store.ensure(&pack(0), &Ensure::new(spec), &Cancel::new()).expect("the empty environment");
    }
    let layout = Layout::new(root);
    let file = BindingFile::read(&layout.binding(&pack(0))).expect("a binding file");
    for number in 1..PACKS {
        let file = BindingFile { pack: pack(number), ..file.clone() };
        let path = layout.binding(&file.pack);
        fs::create_dir_all(path.parent().expect("a directory")).expect("creates");
        fs::write(path, serde_json::to_vec(&file).expect("JSON")).expect("writes");
    }
    store.reindex().expect("an index of them");
    assert_eq!(store.list().expect("lists").len(), PACKS);
    Some(store)
}

fn rollback(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(store) = store(&dir.path().join("store")) else {
        eprintln!("\n########  SKIPPED: needs two interpreters  ########\n");
        return;
    };
    let mut group = c.benchmark_group("rollback_among_10000");
    let mut next = 0;
    group.bench_function("rollback", |b| {
        b.iter(|| {
            let pack = pack(next % PACKS);
            next += 1;
            let done = store.rollback(&pack, &Rollback::new().to(Some(1)), &Cancel::new()).expect("goes back");
            assert!(matches!(done.outcome, Outcome::Shared | Outcome::Hit), "nothing is built");
        });
    });
    let db = rusqlite::Connection::open(dir.path().join("baseline.db")).expect("a database");
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (n INTEGER)").expect("made");
    let file = dir.path().join("baseline.json");
    let text = serde_json::to_vec(&BindingFile::read(&Layout::new(store.root()).binding(&pack(0))).expect("reads"));
    let text = text.expect("JSON");
    group.bench_function("baseline_file_and_commit", |b| {
        b.iter(|| {
            envstore::fs::durable::write(dir.path(), &file, &text, 0o644).expect("writes");
            db.execute("INSERT INTO t VALUES (1)", []).expect("commits");
        });
    });
    group.finish();
}

criterion_group!(benches, rollback);
criterion_main!(benches);
