//! Publishing an environment of 3,000 new files, once the installer is done: hashed, made objects, synced, written down, its row.
//! Beside it what cannot be avoided: writing as many bytes and syncing them.
//!
//! `cargo bench --bench publish`. `ENVSTORE_BENCH_DIR` is where the store is made (default: the temporary directory). pip installs, of
//! wheels made here; its time is not counted.

mod support {
    pub mod bulk;
    pub mod store;
    #[path = "../../tests/suite/support/wheel.rs"]
    #[allow(dead_code, reason = "the tests make odder wheels than this")]
    pub mod wheel;
}

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use envstore::fs::durable;
use envstore::store::report::Outcome;
use envstore::{Cancel, Ensure};
use support::bulk::{FILE_BYTES, declared, offline, write_wheel};
use support::store::{open, pack};
use tracing::span;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

const FILES: usize = 3000;
/// What a build does after its installer.
const PUBLISHING: [&str; 5] = ["hash", "objects", "sync", "manifest", "index"];

/// How long publishing took since this was last asked.
#[derive(Debug, Clone, Default)]
struct Publishing(Arc<Mutex<Duration>>);

impl Publishing {
    fn take(&self) -> Duration {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Publishing {
    fn on_enter(&self, id: &span::Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            span.extensions_mut().replace(Instant::now());
        }
    }

    fn on_exit(&self, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id).filter(|span| PUBLISHING.contains(&span.name())) else { return };
        if let Some(started) = span.extensions_mut().remove::<Instant>() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) += started.elapsed();
        }
    }
}

/// As many files, bytes and one sync.
fn write_plainly(dir: &Path) {
    fs::create_dir(dir).expect("creates");
    for number in 0..FILES {
        fs::write(dir.join(format!("{number:04}.bin")), vec![7; FILE_BYTES]).expect("writes");
    }
    durable::sync_filesystem(dir).expect("syncs");
}

fn publish(c: &mut Criterion) {
    let top = std::env::var_os("ENVSTORE_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(top).expect("a directory");
    let wheels = dir.path().join("wheels");
    fs::create_dir(&wheels).expect("creates");
    let publishing = Publishing::default();
    let level = tracing_subscriber::filter::LevelFilter::DEBUG;
    let subscriber = tracing_subscriber::registry().with(publishing.clone().with_filter(level));
    tracing::subscriber::set_global_default(subscriber).expect("the only subscriber");
    let store = open(&dir.path().join("store"), offline(&wheels));
    let mut group = c.benchmark_group("publish");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_millis(500));
    group.warm_up_time(Duration::from_millis(1));
    let mut number = 0;
    group.bench_function("3000_files", |b| {
        b.iter_custom(|calls| {
            let mut total = Duration::ZERO;
            for _ in 0..calls {
                number += 1;
                write_wheel(&wheels, "bulk", &number.to_string(), FILES);
                // What others left to be written is not ours to wait for.
                durable::sync_filesystem(dir.path()).expect("syncs");
                publishing.take();
                let ask = Ensure::new(declared(&format!("bulk=={number}\n")));
                let made = store.ensure(&pack(0), &ask, &Cancel::new()).expect("made");
                assert_eq!(made.report.outcome, Outcome::Built);
                total += publishing.take();
            }
            total
        });
    });
    group.bench_function("baseline_write_and_syncfs", |b| {
        b.iter_custom(|calls| {
            let mut total = Duration::ZERO;
            for _ in 0..calls {
                number += 1;
                let target = dir.path().join(format!("plain-{number}"));
                durable::sync_filesystem(dir.path()).expect("syncs");
                let started = Instant::now();
                write_plainly(&target);
                total += started.elapsed();
                fs::remove_dir_all(target).expect("removes");
            }
            total
        });
    });
    group.finish();
    println!("link mode: {:?}", store.list_envs().expect("environments").first().map(|env| env.link_mode));
}

criterion_group!(benches, publish);
criterion_main!(benches);
