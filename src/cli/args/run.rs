//! The hot path: `resolve`, `exec`.

use clap::{Args, ValueHint};

use crate::pack::PackRef;

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
