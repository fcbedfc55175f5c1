//! [`WorkerConfig`]: a worker's own YAML file, and the variables over it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Config, Environment, File, FileFormat};
use serde::{Deserialize, Deserializer};

use crate::error::{Error, Result};
use crate::site::units;

/// What of a worker's configuration concerns environments: the keys of `worker` in its file. Other keys are left alone.
///
/// Each is overridden by a variable: `ATTUNE__WORKER__VENV_BASE_DIR` is `worker.venv_base_dir`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct WorkerConfig {
    /// What the worker calls itself in heartbeats; the host's name where nothing is said.
    pub name: String,
    /// Where its environments are: the store's root. `/var/lib/envstore` where nothing is said.
    pub venv_base_dir: PathBuf,
    /// The default interpreter, and what runs the actions of packs that are not bound; `python3` where nothing is said.
    pub python_path: PathBuf,
    /// How often it tells how it is: seconds, or a text such as `30s`. 30 seconds where nothing is said.
    #[serde(deserialize_with = "duration")]
    pub heartbeat_interval: Duration,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            name: if host.trim().is_empty() { "worker".into() } else { host.trim().to_owned() },
            venv_base_dir: "/var/lib/envstore".into(),
            python_path: "python3".into(),
            heartbeat_interval: Duration::from_secs(30),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Whole {
    worker: WorkerConfig,
}

impl WorkerConfig {
    /// Reads a file, if one is given, and the variables of this process over it.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`], also for a file that is not there.
    pub fn load(path: Option<&Path>) -> Result<Self> {
        let text = match path {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| invalid(&format!("`{}`", path.display()), &format!("cannot read it: {error}")))?,
            None => String::new(),
        };
        let origin = path.map_or_else(|| "of the worker".into(), |path| format!("`{}`", path.display()));
        // What is no UTF-8 is none of these.
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::read(&text, &origin, variables)
    }

    /// Reads a text in YAML, and variables over it. `origin` says in messages where the text is from.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`].
    pub fn read(text: &str, origin: &str, variables: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let variables: HashMap<String, String> = variables.into_iter().collect();
        let environment = Environment::with_prefix("ATTUNE")
            .prefix_separator("__")
            .separator("__")
            .ignore_empty(true)
            .source(Some(variables));
        let read = Config::builder().add_source(File::from_str(text, FileFormat::Yaml)).add_source(environment).build();
        let whole: Whole =
            read.and_then(Config::try_deserialize).map_err(|error| invalid(origin, &error.to_string()))?;
        Ok(whole.worker)
    }
}

fn invalid(origin: &str, reason: &str) -> Error {
    Error::InvalidConfig { origin: origin.into(), reason: reason.into() }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "write seconds, or a number and a unit such as `30s`")]
    enum Given {
        Seconds(u64),
        Text(String),
    }
    let duration = match Given::deserialize(deserializer)? {
        Given::Seconds(seconds) => Duration::from_secs(seconds),
        Given::Text(text) => match text.trim().parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => units::parse_duration(&text).map_err(serde::de::Error::custom)?,
        },
    };
    if duration.is_zero() {
        return Err(serde::de::Error::custom("a heartbeat needs an interval above zero"));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, variables: &[(&str, &str)]) -> Result<WorkerConfig> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        WorkerConfig::read(text, "`worker.yaml`", variables)
    }

    const FILE: &str = "database:\n  url: postgres://x\nworker:\n  name: one\n  venv_base_dir: /srv/envs\n  python_path: /usr/bin/python3\n  heartbeat_interval: 10\n  max_concurrent_tasks: 5\n";

    #[test]
    fn a_file_and_the_variables_over_it() {
        let config = read(FILE, &[]).expect("reads");
        assert_eq!((config.name.as_str(), config.heartbeat_interval), ("one", Duration::from_secs(10)));
        assert_eq!(
            (config.venv_base_dir.to_str(), config.python_path.to_str()),
            (Some("/srv/envs"), Some("/usr/bin/python3"))
        );
        let over = [
            ("ATTUNE__WORKER__VENV_BASE_DIR", "/data/Envs"),
            ("ATTUNE__WORKER__PYTHON_PATH", "python3.11"),
            ("ATTUNE__WORKER__NAME", "7"),
            ("ATTUNE__WORKER__HEARTBEAT_INTERVAL", "2m"),
            ("ATTUNE__OTHER", "x"),
            ("WORKER__NAME", "not ours"),
        ];
        let config = read(FILE, &over).expect("reads");
        assert_eq!((config.name.as_str(), config.heartbeat_interval), ("7", Duration::from_secs(120)));
        assert_eq!(
            (config.venv_base_dir.to_str(), config.python_path.to_str()),
            (Some("/data/Envs"), Some("python3.11"))
        );
    }

    #[test]
    fn nothing_said_is_a_worker_too() {
        for text in ["", "database: {}\n", "worker: {}\n"] {
            let config = read(text, &[("ATTUNE__WORKER__NAME", "")]).expect(text);
            assert_eq!(config, WorkerConfig::default(), "{text}");
        }
        assert_eq!(read("", &[("ATTUNE__WORKER__NAME", "w")]).expect("reads").name, "w");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_file() {
        for bad in ["worker: [", "worker:\n  heartbeat_interval: soon\n", "worker:\n  heartbeat_interval: 0\n"] {
            let error = read(bad, &[]).expect_err(bad).to_string();
            assert!(error.contains("`worker.yaml`"), "{error}");
        }
        assert!(WorkerConfig::load(Some("/no/such/file.yaml".as_ref())).is_err());
    }
}
