//! The arguments: what can be asked for, and the help texts that teach it.
//!
//! Environment variables are named in the help but read by [`super::environment`], so that parsing depends on
//! the arguments alone.

mod change;
mod declare;
mod keep;
mod leave;
mod look;
mod run;
mod target;
#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::Styles;
use clap::builder::styling::{AnsiColor, Effects};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};

pub use change::{Link, Pin, Remove, Rollback, Unlink, Unpin};
pub use declare::{Ensure, ShareWith, Sync, Upgrade};
pub use keep::{Doctor, Gc, Relocate, Verify};
pub use leave::{Checkout, Export};
pub use look::{Diff, Du, Events, History, List, Logs, Show, WhoUses, Why};
pub use run::{Exec, Resolve};
pub use target::Target;

use super::help;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .usage(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .literal(AnsiColor::Cyan.on_default().effects(Effects::BOLD))
    .placeholder(AnsiColor::Cyan.on_default());

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "envstore",
    version,
    about = "Immutable environments for packs; packs with the same dependencies share one",
    long_about = help::ABOUT,
    after_long_help = help::AFTER,
    after_help = "`envstore help COMMAND` explains a command; `envstore --help` also lists exit codes, variables and files.",
    styles = STYLES,
    max_term_width = 110,
    disable_help_subcommand = false,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The store's directory [env: ENVSTORE_STORE]
    ///
    /// Without it: systemd's `$STATE_DIRECTORY`, else `/var/lib/envstore` for root, else
    /// `$XDG_DATA_HOME/envstore` (`~/.local/share/envstore`).
    #[arg(long, value_name = "DIR", global = true, value_hint = ValueHint::DirPath)]
    pub store: Option<PathBuf>,

    /// Read this configuration file instead of the usual two [env: ENVSTORE_CONFIG]
    ///
    /// The usual two are `/etc/envstore/config.toml` and `$XDG_CONFIG_HOME/envstore/config.toml`; what the
    /// second says wins. `envstore config show` tells where each value comes from.
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,

    /// Write for people, or exactly one JSON object on standard output
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, global = true, hide_possible_values = false)]
    pub format: Format,

    /// Write nothing to the store; what would have to be written fails [env: ENVSTORE_READ_ONLY]
    #[arg(long, global = true)]
    pub read_only: bool,

    /// Open no connection; what would have to be fetched fails [env: ENVSTORE_OFFLINE]
    #[arg(long, global = true)]
    pub offline: bool,

    /// Log what is being done to standard error; twice for more
    #[arg(short, long, action = ArgAction::Count, global = true, conflicts_with = "quiet")]
    pub verbose: u8,

    /// Say nothing but the result, warnings and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,

    /// Draw no progress bar, also on a terminal
    #[arg(long, global = true)]
    pub no_progress: bool,

    /// Colours [env: NO_COLOR]
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, global = true)]
    pub color: Color,
}

