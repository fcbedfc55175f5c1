//! `seal` and `unseal`.

use crate::cli::context::Context;
use crate::cli::failure::Outcome;
use crate::cli::{exit, open};
use crate::settings::Settings;
use crate::store::report::Sealing;

/// Runs `seal`.
pub fn seal(context: &Context) -> Outcome {
    let done = open::open(context, Settings::default())?.seal()?;
    tell(context, &done)
}

/// Runs `unseal`.
pub fn unseal(context: &Context) -> Outcome {
    let done = open::open(context, Settings::default())?.unseal()?;
    tell(context, &done)
}

fn tell(context: &Context, done: &Sealing) -> Outcome {
    let is = if done.sealed { "sealed" } else { "not sealed" };
    let already = if done.changed { "now" } else { "already" };
    context.out.result(done, |text| text.push_str(&format!("`{}` is {already} {is}\n", done.path.display())))?;
    Ok(exit::OK)
}
