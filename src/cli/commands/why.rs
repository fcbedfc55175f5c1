//! `why`: what keeps an environment.

use std::fmt::Write;

use super::{short, state};
use crate::cli::args::Why;
use crate::cli::context::Context;
use crate::cli::failure::Outcome;
use crate::cli::style::Paint;
use crate::cli::table::{Look, Table};
use crate::cli::{exit, open, units};
use crate::store::report::{self, Root, RootKind};

/// Runs `why`.
pub fn run(context: &Context, args: &Why) -> Outcome {
    let store = open::open(context, context.config()?.settings)?;
    let why = store.why(&args.what)?;
    context.out.result(&why, |text| *text = human(&why, context.out.paint))?;
    Ok(exit::OK)
}

fn human(why: &report::Why, paint: Paint) -> String {
    let (bytes, unique) = (units::bytes(why.bytes), units::bytes(why.unique_bytes));
    let mut text = format!("{} ({}), {bytes}, of which only it holds {unique}\n", short(&why.env), state(why.state));
    if why.roots.is_empty() {
        let _ = writeln!(text, "nothing keeps it: the next `envstore gc` may take it");
        return text;
    }
    let mut table = Table::new(&["ROOT", "NAME", "PID", "SINCE", "UNTIL"]).right(&[2]);
    for root in &why.roots {
        let time = |at: Option<jiff::Timestamp>| at.map_or("-".to_owned(), |at| at.to_string());
        table.row(vec![
            (kind(root), Look::Plain),
            (root.name.clone(), Look::Name),
            (root.pid.map_or("-".to_owned(), |pid| pid.to_string()), Look::Plain),
            (time(root.since), Look::Plain),
            (time(root.until), Look::Dim),
        ]);
    }
    text.push_str(&table.render(paint));
    text
}

fn kind(root: &Root) -> String {
    match root.kind {
        RootKind::Binding => format!("binding, generation {}", root.generation.unwrap_or(0)),
        RootKind::Generation => format!("retained generation {}", root.generation.unwrap_or(0)),
        RootKind::Pin => "pin".into(),
        RootKind::Link => "link".into(),
        RootKind::Lease => "lease".into(),
        RootKind::Process => "process without a lease".into(),
    }
}
