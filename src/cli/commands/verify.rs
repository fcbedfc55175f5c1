//! `verify`: whether environments and objects are what was published.

use super::{count, doctor};
use crate::cli::args::{Target, Verify};
use crate::cli::context::Context;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::open;
use crate::store::verify::Verify as Ask;

/// Runs `verify`.
pub fn run(context: &Context, args: &Verify) -> Outcome {
    let store = open::open(context, context.config()?.settings)?;
    let path = match &args.what {
        None => None,
        Some(Target::Pack(pack)) => {
            Some(store.show(pack).map_err(|error| Failure::from(error).about(pack))?.environment.path)
        }
        Some(Target::Env(prefix)) => Some(store.show_env(prefix)?.path),
    };
    let only = path.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
    let verified = store.verify(&Ask { only, full: args.full }, context.signals()?.cancel())?;
    context.out.result(&verified, |text| {
        doctor::human(text, &verified.findings, context.out.paint);
        let how = if verified.full { "every byte" } else { "kind, mode, size and time" };
        let objects =
            if args.what.is_none() { format!(", {}", count(verified.objects, "object")) } else { String::new() };
        text.push_str(&format!(
            "{}, {}{objects} looked at: {how}; {} damaged\n",
            count(verified.environments, "environment"),
            count(verified.files, "file"),
            verified.findings.len()
        ));
    })?;
    Ok(doctor::code(&verified.findings))
}
