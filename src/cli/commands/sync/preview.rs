//! `--dry-run` and `--check`: what would be done, without locking anything or writing anywhere.

use std::path::Path;
use std::time::Instant;

use super::report::{Report, Row, Status};
use super::{links, missing};
use crate::cli::args::Sync;
use crate::cli::config::Config;
use crate::cli::context::Context;
use crate::cli::declare::Found;
use crate::cli::exit;
use crate::cli::failure::Outcome;
use crate::cli::open::{self, Store};
use crate::error::Result;
use crate::store::report::{Outcome as Came, PackSummary};

/// Runs the preview. With `--check` something to do is a failure.
pub fn run(context: &Context, args: &Sync, config: Config, found: &[Found], began: Instant) -> Outcome {
    let store = match open::open(context, config.settings) {
        Ok(store) => Some(store),
        // Where there is no store yet every pack is new.
        Err(failure) if failure.is_no_store() => None,
        Err(failure) => return Err(failure),
    };
    let listed = store.as_ref().map_or(Ok(Vec::new()), Store::list)?;
    let mut rows = Vec::new();
    for one in found {
        rows.push(row(store.as_ref(), &listed, one, args.links.as_deref())?);
    }
    let leaving = missing::find(args, found, || Ok(listed.clone()))?;
    rows.extend(leaving.packs.iter().map(|pack| Row::new(pack.pack.as_str(), Status::Removed, pack.origin.as_deref())));
    let report = Report::new(
        rows,
        &listed,
        |envs| store.as_ref().map_or(Ok(0), |store| store.distinct_bytes(envs)),
        began.elapsed(),
    )?;
    report.print(context)?;
    let (pending, failed) = (report.summary.pending, report.summary.failed);
    if args.dry_run {
        context.out.note("nothing was changed (--dry-run)");
    }
    Ok(if failed > 0 || (args.check && pending > 0) { exit::FAILED } else { exit::OK })
}

fn row(store: Option<&Store>, listed: &[PackSummary], found: &Found, dir: Option<&Path>) -> Result<Row> {
    let declaration = match &found.result {
        Ok(declaration) => declaration,
        Err(failure) => return Ok(Row::failed(found, failure)),
    };
    let answers = store.map_or(Ok(false), |store| store.answers(&declaration.pack, &declaration.spec))?;
    let env = listed.iter().find(|pack| pack.pack == declaration.pack).map(|pack| pack.env);
    let is_linked = |store: &Store| dir.map_or(Ok(true), |dir| links::is_made(store, dir, &declaration.pack));
    let answers = answers && store.map_or(Ok(true), is_linked)?;
    let (status, outcome) = if answers { (Status::Ready, Some(Came::Hit)) } else { (Status::Pending, None) };
    Ok(Row { env, outcome, ..Row::new(&found.name, status, Some(&found.origin)) })
}
