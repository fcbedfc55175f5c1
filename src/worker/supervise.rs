//! Runs one action to its end: starts it, keeps its output small, stops it when its time is over or nobody waits, and keeps its lease
//! until its process group is gone.

use std::future::pending;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until};

use super::action::Limits;
use super::capture::{Capture, input};
use super::error::RunError;
use super::group::Group;
use super::result::Output;
use crate::store::EnvHandle;

/// How often output is looked at while an action runs.
const LOOK: Duration = Duration::from_millis(50);
/// How often a process group is looked at whose leader has ended.
const LINGER: Duration = Duration::from_millis(20);
/// The same, once nobody waits for it.
const REST: Duration = Duration::from_millis(500);

/// What is to be started.
#[derive(Debug)]
pub(super) struct Start {
    pub command: Command,
    pub program: PathBuf,
    pub parameters: Vec<u8>,
    /// Kept until the process group is gone; none: the interpreter is no environment's.
    pub handle: Option<EnvHandle>,
    pub limits: Limits,
    pub running: Running,
}

/// How many actions run.
#[derive(Debug, Default, Clone)]
pub(super) struct Running(Arc<AtomicU64>);

impl Running {
    /// How many run now.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn one_more(&self) -> OneRunning {
        self.0.fetch_add(1, Ordering::Relaxed);
        OneRunning(self.clone())
    }
}

/// One of them; it ends with this.
#[derive(Debug)]
struct OneRunning(Running);

impl Drop for OneRunning {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How it ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    pub timed_out: bool,
    pub cancelled: bool,
    pub stdout: Output,
    pub stderr: Output,
    pub duration: Duration,
}

/// Why an action is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    TimedOut,
    Cancelled,
}

/// Runs it. If the future is dropped the action is stopped as if its time were over.
pub(super) async fn run(start: Start) -> Result<Ended, RunError> {
    // Dropped with the future; the task sees it.
    let (_waiting, left) = oneshot::channel();
    let task = tokio::spawn(supervise(start, left));
    match task.await {
        Ok(ended) => ended,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(RunError::Stopped),
        },
    }
}

async fn supervise(start: Start, mut left: oneshot::Receiver<()>) -> Result<Ended, RunError> {
    let Start { mut command, program, parameters, handle, limits, running } = start;
    let io = |op: &'static str| move |source: io::Error| RunError::Io { op, source };
    let mut stdout = Capture::new(limits.stdout).map_err(io("set up the output"))?;
    let mut stderr = Capture::new(limits.stderr).map_err(io("set up the output"))?;
    command
        .stdin(input(&parameters).map_err(io("set up the input"))?)
        .stdout(stdout.stdio().map_err(io("set up the output"))?)
        .stderr(stderr.stdio().map_err(io("set up the output"))?)
        .process_group(0);
    let _running = running.one_more();
    let started = Instant::now();
    let mut command = tokio::process::Command::from(command);
    let mut child = command.spawn().map_err(|source| RunError::Start { program, source })?;
    // The action has its lease now, and its ends of the streams.
    drop(command);
    let Some(group) = child.id().map(Group::led_by) else { return Err(RunError::Stopped) };

    let deadline = limits.timeout.map(|timeout| started + timeout);
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop: Option<(Stop, Instant)> = None;
    let status = loop {
        let kill_at = stop.map(|(_, kill_at)| kill_at);
        let why = tokio::select! {
            status = child.wait() => break status.map_err(io("wait for the end"))?,
            _ = looks.tick() => {
                for stream in [&mut stdout, &mut stderr] {
                    stream.cut().map_err(io("bound the output"))?;
                }
                continue;
            }
            () = at(deadline), if stop.is_none() => Stop::TimedOut,
            _ = &mut left, if stop.is_none() => Stop::Cancelled,
            () = at(kill_at) => {
                group.kill();
                stop = stop.map(|(why, _)| (why, Instant::now() + limits.grace));
                continue;
            }
        };
        group.terminate();
        stop = Some((why, Instant::now() + limits.grace));
    };
    let duration = started.elapsed();
    if let Some((_, kill_at)) = stop {
        while group.is_left() && Instant::now() < kill_at {
            sleep(LINGER).await;
        }
        group.kill();
    }
    let read = |stream: &mut Capture| stream.read().map_err(io("read the output"));
    let ended = ended(status, stop.map(|(why, _)| why), [read(&mut stdout)?, read(&mut stderr)?], duration);
    if group.is_left() {
        tokio::spawn(outlast(group, handle, [stdout, stderr]));
    }
    Ok(ended)
}

fn ended(status: ExitStatus, stop: Option<Stop>, [stdout, stderr]: [Output; 2], duration: Duration) -> Ended {
    Ended {
        exit_code: status.code(),
        signal: status.signal(),
        timed_out: stop == Some(Stop::TimedOut),
        cancelled: stop == Some(Stop::Cancelled),
        stdout,
        stderr,
        duration,
    }
}

/// Keeps the lease for what an action left running in its group, and what that writes small.
async fn outlast(group: Group, handle: Option<EnvHandle>, streams: [Capture; 2]) {
    let mut streams = streams;
    let mut pause = LINGER;
    while group.is_left() {
        for stream in &mut streams {
            if let Err(error) = stream.cut() {
                tracing::debug!(%error, "the output of what an action left running is not bounded");
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(REST);
    }
    drop(handle);
}

/// Waits for a point in time; for ever if there is none.
async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when.into()).await,
        None => pending().await,
    }
}
