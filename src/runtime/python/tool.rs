//! Which uv: the one on `PATH` if it is new enough, else a pinned one the store fetches for itself.
//!
//! The pinned uv comes as a wheel from the site's own index or `find_links`, is held to the digests below, and is
//! kept under `tools/`. No Python and no pip take part.

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use uv_pep440::Version;

use super::fetch::{self, Wheel};
use super::simple_api::refused;
use crate::cancel::Cancel;
use crate::error::{Error, InstallerCause, Result};
use crate::interpreter::{FileStamp, InterpreterIdentity};
use crate::process::{self, Limits, Log};
use crate::settings::Settings;
use crate::store::runtime::Job;

/// The uv that the store fetches.
pub(crate) const PINNED: &str = "0.13.9";
/// The oldest uv that will do: the oldest whose behaviour was tried.
const OLDEST: &str = PINNED;
/// The executable in a wheel of uv, 60 MB unpacked.
const MEMBER: &str = "uv-0.13.9.data/scripts/uv";
const EXECUTABLE_LIMIT: u64 = 512 << 20;
/// How long `uv --version` may take.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// The wheels of the pinned uv and their SHA-256.
const X86_64_GLIBC: Wheel = Wheel {
    project: "uv",
    file: "uv-0.13.9-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    sha256: "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19",
};
const X86_64_MUSL: Wheel = Wheel {
    project: "uv",
    file: "uv-0.13.9-py3-none-musllinux_1_1_x86_64.whl",
    sha256: "2c45530751517d6c3bbc69a19473f6effe47cce047bede01ffd8af7ea7b36b25",
};
const AARCH64_GLIBC: Wheel = Wheel {
    project: "uv",
    file: "uv-0.13.9-py3-none-manylinux_2_28_aarch64.whl",
    sha256: "ecb6028d79dc96fbeafffe5c8af62a7099487ebc05a701e76714eebcffd06375",
};
const AARCH64_ANY: Wheel = Wheel {
    project: "uv",
    file: "uv-0.13.9-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
    sha256: "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",
};

/// A uv that will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tool {
    /// The executable.
    pub path: PathBuf,
    /// Its version, e.g. `0.13.9`.
    pub version: String,
}

/// What looking for uv found.
#[derive(Debug, Default)]
struct Search {
    tool: Option<Tool>,
    /// Executables that will not do, each with the reason.
    passed_over: Vec<String>,
}

/// What an executable is worth.
enum Candidate {
    Fits(Tool),
    Missing,
    Unfit(String),
}

/// The uv for this job. Each executable that answers is asked for its version once per process.
///
/// # Errors
///
/// [`InstallerCause::Offline`] when one would have to be fetched offline; what fetching fails with; [`Error::Io`] when this process can
/// run nothing, whichever uv it takes.
pub(crate) fn find_or_fetch(job: &Job<'_>) -> Result<Tool> {
    let found = search(job.settings, job.tools, job.cancel)?;
    if let Some(tool) = found.tool {
        return Ok(tool);
    }
    let kept = kept(job.tools);
    fetch(job, &kept, &found.passed_over)?;
    match usable(&kept.join("uv"), job.cancel)? {
        Candidate::Fits(tool) => Ok(tool),
        Candidate::Missing => Err(refused(InstallerCause::Other, format!("the uv {PINNED} that was fetched is gone"))),
        Candidate::Unfit(reason) => {
            let summary = format!("the uv {PINNED} that was fetched does not run on this host: {reason}");
            Err(refused(InstallerCause::Other, summary))
        }
    }
}

/// The uv that is there: on `PATH`, else the one fetched before.
pub(crate) fn find(settings: &Settings, tools: &Path, cancel: &Cancel) -> Result<Option<Tool>> {
    search(settings, tools, cancel).map(|found| found.tool)
}

