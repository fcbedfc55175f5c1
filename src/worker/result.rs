//! [`ActionResult`]: how an action ended.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::digest::EnvKey;

/// What an action wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// What is kept of it, from the beginning.
    pub bytes: Vec<u8>,
    /// At least so many bytes behind that are not.
    pub dropped_bytes: u64,
}

impl Output {
    /// It as text; what is no UTF-8 is replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// Whether not all of it is kept.
    pub fn is_cut(&self) -> bool {
        self.dropped_bytes > 0
    }
}

/// How an action ended.
#[derive(Debug, Clone, Serialize)]
pub struct ActionResult {
    /// The pack.
    pub pack: String,
    /// The action's name in it.
    pub action: String,
    /// Its exit code; none: a signal ended it.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether it was stopped because its time was over.
    pub timed_out: bool,
    /// Whether it was stopped because nobody waited for it any more.
    pub cancelled: bool,
    /// What it wrote to standard output.
    #[serde(serialize_with = "as_text")]
    pub stdout: Output,
    /// Bytes of standard output that are not kept.
    pub stdout_dropped_bytes: u64,
    /// What it wrote to standard error.
    #[serde(serialize_with = "as_text")]
    pub stderr: Output,
    /// Bytes of standard error that are not kept.
    pub stderr_dropped_bytes: u64,
    /// From its start to its end.
    #[serde(rename = "duration_ms", serialize_with = "as_millis")]
    pub duration: Duration,
    /// The key of the environment it ran in; none: the pack is not bound, and the configured Python ran it.
    pub env: Option<EnvKey>,
    /// The generation of the pack's binding.
    pub generation: Option<u64>,
    /// The interpreter that was started.
    pub interpreter: PathBuf,
}

impl ActionResult {
    /// Whether it ended by itself, with exit code 0.
    pub fn is_success(&self) -> bool {
        self.exit_code == Some(0) && !self.timed_out && !self.cancelled
    }
}

fn as_text<S: Serializer>(output: &Output, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&output.text())
}

fn as_millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
