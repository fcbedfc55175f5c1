//! A small complete worker: jobs from standard input, a JSON object a line; results to standard output, likewise.
//!
//! ```console
//! $ cargo run --example worker --features worker -- --config worker.yaml --jobs 4 < jobs.jsonl
//! ```
//!
//! | a job | does |
//! |---|---|
//! | `{"id": 1, "ensure": "aws.s3", "dependencies": ["boto3"]}` | makes sure that the pack has its environment |
//! | `{"id": 2, "pack": "aws.s3", "action": "list", "script": "list.py", "parameters": {…}}` | runs an action |
//! | `{"id": 3, "action": "aws.s3.list", "script": "list.py", "timeout": 60}` | the same, of whichever bound pack fits |
//! | `{"id": 4, "remove": "aws.s3"}` | lets the pack go |
//!
//! Heartbeats go to standard error. At the end of the input, or on TERM or Ctrl-C, it takes no more jobs and ends when those that run have
//! ended; a second signal stops them. Packs may be upgraded and rolled back meanwhile, by `envstore --store … upgrade` for one: each action
//! ends on what it began with.

use std::path::PathBuf;
use std::sync::Arc;

use envstore::runtime::{DependencyManager, DependencySpec};
use envstore::worker::{Action, Heart, PythonRuntime, WorkerConfig};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// What a job asks for.
#[derive(Deserialize)]
#[serde(untagged)]
enum Work {
    Ensure {
        ensure: String,
        #[serde(flatten)]
        spec: DependencySpec,
    },
    Remove {
        remove: String,
    },
    Run(Action),
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (config, jobs) = arguments()?;
    let runtime = PythonRuntime::from_config(&config);
    let heart = Heart::new(config.name.clone(), runtime.clone());
    let beating = tokio::spawn(async move {
        heart
            .every(config.heartbeat_interval, |beat| match beat {
                Ok(beat) => eprintln!("{}", json!({ "heartbeat": beat })),
                Err(error) => eprintln!("{}", json!({ "heartbeat": { "error": error.to_string() } })),
            })
            .await;
    });
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (turns, mut running) = (Arc::new(Semaphore::new(jobs)), JoinSet::new());
    let mut lines = BufReader::new(stdin()).lines();
    loop {
        // A job is read when there is room for it.
        let turn = tokio::select! {
            turn = Arc::clone(&turns).acquire_owned() => turn?,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        };
        let line = tokio::select! {
            line = lines.next_line() => line?,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        };
        let Some(line) = line else { break };
        let runtime = runtime.clone();
        running.spawn(async move {
            let _turn = turn;
            println!("{}", answer(&runtime, &line).await);
        });
        while running.try_join_next().is_some() {}
    }
    tokio::select! {
        () = async { while running.join_next().await.is_some() {} } => {}
        _ = terminate.recv() => running.shutdown().await,
        _ = interrupt.recv() => running.shutdown().await,
    }
    // Those that were stopped have their time to end in.
    while runtime.running() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    beating.abort();
    // Reading standard input blocks a thread that nothing but a line would end.
    std::process::exit(0)
}

fn arguments() -> Result<(WorkerConfig, usize), Box<dyn std::error::Error>> {
    let (mut config, mut jobs) = (None, 4);
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--config" => config = Some(PathBuf::from(value)),
            "--jobs" => jobs = value.parse::<usize>()?.max(1),
            _ => return Err(format!("there is no {flag}: --config FILE, --jobs N").into()),
        }
    }
    Ok((WorkerConfig::load(config.as_deref())?, jobs))
}

/// Does a job and says how it went, as one line.
async fn answer(runtime: &PythonRuntime, line: &str) -> Value {
    let job: Value = match serde_json::from_str(line) {
        Ok(job) => job,
        Err(error) => return json!({ "error": format!("a job that is no JSON: {error}") }),
    };
    let id = job["id"].clone();
    let done = match serde_json::from_value(job) {
        Ok(Work::Ensure { ensure, spec }) => {
            let made = runtime.manager().ensure_environment(&ensure, &spec).await;
            made.map(|made| json!({ "environment": made })).map_err(|error| error.to_string())
        }
        Ok(Work::Remove { remove }) => {
            let removed = runtime.manager().remove_environment(&remove).await;
            removed.map(|()| json!({ "removed": remove })).map_err(|error| error.to_string())
        }
        Ok(Work::Run(action)) => {
            let result = runtime.run(&action).await;
            result.map(|result| json!({ "result": result })).map_err(|error| error.to_string())
        }
        Err(_) => Err("a job needs `ensure`, `remove`, or `action` with `script`, `module` or `code`".into()),
    };
    let mut told = done.unwrap_or_else(|error| json!({ "error": error }));
    told["id"] = id;
    told
}
