//! `sync`: ensure every pack found under some paths.
//!
//! One pack's failure is a row of the report; the others go on. Ctrl-C leaves what is finished bound, and the report is
//! printed all the same.

mod links;
mod missing;
mod preview;
mod report;
pub mod work;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::short;
use crate::cancel::Cancel;
use crate::cli::args::Sync;
use crate::cli::context::Context;
use crate::cli::declare::{self, Found};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::open::{self, How, NotEnsured, Store};
use crate::cli::progress::{self, Progress};
use crate::cli::{exit, output};
use crate::pack::PackRef;
use crate::spec::Declaration;
use crate::store::report::Ensured;
use report::{Report, Row, Status};

/// Runs `sync`.
pub fn run(context: &Context, args: &Sync) -> Outcome {
    let began = Instant::now();
    let config = context.config()?;
    if let Some(like) = args.like.as_deref().filter(|like| !like.is_dir()) {
        return Err(Failure::usage(format!("`{}` is no directory of virtual environments", like.display())));
    }
    let found = declare::find(&args.paths, &config.settings.install)?;
    warn(context, &found);
    if args.dry_run || args.check {
        return preview::run(context, args, config, &found, began);
    }
    context.warn_of_foreign_settings(&config);
    let store = open::open_or_create(context, config.settings, args.share_with, false)?;
    let leaving = missing::find(args, &found, || Ok(store.list()?))?;
    missing::confirm(context, args, &leaving)?;
    let cancel = context.signals()?.cancel();
    let links = args.links.as_deref().map(|dir| links::directory(&store, dir)).transpose()?;
    let mut rows = ensure_all(context, &store, &found, args, links.as_deref(), cancel);
    rows.extend(missing::remove(&store, leaving, links.as_deref(), cancel));
    let interrupted = cancel.is_cancelled();
    let report = Report::new(rows, &store.list()?, |envs| store.distinct_bytes(envs), began.elapsed())?;
    report.print(context)?;
    if interrupted {
        context.out.note("interrupted; what is finished stays, the next run goes on from there");
        return Ok(context.interrupted());
    }
    Ok(report.exit_code())
}

/// Says what is odd in the declarations, each once.
fn warn(context: &Context, found: &[Found]) {
    for (pack, declaration) in found.iter().filter_map(|one| Some((&one.name, one.result.as_ref().ok()?))) {
        for warning in &declaration.warnings {
            context.out.warn(&format!("{pack}: {warning}"));
        }
    }
}

/// Works through the packs with some threads and returns a row for each, in their order.
fn ensure_all(
    context: &Context,
    store: &Store,
    found: &[Found],
    args: &Sync,
    links: Option<&Path>,
    cancel: &Cancel,
) -> Vec<Row> {
    let paint = context.out.paint_err;
    let progress = Arc::new(Progress::new(context.progress(), found.len(), paint.is_on()));
    let order = work::order(found.iter().map(|one| one.result.as_ref().ok().map(|d| d.spec.digest())));
    let rows = work::each(&order, args.jobs.into(), |index| {
        let one = &found[index];
        // What could not be read, and what an interruption leaves undone, does not show as work.
        let starts = one.result.is_ok() && !cancel.is_cancelled();
        if starts {
            progress.begin(&one.name);
        }
        let mut row = ensure_one(store, one, args.like.as_deref(), &progress, cancel);
        if let (Some(dir), Some(_), Ok(declaration)) = (links, &row.env, &one.result) {
            let linked = links::link(store, dir, &declaration.pack);
            row = row.linked(linked.map_err(|failure| failure.about(&declaration.pack)));
        }
        // An interruption is told once, below the table.
        if row.is_interrupted() {
            progress.leave(&one.name);
        } else {
            progress.finish(&one.name, row.status != Status::Ready, &line(&row, paint));
        }
        row
    });
    progress.clear();
    rows.into_iter()
        .zip(found)
        .map(|(row, one)| row.unwrap_or_else(|message| Row::failed(one, &Failure::bug(message))))
        .collect()
}

fn ensure_one(store: &Store, found: &Found, like: Option<&Path>, progress: &Arc<Progress>, cancel: &Cancel) -> Row {
    let began = Instant::now();
    let declaration = match &found.result {
        Ok(declaration) => declaration,
        Err(failure) => return Row::failed(found, failure),
    };
    let about = |error| Failure::from(error).about(&declaration.pack);
    if let Err(error) = cancel.check("waiting for its turn") {
        return Row::failed(found, &about(error));
    }
    let how = How {
        origin: declaration.origin.clone(),
        like: like.and_then(|like| like_of(like, &declaration.pack)),
        ..How::default()
    };
    let row = match ensure(store, declaration, &how, &found.name, progress, cancel) {
        Ok(ensured) => Row::ready(found, &ensured),
        Err(NotEnsured { error, kept: None }) => Row::failed(found, &about(error)),
        Err(NotEnsured { error, kept: Some(kept) }) => Row::kept(found, &kept, &about(error)),
    };
    row.after(began.elapsed())
}

fn ensure(
    store: &Store,
    declaration: &Declaration,
    how: &How,
    name: &str,
    progress: &Arc<Progress>,
    cancel: &Cancel,
) -> Result<Ensured, NotEnsured> {
    let (progress, name) = (Arc::clone(progress), name.to_owned());
    let on_phase = Arc::new(move |what: &str| progress.phase(&name, what));
    open::ensure(store, &declaration.pack, Some(declaration.spec.clone()), how, on_phase, cancel)
}

/// The virtual environment that a pack had, by the pack's name.
fn like_of(dir: &Path, pack: &PackRef) -> Option<PathBuf> {
    is_name(pack).then(|| dir.join(pack.as_str())).filter(|venv| venv.is_dir())
}

/// Whether a pack's ref is a name that stands in a directory for all to see.
fn is_name(pack: &PackRef) -> bool {
    !pack.as_str().contains('/') && !pack.as_str().starts_with('.')
}

/// The line that stands in a log for a finished pack.
fn line(row: &Row, paint: crate::cli::style::Paint) -> String {
    let what = match (row.status, row.outcome) {
        (Status::Ready, Some(outcome)) => paint.green(report::came(outcome)),
        (Status::Kept, _) => paint.yellow("kept"),
        _ => paint.red("failed"),
    };
    let env = row.env.as_ref().map(short);
    progress::summary(&row.pack, &what, env.as_deref(), row.millis, row.error.as_ref().map(|e| e.message.as_str()))
}

/// 1 if a pack could not be done, whatever it was: the report says for each whether trying again may help.
fn code(is_done: bool) -> u8 {
    if is_done { exit::OK } else { exit::FAILED }
}

/// Tells each failure once more in full, below the table, where people look.
fn explain(context: &Context, failures: &[(String, String)]) {
    for (pack, text) in failures {
        output::stderr(&format!("\n{}\n{}", context.out.paint_err.bold(pack), text.trim_end()));
    }
}
