//! [`Heartbeat`]: how a worker is, as far as environments are concerned.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use super::health::{Health, Unhealthy};
use super::python::PythonRuntime;
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::store::Store;

/// How a worker is.
#[derive(Debug, Clone, Serialize)]
pub struct Heartbeat {
    /// The worker's name.
    pub worker: String,
    /// When this was so.
    pub at: DateTime<Utc>,
    /// How many packs are bound.
    pub packs: u64,
    /// To how many environments.
    pub environments: u64,
    /// Bytes of the files in them; what they share counts in each.
    pub bytes: u64,
    /// Which part of what was resolved needed no look at the index; none: nothing was resolved yet.
    pub hit_ratio: Option<f64>,
    /// How many actions run.
    pub running: u64,
    /// The environments that were found damaged. A few are looked at with each heartbeat, so that all are in time.
    pub unhealthy: Vec<Unhealthy>,
}

/// What beats.
#[derive(Debug, Clone)]
pub struct Heart {
    worker: String,
    runtime: PythonRuntime,
    health: Arc<Mutex<Health>>,
}

impl Heart {
    /// The heart of a worker that runs actions with this runtime.
    pub fn new(worker: impl Into<String>, runtime: PythonRuntime) -> Self {
        Self { worker: worker.into(), runtime, health: Arc::default() }
    }

    /// Looks once.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub async fn beat(&self) -> Result<Heartbeat> {
        let store = self.runtime.manager().store().await?;
        let health = Arc::clone(&self.health);
        let (worker, running) = (self.worker.clone(), self.runtime.running());
        let look = move |store: &Store| {
            let mut health = health.lock().unwrap_or_else(PoisonError::into_inner);
            look(store, &mut health, worker, running)
        };
        store.with(look).await
    }

    /// Looks again and again, the first time at once, and hands on what was seen. It never ends; drop it.
    pub async fn every(&self, pause: Duration, mut tell: impl FnMut(Result<Heartbeat>)) {
        let mut beats = interval(pause);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            tell(self.beat().await);
        }
    }
}

fn look(store: &Store, health: &mut Health, worker: String, running: u64) -> Result<Heartbeat> {
    let packs = store.list()?;
    let environments: HashMap<_, u64> = packs.iter().map(|pack| (&pack.path, pack.bytes)).collect();
    Ok(Heartbeat {
        worker,
        at: DateTime::from_timestamp(SystemClock.now().as_second(), 0).unwrap_or_default(),
        packs: packs.len() as u64,
        environments: environments.len() as u64,
        bytes: environments.values().sum(),
        hit_ratio: store.stats().hit_ratio(),
        running,
        unhealthy: health.check(store, &packs)?,
    })
}
