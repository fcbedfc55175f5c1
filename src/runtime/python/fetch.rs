//! Fetches a pinned wheel of an installer from the site's own index or `find_links`, held to its digest. No Python and
//! no pip take part.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use url::Url;

use super::simple_api::{Client, Offer, is_same_place, refused};
use crate::credentials::{self, Login};
use crate::error::{Error, InstallerCause, Kind, Result};
use crate::store::runtime::Job;

/// The index that installers, too, take when none is set.
const PYPI: &str = "https://pypi.org/simple/";

/// A file of a project, and what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wheel {
    /// The project's name on an index.
    pub project: &'static str,
    /// The file's name.
    pub file: &'static str,
    /// Its SHA-256, hex.
    pub sha256: &'static str,
}

/// Brings the wheel to `archive` from the first place that has it, and checks its digest. `missing` says why it is needed and what would
/// make it needless, for people: `there is no uv 1.0 or newer: put uv on PATH`.
///
/// The time it takes counts as the job's (`install.timeout`), and the job's cancel flag stops it.
pub(crate) fn obtain(job: &Job<'_>, wheel: &Wheel, archive: &Path, missing: &str) -> Result<()> {
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
        let summary = format!("working offline and {missing}, or put `{}` into a find_links directory", wheel.file);
        return Err(refused(InstallerCause::Offline, summary));
    }
    let client = Client::new(install, job.cancel, job.limits)?;
    let mut last = None;
    for source in sources(job) {
        match from_index(job, &client, &source, wheel, archive) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            // No other place can help: the work is stopped, its time is over, or somebody changed the wheel.
            Err(error) if matches!(error.kind(), Kind::Interrupted | Kind::Timeout | Kind::HashMismatch) => {
                return Err(error);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| {
        let summary = format!("no index has `{}`, and {missing}", wheel.file);
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
fn from_index(job: &Job<'_>, client: &Client<'_>, source: &Source<'_>, wheel: &Wheel, archive: &Path) -> Result<bool> {
    let url = |text: &str| {
        Url::parse(text).map_err(|error| refused(InstallerCause::Other, format!("an index has no usable URL: {error}")))
    };
    let mut login: Option<Login> = None;
    let (place, offers) = match source {
        Source::Page(page) => (page.clone(), client.page(page, None)?),
        Source::Pypi => (url(PYPI)?, client.project(&url(PYPI)?, wheel.project, None)?),
        Source::Index(index) => {
            let place = url(&index.url)?;
            login = credentials::for_download(index, job.cancel)?;
            if let Some(login) = &login {
                job.log.hide(&login.password);
            }
            let offers = client.project(&place, wheel.project, login.as_ref());
            let refused = offers.as_ref().is_err_and(|error| error.kind() == Kind::Credentials);
            match (&index.credentials, refused) {
                // What a command said an hour ago may have run out: once more.
                (Some(source), true) => {
                    credentials::forget(source);
                    login = credentials::for_download(index, job.cancel)?;
                    let offers = client.project(&place, wheel.project, login.as_ref())?;
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

pub(crate) fn expect(wheel: &Wheel, sha256: &str, from: &str) -> Result<()> {
    if sha256 == wheel.sha256 {
        return Ok(());
    }
    let summary = format!("`{}` from `{from}` has the digest {sha256}, not {}", wheel.file, wheel.sha256);
    Err(refused(InstallerCause::HashMismatch, summary))
}

pub(crate) fn sha256_of(path: &Path) -> Result<String> {
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
