//! What keeping every file once saves, and how fast environments are made of what is known, beside uv with a warm cache.
//!
//! `ENVSTORE_PACKS=PATH cargo bench --bench sharing`, PATH being what `envstore sync` takes; without it `examples/packs`. Needs the
//! package index. `ENVSTORE_BENCH_DIR` is where the store and uv's cache are made (default: the temporary directory).
//!
//! Every environment is made three times: by the installer; of components, after its directory was moved away; and by
//! `uv pip sync --offline --compile-bytecode` from the same lock, the last two in turns.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use envstore::fs::durable;
use envstore::layout::Layout;
use envstore::manifest::{Content, Manifest};
use envstore::runtime::python::Python;
use envstore::settings::{PackOptions, Settings};
use envstore::spec::requirements::Reader;
use envstore::spec::{Spec, source};
use envstore::store::report::Outcome;
use envstore::{Cancel, Ensure, PackRef, Store};
use tracing::span;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// Seconds in each span, by name.
#[derive(Debug, Clone, Default)]
struct Spans(Arc<Mutex<BTreeMap<&'static str, Duration>>>);

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_enter(&self, id: &span::Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            span.extensions_mut().replace(Instant::now());
        }
    }

    fn on_exit(&self, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let Some(started) = span.extensions_mut().remove::<Instant>() else { return };
        *self.lock().entry(span.name()).or_default() += started.elapsed();
    }
}

impl Spans {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Duration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> BTreeMap<&'static str, Duration> {
        std::mem::take(&mut *self.lock())
    }
}

fn declared(path: &Path) -> Vec<(PackRef, Spec)> {
    let found = source::find(&[path.to_owned()], PackOptions::Ignore).expect("packs");
    let spec = |found: source::Found| {
        let mut reader = Reader::new(PackOptions::Ignore);
        reader.declaration(found.result.ok()?);
        Some((found.pack?, reader.finish().ok()?.0))
    };
    found.into_iter().filter_map(spec).collect()
}

/// Ensures every pack on eight threads (locking waits for the network), and keeps those that are ready.
fn sync(store: &Store, packs: Vec<(PackRef, Spec)>) -> Vec<(PackRef, Spec)> {
    let queue = Mutex::new(packs.into_iter().enumerate());
    let ready = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((at, (pack, spec))) = next else { break };
                    if store.ensure(&pack, &Ensure::new(spec.clone()), &Cancel::new()).is_ok() {
                        ready.lock().unwrap_or_else(PoisonError::into_inner).push((at, pack, spec));
                    }
                }
            });
        }
    });
    let mut ready = ready.into_inner().unwrap_or_else(PoisonError::into_inner);
    ready.sort_by_key(|(at, ..)| *at);
    ready.into_iter().map(|(_, pack, spec)| (pack, spec)).collect()
}

/// uv as a person would use it for the same lock.
struct Uv {
    path: PathBuf,
    cache: PathBuf,
    dir: PathBuf,
    python: PathBuf,
}

