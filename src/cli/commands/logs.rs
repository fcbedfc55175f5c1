//! `logs`: what was said while a pack's environment was made.

use crate::cli::args::Logs;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::{exit, open};

/// Runs `logs`.
pub fn run(context: &Context, args: &Logs) -> Outcome {
    let store = open::open(context, context.config()?.settings).map_err(|failure| failure.about(&args.pack))?;
    let log = store.log(&args.pack).map_err(|error| Failure::from(error).about(&args.pack))?;
    context.out.note(&format!("{}:", log.log.display()));
    context.out.result(&log, |text| text.push_str(&log.text))?;
    Ok(exit::OK)
}
