//! `link` and `unlink`: symbolic links that follow packs.

use super::short;
use crate::cli::args::{Link, Unlink};
use crate::cli::context::Context;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::{exit, open};
use crate::error::Error;

/// Runs `link`.
pub fn link(context: &Context, args: &Link) -> Outcome {
    let path = std::path::absolute(&args.path).map_err(Error::io("find", &args.path))?;
    let store = open::open(context, context.config()?.settings)?;
    let linked = store.link(&args.pack, &path).map_err(|error| Failure::from(error).about(&args.pack))?;
    context.out.result(&linked, |text| {
        *text = format!("{} leads to {}, {}\n", linked.link.display(), linked.pack, short(&linked.env));
    })?;
    Ok(exit::OK)
}

/// Runs `unlink`.
pub fn unlink(context: &Context, args: &Unlink) -> Outcome {
    let path = std::path::absolute(&args.path).map_err(Error::io("find", &args.path))?;
    let store = open::open(context, context.config()?.settings)?;
    let unlinked = store.unlink(&path)?;
    context.out.result(&unlinked, |text| *text = format!("{} is gone\n", unlinked.link.display()))?;
    Ok(exit::OK)
}
