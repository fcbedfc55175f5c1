//! The simple repository API (PEP 691 JSON, PEP 503 HTML), as far as fetching one known file needs it.
//!
//! Proxies come from the process's environment, read by ureq, and certificates from the system (see [`super::trust`]).
//! HTML goes through html5gum, a tokenizer without dependencies that follows the WHATWG rules for quotes,
//! entities and broken markup; a whole DOM is not needed to find anchors. No error holds a URL's userinfo or query.

use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use data_encoding::{BASE64, HEXLOWER};
use html5gum::{Token, Tokenizer};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use ureq::config::RedirectAuthHeaders;
use ureq::tls::TlsConfig;
use ureq::{Agent, Body, ResponseExt, http::Response};
use url::Url;

use super::classify::Verdict;
use super::{pylock, trust};
use crate::cancel::Cancel;
use crate::credentials::Login;
use crate::error::{Error, InstallerCause, Phase, Result};
use crate::settings::InstallSettings;

const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01";
const CONNECT_TIME: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(60);
/// The list of a project's files; the largest of PyPI's are some 20 MB.
const PAGE_LIMIT: u64 = 64 << 20;
const FILE_LIMIT: u64 = 512 << 20;
/// How often a request is made before giving up on the network.
const ATTEMPTS: u32 = 3;

/// A file that an index or a page offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Its name.
    pub file: String,
    /// Where it is.
    pub url: Url,
}

/// A client of package indexes.
#[derive(Debug)]
pub(crate) struct Client<'a> {
    agent: Agent,
    cancel: &'a Cancel,
    deadline: Instant,
}