/// How results are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text.
    #[default]
    Human,
    /// One object.
    Json,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl From<Color> for clap::ColorChoice {
    fn from(color: Color) -> Self {
        match color {
            Color::Auto => Self::Auto,
            Color::Always => Self::Always,
            Color::Never => Self::Never,
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// Give a pack the environment its declaration asks for
    #[command(long_about = help::ENSURE, after_long_help = help::ENSURE_AFTER)]
    Ensure(Ensure),
    /// Print the interpreter of a pack's environment; builds nothing
    #[command(visible_alias = "which", long_about = help::RESOLVE, after_long_help = help::RESOLVE_AFTER)]
    Resolve(Resolve),
    /// Run a command inside a pack's environment
    #[command(long_about = help::EXEC, after_long_help = help::EXEC_AFTER)]
    Exec(Exec),
    /// Ensure every pack found under some paths
    #[command(long_about = help::SYNC, after_long_help = help::SYNC_AFTER)]
    Sync(Sync),
    /// Lock packs again: newer versions, same declarations
    #[command(long_about = help::UPGRADE, after_long_help = help::UPGRADE_AFTER)]
    Upgrade(Upgrade),
    /// List packs and their environments
    #[command(long_about = help::LIST, after_long_help = help::LIST_AFTER)]
    List(List),
    /// Show a pack or an environment
    #[command(long_about = help::SHOW, after_long_help = help::SHOW_AFTER)]
    Show(Show),
    /// List a pack's generations
    #[command(long_about = help::HISTORY, after_long_help = help::HISTORY_AFTER)]
    History(History),
    /// Give a pack the environment of an earlier generation again
    #[command(long_about = help::ROLLBACK, after_long_help = help::ROLLBACK_AFTER)]
    Rollback(Rollback),
    /// Compare two packs, environments or generations
    #[command(long_about = help::DIFF, after_long_help = help::DIFF_AFTER)]
    Diff(Diff),
    /// Say what keeps an environment
    #[command(long_about = help::WHY, after_long_help = help::WHY_AFTER)]
    Why(Why),
    /// Keep an environment under a name
    #[command(long_about = help::PIN, after_long_help = help::PIN_AFTER)]
    Pin(Pin),
    /// Take a pin away
    #[command(long_about = help::UNPIN, after_long_help = help::UNPIN_AFTER)]
    Unpin(Unpin),
    /// Make a symbolic link that follows a pack's environment
    #[command(long_about = help::LINK, after_long_help = help::LINK_AFTER)]
    Link(Link),
    /// Take such a link away
    #[command(long_about = help::UNLINK, after_long_help = help::UNLINK_AFTER)]
    Unlink(Unlink),
    /// Tell what happened to packs, environments and pins
    #[command(long_about = help::EVENTS, after_long_help = help::EVENTS_AFTER)]
    Events(Events),
    /// Say whose environments hold a distribution
    #[command(long_about = help::WHO_USES, after_long_help = help::WHO_USES_AFTER)]
    WhoUses(WhoUses),
    /// Print what was said while a pack's environment was made
    #[command(long_about = help::LOGS, after_long_help = help::LOGS_AFTER)]
    Logs(Logs),
    /// Write a pack's lock as a file that other tools take
    #[command(long_about = help::EXPORT, after_long_help = help::EXPORT_AFTER)]
    Export(Export),
    /// Copy a pack's environment out of the store, to be changed
    #[command(long_about = help::CHECKOUT, after_long_help = help::CHECKOUT_AFTER)]
    Checkout(Checkout),
    /// Forget a pack; its environment goes too if nothing else keeps it
    #[command(long_about = help::REMOVE, after_long_help = help::REMOVE_AFTER)]
    Remove(Remove),
    /// Collect what nothing keeps
    #[command(long_about = help::GC, after_long_help = help::GC_AFTER)]
    Gc(Gc),
    /// Weigh the store, and say what sharing saves
    #[command(long_about = help::DU, after_long_help = help::DU_AFTER)]
    Du(Du),
    /// Compare environments and objects with what was published
    #[command(long_about = help::VERIFY, after_long_help = help::VERIFY_AFTER)]
    Verify(Verify),
    /// Make the index anew from the store's files
    #[command(long_about = help::REINDEX, after_long_help = help::REINDEX_AFTER)]
    Reindex,
    /// Bring the store to the newest format this release knows
    #[command(long_about = help::MIGRATE, after_long_help = help::MIGRATE_AFTER)]
    Migrate,
    /// Make a moved or copied store's environments again for the path where it is
    #[command(long_about = help::RELOCATE, after_long_help = help::RELOCATE_AFTER)]
    Relocate(Relocate),
    /// Let the store take no more changes, for an image or a read-only mount
    #[command(long_about = help::SEAL, after_long_help = help::SEAL_AFTER)]
    Seal,
    /// Let a sealed store be changed again
    #[command(long_about = help::UNSEAL, after_long_help = help::UNSEAL_AFTER)]
    Unseal,
    /// Look for what is wrong, on this host, in the store or with a pack
    #[command(long_about = help::DOCTOR, after_long_help = help::DOCTOR_AFTER)]
    Doctor(Doctor),
    /// Look at the configuration
    #[command(subcommand)]
    Config(Config),
    /// Print a completion script for a shell
    #[command(long_about = help::COMPLETIONS, after_long_help = help::COMPLETIONS_AFTER)]
    Completions(Completions),
}

/// What workers write at every action, read without a parser: `exec PACK -- CMD…` and `resolve PACK`, behind `--store DIR` and `--config FILE` if
/// need be. None: it is for the parser.
pub fn plain(mut words: &[OsString]) -> Option<Cli> {
    let begins = |word: &OsString, with: &str| word.as_encoded_bytes().starts_with(with.as_bytes());
    let mut global = Global::default();
    while let [flag, value, rest @ ..] = words
        && begins(flag, "--")
    {
        let given = match flag.to_str()? {
            "--store" => &mut global.store,
            "--config" => &mut global.config,
            _ => return None,
        };
        if value.is_empty() || begins(value, "-") || given.replace(value.into()).is_some() {
            return None;
        }
        words = rest;
    }
    let pack = |word: &OsString| word.to_str().filter(|word| !word.starts_with('-'))?.parse().ok();
    let command = match words {
        [exec, of, dashes, command @ ..] if exec == "exec" && dashes == "--" && !command.is_empty() => {
            Command::Exec(Exec { pack: pack(of)?, command: command.to_vec() })
        }
        [resolve, of] if resolve == "resolve" => Command::Resolve(Resolve { pack: pack(of)? }),
        _ => return None,
    };
    Some(Cli { global, command })
}

/// The command line with one command only, for a word that workers ask with at every action: to make all of them takes half a millisecond.
pub fn hot(word: &OsStr) -> Option<clap::Command> {
    let command = match word.to_str()? {
        "exec" => Exec::augment_args(clap::Command::new("exec")),
        "resolve" => Resolve::augment_args(clap::Command::new("resolve")),
        "ensure" => Ensure::augment_args(clap::Command::new("ensure")),
        _ => return None,
    };
    Some(Global::augment_args(clap::Command::new("envstore")).subcommand(command))
}

/// `config`.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Show each value and where it comes from
    #[command(long_about = help::CONFIG_SHOW, after_long_help = help::CONFIG_SHOW_AFTER)]
    Show,
}

/// `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}