fn search(settings: &Settings, tools: &Path, cancel: &Cancel) -> Result<Search> {
    let mut found = Search::default();
    let on_path = settings.install.path.iter().filter(|directory| directory.is_absolute());
    for path in on_path.map(|directory| directory.join("uv")).chain([kept(tools).join("uv")]) {
        match usable(&path, cancel)? {
            Candidate::Fits(tool) => {
                found.tool = Some(tool);
                break;
            }
            Candidate::Missing => {}
            Candidate::Unfit(reason) => found.passed_over.push(reason),
        }
    }
    Ok(found)
}

/// Where the one that is fetched is kept.
fn kept(tools: &Path) -> PathBuf {
    tools.join(format!("uv-{PINNED}"))
}

/// Looks at the executable at a path and asks it for its version.
///
/// # Errors
/// If the question cannot be asked for a reason that lies in this process (no descriptors, no memory, no `/dev/null`): another uv could not
/// be asked either.
fn usable(path: &Path, cancel: &Cancel) -> Result<Candidate> {
    let unfit = |why: &str| Ok(Candidate::Unfit(format!("`{}` {why}", path.display())));
    match fs::metadata(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Candidate::Missing);
        }
        Err(error) => return unfit(&format!("cannot be looked at: {error}")),
        Ok(meta) if !meta.is_file() => return Ok(Candidate::Missing),
        Ok(meta) if meta.permissions().mode() & 0o111 == 0 => return unfit("is not executable"),
        Ok(_) => {}
    }
    let version = match version(path, cancel)? {
        Ok(version) => version,
        Err(why) => return unfit(&why),
    };
    if version.parse::<Version>().ok() < OLDEST.parse::<Version>().ok() {
        return unfit(&format!("is uv {version}, older than {OLDEST}"));
    }
    Ok(Candidate::Fits(Tool { path: path.to_owned(), version }))
}

type Versions = HashMap<(PathBuf, FileStamp), String>;

static VERSIONS: LazyLock<Mutex<Versions>> = LazyLock::new(Mutex::default);

/// What `uv --version` says, remembered while the file stays as it is; else why it says nothing, which may be over the next time.
fn version(path: &Path, cancel: &Cancel) -> Result<Result<String, String>> {
    let key = (path.to_owned(), FileStamp::of(path)?);
    let known = VERSIONS.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
    if let Some(version) = known {
        return Ok(Ok(version));
    }
    let mut command = Command::new(path);
    command.arg("--version").env_clear();
    let limits = Limits::starting_now(ANSWER_TIME, ANSWER_TIME);
    let finished = match process::run(command, "asking uv for its version", &Log::memory(), limits, cancel, None) {
        Ok(finished) => finished,
        Err(Error::Timeout { after, .. }) => {
            return Ok(Err(format!("did not say its version within {} s", after.as_secs())));
        }
        // Another platform's executable, or one that this user may not run: others may be fine.
        Err(Error::Io { path: of, source, .. }) if of == path && !is_shortage(&source) => {
            return Ok(Err(format!("cannot be run: {source}")));
        }
        Err(error) => return Err(error),
    };
    if !finished.status.success() {
        let last = finished.stderr.trim_end().lines().last().map(|line| format!(": {line}")).unwrap_or_default();
        return Ok(Err(format!("fails when it is asked for its version ({}){last}", finished.status)));
    }
    let Some(version) = parse_version(&String::from_utf8_lossy(&finished.stdout)) else {
        return Ok(Err("does not say a version of uv".into()));
    };
    VERSIONS.lock().unwrap_or_else(PoisonError::into_inner).insert(key, version.clone());
    Ok(Ok(version))
}

/// Whether an error tells of what this process or the machine lacks, not of the file it is about.
pub(super) fn is_shortage(error: &std::io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::EAGAIN | Errno::ENOMEM))
}

/// `uv 0.13.9 (x86_64-unknown-linux-gnu)`.
fn parse_version(said: &str) -> Option<String> {
    let mut words = said.split_whitespace();
    let version = words.next().filter(|name| *name == "uv").and_then(|_| words.next())?;
    version.parse::<Version>().ok().map(|_| version.to_owned())
}

