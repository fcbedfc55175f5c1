//! What a thousand, and a million, packs change.
//!
//! `cargo bench --bench scale`, or `ENVSTORE_SCALE=1000000 cargo bench --bench scale` for sizes of your own. A tenth as many environments as
//! packs. `ENVSTORE_BENCH_DIR` is where the stores are made (default: the temporary directory): 8 GB for a million packs.
//!
//! What a worker does is measured in processes of their own, seven of each size, medians; memory is what such a process has once it
//! resolved 100 packs.

mod support {
    pub mod empty;
    pub mod store;
    pub mod synthetic;
}

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use envstore::layout::Layout;
use envstore::store::Gc;
use envstore::{Cancel, Ensure};
use support::store::{open, pack, settings};
use support::synthetic::{Size, make};

const SIZES: [u64; 3] = [1_000, 10_000, 100_000];
const PROCESSES: usize = 7;
/// How many packs a process resolves for the first time.
const RESOLVED: u64 = 100;
const HITS: u32 = 200_000;
/// Tells a process of this program that it is the worker of a store, and how many packs that has.
const WORKER: &str = "ENVSTORE_SCALE_WORKER";

/// What a worker measures, in its order.
const MEASURED: [&str; 7] = ["open ms", "first us", "resolve us", "hit ns", "ensure us", "RSS MB", "HWM MB"];

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// A value of `/proc/self/status`, in MB.
fn memory(name: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
    let kib: f64 = line.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number");
    kib * 1024.0 / 1e6
}

/// What a worker does: opens the store, resolves packs, then the same ones again.
fn work(root: &Path, packs: u64) {
    let started = Instant::now();
    let store = open(root, settings());
    let opening = started.elapsed();
    let first_of = |n: u64| {
        let pack = pack(n * (packs / RESOLVED));
        let started = Instant::now();
        let handle = store.resolve(&pack).expect("bound");
        (started.elapsed(), handle)
    };
    let (first, _handle) = first_of(0);
    let resolving = median((1..RESOLVED).map(|n| micros(first_of(n).0)).collect());
    let (rss, hwm) = (memory("VmRSS:"), memory("VmHWM:"));
    let one = pack(0);
    let batch = || {
        let started = Instant::now();
        for _ in 0..HITS {
            std::hint::black_box(store.resolve(&one).expect("bound"));
        }
        started.elapsed().as_secs_f64() * 1e9 / f64::from(HITS)
    };
    let hit = median((0..9).map(|_| batch()).collect());
    let ask = Ensure::new(store.show(&one).expect("bound").declaration);
    let ensure = || {
        let started = Instant::now();
        store.ensure(&one, &ask, &Cancel::new()).expect("a hit");
        micros(started.elapsed())
    };
    let ensuring = median((0..1000).map(|_| ensure()).collect());
    let measured = [opening.as_secs_f64() * 1e3, micros(first), resolving, hit, ensuring, rss, hwm];
    println!("{}", serde_json::to_string(&measured).expect("JSON"));
}

/// Medians over several workers.
fn measure_work(root: &Path, packs: u64) -> Vec<f64> {
    let run = || {
        let mut worker = Command::new(std::env::current_exe().expect("this program"));
        let done = worker.env(WORKER, packs.to_string()).arg(root).output().expect("starts");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice::<Vec<f64>>(&done.stdout).expect("numbers")
    };
    let runs: Vec<Vec<f64>> = (0..PROCESSES).map(|_| run()).collect();
    (0..MEASURED.len()).map(|at| median(runs.iter().map(|run| run[at]).collect())).collect()
}

fn seconds<T>(what: impl FnOnce() -> T) -> (f64, T) {
    let started = Instant::now();
    let done = what();
    (started.elapsed().as_secs_f64(), done)
}

fn report(top: &Path, packs: u64) {
    let dir = tempfile::tempdir_in(top).expect("a directory");
    let root = dir.path().join("store");
    let size = Size { packs, envs: packs / 10, files: true };
    let (making, ()) = seconds(|| make(&root, size));
    let mut row = measure_work(&root, packs);
    let store = open(&root, settings());
    let (listing, listed) = seconds(|| store.list().expect("lists").len());
    let ask = Gc { dry_run: true, idle: Some(Duration::ZERO), ..Gc::default() };
    let (planning, plan) = seconds(|| store.gc(&ask, &Cancel::new()).expect("looks"));
    let bytes = fs::metadata(Layout::new(&root).index_db()).expect("stat").len();
    let (reindexing, rebuilt) = seconds(|| store.reindex().expect("an index"));
    assert_eq!((listed as u64, rebuilt.packs), (packs + 1, packs + 1));
    row.extend([listing, planning, reindexing, bytes as f64 / 1e6]);
    print!("{packs:>9} {:>7} {:>7}", size.envs, plan.condemned);
    row.iter().for_each(|value| print!(" {value:>10.2}"));
    println!("   (made in {making:.0} s)");
}

fn main() {
    let worker = std::env::var(WORKER).ok().and_then(|packs| packs.parse().ok());
    if let (Some(packs), Some(root)) = (worker, std::env::args_os().nth(1)) {
        return work(Path::new(&root), packs);
    }
    let asked = std::env::var("ENVSTORE_SCALE").unwrap_or_default();
    let mut sizes: Vec<u64> = asked.split(',').filter_map(|size| size.trim().parse().ok()).collect();
    if sizes.is_empty() {
        sizes.extend(SIZES);
    }
    let top = std::env::var_os("ENVSTORE_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    print!("{:>9} {:>7} {:>7}", "packs", "envs", "unbound");
    let after = ["list s", "gc plan s", "reindex s", "index MB"];
    MEASURED.iter().chain(&after).for_each(|name| print!(" {name:>10}"));
    println!();
    sizes.into_iter().for_each(|packs| report(&top, packs.max(RESOLVED)));
}
