//! The simple repository API (PEP 691 JSON, PEP 503 HTML), as far as fetching one known file needs it.
//!
//! Proxies come from the process's environment, read by ureq, and certificates from the system (see [`super::trust`]).
//! HTML goes through html5gum, a tokenizer without dependencies that follows the WHATWG rules for quotes,
//! entities and broken markup; a whole DOM is not needed to find anchors. No error holds a URL's userinfo or query.

use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use data_encoding::{BASE64, HEXLOWER};
use html5gum::{Token, Tokenizer};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use ureq::Agent;
use ureq::config::RedirectAuthHeaders;
use ureq::tls::TlsConfig;
use url::Url;

use super::classify::Verdict;
use super::request::{self, Head, Piece};
use super::{pylock, trust};
use crate::cancel::Cancel;
use crate::credentials::Login;
use crate::error::{Error, InstallerCause, Phase, Result};
use crate::process::Limits;
use crate::settings::InstallSettings;

const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01";
const CONNECT_TIME: Duration = Duration::from_secs(30);
/// How long a server may say nothing, where the settings allow builds more.
const SILENCE: Duration = Duration::from_secs(60);
/// How often the caller looks at the cancel flag and the deadline while it waits for a server.
const TICK: Duration = Duration::from_millis(50);
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

/// A client of package indexes. Each request ends when the work is cancelled, when the deadline passes, or when the server is
/// silent for too long, whatever the server does.
#[derive(Debug)]
pub(crate) struct Client<'a> {
    agent: Agent,
    cancel: &'a Cancel,
    started: Instant,
    deadline: Instant,
}

impl<'a> Client<'a> {
    /// A client; opens no connection.
    pub(crate) fn new(settings: &InstallSettings, cancel: &'a Cancel, limits: Limits) -> Result<Self> {
        let tls = TlsConfig::builder().root_certs(trust::roots(settings.ca_bundle.as_deref())?).build();
        let silence = limits.silence.min(SILENCE);
        let config = Agent::config_builder()
            .tls_config(tls)
            .user_agent(concat!("envstore/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(silence.min(CONNECT_TIME)))
            .timeout_recv_response(Some(silence))
            .timeout_per_read(Some(silence))
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .build();
        Ok(Self { agent: config.new_agent(), cancel, started: Instant::now(), deadline: limits.deadline })
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
        let (head, pieces) = self.get(url, login, Some(ACCEPT), PAGE_LIMIT)?;
        let mut body = Vec::new();
        self.read(url, &pieces, |bytes| {
            body.extend_from_slice(bytes);
            Ok(())
        })?;
        // Links are relative to where a redirect ended.
        let base = Url::parse(&head.uri).unwrap_or_else(|_| url.clone());
        if head.is_json { json(&body, &base) } else { Some(html(&body, &base)) }
            .ok_or_else(|| refused(InstallerCause::Other, format!("`{}` answers something unreadable", shown(url))))
    }

    /// Downloads into a new file and returns its SHA-256 in hex.
    pub(crate) fn download(&self, url: &Url, login: Option<&Login>, to: &Path) -> Result<String> {
        let (_, pieces) = self.get(url, login, None, FILE_LIMIT)?;
        let mut file = std::fs::File::create_new(to).map_err(Error::io("create", to))?;
        let mut sha256 = Sha256::new();
        self.read(url, &pieces, |bytes| {
            sha256.update(bytes);
            file.write_all(bytes).map_err(Error::io("write", to))
        })?;
        file.sync_all().map_err(Error::io("sync", to))?;
        Ok(HEXLOWER.encode(&sha256.finalize()))
    }

    /// Makes a request, several times if the trouble may pass. Returns the answer's head and the channel of its body.
    fn get(
        &self,
        url: &Url,
        login: Option<&Login>,
        accept: Option<&str>,
        limit: u64,
    ) -> Result<(Head, Receiver<request::Received>)> {
        let mut attempt = 1;
        loop {
            self.check(url)?;
            let mut request = self.agent.get(url.as_str());
            if let Some(accept) = accept {
                request = request.header("Accept", accept);
            }
            if let Some(login) = login {
                let pair = format!("{}:{}", login.username, login.password);
                request = request.header("Authorization", format!("Basic {}", BASE64.encode(pair.as_bytes())));
            }
            let pieces = request::start(request, limit).map_err(Error::io("start a thread that reads", shown(url)))?;
            match self.next(url, &pieces)? {
                Ok(Piece::Head(head)) => return Ok((head, pieces)),
                Ok(_) => return Err(ended(url)),
                Err(error) if attempt < ATTEMPTS && may_pass(&error) => {
                    self.pause(url, Duration::from_millis(200) * attempt)?;
                    attempt += 1;
                }
                Err(error) => return Err(failed(url, &error)),
            }
        }
    }

    /// Hands on the body of an answer, piece by piece, to its end.
    fn read(
        &self,
        url: &Url,
        pieces: &Receiver<request::Received>,
        mut take: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        loop {
            match self.next(url, pieces)? {
                Ok(Piece::Bytes(bytes)) => take(&bytes)?,
                Ok(Piece::End) => return Ok(()),
                Ok(Piece::Head(_)) => return Err(ended(url)),
                Err(error) => return Err(failed(url, &error)),
            }
        }
    }

    /// Waits for the next piece. The outer error is ours (cancelled, too late), the inner one is the request's.
    fn next(&self, url: &Url, pieces: &Receiver<request::Received>) -> Result<request::Received> {
        loop {
            self.check(url)?;
            match pieces.recv_timeout(TICK) {
                Ok(piece) => return Ok(piece),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(ended(url)),
            }
        }
    }

    fn pause(&self, url: &Url, span: Duration) -> Result<()> {
        let until = Instant::now() + span;
        while Instant::now() < until {
            self.check(url)?;
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    fn check(&self, url: &Url) -> Result<()> {
        self.cancel.check("downloading")?;
        if Instant::now() > self.deadline {
            let what = format!("reading `{}`, which took too long,", shown(url));
            return Err(Error::Timeout { what, after: self.started.elapsed() });
        }
        Ok(())
    }
}

/// The thread of a request ended without saying how.
fn ended(url: &Url) -> Error {
    refused(InstallerCause::Other, format!("reading `{}` ended too early", shown(url)))
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
