//! `upgrade`: packs are locked again.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use serde::Serialize;

use super::sync::work;
use super::{change_line, count, short};
use crate::cancel::Cancel;
use crate::cli::args::Upgrade;
use crate::cli::context::Context;
use crate::cli::failure::{ErrorObject, Failure, Outcome};
use crate::cli::open::{self, Store};
use crate::cli::progress::Progress;
use crate::cli::{exit, units};
use crate::pack::PackRef;
use crate::store::report::{Change, Outcome as Came, Role, Upgraded};
use crate::store::{EnsureError, upgrade};

/// How many packs are locked at once: it is mostly waiting for the index.
const THREADS: usize = 8;

/// What `upgrade` answers.
#[derive(Debug, Serialize)]
struct Report {
    upgrades: Vec<Row>,
}

/// A pack in it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Row {
    Done(Box<Upgraded>),
    Failed { pack: PackRef, outcome: Option<Came>, changes: Vec<Change>, error: Box<ErrorObject> },
}

/// Runs `upgrade`.
pub fn run(context: &Context, args: &Upgrade) -> Outcome {
    let config = context.config()?;
    context.warn_of_foreign_settings(&config);
    let store = open::open(context, config.settings)?;
    let packs = chosen(&store, args)?;
    warn_of_strangers(context, &store, args, &packs)?;
    let signals = context.signals()?;
    let results = upgrade_all(context, &store, args, &packs, signals.cancel());
    let mut failures = Vec::new();
    let mut rows = Vec::new();
    for (pack, result) in packs.iter().zip(results) {
        let (failure, kept) = match result {
            Ok(Ok(done)) => {
                rows.push(Row::Done(Box::new(done)));
                continue;
            }
            Ok(Err(EnsureError { error, kept })) => (Failure::from(error).about(pack), kept.is_some()),
            Err(panic) => (Failure::bug(panic).about(pack), false),
        };
        let outcome = kept.then_some(Came::Kept);
        rows.push(Row::Failed { pack: pack.clone(), outcome, changes: Vec::new(), error: Box::new(failure.object()) });
        failures.push(failure);
    }
    let report = Report { upgrades: rows };
    context.out.result(&report, |text| *text = human(&report))?;
    for failure in &failures {
        context.out.explain(failure);
    }
    if signals.cancel().is_cancelled() {
        return Ok(context.interrupted());
    }
    // Of one pack the reason tells whether trying again may help; of several the report does, for each.
    Ok(match failures.as_slice() {
        [] => exit::OK,
        [only] if packs.len() == 1 => context.exit_code(only),
        _ => exit::FAILED,
    })
}

/// The packs that are meant.
fn chosen(store: &Store, args: &Upgrade) -> Result<Vec<PackRef>, Failure> {
    if let Some(selector) = &args.using {
        let found = store.who_uses(selector)?.matches.into_iter().filter(|found| found.role == Role::Current);
        return Ok(found.filter_map(|found| found.pack).collect::<BTreeSet<_>>().into_iter().collect());
    }
    if args.all {
        return Ok(store.list()?.into_iter().map(|row| row.pack).collect());
    }
    let mut packs = args.packs.clone();
    let mut seen = BTreeSet::new();
    packs.retain(|pack| seen.insert(pack.clone()));
    Ok(packs)
}

/// A name that no pack's environment holds is mistyped, or does nothing.
fn warn_of_strangers(context: &Context, store: &Store, args: &Upgrade, packs: &[PackRef]) -> Result<(), Failure> {
    for name in &args.only {
        let matches = store.who_uses(name)?.matches;
        let is_held = matches.iter().any(|found| found.pack.as_ref().is_some_and(|pack| packs.contains(pack)));
        if !is_held && !packs.is_empty() {
            context.out.warn(&format!("none of these packs holds `{}`", name.name()));
        }
    }
    Ok(())
}

fn upgrade_all(
    context: &Context,
    store: &Store,
    args: &Upgrade,
    packs: &[PackRef],
    cancel: &Cancel,
) -> Vec<Result<Result<Upgraded, EnsureError>, String>> {
    let progress = Arc::new(Progress::new(context.progress(), packs.len(), context.out.paint_err.is_on()));
    let only: Vec<String> = args.only.iter().map(|name| name.name().to_owned()).collect();
    let order: Vec<usize> = (0..packs.len()).collect();
    let results = work::each(&order, THREADS, |index| {
        let pack = &packs[index];
        cancel.check("waiting for its turn")?;
        progress.begin(pack.as_str());
        let on_phase = {
            let (progress, pack) = (Arc::clone(&progress), pack.clone());
            Arc::new(move |what: &str| progress.phase(pack.as_str(), what))
        };
        let ask = upgrade::Upgrade::new().only(only.clone()).dry_run(args.dry_run).on_progress(on_phase);
        let result = store.upgrade(pack, &ask, cancel);
        progress.leave(pack.as_str());
        result
    });
    progress.clear();
    results
}

fn human(report: &Report) -> String {
    if report.upgrades.is_empty() {
        return "nothing to upgrade\n".into();
    }
    let mut text = String::new();
    let (mut moved, mut dry_run) = (0, false);
    for row in &report.upgrades {
        let Row::Done(done) = row else { continue };
        dry_run |= done.dry_run;
        if done.outcome == Came::Hit {
            let _ = writeln!(text, "{}: up to date, {}", done.pack, short(&done.env));
            continue;
        }
        moved += 1;
        let (env, how) = (short(&done.env), word(done.outcome));
        let _ = match done.dry_run {
            true => writeln!(text, "{}: would move to {env} ({how})", done.pack),
            false => writeln!(text, "{}: {env} ({how}) in {}", done.pack, units::span(done.elapsed_ms)),
        };
        for change in &done.changes {
            let _ = writeln!(text, "  {}", change_line(change));
        }
    }
    if report.upgrades.len() > 1 {
        let what = if dry_run { "would move" } else { "moved" };
        let _ = writeln!(text, "{}: {moved} {what}", count(report.upgrades.len() as u64, "pack"));
    }
    text
}

fn word(outcome: Came) -> &'static str {
    match outcome {
        Came::Hit => "up to date",
        Came::Shared => "shared",
        Came::Assembled => "assembled",
        Came::Built => "built",
        Came::Pulled => "pulled",
        Came::Kept => "kept",
    }
}
