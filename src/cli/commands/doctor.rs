//! `doctor`: what is wrong, and what to do about it.

use std::fmt::Write;

use serde::Serialize;

use super::{count, short};
use crate::cli::args::Doctor;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::open::Store;
use crate::cli::style::Paint;
use crate::cli::{exit, open};
use crate::error::Kind;
use crate::pack::PackRef;
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
    let store = open::open(context, config.settings)?;
    let mut findings = store.doctor()?;
    if let Some(pack) = &args.pack {
        findings.extend(look_at(&store, pack)?);
    }
    let report = Report { findings };
    context.out.result(&report, |text| human(text, &report.findings, context.out.paint))?;
    let wrong = |level| report.findings.iter().filter(|finding| finding.level == level).count() as u64;
    let (damage, warnings) = (wrong(Level::Damage), wrong(Level::Warning));
    context.out.note(&match (damage, warnings) {
        (0, 0) => "nothing is wrong".to_owned(),
        (0, _) => count(warnings, "warning"),
        _ => format!("{damage} damaged, {}", count(warnings, "warning")),
    });
    Ok(code(&report.findings))
}

/// What is to be said of one pack.
fn look_at(store: &Store, pack: &PackRef) -> Result<Vec<Finding>, Failure> {
    let found =
        |kind: &str, level, message: String, hint: Option<String>| Finding { kind: kind.into(), level, message, hint };
    let again = || Some(format!("`envstore ensure {pack}` mends that"));
    let resolved = match store.resolve(pack) {
        Ok(handle) => handle.summary(),
        Err(error) if error.kind() == Kind::Corrupt => {
            return Ok(vec![found("environment_damaged", Level::Damage, error.to_string(), again())]);
        }
        Err(error) => return Err(Failure::from(error).about(pack)),
    };
    let mut findings = Vec::new();
    if resolved.interpreter_changed {
        let message = format!("`{pack}`: the interpreter was replaced since its environment was made");
        findings.push(found("interpreter_changed", Level::Warning, message, again()));
    }
    if resolved.stale {
        let message = format!("`{pack}`: its environment answers another declaration than the last one given");
        findings.push(found("stale", Level::Warning, message, again()));
    }
    if findings.is_empty() {
        findings.push(found("pack", Level::Ok, format!("`{pack}` has {}", short(&resolved.env)), None));
    }
    Ok(findings)
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
        let finding = |level| Finding { kind: "x".into(), level, message: "a message".into(), hint: None };
        assert_eq!(code(&[]), exit::OK);
        assert_eq!(code(&[finding(Level::Ok), finding(Level::Note), finding(Level::Warning)]), exit::OK);
        assert_eq!(code(&[finding(Level::Ok), finding(Level::Damage)]), exit::DAMAGE);
    }

    #[test]
    fn findings_have_marks_and_hints() {
        let finding = |level, hint: Option<&str>| Finding {
            kind: "x".into(),
            level,
            message: "a message".into(),
            hint: hint.map(str::to_owned),
        };
        let mut text = String::new();
        human(&mut text, &[finding(Level::Ok, None), finding(Level::Damage, Some("do this"))], Paint::plain());
        assert_eq!(text, "✓ a message\n✗ a message\n  hint: do this\n");
    }
}
