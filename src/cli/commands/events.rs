//! `events`: what happened.

use crate::cli::args::Events;
use crate::cli::context::Context;
use crate::cli::failure::Outcome;
use crate::cli::style::Paint;
use crate::cli::table::{Look, Table};
use crate::cli::{exit, open};
use crate::store::report;

/// Runs `events`.
pub fn run(context: &Context, args: &Events) -> Outcome {
    let store = open::open(context, context.config()?.settings)?;
    let events = store.events(args.pack.as_ref(), args.limit)?;
    context.out.result(&events, |text| *text = human(&events, context.out.paint))?;
    if events.events.is_empty() {
        context.out.note("nothing is known of the past");
    }
    Ok(exit::OK)
}

fn human(events: &report::Events, paint: Paint) -> String {
    if events.events.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["WHEN", "WHAT", "PACK", "CAUSE", "FROM", "TO", "UID"]).right(&[6]);
    let env = |key: &Option<String>| {
        let short = key.as_ref().map(|key| format!("env:{}", key.get(..12).unwrap_or(key)));
        (short.unwrap_or_else(|| "-".into()), Look::Name)
    };
    let text = |text: &Option<String>| (text.clone().unwrap_or_else(|| "-".into()), Look::Plain);
    for event in &events.events {
        table.row(vec![
            (event.at.to_string(), Look::Plain),
            (event.what.clone(), Look::Plain),
            text(&event.pack),
            text(&event.cause),
            env(&event.from),
            env(&event.to),
            (event.uid.to_string(), Look::Dim),
        ]);
    }
    table.render(paint)
}
