//! `du`: what the store weighs, and what sharing saves.

use std::fmt::Write;

use super::{count, short};
use crate::cli::args::Du;
use crate::cli::context::Context;
use crate::cli::failure::Outcome;
use crate::cli::style::Paint;
use crate::cli::table::{Look, Table};
use crate::cli::{exit, open, units};
use crate::store::report::Usage;

/// How many rows a person is shown without `--all`.
const FEW: usize = 10;

/// Runs `du`.
pub fn run(context: &Context, args: &Du) -> Outcome {
    let store = open::open(context, context.config()?.settings)?;
    let usage = store.du()?;
    let limit = if args.all { usize::MAX } else { FEW };
    context.out.result(&usage, |text| human(text, &usage, limit, context.out.paint))?;
    Ok(exit::OK)
}

fn human(text: &mut String, usage: &Usage, limit: usize, paint: Paint) {
    let kind = &usage.by_kind;
    let mut line = |name: &str, bytes: u64| {
        if bytes > 0 {
            let _ = writeln!(text, "{name:<14} {:>10}", units::bytes(bytes));
        }
    };
    for (name, bytes) in [
        ("objects", kind.objects),
        ("environments", kind.environments),
        ("manifests", kind.manifests),
        ("locks", kind.locks),
        ("bindings", kind.bindings),
        ("index", kind.index),
        ("cache", kind.cache),
        ("tools", kind.tools),
        ("logs", kind.logs),
        ("staging", kind.staging),
        ("quarantine", kind.quarantine),
        ("directories", kind.directories),
        ("other", kind.other),
    ] {
        line(name, bytes);
    }
    let _ = writeln!(text, "{:<14} {:>10}\n", "total", paint.bold(&units::bytes(usage.total_bytes)));
    let mut table = Table::new(&["ENV", "SIZE", "ONLY HERE", "PACKS"]).right(&[1, 2]);
    for env in usage.by_env.iter().take(limit) {
        let packs: Vec<_> = env.packs.iter().map(AsRef::as_ref).collect();
        table.row(vec![
            (short(&env.env), Look::Name),
            (units::bytes(env.bytes), Look::Plain),
            (units::bytes(env.unique_bytes), Look::Plain),
            (packs.join(", "), Look::Plain),
        ]);
    }
    text.push_str(&table.render(paint));
    more(text, usage.by_env.len(), limit, "environment");
    let mut table = Table::new(&["DISTRIBUTION", "SIZE", "ONLY HERE", "ENVIRONMENTS"]).right(&[1, 2, 3]);
    for usage in usage.by_distribution.iter().take(limit) {
        let distribution = &usage.distribution;
        table.row(vec![
            (format!("{} {}", distribution.name, distribution.version), Look::Name),
            (units::bytes(usage.bytes), Look::Plain),
            (units::bytes(usage.unique_bytes), Look::Plain),
            (usage.environments.to_string(), Look::Plain),
        ]);
    }
    let _ = write!(text, "\n{}", table.render(paint));
    more(text, usage.by_distribution.len(), limit, "distribution");
    let _ = writeln!(
        text,
        "\n{} in {}: {} if each had its own; sharing environments saves {}, sharing files {} more",
        count(usage.packs, "pack"),
        count(usage.environments, "environment"),
        units::bytes(usage.logical_bytes),
        paint.green(&units::bytes(usage.saved_by_sharing_environments)),
        paint.green(&units::bytes(usage.saved_by_sharing_files)),
    );
    if usage.unheld_bytes > 0 {
        let _ = writeln!(text, "no environment holds {}: `envstore gc`", units::bytes(usage.unheld_bytes));
    }
}

fn more(text: &mut String, all: usize, limit: usize, one: &str) {
    if all > limit {
        let _ = writeln!(text, "and {}: `envstore du --all`", count((all - limit) as u64, &format!("more {one}")));
    }
}
