//! `--remove-missing`: packs that were found under these paths before and are not there any more.

use std::path::{Path, PathBuf};

use super::links;
use super::report::Row;
use crate::cancel::Cancel;
use crate::cli::args::Sync;
use crate::cli::context::Context;
use crate::cli::declare::Found;
use crate::cli::failure::Failure;
use crate::cli::open::Store;
use crate::error::Error;
use crate::pack::PackRef;
use crate::store::report::PackSummary;

/// Up to this many are removed without asking, unless they are half of all.
const FEW: usize = 10;

/// The packs that would leave.
#[derive(Debug, Default)]
pub struct Leaving {
    /// Which.
    pub packs: Vec<PackSummary>,
    /// How many packs came from these paths in all.
    pub of: usize,
}

/// Looks for packs whose origin is one of the paths and that are not among those found. `list` is asked only if it
/// matters.
///
/// # Errors
/// Refuses where a declaration could not be read so far as to tell whose it is: it may be one of those missing.
pub fn find(
    args: &Sync,
    found: &[Found],
    list: impl FnOnce() -> Result<Vec<PackSummary>, Failure>,
) -> Result<Leaving, Failure> {
    if !args.remove_missing {
        return Ok(Leaving::default());
    }
    if found.is_empty() {
        return Err(Failure::usage("nothing is removed: there is no pack under these paths at all")
            .hint("check that the paths are the right ones and are mounted; `envstore remove` removes single packs"));
    }
    if let Some(nameless) = found.iter().find(|one| one.pack.is_none()) {
        return Err(Failure::usage(format!(
            "nothing is removed: `{}` does not tell whose declaration it is",
            nameless.name
        ))
        .hint("mend it, or run sync without --remove-missing"));
    }
    // As origins are recorded: absolute, links not followed.
    let paths: Vec<PathBuf> = args.paths.iter().filter_map(|path| std::path::absolute(path).ok()).collect();
    let mut packs = list()?;
    packs.retain(|pack| pack.origin.as_ref().is_some_and(|origin| paths.contains(origin)));
    let of = packs.len();
    packs.retain(|pack| !found.iter().any(|one| one.pack.as_ref() == Some(&pack.pack)));
    Ok(Leaving { packs, of })
}

/// Asks before many packs are removed.
///
/// # Errors
/// A usage failure where the answer is no, or nobody can be asked.
pub fn confirm(context: &Context, args: &Sync, leaving: &Leaving) -> Result<(), Failure> {
    let number = leaving.packs.len();
    if args.yes || !is_many(number, leaving.of) {
        return Ok(());
    }
    let names: Vec<_> = leaving.packs.iter().take(FEW).map(|pack| pack.pack.as_str()).collect();
    let more = if number > FEW { ", …" } else { "" };
    let what = format!("{number} of {} packs are not there any more: {}{more}", leaving.of, names.join(", "));
    match context.ask(&format!("{what}\nRemove them?")) {
        Some(true) => Ok(()),
        Some(false) => Err(Failure::usage("nothing was removed or changed").hint("run sync without --remove-missing")),
        None => Err(Failure::usage(what).hint("--yes removes them without asking")),
    }
}

/// Removes the packs, all in one transaction, and returns a row for each.
pub fn remove(store: &Store, leaving: Leaving, links: Option<&Path>, cancel: &Cancel) -> Vec<Row> {
    // The links first: they keep the environments.
    let unlink = |pack: &PackSummary| {
        cancel.check("removing").and_then(|()| links.map_or(Ok(()), |dir| links::unlink(store, dir, &pack.pack)))
    };
    let unlinked: Vec<Result<(), Error>> = leaving.packs.iter().map(unlink).collect();
    let ready = leaving.packs.iter().zip(&unlinked).filter(|(_, unlinked)| unlinked.is_ok());
    let ready: Vec<PackRef> = ready.map(|(pack, _)| pack.pack.clone()).collect();
    // What fails for all is tried for each, so that each row tells of its own failure.
    let removed = match ready.as_slice() {
        [] => Vec::new(),
        ready => store
            .remove_all(ready, false, cancel)
            .unwrap_or_else(|_| ready.iter().map(|pack| store.remove(pack, false)).collect()),
    };
    let mut removed = removed.into_iter();
    let rows = leaving.packs.iter().zip(unlinked).map(|(pack, unlinked)| {
        let removed = unlinked.and_then(|()| removed.next().unwrap_or_else(|| Err(Error::NoPack(pack.pack.clone()))));
        Row::removed(
            &pack.pack,
            pack.origin.as_deref(),
            removed.map_err(|error| Failure::from(error).about(&pack.pack)),
        )
    });
    rows.collect()
}

fn is_many(number: usize, of: usize) -> bool {
    number > FEW || (number > 0 && number * 2 >= of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_ten_or_half_of_all_are_many() {
        for (number, of, many) in
            [(0, 0, false), (0, 5, false), (1, 3, false), (1, 2, true), (1, 1, true), (10, 100, false), (11, 100, true)]
        {
            assert_eq!(is_many(number, of), many, "{number} of {of}");
        }
    }
}
