//! Making an environment of 1,200 files whose artifacts are known: no installer starts, everything is linked, synced and bound. Beside it
//! `cp -al` of the same tree, which syncs nothing.
//!
//! `cargo bench --bench assemble`. `ENVSTORE_BENCH_DIR` is where the store is made (default: the temporary directory). pip installs once, of
//! wheels made here.

mod support {
    pub mod bulk;
    pub mod store;
    #[path = "../../tests/suite/support/wheel.rs"]
    #[allow(dead_code, reason = "the tests make odder wheels than this")]
    pub mod wheel;
}

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use envstore::fs::durable;
use envstore::store::report::Outcome;
use envstore::{Cancel, Ensure};
use support::bulk::{declared, offline, write_wheel};
use support::store::{open, pack};

const WHEELS: usize = 12;
const FILES: usize = 1200;

fn assemble(c: &mut Criterion) {
    let top = std::env::var_os("ENVSTORE_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(top).expect("a directory");
    let (wheels, gone) = (dir.path().join("wheels"), dir.path().join("gone"));
    fs::create_dir(&wheels).expect("creates");
    fs::create_dir(&gone).expect("creates");
    let mut text = String::new();
    for number in 0..WHEELS {
        let name = format!("bulk{number}");
        write_wheel(&wheels, &name, "1.0", FILES / WHEELS);
        text += &format!("{name}==1.0\n");
    }
    let store = open(&dir.path().join("store"), offline(&wheels));
    let ask = Ensure::new(declared(&text));
    let mut path = store.ensure(&pack(0), &ask, &Cancel::new()).expect("made").handle.path().to_owned();
    println!("link mode: {:?}", store.list_envs().expect("environments").first().map(|env| env.link_mode));

    let mut group = c.benchmark_group("assemble");
    group.sample_size(20).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(2));
    group.warm_up_time(Duration::from_millis(100));
    group.bench_function("1200_files", |b| {
        b.iter_custom(|calls| {
            let mut total = Duration::ZERO;
            for _ in 0..calls {
                let aside = gone.join(path.file_name().expect("a name"));
                fs::rename(&path, &aside).expect("moves");
                // What others left to be written is not ours to wait for.
                durable::sync_filesystem(dir.path()).expect("syncs");
                let started = Instant::now();
                let made = store.ensure(&pack(0), &ask, &Cancel::new()).expect("made again");
                total += started.elapsed();
                assert_eq!(made.report.outcome, Outcome::Assembled);
                made.handle.path().clone_into(&mut path);
                envstore::fs::remove::remove_tree(&aside).expect("removes");
            }
            total
        });
    });
    group.bench_function("baseline_cp_al", |b| {
        b.iter_custom(|calls| {
            let mut total = Duration::ZERO;
            for _ in 0..calls {
                let copy = gone.join("copy");
                let started = Instant::now();
                assert!(Command::new("cp").arg("-al").arg(&path).arg(&copy).status().expect("cp").success());
                total += started.elapsed();
                envstore::fs::remove::remove_tree(&copy).expect("removes");
            }
            total
        });
    });
    group.finish();
}

criterion_group!(benches, assemble);
criterion_main!(benches);
