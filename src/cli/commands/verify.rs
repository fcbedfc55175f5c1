//! `verify`: whether environments and objects are what was published, and anew what is not.

use std::fmt::Write;
use std::sync::Arc;

use super::{count, doctor, short};
use crate::cli::args::{Target, Verify};
use crate::cli::context::Context;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::progress::{Mode, Progress};
use crate::cli::style::Paint;
use crate::cli::{exit, open};
use crate::store::report::{Repaired, Source, Verified};
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
    let (ask, cancel) = (Ask { only, full: args.full }, context.signals()?.cancel());
    let verified = if args.repair {
        let mode = if context.progress() == Mode::Bars { Mode::Bars } else { Mode::Silent };
        let progress = Arc::new(Progress::new(mode, 1, context.out.paint_err.is_on()));
        progress.begin("repair");
        let repaired = store.repair(&ask, &|what| progress.phase("repair", what), cancel);
        progress.clear();
        repaired?
    } else {
        store.verify(&ask, cancel)?
    };
    context.out.result(&verified, |text| human(text, &verified, args.what.is_none(), context.out.paint))?;
    Ok(code(&verified, args.repair))
}

/// 3 for damage that is there, or stays.
fn code(verified: &Verified, repair: bool) -> u8 {
    match repair {
        true if verified.unrepaired.is_empty() => exit::OK,
        true => exit::DAMAGE,
        false => doctor::code(&verified.findings),
    }
}

fn human(text: &mut String, verified: &Verified, all: bool, paint: Paint) {
    doctor::human(text, &verified.findings, paint);
    let how = if verified.full { "every byte" } else { "kind, mode, size and time" };
    let objects = if all { format!(", {}", count(verified.objects, "object")) } else { String::new() };
    let _ = writeln!(
        text,
        "{}, {}{objects} looked at: {how}; {} damaged",
        count(verified.environments, "environment"),
        count(verified.files, "file"),
        verified.findings.len()
    );
    for repaired in &verified.repaired {
        let _ = writeln!(text, "{} {}", paint.green("✓"), told(repaired));
    }
    if verified.quarantined_objects + verified.replaced_objects > 0 {
        let (gone, back) = (count(verified.quarantined_objects, "object"), verified.replaced_objects);
        let _ = writeln!(text, "{gone} to quarantine, {back} replaced");
    }
    if verified.restored_locks > 0 {
        let _ = writeln!(text, "{} written again from manifests", count(verified.restored_locks, "lock"));
    }
    for stays in &verified.unrepaired {
        let what = stays.env.as_ref().map(|env| format!("{}{}: ", short(env), of(&stays.packs))).unwrap_or_default();
        let _ = writeln!(text, "{} not repaired: {what}{}", paint.red("✗"), stays.message);
    }
}

fn told(repaired: &Repaired) -> String {
    let from = match repaired.from {
        Some(Source::Objects) => "made anew of objects",
        Some(Source::Rebuilt) => "made anew of its lock",
        None => "nothing names it",
    };
    let old = if repaired.quarantined {
        "the damaged one is in quarantine"
    } else {
        "the damaged one is in use and goes with a later `envstore gc`"
    };
    let sharers: Vec<_> = repaired.sharers.iter().map(short).collect();
    let sharers =
        if sharers.is_empty() { String::new() } else { format!("; it shared a file with {}", sharers.join(", ")) };
    format!("{}{}: {from}; {old}{sharers}", short(&repaired.env), of(&repaired.packs))
}

fn of(packs: &[crate::pack::PackRef]) -> String {
    let packs: Vec<_> = packs.iter().map(crate::pack::PackRef::as_str).collect();
    if packs.is_empty() { String::new() } else { format!(" ({})", packs.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Canonical;
    use crate::store::report::{Finding, Level, Unrepaired};

    #[test]
    fn after_a_repair_only_what_stays_is_damage() {
        let mut verified = Verified { findings: vec![Finding::new("x", Level::Damage, "y")], ..Verified::default() };
        assert_eq!((code(&verified, false), code(&verified, true)), (exit::DAMAGE, exit::OK));
        verified.unrepaired.push(Unrepaired { env: None, packs: Vec::new(), message: "z".into() });
        assert_eq!(code(&verified, true), exit::DAMAGE);
    }

    #[test]
    fn a_repair_says_of_what_and_with_whom_it_shared() {
        let key = Canonical::new("a").digest();
        let repaired = Repaired {
            env: key,
            packs: vec![crate::pack::PackRef::new("web").expect("a ref")],
            from: Some(Source::Objects),
            sharers: vec![key],
            quarantined: false,
        };
        let (env, text) = (short(&key), told(&repaired));
        assert!(text.starts_with(&format!("{env} (web): made anew of objects; the damaged one is in use")), "{text}");
        assert!(text.ends_with(&format!("it shared a file with {env}")), "{text}");
    }
}