impl Uv {
    fn run(&self, args: &[&str], offline: bool) -> bool {
        let mut command = Command::new(&self.path);
        command.args(args).args(["-q", "--no-config", "--system-certs", "--cache-dir"]).arg(&self.cache);
        if offline {
            command.arg("--offline");
        }
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("UV_") || name.to_string_lossy().starts_with("PIP_") {
                command.env_remove(name);
            }
        }
        command.current_dir(&self.dir).status().is_ok_and(|status| status.success())
    }

    /// A virtual environment of a lock, compiled; none where uv fails.
    fn make(&self, lock: &Path, offline: bool) -> Option<Duration> {
        let pylock = self.dir.join("pylock.bench.toml");
        fs::copy(lock, &pylock).expect("the lock is copied");
        fs::set_permissions(&pylock, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("chmod");
        let env = self.dir.join("venv");
        let _ = fs::remove_dir_all(&env);
        let (env, python) = (env.to_string_lossy(), self.python.to_string_lossy());
        let started = Instant::now();
        let sync = [
            "pip",
            "sync",
            "--preview-features",
            "pylock",
            "--compile-bytecode",
            "--python",
            &env,
            "pylock.bench.toml",
        ];
        (self.run(&["venv", "--python", &python, &env], offline) && self.run(&sync, offline)).then(|| started.elapsed())
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn line(name: &str, mut times: Vec<Duration>) -> Duration {
    times.sort();
    let total: Duration = times.iter().sum();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    let worst = times.last().copied().unwrap_or_default();
    println!(
        "{name:<44} {:>8.2} s total {:>8.1} ms median {:>8.1} ms worst",
        total.as_secs_f64(),
        ms(median),
        ms(worst)
    );
    total
}

fn manifests(store: &Store) -> Vec<Manifest> {
    let layout = Layout::new(store.root());
    let names = store.list_envs().expect("environments").into_iter().filter(|env| !env.packs.is_empty());
    names
        .map(|env| {
            let name = env.path.file_name().and_then(|name| name.to_str()).expect("a name");
            Manifest::read(&layout.manifest(&name.parse().expect("an environment"))).expect("a manifest")
        })
        .collect()
}

fn main() {
    let packs = std::env::var_os("ENVSTORE_PACKS").map_or_else(|| "examples/packs".into(), PathBuf::from);
    let top = std::env::var_os("ENVSTORE_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(top).expect("a directory");
    let spans = Spans::default();
    let subscriber =
        tracing_subscriber::registry().with(spans.clone().with_filter(tracing_subscriber::filter::LevelFilter::DEBUG));
    tracing::subscriber::set_global_default(subscriber).expect("the only subscriber");
    let mut settings = Settings::default();
    settings.install.path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    settings.python.default = std::env::var("ENVSTORE_BENCH_PYTHON").ok();
    let python = Arc::new(Python::new(&settings));
    let root = dir.path().join("store");
    let store = Store::builder(&root).settings(settings).runtime(python).create(true).open().expect("a store");

    let started = Instant::now();
    let ready = sync(&store, declared(&packs));
    println!("{} packs ready in {:.0} s, locking and fetching included", ready.len(), started.elapsed().as_secs_f64());
    let cold = spans.take();
    let share = |names: &[&str]| names.iter().filter_map(|name| cold.get(name)).sum::<Duration>();
    let (ours, theirs) = (share(&["hash", "objects", "sync", "manifest", "index"]), share(&["install", "compile"]));
    for (name, time) in &cold {
        println!("  cold: {name:<10} {:>8.2} s", time.as_secs_f64());
    }
    println!(
        "cold: hash, objects, sync, manifest and index take {:.1} % of installer and bytecode",
        100.0 * ours.as_secs_f64() / theirs.as_secs_f64().max(1e-9)
    );

    bytes(&store);

    // One pack for each environment.
    let mut seen = HashSet::new();
    let locks: HashMap<String, PathBuf> = manifests(&store)
        .into_iter()
        .map(|manifest| {
            let lock = root.join("locks").join(format!("{}.toml", manifest.lock_digest));
            (manifest.key.to_string(), lock)
        })
        .collect();
    let uv = Uv {
        path: fs::read_dir(root.join("tools"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path().join("uv"))
            .next()
            .unwrap_or_else(|| "uv".into()),
        cache: dir.path().join("uv-cache"),
        dir: dir.path().to_owned(),
        python: manifests(&store)[0].interpreter.path.clone(),
    };
    let gone = dir.path().join("gone");
    fs::create_dir(&gone).expect("a directory");
    let (mut assembled, mut synced, mut skipped) = (Vec::new(), Vec::new(), 0);
    for (pack, spec) in &ready {
        let handle = store.resolve(pack).expect("bound");
        let (key, path) = (handle.key().to_string(), handle.path().to_owned());
        drop(handle);
        let manifest = locks.get(&key).filter(|_| !spec.is_empty() && seen.insert(key.clone()));
        let Some(lock) = manifest else { continue };
        // Warm: what uv needs is in its cache, the files of both in the page cache.
        if uv.make(lock, false).is_none() {
            skipped += 1;
            continue;
        }
        fs::rename(&path, gone.join(path.file_name().expect("a name"))).expect("moves");
        // We sync and uv does not: what uv left to be written is not ours to wait for.
        durable::sync_filesystem(dir.path()).expect("syncs");
        let started = Instant::now();
        let made = store.ensure(pack, &Ensure::new(spec.clone()), &Cancel::new()).expect("made again");
        assembled.push(started.elapsed());
        assert_eq!(made.report.outcome, Outcome::Assembled, "{pack}");
        synced.push(uv.make(lock, true).expect("offline, with a warm cache"));
    }
    println!("{} environments in turns ({skipped} that uv cannot make again)", assembled.len());
    let ours = line("envstore: ensure of a known lock", assembled);
    let theirs = line("uv venv + uv pip sync --offline, compiled", synced);
    println!("{:.1} times faster in total", theirs.as_secs_f64() / ours.as_secs_f64().max(1e-9));
    for (name, time) in spans.take() {
        println!("  assembling: {name:<10} {:>8.2} s", time.as_secs_f64());
    }
}

/// What there is on disk, beside what there would be.
fn bytes(store: &Store) {
    store.gc(&envstore::store::Gc::default(), &Cancel::new()).expect("collects");
    let usage = store.du().expect("weighs");
    let (mut distinct, mut environments) = (HashMap::new(), 0);
    for manifest in manifests(store) {
        for entry in &manifest.entries {
            if let Content::File { digest, size, .. } = entry.content {
                environments += size;
                distinct.insert(digest, size);
            }
        }
    }
    let distinct: u64 = distinct.values().sum();
    let kept = usage.by_kind.objects + usage.by_kind.environments;
    println!("{:<44} {:>12}", "each pack its own copy", mib(usage.logical_bytes));
    println!("{:<44} {:>12}", "each environment its own copy", mib(environments));
    println!("{:<44} {:>12}", "distinct content", mib(distinct));
    println!(
        "{:<44} {:>12} {:.3} times distinct",
        "files of envs/ and objects/",
        mib(kept),
        kept as f64 / distinct as f64
    );
    println!(
        "{:<44} {:>12} {:.3} times distinct ({} of it directories)",
        "the whole root after gc",
        mib(usage.total_bytes),
        usage.total_bytes as f64 / distinct as f64,
        mib(usage.by_kind.directories)
    );
}
