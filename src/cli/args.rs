//! The arguments: what can be asked for, and the help texts that teach it.
//!
//! Environment variables are named in the help but read by [`super::environment`], so that parsing depends on
//! the arguments alone.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::Styles;
use clap::builder::styling::{AnsiColor, Effects};
use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand, ValueEnum, ValueHint};

use super::{help, units};
use crate::pack::PackRef;
use crate::settings::MinFree;
use crate::spec::Selector;
use crate::store::What;

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
#[derive(Debug, Args)]
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

/// The commands.
#[derive(Debug, Subcommand)]
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

/// `ensure`.
#[derive(Debug, Args)]
// What makes a declaration on its own.
#[command(group = ArgGroup::new("source").args(["requirement", "with", "from"]).multiple(true))]
pub struct Ensure {
    /// The pack's reference, e.g. `aws.s3`
    pub pack: PackRef,

    /// Requirements from a file, as pip reads them; repeatable
    #[arg(short, long = "requirement", value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Declaration")]
    pub requirement: Vec<PathBuf>,

    /// One requirement, e.g. `requests>=2.31`; repeatable
    #[arg(long, value_name = "REQ", help_heading = "Declaration")]
    pub with: Vec<String>,

    /// The declaration of the pack in this directory or file
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath, help_heading = "Declaration",
          conflicts_with_all = ["requirement", "with", "constraint", "no_deps"])]
    pub from: Option<PathBuf>,

    /// Also these optional dependencies of a project (`pyproject.toml`); repeatable
    #[arg(long, value_name = "NAME", help_heading = "Declaration", requires = "from", conflicts_with_all = ["requirement", "with"])]
    pub extra: Vec<String>,

    /// Constraints from a file: versions for what gets installed, without asking for it; repeatable
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Declaration", requires = "source")]
    pub constraint: Vec<PathBuf>,

    /// The interpreter: a version (`3.11`), a range (`>=3.9,<3.12`) or a path
    #[arg(long, value_name = "REQ", help_heading = "Declaration", requires = "source")]
    pub python: Option<String>,

    /// Install what is declared and nothing it depends on
    #[arg(long, help_heading = "Declaration", requires = "source")]
    pub no_deps: bool,

    /// Lock again: the newest versions the declaration allows today
    #[arg(long)]
    pub upgrade: bool,

    /// With --upgrade: only this distribution, the others stay where that is possible; repeatable
    #[arg(short = 'P', long = "package", value_name = "NAME", requires = "upgrade", value_parser = parse_name)]
    pub only: Vec<Selector>,

    /// Build the environment again, even if it stands
    #[arg(long)]
    pub rebuild: bool,

    /// Prefer the versions of this virtual environment, where the declaration allows them
    ///
    /// The answer says how many stayed, and which could not. An environment that answers the declaration already stays
    /// as it is; with --upgrade it is locked again.
    #[arg(long, value_name = "VENV", value_hint = ValueHint::DirPath)]
    pub like: Option<PathBuf>,

    /// Exit 0 if the pack keeps its environment and that still answers the declaration
    #[arg(long)]
    pub allow_kept: bool,

    /// Who else may read a store that is created now
    #[arg(long, value_enum, value_name = "WHO")]
    pub share_with: Option<ShareWith>,
}

/// Who else may read a new store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShareWith {
    /// The group that owns the directory.
    Group,
    /// Everybody on this host.
    All,
}

/// `resolve`.
#[derive(Debug, Args)]
pub struct Resolve {
    /// The pack's reference
    pub pack: PackRef,
}

/// `exec`.
#[derive(Debug, Args)]
pub struct Exec {
    /// The pack's reference
    pub pack: PackRef,

    /// The command and its arguments, looked up in the environment's `bin` first
    #[arg(last = true, required = true, value_name = "CMD", value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<std::ffi::OsString>,
}

/// `sync`.
#[derive(Debug, Args)]
pub struct Sync {
    /// A directory of packs, one pack, a requirements file, or a `.jsonl` list
    #[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,

    /// How many packs are worked on at once
    ///
    /// Locking mostly waits for the network; how many environments are built at once is the configuration's
    /// `install.jobs`, over all processes.
    #[arg(short, long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,

