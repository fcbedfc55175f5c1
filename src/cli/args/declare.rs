//! What gives packs environments: `ensure`, `sync`, `upgrade`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum, ValueHint};

use crate::pack::PackRef;
use crate::spec::Selector;

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

    /// Beside what is declared, for old packs that expect more, e.g. `setuptools<82`; repeatable
    ///
    /// What the declaration itself names stays as it says. `install.seed` in the configuration does this for every pack.
    #[arg(long, value_name = "REQ", help_heading = "Declaration", requires = "source")]
    pub seed: Vec<String>,

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

    /// Make the symbolic link DIR/PACK for each pack, which follows its environment from then on
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub links: Option<PathBuf>,

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
