//! `who-uses`: whose environments hold a distribution.

use super::short;
use crate::cli::args::WhoUses;
use crate::cli::context::Context;
use crate::cli::failure::Outcome;
use crate::cli::style::Paint;
use crate::cli::table::{Look, Table};
use crate::cli::{exit, open};
use crate::store::report::{self, Role};

/// Runs `who-uses`.
pub fn run(context: &Context, args: &WhoUses) -> Outcome {
    let store = open::open(context, context.config()?.settings)?;
    let found = store.who_uses(&args.what)?;
    context.out.result(&found, |text| *text = human(&found, context.out.paint))?;
    if found.matches.is_empty() {
        context.out.note(&format!("no environment holds {}", args.what));
    }
    Ok(if args.exit_code && found.is_in_use() { exit::FAILED } else { exit::OK })
}

fn human(found: &report::WhoUses, paint: Paint) -> String {
    if found.matches.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["WHO", "ENV", "DISTRIBUTION", "ROLE", "RUNNING"]);
    for one in &found.matches {
        let who = match (&one.pack, &one.pin, &one.link) {
            (Some(pack), ..) => pack.to_string(),
            (None, Some(pin), _) => format!("pin {pin}"),
            (None, None, Some(link)) => link.display().to_string(),
            (None, None, None) => "-".to_owned(),
        };
        let (role, look) = match one.role {
            Role::Current => ("current".to_owned(), Look::Plain),
            Role::Pinned => ("pinned".to_owned(), Look::Plain),
            Role::Linked => ("linked".to_owned(), Look::Plain),
            Role::Running => ("running".to_owned(), Look::Odd),
            Role::Retained => (format!("retained, generation {}", one.generation.unwrap_or(0)), Look::Dim),
        };
        table.row(vec![
            (who, Look::Plain),
            (short(&one.env), Look::Name),
            (format!("{} {}", one.distribution, one.version), Look::Plain),
            (role, look),
            (if one.running { "yes" } else { "no" }.to_owned(), Look::Plain),
        ]);
    }
    table.render(paint)
}