/// The wheel for a host, told by its interpreter.
fn wheel_for(identity: &InterpreterIdentity) -> Option<Wheel> {
    let glibc = identity.libc.strip_prefix("glibc ").and_then(|version| version.parse::<Version>().ok());
    let at_least = |version: &str| glibc.is_some() && glibc >= version.parse().ok();
    match identity.machine.as_str() {
        "x86_64" | "amd64" => Some(if at_least("2.17") { X86_64_GLIBC } else { X86_64_MUSL }),
        "aarch64" | "arm64" => Some(if at_least("2.28") { AARCH64_GLIBC } else { AARCH64_ANY }),
        _ => None,
    }
}

/// Gets the pinned uv into `kept`, whole or not at all. `passed_over` says why those that are there will not do.
fn fetch(job: &Job<'_>, kept: &Path, passed_over: &[String]) -> Result<()> {
    let wheel = wheel_for(&job.interpreter.identity).ok_or_else(|| {
        let machine = &job.interpreter.identity.machine;
        refused(
            InstallerCause::Other,
            format!("there is no uv {PINNED} for {machine}; put uv {OLDEST} or newer on PATH"),
        )
    })?;
    (job.progress)(&format!("fetching uv {PINNED}"));
    let missing = missing(passed_over);
    job.log.line(&format!("{missing}; fetching {}", wheel.file));
    let archive = job.scratch.join(wheel.file);
    fetch::obtain(job, &wheel, &archive, &missing)?;
    let unpacked = job.scratch.join(format!("uv-{PINNED}.new"));
    fs::create_dir(&unpacked).map_err(Error::io("create", &unpacked))?;
    extract(&archive, &unpacked.join("uv"))?;
    fs::remove_file(&archive).map_err(Error::io("remove", &archive))?;
    publish(&unpacked, kept)
}

/// Why a uv is fetched, and what would make that needless.
fn missing(passed_over: &[String]) -> String {
    if passed_over.is_empty() {
        return format!("there is no uv {OLDEST} or newer: put uv on PATH");
    }
    format!("no uv here will do ({}): put uv {OLDEST} or newer on PATH", passed_over.join("; "))
}

/// Takes the executable out of the wheel, 0555 and synced.
fn extract(archive: &Path, to: &Path) -> Result<()> {
    let damaged = |reason: String| Error::Corrupt { path: archive.to_owned(), reason };
    let file = File::open(archive).map_err(Error::io("open", archive))?;
    let mut wheel = zip::ZipArchive::new(file).map_err(|error| damaged(error.to_string()))?;
    let member = wheel.by_name(MEMBER).map_err(|error| damaged(format!("`{MEMBER}`: {error}")))?;
    let mut executable = File::create_new(to).map_err(Error::io("create", to))?;
    std::io::copy(&mut member.take(EXECUTABLE_LIMIT), &mut executable).map_err(Error::io("extract to", to))?;
    executable.flush().map_err(Error::io("write", to))?;
    executable.set_permissions(Permissions::from_mode(0o555)).map_err(Error::io("chmod", to))?;
    executable.sync_all().map_err(Error::io("sync", to))
}

/// Renames the unpacked directory into place. Of two processes the first wins; both have the same bytes.
fn publish(unpacked: &Path, kept: &Path) -> Result<()> {
    let tools = kept.parent().unwrap_or(kept);
    fs::create_dir_all(tools).map_err(Error::io("create", tools))?;
    sync_directory(unpacked)?;
    if fs::rename(unpacked, kept).is_err() {
        // One is there already: another process's, or one that did not run. A rename replaces the file for both.
        let (new, old) = (unpacked.join("uv"), kept.join("uv"));
        fs::rename(&new, &old).map_err(Error::io("rename to", &old))?;
        sync_directory(kept)?;
    }
    sync_directory(tools)
}

fn sync_directory(path: &Path) -> Result<()> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(Error::io("sync", path))
}

#[cfg(test)]
mod tests;
