//! How environments multiply when the same packs are locked at dates spread over two years, by what the lock prefers: the newest, a
//! file of known-good versions (those of the first date), or what the store holds.
//!
//! `ENVSTORE_PACKS=LIST.jsonl cargo bench --bench drift`, without it `examples/packs`; of a pack that stands there in several versions the last
//! counts. At most `ENVSTORE_BENCH_PACKS` packs (40) of those that are made without building from source. Needs the package index.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use envstore::runtime::python::Python;
use envstore::settings::{PackOptions, Prefer, Settings};
use envstore::spec::requirements::Reader;
use envstore::spec::{Spec, source};
use envstore::store::report::EnvSummary;
use envstore::{Cancel, Ensure, PackRef, Store};

const DATES: [&str; 5] = ["2024-11-01", "2025-05-01", "2025-11-01", "2026-05-01", "2026-11-01"];

fn declared(path: &Path) -> BTreeMap<PackRef, Spec> {
    let text = std::fs::read_to_string(path);
    // A list with several versions of a pack: each line is a list of its own, the last wins.
    let lists: Vec<PathBuf> = match text {
        Err(_) => vec![path.to_owned()],
        Ok(text) => {
            let dir = tempfile::tempdir().expect("a directory").keep();
            let write = |(number, line): (usize, &str)| {
                let list = dir.join(format!("{number}.jsonl"));
                std::fs::write(&list, line).expect("writes");
                list
            };
            text.lines().enumerate().map(write).collect()
        }
    };
    let mut packs = BTreeMap::new();
    for list in lists {
        for found in source::find(&[list], PackOptions::Ignore).unwrap_or_default() {
            let mut reader = Reader::new(PackOptions::Ignore);
            let (Some(pack), Ok(declaration)) = (found.pack, found.result) else { continue };
            reader.declaration(declaration);
            if let Ok((spec, _)) = reader.finish()
                && !spec.is_empty()
            {
                packs.insert(pack, spec);
            }
        }
    }
    packs
}

fn store(root: &Path, date: &str, prefer: Prefer) -> Store {
    let mut settings = Settings::default();
    settings.install.path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    settings.install.allow_source = envstore::settings::AllowSource::None;
    settings.python.default = std::env::var("ENVSTORE_BENCH_PYTHON").ok();
    settings.lock.exclude_newer = Some(date.into());
    settings.lock.prefer = prefer;
    let python = Arc::new(Python::new(&settings));
    Store::builder(root).settings(settings).runtime(python).create(true).open().expect("a store")
}

/// Locks every pack anew, on eight threads, and returns those that are ready. `prefer = "store"` depends on the order, so it is kept.
fn upgrade(store: &Store, packs: &[(PackRef, Spec)], threads: usize) -> BTreeSet<PackRef> {
    let queue = Mutex::new(packs.iter());
    let ready = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((pack, spec)) = next else { break };
                    let ask = Ensure::new(spec.clone()).upgrade(true);
                    if store.ensure(pack, &ask, &Cancel::new()).is_ok() {
                        ready.lock().unwrap_or_else(PoisonError::into_inner).insert(pack.clone());
                    }
                }
            });
        }
    });
    ready.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn distributions(envs: &[EnvSummary]) -> BTreeSet<(String, String)> {
    envs.iter().flat_map(|env| &env.distributions).map(|d| (d.name.clone(), d.version.clone())).collect()
}

fn main() {
    let path = std::env::var_os("ENVSTORE_PACKS").map_or_else(|| "examples/packs".into(), PathBuf::from);
    let top = std::env::var_os("ENVSTORE_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let limit = std::env::var("ENVSTORE_BENCH_PACKS").ok().and_then(|text| text.parse().ok()).unwrap_or(40);
    let dir = tempfile::tempdir_in(top).expect("a directory");
    let mut packs: Vec<(PackRef, Spec)> = declared(&path).into_iter().collect();

    // The packs that can be made of wheels at every date, and the known-good set of the first.
    let first = store(&dir.path().join("first"), DATES[0], Prefer::Newest);
    let ready = upgrade(&first, &packs, 8);
    packs.retain(|(pack, _)| ready.contains(pack));
    packs.truncate(limit);
    let mut good = String::new();
    for (name, version) in distributions(&first.list_envs().expect("environments")) {
        let _ = writeln!(good, "{name}=={version}");
    }
    let file = dir.path().join("good.txt");
    std::fs::write(&file, good).expect("writes");
    drop(first);

    println!("{} packs locked at {}", packs.len(), DATES.join(", "));
    println!(
        "{:<10} {:>12} {:>14} {:>14} {:>10} {:>8}",
        "prefer", "environments", "distributions", "objects", "total", "ready"
    );
    for (name, prefer) in [("newest", Prefer::Newest), ("FILE", Prefer::File(file)), ("store", Prefer::Store)] {
        let root = dir.path().join(name);
        let mut ready = 0;
        for date in DATES {
            let store = store(&root, date, prefer.clone());
            // What the store prefers depends on what came before: one after the other.
            ready += upgrade(&store, &packs, if prefer == Prefer::Store { 1 } else { 8 }).len();
        }
        let store = store(&root, DATES[0], prefer);
        let envs = store.list_envs().expect("environments");
        let usage = store.du().expect("weighs");
        println!(
            "{name:<10} {:>12} {:>14} {:>11.1} MB {:>7.1} MB {ready:>4}/{}",
            envs.len(),
            distributions(&envs).len(),
            usage.by_kind.objects as f64 / 1e6,
            (usage.total_bytes - usage.by_kind.cache) as f64 / 1e6,
            packs.len() * DATES.len()
        );
    }
}
