//! `ensure`: give a pack the environment its declaration asks for.

use std::sync::Arc;

use serde::Serialize;

use super::{change_line, count, path_line, short};
use crate::cli::args::Ensure;
use crate::cli::context::Context;
use crate::cli::declare;
use crate::cli::failure::{ErrorObject, Failure, Outcome};
use crate::cli::open::{self, How, NotEnsured};
use crate::cli::progress::{Mode, Progress};
use crate::cli::{exit, output, units};
use crate::store::report::{Ensured, Outcome as Came};

/// A pack that keeps its environment, and why.
#[derive(Debug, Serialize)]
struct Kept<'a> {
    #[serde(flatten)]
    ensured: &'a Ensured,
    error: ErrorObject,
}

/// Runs `ensure`.
pub fn run(context: &Context, args: &Ensure) -> Outcome {
    let config = context.config()?;
    context.warn_of_foreign_settings(&config);
    let pack = &args.pack;
    // The declaration first: one that cannot be read creates no store.
    let declared = declare::from_args(args, &config.settings.install).map_err(|failure| failure.about(pack))?;
    let (spec, warnings) = declared.map_or((None, Vec::new()), |(spec, warnings)| (Some(spec), warnings));
    for warning in &warnings {
        context.out.warn(warning);
    }
    let store = match spec {
        Some(_) => open::open_or_create(context, config.settings, args.share_with, true)?,
        None => open::open_to_ask(context, config.settings)?,
    };
    let signals = context.signals()?;
    let mode = if context.progress() == Mode::Bars { Mode::Bars } else { Mode::Silent };
    let progress = Arc::new(Progress::new(mode, 1, context.out.paint_err.is_on()));
    progress.begin(pack.as_str());
    let on_phase = {
        let (progress, pack) = (Arc::clone(&progress), pack.clone());
        Arc::new(move |what: &str| progress.phase(pack.as_str(), what))
    };
    let only = args.only.iter().map(|name| name.name().to_owned()).collect();
    let how = How { origin: None, upgrade: args.upgrade, only, rebuild: args.rebuild, like: args.like.clone() };
    let result = open::ensure(&store, pack, spec, &how, on_phase, signals.cancel());
    progress.clear();
    match result {
        Ok(ensured) => {
            tell(context, &ensured);
            print(context, &ensured)?;
            Ok(exit::OK)
        }
        Err(NotEnsured { error, kept: None }) => Err(Failure::from(error).about(pack)),
        Err(NotEnsured { error, kept: Some(ensured) }) => {
            kept(context, args.allow_kept, &ensured, &Failure::from(error).about(pack))
        }
    }
}

/// The pack keeps what it had: a success only if that was allowed and the declaration is answered.
fn kept(context: &Context, allowed: bool, ensured: &Ensured, failure: &Failure) -> Outcome {
    let stays = format!("{} keeps {} (generation {})", ensured.pack, short(&ensured.env), ensured.generation);
    if allowed && ensured.answers_current_spec {
        context.out.warn(&format!("{stays}: {}", failure.object().message));
        print(context, ensured)?;
        return Ok(exit::OK);
    }
    context.out.explain(failure);
    let meaning =
        if ensured.answers_current_spec { "which answers its declaration" } else { "made for another declaration" };
    context.out.note(&format!("{stays}, {meaning}"));
    if context.out.is_json() {
        context.out.result(&Kept { ensured, error: failure.object() }, |_| ())?;
    }
    Ok(context.exit_code(failure))
}

fn print(context: &Context, ensured: &Ensured) -> Result<(), Failure> {
    if context.out.is_json() {
        context.out.result(ensured, |_| ())?;
    } else {
        output::write_stdout(&path_line(&ensured.interpreter))?;
    }
    Ok(())
}

/// What happened, on standard error.
fn tell(context: &Context, ensured: &Ensured) {
    let paint = context.out.paint_err;
    let what = match ensured.outcome {
        Came::Hit => "up to date,",
        Came::Shared => "shares",
        Came::Assembled => "assembled",
        Came::Built => "built",
        Came::Pulled => "pulled",
        Came::Kept => "keeps",
    };
    let env = paint.cyan(&short(&ensured.env));
    let mut text = format!("{}: {} {env}", ensured.pack, paint.green(what));
    if ensured.outcome != Came::Hit {
        text.push_str(&format!(" in {}", units::span(ensured.elapsed_ms)));
    }
    let changes = &ensured.changes;
    if ensured.generation == 1 {
        let added = changes.len() as u64;
        if added > 0 {
            text.push_str(&format!(", {}", count(added, "distribution")));
        }
    } else {
        for change in changes {
            text.push('\n');
            text.push_str(&format!("  {}", change_line(change)));
        }
    }
    if let Some(like) = &ensured.like {
        text.push_str(&format!("\n  {} as in the other environment", count(like.stayed as u64, "distribution")));
        text.push_str(if like.changes.is_empty() { "" } else { ", and not:" });
        for change in &like.changes {
            text.push_str(&format!("\n  {}", change_line(change)));
        }
    }
    context.out.note(&text);
}
