//! `doctor`: what is wrong, and what to do about it.

use std::fmt::Write;

use serde::Serialize;

use super::count;
use crate::cli::args::Doctor;
use crate::cli::context::Context;
use crate::cli::environment::Environment;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::style::Paint;
use crate::cli::{exit, open};
use crate::store;
use crate::store::report::{Finding, Level};

/// What `doctor` answers.
#[derive(Debug, Serialize)]
struct Report {
    findings: Vec<Finding>,
}

/// Runs `doctor`.
pub fn run(context: &Context, args: &Doctor) -> Outcome {
    let config = context.config()?;
    context.warn_of_foreign_settings(&config);
    let cancel = context.signals()?.cancel();
    let store = open::open(context, config.settings)?;
    let findings = match &args.pack {
        None => {
            let mut findings = if args.repair { store.mend_owners()? } else { Vec::new() };
            findings.extend(store.doctor(cancel)?);
            findings
        }
        Some(pack) => {
            let mut findings = store.examine(pack, cancel).map_err(|error| Failure::from(error).about(pack))?;
            findings.extend(variables(&context.environment));
            findings
        }
    };
    let report = Report { findings };
    context.out.result(&report, |text| human(text, &report.findings, context.out.paint))?;
    let wrong = |level| report.findings.iter().filter(|finding| finding.level == level).count() as u64;
    let (damage, warnings) = (wrong(Level::Damage), wrong(Level::Warning));
    context.out.note(&match (damage, warnings) {
        (0, 0) => "nothing is wrong".to_owned(),
        (0, _) => count(warnings, "warning"),
        (_, 0) => format!("{damage} damaged"),
        _ => format!("{damage} damaged, {}", count(warnings, "warning")),
    });
    Ok(code(&report.findings))
}

/// Set everywhere, and changing nothing of what is imported.
const HARMLESS: [&str; 6] = [
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONFAULTHANDLER",
    "PYTHONHASHSEED",
    "PYTHONIOENCODING",
    "PYTHONUNBUFFERED",
    "PYTHONUTF8",
];

/// Python's variables in the caller's environment: what starts an interpreter by its path gets them, `exec` drops some.
fn variables(environment: &Environment) -> Vec<Finding> {
    let set = environment.beginning_with("PYTHON").filter(|(name, _)| !HARMLESS.contains(&name.as_str()));
    let told = set.map(|(name, value)| {
        let is = format!("{name} is set here (`{value}`)");
        if store::resolve::DROPPED.contains(&name.as_str()) {
            Finding::new("variable", Level::Warning, format!("{is}: it changes what Python imports"))
                .hint("`envstore exec` drops it; unset it for what starts the interpreter by its path")
        } else {
            Finding::new("variable", Level::Note, format!("{is}: every Python that is started here gets it"))
        }
    });
    told.collect()
}

/// 3 if something is damaged.
pub(super) fn code(findings: &[Finding]) -> u8 {
    if findings.iter().any(|finding| finding.level == Level::Damage) { exit::DAMAGE } else { exit::OK }
}

/// One line for each finding, and what to do.
pub(super) fn human(text: &mut String, findings: &[Finding], paint: Paint) {
    for finding in findings {
        let mark = match finding.level {
            Level::Ok => paint.green("✓"),
            Level::Note => paint.dim("·"),
            Level::Warning => paint.yellow("!"),
            Level::Damage => paint.red("✗"),
        };
        let _ = writeln!(text, "{mark} {}", finding.message);
        if let Some(hint) = &finding.hint {
            let _ = writeln!(text, "  {} {hint}", paint.cyan("hint:"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_damage_is_exit_3() {
        let finding = |level| Finding::new("x", level, "a message");
        assert_eq!(code(&[]), exit::OK);
        assert_eq!(code(&[finding(Level::Ok), finding(Level::Note), finding(Level::Warning)]), exit::OK);
        assert_eq!(code(&[finding(Level::Ok), finding(Level::Damage)]), exit::DAMAGE);
    }

    #[test]
    fn findings_have_marks_and_hints() {
        let finding = |level| Finding::new("x", level, "a message");
        let mut text = String::new();
        human(&mut text, &[finding(Level::Ok), finding(Level::Damage).hint("do this")], Paint::plain());
        assert_eq!(text, "✓ a message\n✗ a message\n  hint: do this\n");
    }

    #[test]
    fn variables_that_change_imports_are_warned_of() {
        let set =
            [("PYTHONPATH", "/x"), ("PYTHONSTARTUP", "/y"), ("PATH", "/z"), ("PYTHONUTF8", "1"), ("PYTHONHOME", "")];
        let found = variables(&Environment::from_iter(set));
        let told: Vec<_> = found.iter().map(|finding| (finding.level, finding.message.as_str())).collect();
        assert_eq!(
            told,
            [
                (Level::Warning, "PYTHONPATH is set here (`/x`): it changes what Python imports"),
                (Level::Note, "PYTHONSTARTUP is set here (`/y`): every Python that is started here gets it"),
            ]
        );
    }
}
