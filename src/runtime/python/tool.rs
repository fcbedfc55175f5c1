//! Which uv: the one on `PATH` if it is new enough, else a pinned one the store fetches for itself.
//!
//! The pinned uv comes as a wheel from the site's own index or `find_links`, is held to the digests below, and is
//! kept under `tools/`. No Python and no pip take part.

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use url::Url;
use uv_pep440::Version;

use super::simple_api::{Client, Offer, is_same_place, refused};
use crate::cancel::Cancel;
use crate::credentials::{self, Login};
use crate::error::{Error, InstallerCause, Result};
use crate::interpreter::{FileStamp, InterpreterIdentity};
use crate::process::{self, Limits, Log};
use crate::settings::Settings;
use crate::store::runtime::Job;

/// The uv that the store fetches.
pub(crate) const PINNED: &str = "0.13.9";
/// The oldest uv that will do: the oldest whose behaviour was tried.
const OLDEST: &str = PINNED;
/// The index that uv, too, takes when none is set.
const PYPI: &str = "https://pypi.org/simple/";
/// The executable in a wheel of uv, 60 MB unpacked.
const MEMBER: &str = "uv-0.13.9.data/scripts/uv";
const EXECUTABLE_LIMIT: u64 = 512 << 20;
/// How long `uv --version` may take.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// The wheels of the pinned uv and their SHA-256.
const X86_64_GLIBC: Wheel = Wheel {
    file: "uv-0.13.9-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    sha256: "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19",
};
const X86_64_MUSL: Wheel = Wheel {
    file: "uv-0.13.9-py3-none-musllinux_1_1_x86_64.whl",
    sha256: "2c45530751517d6c3bbc69a19473f6effe47cce047bede01ffd8af7ea7b36b25",
};
const AARCH64_GLIBC: Wheel = Wheel {
    file: "uv-0.13.9-py3-none-manylinux_2_28_aarch64.whl",
    sha256: "ecb6028d79dc96fbeafffe5c8af62a7099487ebc05a701e76714eebcffd06375",
};
const AARCH64_ANY: Wheel = Wheel {
    file: "uv-0.13.9-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
    sha256: "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wheel {
    file: &'static str,
    sha256: &'static str,
}

/// A uv that will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tool {
    /// The executable.
    pub path: PathBuf,
    /// Its version, e.g. `0.13.9`.
    pub version: String,
}

/// The uv for this job. Each executable is asked for its version once per process.
///
/// # Errors
///
/// [`InstallerCause::Offline`] when one would have to be fetched offline; what fetching fails with.
pub(crate) fn find_or_fetch(job: &Job<'_>) -> Result<Tool> {
    if let Some(tool) = find(job.settings, job.tools, job.cancel)? {
        return Ok(tool);
    }
    let kept = kept(job.tools);
    fetch(job, &kept)?;
    usable(&kept.join("uv"), job.cancel)?.ok_or_else(|| {
        refused(InstallerCause::Other, format!("the uv {PINNED} that was fetched does not run on this host"))
    })
}

/// The uv that is there: on `PATH`, else the one fetched before.
pub(crate) fn find(settings: &Settings, tools: &Path, cancel: &Cancel) -> Result<Option<Tool>> {
    for directory in settings.install.path.iter().filter(|directory| directory.is_absolute()) {
        if let Some(tool) = usable(&directory.join("uv"), cancel)? {
            return Ok(Some(tool));
        }
    }
    usable(&kept(tools).join("uv"), cancel)
}

/// Where the one that is fetched is kept.
fn kept(tools: &Path) -> PathBuf {
    tools.join(format!("uv-{PINNED}"))
}

/// The executable at a path, if there is one that says it is new enough.
fn usable(path: &Path, cancel: &Cancel) -> Result<Option<Tool>> {
    let is_executable = fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    if !is_executable {
        return Ok(None);
    }
    let Some(version) = version(path, cancel)? else { return Ok(None) };
    let oldest = OLDEST.parse::<Version>().ok();
    let is_new_enough = version.parse::<Version>().ok() >= oldest;
    Ok(is_new_enough.then(|| Tool { path: path.to_owned(), version }))
}

type Versions = HashMap<(PathBuf, FileStamp), Option<String>>;

static VERSIONS: LazyLock<Mutex<Versions>> = LazyLock::new(Mutex::default);