    /// Read every declaration and say what would be done, without locking
    #[arg(long, conflicts_with = "check")]
    pub dry_run: bool,

    /// Change nothing; exit 1 if a pack's environment does not answer its declaration
    #[arg(long, conflicts_with = "remove_missing")]
    pub check: bool,

    /// Prefer the versions of the virtual environment DIR/PACK, where there is one, for each pack
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub like: Option<PathBuf>,

    /// Also remove the packs that were found under these paths before and are not there any more
    #[arg(long)]
    pub remove_missing: bool,

    /// Do not ask before removing many packs
    #[arg(long, requires = "remove_missing")]
    pub yes: bool,

    /// Who else may read a store that is created now
    #[arg(long, value_enum, value_name = "WHO")]
    pub share_with: Option<ShareWith>,
}

/// `upgrade`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["packs", "all", "using"]).required(true))]
pub struct Upgrade {
    /// The packs' references
    #[arg(value_name = "PACK")]
    pub packs: Vec<PackRef>,

    /// Every pack
    #[arg(long)]
    pub all: bool,

    /// Every pack whose environment holds such a distribution, e.g. `urllib3<2.2.2`
    #[arg(long, value_name = "REQ")]
    pub using: Option<Selector>,

    /// Only this distribution, the others stay where that is possible; repeatable
    #[arg(short = 'P', long = "package", value_name = "NAME", value_parser = parse_name)]
    pub only: Vec<Selector>,

    /// Lock, say what would change, build nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// A distribution's name without versions.
fn parse_name(text: &str) -> Result<Selector, String> {
    let selector: Selector = text.parse()?;
    if selector.selects("any version") {
        return Ok(selector);
    }
    Err(format!("give the name alone, `{}`; which versions are allowed stands in the declaration", selector.name()))
}

/// `list`.
#[derive(Debug, Args)]
pub struct List {
    /// Also the environments that no pack is bound to
    #[arg(long)]
    pub all: bool,

    /// List environments, each with its packs
    #[arg(long, value_enum, value_name = "WHAT")]
    pub group_by: Option<GroupBy>,

    /// Only packs whose environment answers another declaration than their last one
    #[arg(long, conflicts_with_all = ["all", "group_by"])]
    pub stale: bool,
}

/// What `list` groups by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GroupBy {
    /// By environment.
    Env,
}

/// `show`.
#[derive(Debug, Args)]
pub struct Show {
    /// A pack's reference, or `env:` and at least 8 characters of a key
    #[arg(value_name = "PACK|ENV")]
    pub what: Target,
}

/// A pack or an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A pack.
    Pack(PackRef),
    /// The beginning of an env key.
    Env(String),
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(prefix) = text.strip_prefix("env:") else {
            return PackRef::new(text).map(Self::Pack).map_err(|error| error.to_string());
        };
        Ok(Self::Env(prefix.to_owned()))
    }
}

/// `history`.
#[derive(Debug, Args)]
pub struct History {
    /// The pack's reference
    pub pack: PackRef,
}

/// `rollback`.
#[derive(Debug, Args)]
pub struct Rollback {
    /// The pack's reference
    pub pack: PackRef,

    /// The generation to go back to; without it the one before
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub to: Option<u64>,

    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// A pack's reference, or `env:` and at least 8 characters of a key
    #[arg(value_name = "A", value_parser = parse_what)]
    pub a: What,

    /// The other; without it A's current generation is compared with an earlier one
    #[arg(value_name = "B", value_parser = parse_what)]
    pub b: Option<What>,

    /// A's generation instead of its current one (without B: of the one before it)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub from: Option<u64>,

    /// B's generation instead of its current one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub to: Option<u64>,
}

/// `why`.
#[derive(Debug, Args)]
pub struct Why {
    /// A pack's reference, or `env:` and at least 8 characters of a key
    #[arg(value_name = "PACK|ENV", value_parser = parse_what)]
    pub what: What,
}

/// `pin`.
#[derive(Debug, Args)]
pub struct Pin {
    /// The pin's name; one that is in use moves
    pub name: PackRef,

    /// A pack, for the environment it is bound to now, or `env:` and at least 8 characters of a key
    #[arg(value_name = "PACK|ENV", value_parser = parse_what)]
    pub what: What,

