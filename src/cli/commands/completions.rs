//! `completions`: a script for a shell.

use clap::CommandFactory;
use serde::Serialize;

use crate::cli::args::{Cli, Completions};
use crate::cli::context::Context;
use crate::cli::exit;
use crate::cli::failure::Outcome;

/// What `completions` answers.
#[derive(Debug, Serialize)]
struct Script {
    shell: String,
    script: String,
}

/// Runs `completions`.
pub fn run(context: &Context, args: &Completions) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "envstore", &mut script);
    let script = Script { shell: args.shell.to_string(), script: String::from_utf8_lossy(&script).into_owned() };
    context.out.result(&script, |text| text.clone_from(&script.script))?;
    Ok(exit::OK)
}
