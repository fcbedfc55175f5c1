//! What only looks.

use clap::{Args, ValueEnum};

use super::target::{Target, parse_what};
use crate::pack::PackRef;
use crate::spec::Selector;
use crate::store::What;

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

/// `history`.
#[derive(Debug, Args)]
pub struct History {
    /// The pack's reference
    pub pack: PackRef,
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

/// `events`.
#[derive(Debug, Args)]
pub struct Events {
    /// Only what happened to this pack
    pub pack: Option<PackRef>,

    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: u64,
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

/// `du`.
#[derive(Debug, Args)]
pub struct Du {
    /// Every environment and distribution, not only those that hold the most alone
    #[arg(long)]
    pub all: bool,
}
