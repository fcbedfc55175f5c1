//! `gc`: collect what nothing keeps.

use std::fmt::Write;

use super::count;
use crate::cli::args;
use crate::cli::context::Context;
use crate::cli::failure::Outcome;
use crate::cli::style::Paint;
use crate::cli::{exit, open, units};
use crate::store::report::{Collected, Skipped};

/// Runs `gc`.
pub fn run(context: &Context, args: &args::Gc) -> Outcome {
    let store = open::open(context, context.config()?.settings)?;
    let request = open::Gc {
        dry_run: args.dry_run,
        idle: args.idle,
        max_size: args.max_size,
        min_free: args.min_free,
        drop_retained: args.drop_retained,
        end_grace: args.end_grace,
    };
    let collected = store.gc(&request, context.signals()?.cancel())?;
    for warning in &collected.warnings {
        context.out.warn(warning);
    }
    context.out.result(&collected, |text| human(text, &collected, args.dry_run, context.out.paint))?;
    Ok(code(&collected))
}

fn code(collected: &Collected) -> u8 {
    if collected.refused.is_some() {
        exit::DAMAGE
    } else if collected.already_running || !collected.target_reached {
        exit::AGAIN
    } else {
        exit::OK
    }
}

fn human(text: &mut String, collected: &Collected, dry_run: bool, paint: Paint) {
    if collected.already_running {
        text.push_str("another collector is at work; nothing was done\n");
        return;
    }
    if let Some(reason) = &collected.refused {
        let told = format!("nothing was collected: {reason}; `envstore reindex` brings it back");
        let _ = writeln!(text, "{}", paint.yellow(&told));
        return;
    }
    let verb = if dry_run { "would free" } else { "freed" };
    let _ = writeln!(
        text,
        "{verb} {}: {} condemned, {} swept",
        paint.bold(&units::bytes(collected.freed_bytes)),
        count(collected.condemned, "environment"),
        collected.swept
    );
    let kinds = &collected.freed_by_kind;
    for (name, bytes) in [
        ("environments", kinds.environments),
        ("objects", kinds.objects),
        ("staging", kinds.staging),
        ("trash", kinds.trash),
        ("cache", kinds.cache),
        ("logs", kinds.logs),
        ("locks", kinds.locks),
        ("guards", kinds.guards),
        ("quarantine", kinds.quarantine),
    ] {
        if bytes > 0 {
            let _ = writeln!(text, "  {name:<13} {:>10}", units::bytes(bytes));
        }
    }
    let kept = &collected.kept;
    let reasons: Vec<_> = [
        (kept.leased, "in use"),
        (kept.retained, "an earlier generation of a pack"),
        (kept.pinned, "pinned"),
        (kept.young, "used a short while ago"),
        (kept.lower_layer, "in a lower layer of an overlay filesystem, where nothing can be deleted"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, why)| format!("{number} {why}"))
    .chain((kept.components > 0).then(|| format!("{} used a short while ago", count(kept.components, "component"))))
    .collect();
    if !reasons.is_empty() {
        let _ = writeln!(text, "kept: {}", reasons.join(", "));
    }
    if let (Some(until), Some(reason)) = (collected.collect_after, &collected.grace_reason) {
        let until = until.strftime("%Y-%m-%d %H:%M:%S UTC");
        let grace =
            if kept.grace > 0 { format!(" ({} so far)", count(kept.grace, "environment")) } else { String::new() };
        let told = format!("until {until} nothing is deleted because it is unused{grace}: {reason}");
        let _ = writeln!(text, "{}", paint.yellow(&told));
    }
    skipped(text, &collected.skipped, paint);
    if collected.mark_only {
        let told = "the clock jumped since the last build or collection: environments were only marked; the next collection deletes them";
        let _ = writeln!(text, "{}", paint.yellow(told));
    }
    if !collected.target_reached {
        let _ = writeln!(text, "{}", paint.yellow("the target was not reached"));
    }
}

/// How many entries that could not be removed are named.
const NAMED: usize = 10;

/// What could not be removed, with the reasons.
pub(super) fn skipped(text: &mut String, skipped: &[Skipped], paint: Paint) {
    if skipped.is_empty() {
        return;
    }
    let told = format!("{} could not be inspected or removed and stay:", entries(skipped.len()));
    let _ = writeln!(text, "{}", paint.yellow(&told));
    for one in skipped.iter().take(NAMED) {
        let _ = writeln!(text, "  {}", one.reason);
    }
    if skipped.len() > NAMED {
        let _ = writeln!(text, "  and {} more, which `--format json` names", skipped.len() - NAMED);
    }
}

fn entries(number: usize) -> String {
    if number == 1 { "1 entry".into() } else { format!("{number} entries") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_target_and_a_second_collector_are_to_be_tried_again() {
        let reached = Collected { target_reached: true, ..Collected::default() };
        assert_eq!(code(&reached), exit::OK);
        assert_eq!(code(&Collected { target_reached: false, ..Collected::default() }), exit::AGAIN);
        assert_eq!(code(&Collected { already_running: true, ..reached }), exit::AGAIN);
    }

    #[test]
    fn reasons_and_kinds_are_told() {
        let mut collected = Collected { freed_bytes: 2_000_000, condemned: 1, swept: 1, ..Collected::default() };
        collected.freed_by_kind.cache = 2_000_000;
        collected.kept.leased = 3;
        let mut text = String::new();
        human(&mut text, &collected, true, Paint::plain());
        assert_eq!(
            text,
            "would free 2.0 MB: 1 environment condemned, 1 swept\n  cache             2.0 MB\nkept: 3 in use\nthe target was not reached\n"
        );
    }

    #[test]
    fn what_could_not_be_removed_is_named_to_a_limit_and_a_grace_period_says_until_when() {
        let one = |n: usize| Skipped {
            path: format!("/s/trash/{n}").into(),
            reason: format!("cannot remove `/s/trash/{n}`: why"),
        };
        let mut collected =
            Collected { target_reached: true, skipped: (0..12).map(one).collect(), ..Collected::default() };
        collected.collect_after = Some(jiff::Timestamp::UNIX_EPOCH);
        collected.grace_reason = Some("the index was rebuilt".into());
        collected.kept.grace = 2;
        let mut text = String::new();
        human(&mut text, &collected, false, Paint::plain());
        let told = "until 1970-01-01 00:00:00 UTC nothing is deleted because it is unused (2 environments so far): the index was rebuilt\n\
            12 entries could not be inspected or removed and stay:\n  cannot remove `/s/trash/0`: why\n";
        assert!(text.contains(told), "{text}");
        assert!(
            text.ends_with("  cannot remove `/s/trash/9`: why\n  and 2 more, which `--format json` names\n"),
            "{text}"
        );
        assert_eq!(code(&collected), exit::OK, "what stays is no failure of the collection");
    }
}