/// What `uv --version` says, remembered while the file stays as it is.
fn version(path: &Path, cancel: &Cancel) -> Result<Option<String>> {
    let key = (path.to_owned(), FileStamp::of(path)?);
    let known = VERSIONS.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
    if let Some(version) = known {
        return Ok(version);
    }
    let mut command = Command::new(path);
    command.arg("--version").env_clear();
    let limits = Limits::starting_now(ANSWER_TIME, ANSWER_TIME);
    let answer = process::run(command, "asking uv for its version", &Log::memory(), limits, cancel, None);
    let version = match answer {
        Ok(finished) if finished.status.success() => parse_version(&String::from_utf8_lossy(&finished.stdout)),
        // Another platform's executable, a wrapper that fails here, one that hangs: not usable, look further.
        Ok(_) | Err(Error::Io { .. } | Error::Timeout { .. }) => None,
        Err(error) => return Err(error),
    };
    VERSIONS.lock().unwrap_or_else(PoisonError::into_inner).insert(key, version.clone());
    Ok(version)
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

/// Gets the pinned uv into `kept`, whole or not at all.
fn fetch(job: &Job<'_>, kept: &Path) -> Result<()> {
    let wheel = wheel_for(&job.interpreter.identity).ok_or_else(|| {
        let machine = &job.interpreter.identity.machine;
        refused(
            InstallerCause::Other,
            format!("there is no uv {PINNED} for {machine}; put uv {OLDEST} or newer on PATH"),
        )
    })?;
    (job.progress)(&format!("fetching uv {PINNED}"));
    job.log.line(&format!("no uv {OLDEST} or newer on PATH: fetching {}", wheel.file));
    let archive = job.scratch.join(wheel.file);
    obtain(job, wheel, &archive)?;
    let unpacked = job.scratch.join(format!("uv-{PINNED}.new"));
    fs::create_dir(&unpacked).map_err(Error::io("create", &unpacked))?;
    extract(&archive, &unpacked.join("uv"))?;
    fs::remove_file(&archive).map_err(Error::io("remove", &archive))?;
    publish(&unpacked, kept)
}

/// Brings the wheel to `archive` from the first place that has it, and checks its digest.
fn obtain(job: &Job<'_>, wheel: Wheel, archive: &Path) -> Result<()> {
    let install = &job.settings.install;
    for link in &install.find_links {
        let local = match Url::parse(link) {
            Ok(url) => url.to_file_path().ok(),
            Err(_) => Some(PathBuf::from(link)),
        };
        let Some(file) = local.map(|directory| directory.join(wheel.file)).filter(|file| file.is_file()) else {
            continue;
        };
        fs::copy(&file, archive).map_err(Error::io("copy", &file))?;
        return expect(wheel, &sha256_of(archive)?, &file.display().to_string());
    }
    if install.offline {
        let summary = format!(
            "working offline and there is no uv {OLDEST} or newer: put uv on PATH, or `{}` into a find_links directory",
            wheel.file
        );
        return Err(refused(InstallerCause::Offline, summary));
    }
    let client = Client::new(install, job.cancel, Instant::now() + install.timeout)?;
    let mut last = None;
    for source in sources(job) {
        match from_index(job, &client, &source, wheel, archive) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) if error.is_cancelled() || error.kind() == crate::error::Kind::HashMismatch => {
                return Err(error);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| {
        let summary = format!("no index has `{}`; put uv {OLDEST} or newer on PATH", wheel.file);
        refused(InstallerCause::Other, summary)
    }))
}

enum Source<'a> {
    Page(Url),
    Index(&'a crate::settings::Index),
    Pypi,
}

/// Where the wheel may be, in the order uv itself would look.
fn sources<'a>(job: &Job<'a>) -> Vec<Source<'a>> {
    let is_page = |url: &Url| matches!(url.scheme(), "http" | "https");
    let pages = job.settings.install.find_links.iter().filter_map(|link| Url::parse(link).ok()).filter(is_page);
    let mut sources: Vec<Source<'a>> = pages.map(Source::Page).collect();
    sources.extend(job.settings.indexes.iter().map(Source::Index));
    if !job.settings.indexes.iter().any(|index| index.default) {
        sources.push(Source::Pypi);
    }
    sources
}

/// Downloads the wheel from one place. False if it is not there.
fn from_index(job: &Job<'_>, client: &Client<'_>, source: &Source<'_>, wheel: Wheel, archive: &Path) -> Result<bool> {
    let url = |text: &str| {
        Url::parse(text).map_err(|error| refused(InstallerCause::Other, format!("an index has no usable URL: {error}")))
    };
    let mut login: Option<Login> = None;
    let (place, offers) = match source {
        Source::Page(page) => (page.clone(), client.page(page, None)?),
        Source::Pypi => (url(PYPI)?, client.project(&url(PYPI)?, "uv", None)?),
        Source::Index(index) => {
            let place = url(&index.url)?;
            login = credentials::for_download(index, job.cancel)?;
            if let Some(login) = &login {
                job.log.hide(&login.password);
            }
            let offers = client.project(&place, "uv", login.as_ref());
            let refused = offers.as_ref().is_err_and(|error| error.kind() == crate::error::Kind::Credentials);
            match (&index.credentials, refused) {
                // What a command said an hour ago may have run out: once more.
                (Some(source), true) => {
                    credentials::forget(source);
                    login = credentials::for_download(index, job.cancel)?;
                    let offers = client.project(&place, "uv", login.as_ref())?;
                    (place, offers)
                }
                _ => (place, offers?),
            }
        }
    };
    let Some(Offer { url, .. }) = offers.into_iter().find(|offer| offer.file == wheel.file) else { return Ok(false) };
    let login = login.filter(|_| is_same_place(&place, &url));
    let _ = fs::remove_file(archive);
    let sha256 = client.download(&url, login.as_ref(), archive)?;
    expect(wheel, &sha256, place.host_str().unwrap_or("the index"))?;
    Ok(true)
}

fn expect(wheel: Wheel, sha256: &str, from: &str) -> Result<()> {
    if sha256 == wheel.sha256 {
        return Ok(());
    }
    let summary = format!("`{}` from `{from}` has the digest {sha256}, not {}", wheel.file, wheel.sha256);
    Err(refused(InstallerCause::HashMismatch, summary))
}

fn sha256_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        let n = file.read(&mut buffer).map_err(Error::io("read", path))?;
        if n == 0 {
            return Ok(HEXLOWER.encode(&sha256.finalize()));
        }
        sha256.update(&buffer[..n]);
    }
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
