//! [`Log`]: a build's output as it is kept, with secrets masked.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::fcntl::OFlag;

use crate::error::{Error, Result};
use crate::fs::nofollow;

const TAIL: usize = 30;
/// A longer line is cut: a log is for people.
const LINE_LIMIT: usize = 8 << 10;
const MASK: &str = "****";

/// Where an installer's lines go: a file, the last lines in memory. Secrets never reach either.
#[derive(Debug)]
pub struct Log {
    path: Option<PathBuf>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    file: Option<File>,
    tail: VecDeque<String>,
    secrets: Vec<String>,
}

impl Log {
    /// A log in a new file (0600); an older file of that name is truncated.
    pub fn create(path: &Path) -> Result<Self> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_NONBLOCK;
        let file = nofollow::open(path, flags, 0o600).map_err(Error::io("create", path))?;
        let inner = Mutex::new(Inner { file: Some(file), ..Inner::default() });
        Ok(Self { path: Some(path.to_owned()), inner })
    }

    /// A log that keeps only the last lines.
    pub fn memory() -> Self {
        Self { path: None, inner: Mutex::default() }
    }

    /// The file.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// From now on this text is masked.
    pub fn hide(&self, secret: &str) {
        if !secret.is_empty() {
            self.lock().secrets.push(secret.to_owned());
        }
    }

    /// Writes a line.
    pub fn line(&self, line: &str) {
        let mut inner = self.lock();
        let line = mask(line, &inner.secrets);
        if let Some(file) = &mut inner.file {
            // A full disk must not fail a build whose files fit; the tail still has the line.
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
        if inner.tail.len() == TAIL {
            inner.tail.pop_front();
        }
        inner.tail.push_back(line);
    }

    /// A text with every known secret and every URL's userinfo masked.
    pub fn masked(&self, text: &str) -> String {
        mask(text, &self.lock().secrets)
    }

    /// The last lines, at most 30.
    pub fn tail(&self) -> Vec<String> {
        self.lock().tail.iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Masks secrets, then `user:password@` in anything that looks like a URL.
fn mask(text: &str, secrets: &[String]) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        text = text.replace(secret, MASK);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let authority =
            tail.find(|c: char| c == '/' || c.is_whitespace() || "'\"`<>".contains(c)).unwrap_or(tail.len());
        rest = match tail[..authority].rfind('@') {
            Some(user) => {
                out.push_str(MASK);
                &tail[user..]
            }
            None => tail,
        };
    }
    out.push_str(rest);
    out
}

/// Cuts a stream of bytes into lines for a log and keeps the masked text.
pub(super) struct Lines<'a> {
    log: &'a Log,
    pending: Vec<u8>,
    text: String,
}

impl<'a> Lines<'a> {
    pub(super) fn new(log: &'a Log) -> Self {
        Self { log, pending: Vec::new(), text: String::new() }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        while let Some(end) = self.pending.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            self.emit(&line[..end]);
        }
        if self.pending.len() > LINE_LIMIT {
            let line = std::mem::take(&mut self.pending);
            self.emit(&line);
        }
    }

    fn emit(&mut self, line: &[u8]) {
        let cut = &line[..line.len().min(LINE_LIMIT)];
        let line = String::from_utf8_lossy(cut);
        let line = self.log.masked(line.trim_end());
        self.log.line(&line);
        if self.text.len() < 1 << 20 {
            self.text.push_str(&line);
            self.text.push('\n');
        }
    }

    pub(super) fn finish(mut self) -> String {
        if !self.pending.is_empty() {
            let line = std::mem::take(&mut self.pending);
            self.emit(&line);
        }
        self.text
    }
}
