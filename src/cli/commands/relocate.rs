//! `relocate`: make a moved store's environments again for its new path.

use std::fmt::Write;
use std::sync::Arc;

use super::{count, short};
use crate::cli::args::Relocate;
use crate::cli::context::Context;
use crate::cli::failure::Outcome;
use crate::cli::progress::{Mode, Progress};
use crate::cli::style::Paint;
use crate::cli::{exit, open, units};
use crate::store::relocate::Relocation;
use crate::store::report::Relocated;

/// Runs `relocate`.
pub fn run(context: &Context, args: &Relocate) -> Outcome {
    let store = open::open(context, context.config()?.settings)?;
    let wanted = match (args.moved, args.copy) {
        (true, _) => Some(Relocation::Moved),
        (_, true) => Some(Relocation::Copied),
        _ => None,
    };
    let cancel = context.signals()?.cancel();
    let mode = if context.progress() == Mode::Bars { Mode::Bars } else { Mode::Silent };
    let progress = Arc::new(Progress::new(mode, 1, context.out.paint_err.is_on()));
    progress.begin("relocate");
    let done = store.relocate(wanted, &|what| progress.phase("relocate", what), cancel);
    progress.clear();
    let done = done?;
    context.out.result(&done, |text| human(text, &done, context.out.paint))?;
    Ok(if done.not_relocated.is_empty() && done.lost_links.is_empty() { exit::OK } else { exit::FAILED })
}

fn human(text: &mut String, done: &Relocated, paint: Paint) {
    let path = done.path.display();
    if !done.changed {
        let _ = writeln!(text, "the environments of the store at `{path}` were made there: nothing to do");
        return;
    }
    let what = if done.is_copy { "a copy with an id of its own" } else { "the same store" };
    let _ = writeln!(
        text,
        "{} made again for `{path}` ({what}), about {} written",
        count(done.environments, "environment"),
        units::bytes(done.written_bytes)
    );
    if done.links > 0 {
        let _ = writeln!(text, "{} pointed at the new environments", count(done.links, "link"));
    }
    for link in &done.dropped_links {
        let _ = writeln!(text, "{} not followed: `{}` leads elsewhere", paint.yellow("!"), link.display());
    }
    for link in &done.lost_links {
        let _ = writeln!(text, "{} `{}` still leads to a former path", paint.red("✗"), link.display());
        let _ = writeln!(text, "  run `envstore link PACK {}`", link.display());
    }
    for left in &done.not_relocated {
        let _ = writeln!(text, "{} {} was not made again: {}", paint.red("✗"), short(&left.env), left.reason);
        for pack in &left.packs {
            let _ = writeln!(text, "  run `envstore ensure {pack} --rebuild`");
        }
    }
}
