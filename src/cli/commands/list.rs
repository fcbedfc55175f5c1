//! `list`: the packs and their environments.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{count, short, state};
use crate::cli::args::List;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::open::{self, Store};
use crate::cli::style::Paint;
use crate::cli::table::{Look, Table};
use crate::cli::{exit, units};
use crate::index::State;
use crate::store::report::{EnvSummary, PackSummary};

/// What `list` answers.
#[derive(Debug, Serialize)]
struct Listing {
    packs: Vec<PackSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environments: Option<Vec<EnvSummary>>,
}

/// Runs `list`.
pub fn run(context: &Context, args: &List) -> Outcome {
    let store = open::open(context, context.config()?.settings)?;
    let mut packs = store.list()?;
    packs.sort_by(|a, b| a.pack.cmp(&b.pack));
    if args.stale {
        packs = only_stale(&store, packs)?;
    }
    let environments = if args.all || args.group_by.is_some() {
        let mut environments = store.list_envs()?;
        environments.retain(|env| args.all || !env.packs.is_empty());
        environments.sort_by(|a, b| a.packs.first().cmp(&b.packs.first()).then(a.env.cmp(&b.env)));
        Some(environments)
    } else {
        None
    };
    let listing = Listing { packs, environments };
    let by_env = args.group_by.is_some();
    context.out.result(&listing, |text| *text = human(&listing, by_env, context.out.paint))?;
    if let Some(note) = note(&listing, args.stale) {
        context.out.note(&note);
    }
    Ok(exit::OK)
}

fn only_stale(store: &Store, packs: Vec<PackSummary>) -> Result<Vec<PackSummary>, Failure> {
    let mut stale = Vec::new();
    for pack in packs {
        if store.resolve(&pack.pack)?.summary().stale {
            stale.push(pack);
        }
    }
    Ok(stale)
}

fn human(listing: &Listing, by_env: bool, paint: Paint) -> String {
    match &listing.environments {
        Some(environments) if by_env => environments_table(environments, paint),
        environments => packs_table(&listing.packs, environments.as_deref().unwrap_or_default(), paint),
    }
}

/// One row for each pack, then one for each environment without a pack.
fn packs_table(packs: &[PackSummary], environments: &[EnvSummary], paint: Paint) -> String {
    let mut unbound = environments.iter().filter(|env| env.packs.is_empty()).peekable();
    if packs.is_empty() && unbound.peek().is_none() {
        return String::new();
    }
    let mut table = Table::new(&["PACK", "ENV", "PYTHON", "DISTS", "SIZE", "SHARED BY", "GEN"]).right(&[3, 4, 5, 6]);
    let plain = |text: String| (text, Look::Plain);
    for pack in packs {
        table.row(vec![
            plain(pack.pack.to_string()),
            (short(&pack.env), Look::Name),
            plain(pack.version.clone()),
            plain(pack.distributions.to_string()),
            plain(units::bytes(pack.bytes)),
            plain(pack.shared_by.to_string()),
            (pack.generation.to_string(), Look::Dim),
        ]);
    }
    for env in unbound {
        table.row(vec![
            ("-".into(), Look::Dim),
            (short(&env.env), Look::Name),
            plain(env.identity.version.clone()),
            plain(env.distributions.len().to_string()),
            plain(units::bytes(env.bytes)),
            plain("0".into()),
            ("-".into(), Look::Dim),
        ]);
    }
    table.render(paint)
}

fn environments_table(environments: &[EnvSummary], paint: Paint) -> String {
    if environments.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["PACKS", "ENV", "PYTHON", "DISTS", "FILES", "SIZE", "STATE"]).right(&[3, 4, 5]);
    let plain = |text: String| (text, Look::Plain);
    for env in environments {
        let packs: Vec<_> = env.packs.iter().map(AsRef::as_ref).collect();
        table.row(vec![
            if packs.is_empty() { ("-".into(), Look::Dim) } else { plain(packs.join(", ")) },
            (short(&env.env), Look::Name),
            plain(env.identity.version.clone()),
            plain(env.distributions.len().to_string()),
            plain(env.files.to_string()),
            plain(units::bytes(env.bytes)),
            (state(env.state).into(), if env.state == State::Ready { Look::Good } else { Look::Odd }),
        ]);
    }
    table.render(paint)
}

/// The totals; or what to do where there is nothing.
fn note(listing: &Listing, stale: bool) -> Option<String> {
    let packs = &listing.packs;
    if packs.is_empty() {
        let none =
            if stale { "no pack is stale" } else { "no packs yet; `envstore ensure` and `envstore sync` make some" };
        return listing.environments.as_ref().is_none_or(Vec::is_empty).then(|| none.into());
    }
    let mut seen = BTreeSet::new();
    let bytes: u64 = packs.iter().filter(|pack| seen.insert(pack.env)).map(|pack| pack.bytes).sum();
    let environments = count(seen.len() as u64, "environment");
    Some(format!("{} in {environments}, {}", count(packs.len() as u64, "pack"), units::bytes(bytes)))
}
