//! `history`: a pack's generations.

use super::short;
use crate::cli::args::History;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::style::Paint;
use crate::cli::table::{Look, Table};
use crate::cli::{exit, open};
use crate::store::report;

/// Runs `history`.
pub fn run(context: &Context, args: &History) -> Outcome {
    let store = open::open(context, context.config()?.settings).map_err(|failure| failure.about(&args.pack))?;
    let history = store.history(&args.pack).map_err(|error| Failure::from(error).about(&args.pack))?;
    context.out.result(&history, |text| *text = human(&history, context.out.paint))?;
    Ok(exit::OK)
}

fn human(history: &report::History, paint: Paint) -> String {
    let mut table = Table::new(&["GENERATION", "WRITTEN", "CAUSE", "ENV", "NOTE"]).right(&[0]);
    for past in &history.generations {
        let mut notes = Vec::new();
        if history.current == Some(past.generation) {
            notes.push("current");
        }
        if past.answers != history.spec {
            notes.push("another declaration");
        }
        if !past.present {
            notes.push("not on disk");
        }
        table.row(vec![
            (past.generation.to_string(), Look::Plain),
            (past.at.to_string(), Look::Plain),
            (past.cause.as_str().to_owned(), Look::Plain),
            (short(&past.env), Look::Name),
            (notes.join(", "), Look::Dim),
        ]);
    }
    table.render(paint)
}
