//! `show`: one pack or one environment.

use std::fmt::Write;

use super::{count, short, state};
use crate::cli::args::{Show, Target};
use crate::cli::context::Context;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::style::Paint;
use crate::cli::{exit, open, units};
use crate::index::State;
use crate::store::report::{EnvSummary, PackDetails, Process};

/// Runs `show`.
pub fn run(context: &Context, args: &Show) -> Outcome {
    let store = open::open(context, context.config()?.settings)?;
    let paint = context.out.paint;
    match &args.what {
        Target::Pack(pack) => {
            let details = store.show(pack).map_err(|error| Failure::from(error).about(pack))?;
            context.out.result(&details, |text| pack_text(text, &details, paint))?;
        }
        Target::Env(prefix) => {
            let env = store.show_env(prefix)?;
            context.out.result(&env, |text| env_text(text, &env, paint))?;
        }
    }
    Ok(exit::OK)
}

fn field(text: &mut String, paint: Paint, name: &str, value: impl std::fmt::Display) {
    let _ = writeln!(text, "{} {value}", paint.dim(&format!("{:<13}", format!("{name}:"))));
}

fn pack_text(text: &mut String, details: &PackDetails, paint: Paint) {
    field(text, paint, "pack", paint.bold(details.pack.as_str()));
    field(text, paint, "generation", details.generation);
    if details.stale {
        field(text, paint, "stale", paint.yellow("the environment answers an earlier declaration"));
    }
    if let Some(origin) = &details.origin {
        field(text, paint, "origin", origin.display());
    }
    let spec = &details.declaration;
    field(text, paint, "interpreter", format!("{} ({})", spec.runtime.as_str(), spec.interpreter));
    for (name, list) in [("requires", &spec.requirements), ("constraints", &spec.constraints)] {
        for (index, requirement) in list.iter().enumerate() {
            field(text, paint, if index == 0 { name } else { "" }, &requirement.canonical);
        }
    }
    if !spec.options.is_empty() {
        field(text, paint, "options", spec.options.join(" "));
    }
    text.push('\n');
    env_text(text, &details.environment, paint);
    let _ = writeln!(text, "\n{}", paint.bold("generations"));
    let running = |generation: u64| {
        let found = details.running.iter().find(|one| one.generation == generation);
        found.map(|one| format!("  (runs, pid {})", pids(&one.processes))).unwrap_or_default()
    };
    for generation in &details.generations {
        let cause = generation.cause.as_str();
        let gone = if generation.present { "" } else { "  (not on disk)" };
        let _ = writeln!(
            text,
            "  {:>4}  {}  {}  {cause}{}{}",
            generation.generation,
            generation.at,
            short(&generation.env),
            paint.dim(gone),
            paint.yellow(&running(generation.generation))
        );
    }
}

fn env_text(text: &mut String, env: &EnvSummary, paint: Paint) {
    field(text, paint, "env", paint.cyan(&format!("env:{}", env.env)));
    field(text, paint, "path", env.path.display());
    let identity = &env.identity;
    field(text, paint, "python", format!("{} {} ({})", identity.version, identity.platform, env.interpreter.display()));
    let name = state(env.state);
    let state = if env.state == State::Ready { paint.green(name) } else { paint.yellow(name) };
    field(text, paint, "state", state);
    field(text, paint, "size", format!("{} in {}", units::bytes(env.bytes), count(env.files, "file")));
    field(text, paint, "tree digest", env.tree_digest);
    field(text, paint, "installer", &env.installer);
    field(text, paint, "created", env.created_at);
    field(text, paint, "last used", env.last_used_at);
    let packs: Vec<_> = env.packs.iter().map(AsRef::as_ref).collect();
    field(text, paint, "packs", if packs.is_empty() { "none".to_owned() } else { packs.join(", ") });
    for note in &env.notes {
        field(text, paint, "note", note);
    }
    let _ = writeln!(text, "\n{}", paint.bold(&count(env.distributions.len() as u64, "distribution")));
    let width = env.distributions.iter().map(|d| d.name.chars().count()).max().unwrap_or(0);
    for distribution in &env.distributions {
        let source = if distribution.from_source { "  (built from source)" } else { "" };
        let _ = writeln!(text, "  {:<width$}  {}{}", distribution.name, distribution.version, paint.dim(source));
    }
}

fn pids(processes: &[Process]) -> String {
    processes.iter().map(|process| process.pid.to_string()).collect::<Vec<_>>().join(", ")
}