impl<'a> Client<'a> {
    /// A client; opens no connection.
    pub(crate) fn new(settings: &InstallSettings, cancel: &'a Cancel, deadline: Instant) -> Result<Self> {
        let tls = TlsConfig::builder().root_certs(trust::roots(settings.ca_bundle.as_deref())?).build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .user_agent(concat!("envstore/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_TIME))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .build();
        Ok(Self { agent: config.new_agent(), cancel, deadline })
    }

    /// The files of a project on an index.
    pub(crate) fn project(&self, index: &Url, project: &str, login: Option<&Login>) -> Result<Vec<Offer>> {
        let mut url = index.clone();
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        url.set_path(&format!("{}{project}/", url.path()));
        self.page(&url, login)
    }

    /// The files that a page of either form lists.
    pub(crate) fn page(&self, url: &Url, login: Option<&Login>) -> Result<Vec<Offer>> {
        let mut response = self.get(url, login, Some(ACCEPT))?;
        // Links are relative to where a redirect ended.
        let base = Url::parse(&response.get_uri().to_string()).unwrap_or_else(|_| url.clone());
        let is_json = response.body().mime_type().is_some_and(|mime| mime.ends_with("json"));
        let body = response.body_mut().with_config().limit(PAGE_LIMIT).read_to_vec();
        let body = body.map_err(|error| failed(url, &error))?;
        if is_json { json(&body, &base) } else { Some(html(&body, &base)) }
            .ok_or_else(|| refused(InstallerCause::Other, format!("`{}` answers something unreadable", shown(url))))
    }

    /// Downloads into a new file and returns its SHA-256 in hex.
    pub(crate) fn download(&self, url: &Url, login: Option<&Login>, to: &Path) -> Result<String> {
        let response = self.get(url, login, None)?;
        let mut body = response.into_body().into_with_config().limit(FILE_LIMIT).reader();
        let mut file = std::fs::File::create_new(to).map_err(Error::io("create", to))?;
        let mut sha256 = Sha256::new();
        let mut buffer = vec![0; 128 << 10];
        loop {
            self.check()?;
            let n = body.read(&mut buffer).map_err(|error| failed(url, &ureq::Error::from(error)))?;
            if n == 0 {
                break;
            }
            sha256.update(&buffer[..n]);
            file.write_all(&buffer[..n]).map_err(Error::io("write", to))?;
        }
        file.sync_all().map_err(Error::io("sync", to))?;
        Ok(HEXLOWER.encode(&sha256.finalize()))
    }

    fn get(&self, url: &Url, login: Option<&Login>, accept: Option<&str>) -> Result<Response<Body>> {
        let mut attempt = 1;
        loop {
            self.check()?;
            let mut request = self.agent.get(url.as_str());
            if let Some(accept) = accept {
                request = request.header("Accept", accept);
            }
            if let Some(login) = login {
                let pair = format!("{}:{}", login.username, login.password);
                request = request.header("Authorization", format!("Basic {}", BASE64.encode(pair.as_bytes())));
            }
            match request.call() {
                Ok(response) => return Ok(response),
                Err(error) if attempt < ATTEMPTS && may_pass(&error) => {
                    std::thread::sleep(Duration::from_millis(200) * attempt);
                    attempt += 1;
                }
                Err(error) => return Err(failed(url, &error)),
            }
        }
    }

    fn check(&self) -> Result<()> {
        self.cancel.check("downloading")?;
        if Instant::now() > self.deadline {
            return Err(refused(InstallerCause::Network, "the download took too long".into()));
        }
        Ok(())
    }
}

/// Whether a login for one URL may be sent to another: only to the same scheme, host and port.
pub(crate) fn is_same_place(a: &Url, b: &Url) -> bool {
    a.origin().is_tuple() && a.origin() == b.origin()
}

/// An error of getting the installer.
pub(crate) fn refused(cause: InstallerCause, summary: String) -> Error {
    Error::Installer { phase: Phase::Fetch, cause, summary, tail: Vec::new(), log: None }
}

fn may_pass(error: &ureq::Error) -> bool {
    use ureq::Error as E;
    match error {
        E::StatusCode(code) => matches!(code, 429 | 500..=599),
        E::Io(_) | E::Timeout(_) | E::ConnectionFailed | E::HostNotFound => true,
        _ => false,
    }
}

fn failed(url: &Url, error: &ureq::Error) -> Error {
    use ureq::Error as E;
    let url = shown(url);
    let verdict = match error {
        E::StatusCode(401 | 403) => {
            Verdict::new(InstallerCause::Credentials, format!("`{url}` refused the credentials"))
        }
        E::StatusCode(code @ (404 | 410)) => {
            Verdict::new(InstallerCause::Other, format!("there is nothing at `{url}` ({code})"))
        }
        E::BodyExceedsLimit(_) => Verdict::new(InstallerCause::Other, format!("what `{url}` answers is too long")),
        // The text of these may repeat the URL as it was, with whatever it holds.
        E::BadUri(_) | E::Http(_) => Verdict::new(InstallerCause::Other, format!("`{url}` is no usable URL")),
        error => Verdict::new(InstallerCause::Network, format!("cannot reach `{url}`: {error}")),
    };
    refused(verdict.cause, verdict.summary)
}

fn shown(url: &Url) -> String {
    pylock::canonical_url(url.as_str()).unwrap_or_else(|| url.scheme().to_owned())
}

#[derive(Deserialize)]
struct Project {
    files: Vec<ProjectFile>,
}

#[derive(Deserialize)]
struct ProjectFile {
    filename: String,
    url: String,
}

pub(crate) fn json(body: &[u8], base: &Url) -> Option<Vec<Offer>> {
    let project: Project = serde_json::from_slice(body).ok()?;
    let offer = |file: ProjectFile| Some(Offer { url: base.join(&file.url).ok()?, file: file.filename });
    Some(project.files.into_iter().filter_map(offer).collect())
}

/// The anchors of a page, `<base href>` respected. A file's name is the last part of its URL (PEP 503).
pub(crate) fn html(body: &[u8], base: &Url) -> Vec<Offer> {
    let mut base = base.clone();
    let mut offers = Vec::new();
    for token in Tokenizer::new(body) {
        let Ok(Token::StartTag(tag)) = token else { continue };
        let Some(href) = tag.attributes.get(&b"href"[..]) else { continue };
        let href = String::from_utf8_lossy(href);
        let Ok(url) = base.join(href.trim()) else { continue };
        match tag.name.as_slice() {
            b"base" => base = url,
            b"a" => {
                let last = url.path().rsplit('/').next().unwrap_or_default();
                let file = percent_encoding::percent_decode_str(last).decode_utf8_lossy().into_owned();
                if !file.is_empty() {
                    offers.push(Offer { file, url });
                }
            }
            _ => {}
        }
    }
    offers
}

#[cfg(test)]
mod tests;
