//! `remove`: forget a pack.

use crate::cli::args::Remove;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::{exit, open, units};

/// Runs `remove`.
pub fn run(context: &Context, args: &Remove) -> Outcome {
    let store = open::open(context, context.config()?.settings).map_err(|failure| failure.about(&args.pack))?;
    let removed =
        store.remove(&args.pack, args.keep_history).map_err(|error| Failure::from(error).about(&args.pack))?;
    context.out.result(&removed, |text| {
        *text = if removed.env_removed {
            format!("removed {} and its environment, {} freed\n", removed.pack, units::bytes(removed.freed_bytes))
        } else if !removed.skipped.is_empty() {
            format!("removed {}; its environment could not be deleted yet\n", removed.pack)
        } else {
            format!("removed {}; something else keeps its environment\n", removed.pack)
        };
        super::gc::skipped(text, &removed.skipped, context.out.paint);
    })?;
    Ok(exit::OK)
}
