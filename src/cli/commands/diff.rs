//! `diff`: what two environments hold, and why they are not one.

use std::fmt::Write;

use super::{count, short};
use crate::cli::args::Diff;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::style::Paint;
use crate::cli::{exit, open};
use crate::store::report::{self, Difference, Side};

/// Runs `diff`.
pub fn run(context: &Context, args: &Diff) -> Outcome {
    if args.b.is_none() && !matches!(args.a, crate::store::What::Pack(_)) {
        return Err(Failure::usage("an environment has no generations: name another one to compare it with"));
    }
    let store = open::open(context, context.config()?.settings)?;
    let diff = store.diff(&args.a, args.b.as_ref(), args.from, args.to)?;
    context.out.result(&diff, |text| *text = human(&diff, context.out.paint))?;
    Ok(exit::OK)
}

fn human(diff: &report::Diff, paint: Paint) -> String {
    let mut text = format!("{}\n{}\n", paint.dim(&format!("from {}", side(&diff.from))), side_to(&diff.to, paint));
    if diff.is_same_env {
        let _ = writeln!(text, "one environment: {}", count(diff.same, "distribution"));
        return text;
    }
    for difference in &diff.differences {
        let _ = writeln!(text, "  {}", line(difference));
    }
    if diff.interpreters_differ {
        let _ = writeln!(text, "  ~ interpreter {} -> {}", interpreter(&diff.from), interpreter(&diff.to));
    }
    if let Some([from, to]) = &diff.options {
        let _ = writeln!(text, "  ~ options `{}` -> `{}`", from.join(" "), to.join(" "));
    }
    let differ = count(diff.differences.len() as u64, "distribution");
    let _ = writeln!(text, "{differ} of {} differ", diff.differences.len() as u64 + diff.same);
    text
}

fn side(side: &Side) -> String {
    let env = short(&side.env);
    match (&side.pack, side.generation) {
        (Some(pack), Some(generation)) => format!("{pack} generation {generation}, {env}"),
        _ => env,
    }
}

fn side_to(to: &Side, paint: Paint) -> String {
    paint.dim(&format!("to   {}", side(to)))
}

fn interpreter(side: &Side) -> String {
    match &side.interpreter {
        // Two builds of one version differ in what the digest knows beside it.
        Some(one) => {
            format!(
                "{} {} {} {} ({})",
                one.implementation,
                one.version,
                one.abi,
                one.libc,
                &one.build_id[..8.min(one.build_id.len())]
            )
        }
        None => side.interpreter_digest.to_string(),
    }
}

fn line(difference: &Difference) -> String {
    let name = &difference.name;
    match (&difference.from, &difference.to) {
        (None, Some(to)) => format!("+ {name} {to}"),
        (Some(from), None) => format!("- {name} {from}"),
        (Some(from), Some(to)) if from == to => format!(
            "~ {name} {from}: {} -> {}",
            difference.from_artifact.as_deref().unwrap_or("?"),
            difference.to_artifact.as_deref().unwrap_or("?")
        ),
        (from, to) => {
            format!("~ {name} {} -> {}", from.as_deref().unwrap_or("?"), to.as_deref().unwrap_or("?"))
        }
    }
}
