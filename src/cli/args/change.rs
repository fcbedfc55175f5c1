//! What moves, keeps and forgets: `rollback`, `pin`, `link`, `remove`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::target::parse_what;
use crate::cli::units;
use crate::pack::PackRef;
use crate::store::What;

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

/// `remove`.
#[derive(Debug, Args)]
pub struct Remove {
    /// The pack's reference
    pub pack: PackRef,

    /// Keep its generations, so that it can be taken up again where it ended
    #[arg(long)]
    pub keep_history: bool,
}
