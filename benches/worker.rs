//! What `PythonRuntime` adds to starting an interpreter by hand, in turns: an action that does nothing, one that reads parameters and prints, and
//! eight at once.
//!
//! `cargo bench --bench worker --features worker`. By hand is `tokio::process` with pipes on the same interpreter with the same variables. The packs have
//! the empty environment: no installer and no network is needed.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use envstore::runtime::{DependencyManager, DependencySpec, PythonVenvManager};
use envstore::settings::Settings;
use envstore::worker::{Action, PythonRuntime};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

const TURNS: usize = 300;
const AT_ONCE: usize = 8;
const ECHO: &str = "import json, sys; print(json.load(sys.stdin)['n'])";

struct Bench {
    runtime: PythonRuntime,
    python: std::path::PathBuf,
}

impl Bench {
    async fn with_runtime(&self, code: &str) {
        let action = Action::of_pack("core", "bench").code(code).parameters(serde_json::json!({"n": 7}));
        let result = self.runtime.run(&action).await.expect("runs");
        assert!(result.is_success() && result.env.is_some());
    }

    async fn by_hand(&self, code: &str) {
        let mut command = Command::new(&self.python);
        command.args(["-c", code]).env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let mut input = child.stdin.take().expect("a pipe");
        // Nobody may read it.
        let _ = input.write_all(b"{\"n\":7}\n").await;
        drop(input);
        assert!(child.wait_with_output().await.expect("ends").status.success());
    }

    async fn turn(&self, code: &str, at_once: usize, is_ours: bool) -> Duration {
        let begun = Instant::now();
        let each = (0..at_once)
            .map(|_| async move { if is_ours { self.with_runtime(code).await } else { self.by_hand(code).await } });
        futures_join(each).await;
        begun.elapsed()
    }
}

/// Polls all on this task until all are done.
async fn futures_join(each: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut each: Vec<_> = each.map(|one| Some(Box::pin(one))).collect();
    std::future::poll_fn(|context| {
        for one in &mut each {
            if one.as_mut().is_some_and(|future| future.as_mut().poll(context).is_ready()) {
                *one = None;
            }
        }
        if each.iter().all(Option::is_none) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut settings = Settings::default();
    settings.install.path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    settings.python.default = std::env::var("ENVSTORE_BENCH_PYTHON").ok();
    let manager = Arc::new(PythonVenvManager::with_settings(dir.path().join("store"), settings));
    let made = manager.ensure_environment("core", &DependencySpec::new("python")).await.expect("made");
    let bench = Bench { runtime: PythonRuntime::new(manager, "python3"), python: made.executable_path };
    println!("Python {}; medians of {TURNS} turns", made.runtime_version);
    for (name, code, at_once) in [("nothing", "", 1), ("echo", ECHO, 1), ("echo, 8 at once", ECHO, AT_ONCE)] {
        let (mut ours, mut hand) = (Vec::new(), Vec::new());
        for turn in 0..TURNS / at_once.min(4) {
            // Who is first changes: neither has the warmer machine.
            for is_ours in [turn % 2 == 0, turn % 2 != 0] {
                let took = bench.turn(code, at_once, is_ours).await;
                if is_ours { ours.push(took) } else { hand.push(took) }
            }
        }
        // Of each pair, so that what else the machine does falls out.
        let mut ratios: Vec<f64> = ours.iter().zip(&hand).map(|(a, b)| a.as_secs_f64() / b.as_secs_f64()).collect();
        ratios.sort_by(f64::total_cmp);
        let ratio = ratios[ratios.len() / 2];
        let (ours, hand) = (median(&mut ours), median(&mut hand));
        println!("{name:16} runtime {ours:>10.2?}   by hand {hand:>10.2?}   ratio {ratio:.2}");
    }
}
