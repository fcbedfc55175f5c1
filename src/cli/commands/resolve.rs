//! `resolve`: the interpreter of a pack's environment. Reads no configuration: its answer does not depend on it.

use super::path_line;
use crate::cli::args::Resolve;
use crate::cli::context::Context;
use crate::cli::failure::Outcome;
use crate::cli::{exit, open, output};

/// Runs `resolve`.
pub fn run(context: &Context, args: &Resolve) -> Outcome {
    let resolved = open::ask(context, &args.pack).map_err(|failure| failure.about(&args.pack))?.resolved;
    let again = format!("`envstore ensure {}` mends that", args.pack);
    if resolved.interpreter_changed {
        context.out.warn(&format!("the interpreter was replaced since the environment was made; {again}"));
    }
    if resolved.stale {
        context.out.warn(&format!("the environment answers another declaration than the last one given; {again}"));
    }
    if context.out.is_json() {
        context.out.result(&resolved, |_| ())?;
    } else {
        output::write_stdout(&path_line(&resolved.interpreter))?;
    }
    Ok(exit::OK)
}
