//! `migrate`.

use crate::cli::context::Context;
use crate::cli::failure::Outcome;
use crate::cli::{exit, open};
use crate::settings::Settings;
use crate::store::report::Migrated;

/// Runs `migrate`.
pub fn run(context: &Context) -> Outcome {
    let done = open::open(context, Settings::default())?.migrate()?;
    context.out.result(&done, |text| text.push_str(&human(&done)))?;
    Ok(exit::OK)
}

fn human(done: &Migrated) -> String {
    let (path, from, to) = (done.path.display(), done.from, done.to);
    if from == to {
        return format!("`{path}` has format {to}, the newest that this release knows: nothing to do\n");
    }
    format!("`{path}` had format {from}, and has format {to} now\n")
}