    /// The last day it counts, UTC (`2027-03-31`), or a time (RFC 3339)
    #[arg(long, value_name = "DATE", value_parser = units::parse_until)]
    pub until: Option<jiff::Timestamp>,
}

/// `unpin`.
#[derive(Debug, Args)]
pub struct Unpin {
    /// The pin's name
    pub name: PackRef,
}

/// `link`.
#[derive(Debug, Args)]
pub struct Link {
    /// The pack's reference
    pub pack: PackRef,

    /// Where the link is to be; a symbolic link that is there is replaced
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub path: PathBuf,
}

/// `unlink`.
#[derive(Debug, Args)]
pub struct Unlink {
    /// Where the link is
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub path: PathBuf,
}

/// `events`.
#[derive(Debug, Args)]
pub struct Events {
    /// Only what happened to this pack
    pub pack: Option<PackRef>,

    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: u64,
}

fn parse_what(text: &str) -> Result<What, String> {
    Ok(match text.parse()? {
        Target::Pack(pack) => What::Pack(pack),
        Target::Env(prefix) => What::Env(prefix),
    })
}

/// `who-uses`.
#[derive(Debug, Args)]
pub struct WhoUses {
    /// A distribution and the versions that are meant, e.g. `urllib3<2.2.2`
    #[arg(value_name = "REQ")]
    pub what: Selector,

    /// Exit 1 if a pack's present environment, a pin or a running process holds it
    #[arg(long)]
    pub exit_code: bool,
}

/// `logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// The pack's reference
    pub pack: PackRef,
}

/// `export`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").args(["pack", "all"]).required(true))]
pub struct Export {
    /// The pack's reference
    pub pack: Option<PackRef>,

    /// Every pack, each in a directory of its own under --output, as `sync` reads them
    #[arg(long)]
    pub all: bool,

    /// What to write
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub to: ExportFormat,

    /// The file to write instead of standard output; with --all the directory
    #[arg(short, long, value_name = "PATH", value_hint = ValueHint::AnyPath, required_if_eq("all", "true"))]
    pub output: Option<PathBuf>,
}

/// What a lock is written as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// `pylock.toml` (PEP 751).
    #[default]
    Pylock,
    /// A requirements file with digests.
    Requirements,
}

impl From<ExportFormat> for crate::store::report::Format {
    fn from(format: ExportFormat) -> Self {
        match format {
            ExportFormat::Pylock => Self::Pylock,
            ExportFormat::Requirements => Self::Requirements,
        }
    }
}

/// `checkout`.
#[derive(Debug, Args)]
pub struct Checkout {
    /// The pack's reference
    pub pack: PackRef,

    /// A directory that does not exist or is empty
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
}

/// `remove`.
#[derive(Debug, Args)]
pub struct Remove {
    /// The pack's reference
    pub pack: PackRef,

    /// Keep its generations, so that it can be taken up again where it ended
    #[arg(long)]
    pub keep_history: bool,
}

/// `gc`.
#[derive(Debug, Args)]
pub struct Gc {
    /// Say what would go, and delete nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Only environments that were idle for this long, e.g. `12h`, `14d`
    #[arg(long, value_name = "D", value_parser = units::parse_duration)]
    pub idle: Option<Duration>,

    /// Collect until the store is at most this big, e.g. `20G` (10^9), `20GiB` (2^30)
    #[arg(long, value_name = "S", value_parser = units::parse_size)]
    pub max_size: Option<u64>,

    /// Collect until this much is free: a size, or percent of the filesystem (`10%`)
    #[arg(long, value_name = "S", value_parser = units::parse_min_free)]
    pub min_free: Option<MinFree>,

    /// Also give up environments that only earlier generations of packs keep
    #[arg(long)]
    pub drop_retained: bool,
}

/// `du`.
#[derive(Debug, Args)]
pub struct Du {
    /// Every environment and distribution, not only those that hold the most alone
    #[arg(long)]
    pub all: bool,
}

/// `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Only this pack's environment, or `env:` and at least 8 characters of a key
    #[arg(value_name = "PACK|ENV")]
    pub what: Option<Target>,

    /// Read every byte
    #[arg(long)]
    pub full: bool,
}

