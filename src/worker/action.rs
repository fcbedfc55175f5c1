//! [`Action`]: what is to be run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// How much of each of standard output and standard error is kept where nothing is said.
const OUTPUT: u64 = 10 << 20;
/// How long an action has between TERM and KILL where nothing is said.
const GRACE: Duration = Duration::from_secs(10);

/// Where an action's code is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A file.
    Script(PathBuf),
    /// A module of the environment, as with `python -m`.
    Module(String),
    /// A text.
    Code(String),
}

/// An action of a pack, and how it is to be run.
///
/// As JSON: `pack` and `action`, or `action` alone as `pack_ref.action_name`; one of `script`, `module` and `code`; times in seconds.
#[derive(Debug, Clone, Deserialize)]
pub struct Action {
    #[serde(default)]
    pub(super) pack: Option<String>,
    pub(super) action: String,
    #[serde(flatten)]
    pub(super) entry: Entry,
    #[serde(default)]
    pub(super) args: Vec<String>,
    #[serde(default = "nothing")]
    pub(super) parameters: Value,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) working_dir: Option<PathBuf>,
    #[serde(default, deserialize_with = "seconds")]
    pub(super) timeout: Option<Duration>,
    #[serde(default, deserialize_with = "seconds")]
    pub(super) grace: Option<Duration>,
    #[serde(default)]
    pub(super) max_stdout_bytes: Option<u64>,
    #[serde(default)]
    pub(super) max_stderr_bytes: Option<u64>,
}

fn nothing() -> Value {
    Value::Object(serde_json::Map::new())
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let seconds = Option::<f64>::deserialize(deserializer)?;
    seconds.map(Duration::try_from_secs_f64).transpose().map_err(serde::de::Error::custom)
}

impl Action {
    fn new(pack: Option<String>, action: String) -> Self {
        Self {
            pack,
            action,
            entry: Entry::Code(String::new()),
            args: Vec::new(),
            parameters: nothing(),
            env: BTreeMap::new(),
            working_dir: None,
            timeout: None,
            grace: None,
            max_stdout_bytes: None,
            max_stderr_bytes: None,
        }
    }

    /// An action of a pack.
    pub fn of_pack(pack_ref: impl Into<String>, action: impl Into<String>) -> Self {
        Self::new(Some(pack_ref.into()), action.into())
    }

    /// An action named as `pack_ref.action_name`. The pack is the bound one that fits.
    pub fn combined(reference: impl Into<String>) -> Self {
        Self::new(None, reference.into())
    }

    /// Runs this file.
    pub fn script(mut self, path: impl Into<PathBuf>) -> Self {
        self.entry = Entry::Script(path.into());
        self
    }

    /// Runs a module of the environment.
    pub fn module(mut self, name: impl Into<String>) -> Self {
        self.entry = Entry::Module(name.into());
        self
    }

    /// Runs this text. It can be read by whoever may list processes.
    pub fn code(mut self, text: impl Into<String>) -> Self {
        self.entry = Entry::Code(text.into());
        self
    }

    /// Arguments behind the script.
    pub fn args<T: Into<String>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// What the action reads as JSON from standard input; an empty object where nothing is said.
    pub fn parameters(mut self, parameters: Value) -> Self {
        self.parameters = parameters;
        self
    }

    /// Sets a variable. It counts more than everything the runtime sets or takes away.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Where it runs; the worker's own directory where nothing is said.
    pub fn working_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.working_dir = Some(dir.into());
        self
    }

    /// After this long its process group gets TERM, then KILL.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long is between TERM and KILL; 10 s where nothing is said.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// How many bytes of standard output and of standard error are kept, from the beginning; 10 MiB where nothing is said.
    pub fn max_output(mut self, stdout_bytes: u64, stderr_bytes: u64) -> Self {
        self.max_stdout_bytes = Some(stdout_bytes);
        self.max_stderr_bytes = Some(stderr_bytes);
        self
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            timeout: self.timeout,
            grace: self.grace.unwrap_or(GRACE),
            stdout: self.max_stdout_bytes.unwrap_or(OUTPUT),
            stderr: self.max_stderr_bytes.unwrap_or(OUTPUT),
        }
    }
}

/// What an action may use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub timeout: Option<Duration>,
    pub grace: Duration,
    /// Bytes.
    pub stdout: u64,
    /// Bytes.
    pub stderr: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_from_json() {
        let text = r#"{"id": 7, "pack": "aws.s3", "action": "list", "script": "list.py", "timeout": 1.5, "parameters": {"a": 1}}"#;
        let action: Action = serde_json::from_str(text).expect("reads");
        assert_eq!((action.pack.as_deref(), action.action.as_str()), (Some("aws.s3"), "list"));
        assert_eq!(
            (action.entry, action.timeout),
            (Entry::Script("list.py".into()), Some(Duration::from_millis(1500)))
        );
        let combined: Action = serde_json::from_str(r#"{"action": "aws.s3.list", "code": "pass"}"#).expect("reads");
        assert_eq!((combined.pack, combined.parameters), (None, nothing()));
        for bad in [r#"{"action": "x"}"#, r#"{"action": "x", "code": "", "timeout": -1}"#, r#"{"code": ""}"#] {
            assert!(serde_json::from_str::<Action>(bad).is_err(), "{bad}");
        }
    }
}
