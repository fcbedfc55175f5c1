//! `reindex`: make the index anew from the store's files.

use super::{count, doctor};
use crate::cli::context::Context;
use crate::cli::failure::Outcome;
use crate::cli::open;
use crate::settings::Settings;

/// Runs `reindex`.
pub fn run(context: &Context) -> Outcome {
    let settings: Settings = context.config()?.settings;
    let store = open::open_or_restore(context, settings)?;
    let reindexed = store.reindex()?;
    context.out.result(&reindexed, |text| {
        text.push_str(&format!(
            "{}, {}, {}\n",
            count(reindexed.environments, "environment"),
            count(reindexed.packs, "pack"),
            count(reindexed.generations, "generation")
        ));
        if let Some(lost) = &reindexed.lost {
            text.push_str(&format!("something had been lost: {lost}\n"));
        }
        if let Some(until) = &reindexed.collect_after {
            let until = until.strftime("%Y-%m-%d %H:%M UTC");
            text.push_str(&format!("nothing is collected until {until}; `envstore gc --end-grace` ends that\n"));
        }
        doctor::human(text, &reindexed.findings, context.out.paint);
    })?;
    Ok(doctor::code(&reindexed.findings))
}