/// `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Look at this pack only
    pub pack: Option<PackRef>,
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("envstore").chain(line.split_whitespace()))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_before_and_after_the_command() {
        for line in ["--store /s --offline list", "list --store /s --offline"] {
            let cli = parse(line).expect(line);
            assert_eq!(cli.global.store.as_deref(), Some(std::path::Path::new("/s")));
            assert!(cli.global.offline && matches!(cli.command, Command::List(_)));
        }
    }

    #[test]
    fn good_lines() {
        for line in [
            "ensure aws.s3",
            "ensure aws.s3 -r a.txt -r b.txt --with six -c c.txt --python 3.11 --no-deps",
            "ensure aws.s3 --from packs/aws --python >=3.9,<3.12 --upgrade --rebuild --allow-kept --like venv",
            "which aws.s3",
            "exec aws.s3 -- python -c pass --store x",
            "sync packs list.jsonl -j 4 --remove-missing --yes --share-with group",
            "ensure aws.s3 --from pyproject.toml --extra s3 --extra http",
            "sync packs --dry-run --remove-missing",
            "list --all --group-by env",
            "show env:abcdefgh",
            "history aws.s3",
            "rollback aws.s3 --to 3 --dry-run",
            "upgrade aws.s3 web -P urllib3 --dry-run",
            "upgrade --all",
            "upgrade --using urllib3<2.2.2 -P urllib3",
            "ensure aws.s3 --upgrade -P urllib3",
            "diff a b",
            "diff a --from 1 --to 2",
            "why env:abcdefgh",
            "pin release aws.s3 --until 2027-03-31",
            "unpin release",
            "events aws.s3 --limit 10",
            "link aws.s3 /opt/virtualenvs/aws",
            "unlink /opt/virtualenvs/aws",
            "who-uses urllib3<2.2.2 --exit-code",
            "logs aws.s3",
            "export aws.s3",
            "export aws.s3 --to requirements -o r.txt",
            "export --all --to pylock --output packs",
            "checkout aws.s3 /tmp/env",
            "gc --idle 12h --max-size 20GiB --min-free 10% --drop-retained --dry-run",
            "doctor",
            "du --all",
            "verify aws.s3 --full",
            "config show --format json",
            "completions bash",
        ] {
            parse(line).expect(line);
        }
    }

    #[test]
    fn bad_lines() {
        for line in [
            "",
            "ensure",
            "ensure aws.s3 --from p -r a.txt",
            "ensure aws.s3 --python 3.11",
            "ensure aws.s3 --no-deps",
            "ensure aws.s3 --with six --extra s3",
            "ensure @envstore/uv --with uv",
            "exec aws.s3 python",
            "exec aws.s3",
            "sync",
            "sync p -j 0",
            "sync p -j -1",
            "sync p -j 1000",
            "sync p --yes",
            "sync p --check --dry-run",
            "sync p --check --remove-missing",
            "list --stale --all",
            "rollback",
            "diff",
            "pin release aws.s3 --until soon",
            "upgrade",
            "upgrade aws.s3 --all",
            "upgrade aws.s3 -P urllib3<2",
            "ensure aws.s3 -P urllib3",
            "rollback aws.s3 --to 0",
            "export",
            "export aws.s3 --all -o x",
            "export --all",
            "export aws.s3 --to poetry",
            "checkout aws.s3",
            "gc --idle soon",
            "gc --max-size big",
            "list -q -v",
            "list --format xml",
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn what_exec_runs_keeps_its_own_flags() {
        let cli = parse("exec aws.s3 -- python --format json --store /x").expect("parses");
        assert_eq!(cli.global.store, None);
        assert_eq!(cli.global.format, Format::Human);
        let Command::Exec(exec) = cli.command else { panic!("exec") };
        assert_eq!(exec.command.len(), 5);
    }

    #[test]
    fn every_command_has_an_example_and_every_option_a_help_text() {
        let command = Cli::command();
        for sub in command.get_subcommands().filter(|c| c.get_name() != "config") {
            let after = sub.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains("envstore "), "{} has no example", sub.get_name());
            for arg in sub.get_arguments() {
                assert!(arg.get_help().is_some(), "{} {} has no help", sub.get_name(), arg.get_id());
            }
        }
    }
}
