//! What is written where: results on standard output, everything else on standard error.
//!
//! With `--format json` standard output gets exactly one object, whatever happens. A reader that went away
//! (`envstore list | head`) is no error.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use serde::Serialize;

use super::args::{Format, Global};
use super::environment::Environment;
use super::failure::{ErrorObject, Failure};
use super::style::Paint;
use crate::error::{Error, Result};

/// Writes results, notes, warnings and failures.
#[derive(Debug)]
pub struct Output {
    format: Format,
    quiet: bool,
    /// Colours on standard output.
    pub paint: Paint,
    /// Colours on standard error.
    pub paint_err: Paint,
    store_id: OnceLock<String>,
    warnings: Mutex<Vec<String>>,
}

impl Output {
    /// Output as the flags ask for.
    pub fn new(global: &Global, environment: &Environment) -> Self {
        Self {
            format: global.format,
            quiet: global.quiet,
            paint: Paint::for_stream(global.color, environment, &io::stdout()),
            paint_err: Paint::for_stream(global.color, environment, &io::stderr()),
            store_id: OnceLock::new(),
            warnings: Mutex::default(),
        }
    }

    /// Whether the result is JSON.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Remembers the store for the JSON.
    pub fn set_store(&self, id: &str) {
        let _ = self.store_id.set(id.to_owned());
    }

    /// Writes the result: for people by a function that fills a text, else as one object.
    pub fn result(&self, report: &impl Serialize, human: impl FnOnce(&mut String)) -> Result<()> {
        if self.is_json() {
            return self.object(report);
        }
        let mut text = String::new();
        human(&mut text);
        write_stdout(text.as_bytes())
    }

    /// Writes the object: version, store, host, warnings, and the report's own fields.
    fn object(&self, report: &impl Serialize) -> Result<()> {
        let warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        let (store_id, host) = (self.store_id.get().map(String::as_str), host());
        match serde_json::to_string(&Envelope { version: 1, store_id, host, warnings: &warnings, report }) {
            Ok(line) => write_stdout(format!("{line}\n").as_bytes()),
            // A path that is no UTF-8, for one; it is told, and still one object.
            Err(error) => {
                failure_object(&Failure::bug(format!("cannot write the result as JSON: {error}")).object());
                Ok(())
            }
        }
    }

    /// Warns: on standard error, or in the object's `warnings`.
    pub fn warn(&self, text: &str) {
        if self.is_json() {
            self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
        } else {
            stderr(&format!("{} {text}", self.paint_err.yellow("warning:")));
        }
    }

    /// Says something beside the result, for people only.
    pub fn note(&self, text: &str) {
        if !self.quiet && !self.is_json() {
            stderr(text);
        }
    }

    /// Reports a failure. In JSON it is the one object.
    pub fn failure(&self, failure: &Failure) {
        if self.is_json() {
            failure_object(&failure.object());
        } else {
            stderr(human(failure, self.paint_err, usize::MAX).trim_end());
        }
    }

    /// Tells a failure on standard error, for a command that goes on or has another object to write.
    pub fn explain(&self, failure: &Failure) {
        if !self.is_json() {
            stderr(human(failure, self.paint_err, usize::MAX).trim_end());
        }
    }
}

/// What every result has around its own fields.
#[derive(Serialize)]
struct Envelope<'a, T> {
    version: u32,
    store_id: Option<&'a str>,
    host: Option<String>,
    warnings: &'a [String],
    #[serde(flatten)]
    report: &'a T,
}

/// A command that failed.
#[derive(Serialize)]
struct Failed<'a> {
    version: u32,
    error: &'a ErrorObject,
}

/// Writes `{"version":1,"error":…}`.
pub fn failure_object(error: &ErrorObject) {
    if let Ok(line) = serde_json::to_string(&Failed { version: 1, error }) {
        // Nothing is left to report a failing standard output to.
        let _ = write_stdout(format!("{line}\n").as_bytes());
    }
}

/// A failure as people read it, with at most so many of the installer's last lines.
pub fn human(failure: &Failure, paint: Paint, tail_lines: usize) -> String {
    let object = failure.object();
    let mut text = format!("{} {}\n", paint.red("error:"), object.message);
    let tail = failure.tail();
    let sources = object.causes.len() - usize::from(!tail.is_empty());
    for cause in &object.causes[..sources] {
        let _ = writeln!(text, "  {} {cause}", paint.dim("caused by:"));
    }
    for line in &tail[tail.len().saturating_sub(tail_lines)..] {
        let _ = writeln!(text, "  {} {line}", paint.dim("|"));
    }
    if let Some(log) = &object.log {
        let _ = writeln!(text, "  {} {}", paint.dim("log:"), log.display());
    }
    if let Some(hint) = &object.hint {
        let _ = writeln!(text, "{} {hint}", paint.cyan("hint:"));
    }
    text
}

/// Writes to standard output. A reader that went away has had what it wanted.
pub fn write_stdout(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Io { op: "write to", path: "standard output".into(), source: error })
        }
        _ => Ok(()),
    }
}

/// Writes a line to standard error, if anybody reads it.
pub fn stderr(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The host's name as the kernel knows it.
fn host() -> Option<String> {
    let name = std::fs::read_to_string(Path::new("/proc/sys/kernel/hostname")).ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}
