//! `resolve/hit_while_sweeping`: what a hit takes while another process collects 1,000 environments, beside the same at rest, in turns.
//!
//! `cargo bench --bench sweeping`. `ENVSTORE_BENCH_DIR` is where the stores are made (default: the temporary directory). Each hit is timed
//! alone, so that reading the clock is part of every figure.

mod support {
    pub mod empty;
    pub mod store;
    pub mod synthetic;
}

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use envstore::{PackRef, Store};
use hdrhistogram::Histogram;
use support::store::{open, pack, settings};
use support::synthetic::{Size, make};

const ROUNDS: usize = 3;
/// Of these about 1,050 have no root.
const SIZE: Size = Size { packs: 200, envs: 1_200, files: false };

/// The nanoseconds of single hits for as long as something goes on.
fn hits(store: &Store, pack: &PackRef, mut goes_on: impl FnMut() -> bool) -> Histogram<u64> {
    let mut histogram = Histogram::new(3).expect("three digits");
    while goes_on() {
        for _ in 0..10_000 {
            let started = Instant::now();
            std::hint::black_box(store.resolve(pack).expect("bound"));
            histogram.saturating_record(started.elapsed().as_nanos() as u64);
        }
    }
    histogram
}

fn show(what: &str, histogram: &Histogram<u64>) {
    print!("resolve/hit {what:<16} {:>9} hits", histogram.len());
    for quantile in [0.5, 0.99, 0.999] {
        print!("   p{} {:>6} ns", quantile * 100.0, histogram.value_at_quantile(quantile));
    }
    println!();
}

/// At rest for as long as the sweep took, then while it goes on.
fn round(root: &Path) -> (Histogram<u64>, Histogram<u64>) {
    make(root, SIZE);
    let store = open(root, settings());
    let one = pack(0);
    store.resolve(&one).expect("bound");
    let mut collector = Command::new(env!("CARGO_BIN_EXE_envstore"));
    collector.arg("--store").arg(root).args(["--format", "json", "gc", "--idle", "0s"]);
    let mut collector = collector.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
    let started = Instant::now();
    let sweeping = hits(&store, &one, || collector.try_wait().expect("waits").is_none());
    let took = started.elapsed();
    let done = collector.wait_with_output().expect("ends");
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert!(report["swept"].as_u64().is_some_and(|swept| swept >= 1000), "{report:#}");
    let started = Instant::now();
    let at_rest = hits(&store, &one, || started.elapsed() < took.max(Duration::from_secs(1)));
    (at_rest, sweeping)
}

fn main() {
    let top = std::env::var_os("ENVSTORE_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(top).expect("a directory");
    let mut all = [Histogram::new(3).expect("three digits"), Histogram::new(3).expect("three digits")];
    for number in 0..ROUNDS {
        let (at_rest, sweeping) = round(&dir.path().join(format!("store{number}")));
        show("at rest", &at_rest);
        show("while sweeping", &sweeping);
        all[0].add(at_rest).expect("as wide");
        all[1].add(sweeping).expect("as wide");
    }
    let [at_rest, sweeping] = all.map(|histogram| histogram.value_at_quantile(0.99) as f64);
    println!("resolve/hit_while_sweeping: the 99th percentile is {:.2} times that at rest", sweeping / at_rest);
}
