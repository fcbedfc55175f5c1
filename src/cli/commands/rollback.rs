//! `rollback`: a pack gets the environment of an earlier generation again.

use std::fmt::Write;
use std::sync::Arc;

use super::{change_line, short};
use crate::cli::args::Rollback;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::progress::{Mode, Progress};
use crate::cli::{exit, open, units};
use crate::store::report::{Outcome as Came, RolledBack};

/// Runs `rollback`.
pub fn run(context: &Context, args: &Rollback) -> Outcome {
    let pack = &args.pack;
    let store = open::open(context, context.config()?.settings).map_err(|failure| failure.about(pack))?;
    let signals = context.signals()?;
    let mode = if context.progress() == Mode::Bars { Mode::Bars } else { Mode::Silent };
    let progress = Arc::new(Progress::new(mode, 1, context.out.paint_err.is_on()));
    progress.begin(pack.as_str());
    let on_phase = {
        let (progress, pack) = (Arc::clone(&progress), pack.clone());
        Arc::new(move |what: &str| progress.phase(pack.as_str(), what))
    };
    let ask = open::Rollback::new().to(args.to).dry_run(args.dry_run).on_progress(on_phase);
    let result = store.rollback(pack, &ask, signals.cancel());
    progress.clear();
    let done = result.map_err(|error| Failure::from(error).about(pack))?;
    context.out.result(&done, |text| *text = human(&done))?;
    Ok(exit::OK)
}

fn human(done: &RolledBack) -> String {
    let would = done.dry_run;
    let how = match done.outcome {
        Came::Hit => "which it has",
        Came::Shared => "which stands",
        Came::Assembled if would => "to be linked again",
        Came::Assembled => "linked again",
        Came::Built | Came::Pulled | Came::Kept if would => "to be built again",
        Came::Built | Came::Pulled | Came::Kept => "built again",
    };
    let (pack, to, env) = (&done.pack, done.to, short(&done.env));
    let mut text = if would {
        format!("{pack}: would go back to generation {to}, {env}, {how}\n")
    } else {
        let (now, took) = (done.generation, units::span(done.elapsed_ms));
        format!("{pack}: back to generation {to}, {env}, {how}; now generation {now}, in {took}\n")
    };
    for change in &done.changes {
        let _ = writeln!(text, "  {}", change_line(change));
    }
    text
}
