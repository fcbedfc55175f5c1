//! [`Context`]: what every command has at hand.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::args::Global;
use super::config::{self, Config};
use super::effect::Effect;
use super::environment::Environment;
use super::exit;
use super::failure::Failure;
use super::output::Output;
use super::progress::Mode;
use super::root::{self, Root};
use super::signals::Signals;
use super::{logging, output};
use crate::error::Error;

/// Flags, environment and output of this run.
#[derive(Debug)]
pub struct Context {
    /// The global flags.
    pub global: Global,
    /// The environment variables.
    pub environment: Environment,
    /// What the command does to the store.
    pub effect: Effect,
    /// Where results and notes go.
    pub out: Output,
    signals: OnceLock<Signals>,
}

impl Context {
    /// Sets up output and, with `-v`, logging.
    pub fn new(global: Global, environment: Environment, effect: Effect) -> Self {
        let out = Output::new(&global, &environment);
        logging::set_up(global.verbose, out.paint_err.is_on());
        Self { global, environment, effect, out, signals: OnceLock::new() }
    }

    /// Reads the configuration.
    pub fn config(&self) -> Result<Config, Failure> {
        Ok(Config::load(self.global.config.as_deref(), self.global.offline, &self.environment)?)
    }

    /// Warns of settings of pip and uv that have no effect.
    pub fn warn_of_foreign_settings(&self, config: &Config) {
        if let Some(warning) = config::foreign_settings(&self.environment, &config.settings) {
            self.out.warn(&warning);
        }
    }

    /// The store's root, absolute.
    pub fn root(&self) -> Result<Root, Failure> {
        let is_root = nix::unistd::geteuid().is_root();
        let root = root::choose(self.global.store.as_deref(), &self.environment, is_root)
            .ok_or_else(|| Failure::usage("nothing says where the store is").hint("give --store DIR, or set HOME"))?;
        let path: PathBuf = std::path::absolute(&root.path).map_err(Error::io("find", &root.path))?;
        Ok(Root { path, ..root })
    }

    /// Whether nothing may be written, and who says so.
    pub fn read_only(&self) -> Option<&'static str> {
        if self.global.read_only {
            return Some("--read-only");
        }
        self.environment.flag("ENVSTORE_READ_ONLY").then_some("ENVSTORE_READ_ONLY")
    }

    /// Takes over Ctrl-C and SIGTERM, for commands that have something to tidy up.
    pub fn signals(&self) -> Result<&Signals, Failure> {
        if let Some(signals) = self.signals.get() {
            return Ok(signals);
        }
        let signals = Signals::watch()?;
        Ok(self.signals.get_or_init(|| signals))
    }

    /// The exit code of interrupted work.
    pub fn interrupted(&self) -> u8 {
        self.signals.get().map_or(exit::INTERRUPTED, Signals::exit_code)
    }

    /// The exit code of a failure.
    pub fn exit_code(&self, failure: &Failure) -> u8 {
        exit::code(failure.kind(), self.interrupted())
    }

    /// How progress is shown.
    pub fn progress(&self) -> Mode {
        Mode::choose(&self.global, &self.environment)
    }

    /// Asks a question on the terminal. Without one there is no answer.
    pub fn ask(&self, question: &str) -> Option<bool> {
        use std::io::{BufRead, IsTerminal};
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() || self.out.is_json() {
            return None;
        }
        output::stderr(&format!("{question} [y/N]"));
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).ok()?;
        Some(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    }
}
