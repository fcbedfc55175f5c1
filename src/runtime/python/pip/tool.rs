//! Which pip: the interpreter's own if it is new enough, else a pinned one the store fetches for itself.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use uv_pep440::Version;

use crate::error::{Error, Result};
use crate::fs::durable;
use crate::interpreter::FileStamp;
use crate::process::{self, Limits, Log};
use crate::runtime::python::fetch::{self, Wheel};
use crate::store::runtime::Job;

/// The pip that the store fetches: the last that runs on Python 3.8.
const PINNED: &str = "25.0.1";
const WHEEL: Wheel = Wheel {
    project: "pip",
    file: "pip-25.0.1-py3-none-any.whl",
    sha256: "c46efd13b6aa8279f33f2864459c8ce587ea6a1a59ee20de055868d8f7688f7f",
};
/// The oldest pip that will do: the oldest whose report was tried.
const OLDEST: &str = "23.0.1";
/// What pip itself starts for an environment that has none.
const RUNNER: &str = "__pip-runner__.py";
/// How long the question may take.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// A pip that will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tool {
    /// The script that any Python runs this pip by.
    pub(super) runner: PathBuf,
    /// Its version.
    pub(super) version: String,
}

impl Tool {
    /// Whether it can limit what builds need and nothing else (`--build-constraint`, since 25.3).
    pub(super) fn limits_builds(&self) -> bool {
        self.version.parse::<Version>().is_ok_and(|version| version >= Version::new([25, 3]))
    }
}

/// The pip for this job. Each interpreter is asked once per process.
///
/// # Errors
/// [`crate::error::InstallerCause::Offline`] when one would have to be fetched offline; what fetching fails with.
pub(super) fn find_or_fetch(job: &Job<'_>) -> Result<Tool> {
    if let Some(tool) = own(job)? {
        return Ok(tool);
    }
    let kept = job.tools.join(format!("pip-{PINNED}"));
    let tool = Tool { runner: kept.join("pip").join(RUNNER), version: PINNED.into() };
    if !tool.runner.is_file() {
        fetch(job, &kept)?;
    }
    Ok(tool)
}

type Answers = HashMap<(PathBuf, FileStamp), Option<Tool>>;

static ANSWERS: LazyLock<Mutex<Answers>> = LazyLock::new(Mutex::default);

/// The pip that the interpreter has, if it is new enough.
fn own(job: &Job<'_>) -> Result<Option<Tool>> {
    let python = &job.interpreter.path;
    let key = (python.clone(), FileStamp::of(python)?);
    if let Some(known) = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return Ok(known.clone());
    }
    let mut command = Command::new(python);
    command.args(["-I", "-c", "import pip; print(pip.__version__, pip.__path__[0])"]).env_clear();
    let limits = Limits::starting_now(ANSWER_TIME, ANSWER_TIME);
    let answer = process::run(command, "asking Python for its pip", &Log::memory(), limits, job.cancel, None);
    let tool = match answer {
        Ok(finished) if finished.status.success() => usable(&String::from_utf8_lossy(&finished.stdout)),
        Ok(_) => None,
        // Not remembered: the next time it may answer.
        Err(Error::Timeout { .. }) => return Ok(None),
        // An interpreter that cannot be run is of no use to any pip: this is the cause to tell.
        Err(error) => return Err(error),
    };
    ANSWERS.lock().unwrap_or_else(PoisonError::into_inner).insert(key, tool.clone());
    Ok(tool)
}

/// The tool in `23.2.1 /usr/lib/…/pip`.
fn usable(said: &str) -> Option<Tool> {
    let (version, directory) = said.trim().split_once(' ')?;
    let is_new_enough = version.parse::<Version>().ok()? >= OLDEST.parse().ok()?;
    let runner = Path::new(directory).join(RUNNER);
    (is_new_enough && runner.is_file()).then(|| Tool { runner, version: version.to_owned() })
}

/// Gets the pinned pip into `kept`, whole or not at all.
fn fetch(job: &Job<'_>, kept: &Path) -> Result<()> {
    (job.progress)(&format!("fetching pip {PINNED}"));
    job.log.line(&format!("the interpreter has no pip {OLDEST} or newer: fetching {}", WHEEL.file));
    let archive = job.scratch.join(WHEEL.file);
    fetch::obtain(job, &WHEEL, &archive, &format!("there is no pip {OLDEST} or newer: give one to the interpreter"))?;
    let unpacked = job.scratch.join(format!("pip-{PINNED}.new"));
    let damaged = |error: zip::result::ZipError| Error::Corrupt { path: archive.clone(), reason: error.to_string() };
    let file = File::open(&archive).map_err(Error::io("open", &archive))?;
    zip::ZipArchive::new(file).and_then(|mut zip| zip.extract(&unpacked)).map_err(damaged)?;
    fs::remove_file(&archive).map_err(Error::io("remove", &archive))?;
    fs::create_dir_all(job.tools).map_err(Error::io("create", job.tools))?;
    durable::sync_filesystem(&unpacked)?;
    match fs::rename(&unpacked, kept) {
        // Another process was faster, with the same bytes.
        Err(_) if kept.join("pip").join(RUNNER).is_file() => Ok(()),
        renamed => renamed.map_err(Error::io("rename to", kept)),
    }?;
    durable::sync_dir(job.tools)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_or_odd_pip_is_none() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join(RUNNER), "").expect("writes");
        let said = |version: &str| usable(&format!("{version} {}\n", dir.path().display()));
        assert_eq!(said("23.2.1").map(|tool| tool.version).as_deref(), Some("23.2.1"));
        assert!(said("23.0.1").is_some() && said("23.0").is_none() && said("9.0.1").is_none());
        assert!(said("new").is_none() && usable("").is_none() && usable("25.0 /nowhere").is_none());
        assert!(WHEEL.file.contains(PINNED) && WHEEL.sha256.len() == 64);
    }
}
