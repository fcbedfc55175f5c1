//! The store's own health: `gc`, `verify`, `doctor`.

use std::time::Duration;

use clap::Args;

use super::target::Target;
use crate::cli::units;
use crate::pack::PackRef;
use crate::settings::MinFree;

/// `gc`.
#[derive(Debug, Args)]
pub struct Gc {
    /// Say what would go, and delete nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Only environments that were idle for this long, e.g. `12h`, `14d`
    #[arg(long, value_name = "D", value_parser = units::parse_duration)]
    pub idle: Option<Duration>,

    /// Collect until everything under the root is at most this big, e.g. `20G` (10^9), `20GiB` (2^30)
    #[arg(long, value_name = "S", value_parser = units::parse_size)]
    pub max_size: Option<u64>,

    /// Collect until this much is free: a size, or percent of the filesystem (`10%`)
    #[arg(long, value_name = "S", value_parser = units::parse_min_free)]
    pub min_free: Option<MinFree>,

    /// Also give up environments that only earlier generations of packs keep
    #[arg(long)]
    pub drop_retained: bool,

    /// Collect again although the index was lost a short while ago
    #[arg(long)]
    pub end_grace: bool,
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

    /// Make anew what is damaged, beside it, and move the damaged to quarantine
    #[arg(long)]
    pub repair: bool,
}

/// `relocate`.
#[derive(Debug, Args)]
pub struct Relocate {
    /// The store was moved here: keep its id, point its links at the new environments
    #[arg(long, conflicts_with = "copy")]
    pub moved: bool,

    /// This is a copy, the original stays in use: get a new id, forget links that lead into the original
    #[arg(long)]
    pub copy: bool,
}

/// `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Look at this pack only
    pub pack: Option<PackRef>,

    /// First give the store's owner what other users made below its root; needs root
    #[arg(long, conflicts_with = "pack")]
    pub repair: bool,
}
