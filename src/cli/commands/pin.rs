//! `pin` and `unpin`: a person's names for environments.

use super::short;
use crate::cli::args::{Pin, Unpin};
use crate::cli::context::Context;
use crate::cli::failure::Outcome;
use crate::cli::{exit, open};

/// Runs `pin`.
pub fn pin(context: &Context, args: &Pin) -> Outcome {
    let store = open::open(context, context.config()?.settings)?;
    let pinned = store.pin(&args.name, &args.what, args.until)?;
    context.out.result(&pinned, |text| {
        let until = pinned.until.map(|until| format!(" until {until}")).unwrap_or_default();
        *text = format!("pin {} keeps {}{until}\n", pinned.name, short(&pinned.env));
    })?;
    Ok(exit::OK)
}

/// Runs `unpin`.
pub fn unpin(context: &Context, args: &Unpin) -> Outcome {
    let store = open::open(context, context.config()?.settings)?;
    let unpinned = store.unpin(&args.name)?;
    context.out.result(&unpinned, |text| *text = format!("pin {} is gone\n", unpinned.name))?;
    Ok(exit::OK)
}
