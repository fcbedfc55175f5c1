//! Ways out of the store: `export`, `checkout`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum, ValueHint};

use crate::pack::PackRef;

/// `export`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").args(["pack", "all"]).required(true))]
pub struct Export {
    /// The pack's reference
    pub pack: Option<PackRef>,

    /// Every pack, each in a directory of its own under --output, as `sync` reads locks
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
    /// A bill of materials (CycloneDX 1.5, JSON).
    Cyclonedx,
}

impl From<ExportFormat> for crate::store::report::Format {
    fn from(format: ExportFormat) -> Self {
        match format {
            ExportFormat::Pylock => Self::Pylock,
            ExportFormat::Requirements => Self::Requirements,
            ExportFormat::Cyclonedx => Self::Cyclonedx,
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
