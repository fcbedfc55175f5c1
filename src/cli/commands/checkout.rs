//! `checkout`: a pack's environment as an ordinary one, for its user to change.

use super::count;
use crate::cli::args::Checkout;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::{exit, open, units};

/// Runs `checkout`.
pub fn run(context: &Context, args: &Checkout) -> Outcome {
    let about = |failure: Failure| failure.about(&args.pack);
    let store = open::open(context, context.config()?.settings).map_err(about)?;
    let signals = context.signals()?;
    let out = store
        .checkout(&args.pack, &args.dir, signals.cancel())
        .map_err(|error| Failure::from(error).about(&args.pack))?;
    if !out.host_bound.is_empty() {
        let files = out.host_bound.join("`, `");
        context.out.warn(&format!("built into its place and not movable, names the store's environment: `{files}`"));
    }
    context.out.result(&out, |text| {
        *text = format!(
            "{}: {} in {}, {}\n",
            out.pack,
            out.path.display(),
            count(out.files, "file"),
            units::bytes(out.bytes)
        );
    })?;
    Ok(exit::OK)
}
