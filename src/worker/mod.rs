//! Running packs' actions (feature `worker`): [`PythonRuntime`], its configuration and its heartbeat.
//!
//! An action runs in a process group of its own, with a lease of its environment that it and what it starts inherit, so that an upgrade, a
//! rollback or a collection meanwhile changes nothing for it, also when the worker is dead. Output goes to memory that the action shares
//! with the worker, not through pipes: when the worker is killed the action writes on, and nothing waits for a reader.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use envstore::worker::{Action, PythonRuntime, WorkerConfig};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = PythonRuntime::from_config(&WorkerConfig::load(Some("/etc/attune/worker.yaml".as_ref()))?);
//! let action = Action::of_pack("aws.s3", "list_buckets")
//!     .script("/opt/packs/aws.s3/actions/list_buckets.py")
//!     .parameters(serde_json::json!({"region": "eu-central-1"}))
//!     .timeout(Duration::from_secs(300));
//! let result = runtime.run(&action).await?;
//! println!("{:?} in {:?}: {}", result.exit_code, result.duration, result.stdout.text());
//! # Ok(())
//! # }
//! ```

mod action;
mod capture;
mod clean;
mod config;
mod error;
mod group;
mod health;
mod heartbeat;
mod python;
mod reference;
mod result;
mod supervise;

pub use action::{Action, Entry};
pub use config::WorkerConfig;
pub use error::RunError;
pub use health::Unhealthy;
pub use heartbeat::{Heart, Heartbeat};
pub use python::PythonRuntime;
pub use result::{ActionResult, Output};
