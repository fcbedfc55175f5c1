//! Whether the interpreter starts in its environment, and what the pack declares imports.
//!
//! Modules are imported in one process, in the environment that `exec` gives but for a home that cannot be written to. A module that ends
//! the process, or takes too long, is told; the others are tried in another.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{few, modules, not_looked_at};
use crate::error::{Error, Result};
use crate::process::{self, Finished, Limits, Log};
use crate::runtime::python::skeleton;
use crate::store::finding::{Finding, Level};
use crate::store::runtime::Exam;

const SCRIPT: &str = include_str!("imports.py");
/// For one module.
const MODULE_LIMIT: Duration = Duration::from_secs(30);
/// For all of them.
const TIME_LIMIT: Duration = Duration::from_secs(180);
const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What a line of the script says.
type Line = (String, String, Option<String>);

/// Starts the environment's interpreter, and says whether more can be asked of it.
pub(super) fn starts(exam: &Exam<'_>, findings: &mut Vec<Finding>) -> Result<bool> {
    let kind = "interpreter_starts";
    let done = match run(exam, &[]) {
        Ok(done) => done,
        Err(error) => {
            findings.push(not_looked_at(kind, error)?);
            return Ok(false);
        }
    };
    let Some((_, version, Some(prefix))) = said(&done).into_iter().find(|(what, ..)| what == "python") else {
        let last = done.stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim();
        let message = format!("the interpreter does not start ({}): {last}", done.status);
        findings.push(Finding::new(kind, Level::Damage, message));
        return Ok(false);
    };
    let lives_here = Path::new(&prefix).canonicalize().ok() == exam.env_dir.canonicalize().ok();
    findings.push(match lives_here {
        true => Finding::new(kind, Level::Ok, format!("Python {version} starts in it")),
        false => Finding::new(
            kind,
            Level::Damage,
            format!("Python {version} starts, but runs in `{prefix}`, not in its environment"),
        ),
    });
    Ok(lives_here)
}

/// Imports what the pack declares.
pub(super) fn look(exam: &Exam<'_>, findings: &mut Vec<Finding>) -> Result<()> {
    let site_dirs = skeleton::site_dirs(exam.interpreter)?;
    let declared = declared(exam);
    let mut asked: Vec<(String, String)> = Vec::new();
    for (distribution, files) in exam.distributions {
        if declared.as_ref().is_none_or(|names| names.contains(distribution.name.as_str())) {
            let of = format!("{} {}", distribution.name, distribution.version);
            asked.extend(modules::of(exam, &site_dirs, files).into_iter().map(|module| (module, of.clone())));
        }
    }
    let failed = match import(exam, asked.iter().map(|(module, _)| module.as_str()).collect()) {
        Ok(failed) => failed,
        Err(error) => {
            findings.push(not_looked_at("imports", error)?);
            return Ok(());
        }
    };
    for (module, reason) in &failed {
        let of = asked.iter().find(|(asked, _)| asked == module).map(|(_, of)| of.as_str()).unwrap_or_default();
        let message = format!("`{module}` ({of}) does not import: {reason}");
        let finding = Finding::new("import", Level::Damage, message);
        findings.push(match hint(reason) {
            Some(hint) => finding.hint(hint),
            None => finding,
        });
    }
    if failed.is_empty() && !asked.is_empty() {
        let modules: Vec<&str> = asked.iter().map(|(module, _)| module.as_str()).collect();
        findings.push(Finding::new("import", Level::Ok, format!("what it declares imports: {}", few(&modules))));
    }
    Ok(())
}

/// The distributions that the pack names; none: all are meant, as it brings a lock.
fn declared<'a>(exam: &Exam<'a>) -> Option<BTreeSet<&'a str>> {
    let names = exam.spec.requirements.iter().map(crate::spec::Requirement::name);
    exam.spec.pylock.is_none().then(|| names.collect())
}

/// Imports modules and returns those that failed, with the reason.
fn import(exam: &Exam<'_>, mut modules: Vec<&str>) -> Result<Vec<(String, String)>> {
    let mut failed = Vec::new();
    while !modules.is_empty() {
        let done = run(exam, &modules)?;
        let lines = said(&done);
        let mut open = None;
        for (what, module, text) in lines {
            match what.as_str() {
                "begun" => open = Some(module),
                "failed" => {
                    failed.push((module, text.unwrap_or_default()));
                    open = None;
                }
                "done" => open = None,
                _ => {}
            }
        }
        let Some(module) = open else { break };
        let rest = modules.iter().position(|asked| *asked == module).map_or(modules.len(), |at| at + 1);
        modules.drain(..rest);
        failed.push((module, ended(&done)));
    }
    Ok(failed)
}

/// How a process ended that had not finished an import.
fn ended(done: &Finished) -> String {
    use std::os::unix::process::ExitStatusExt;
    match done.status.signal() {
        Some(signal) if signal == nix::libc::SIGALRM => format!("it takes more than {} s", MODULE_LIMIT.as_secs()),
        Some(_) => format!("it kills the interpreter ({})", done.status),
        None => format!("it ends the interpreter ({})", done.status),
    }
}

fn run(exam: &Exam<'_>, modules: &[&str]) -> Result<Finished, Error> {
    let bin = exam.env_dir.join("bin");
    let mut command = Command::new(bin.join("python"));
    command.args(["-I", "-B", "-c", SCRIPT]).arg(MODULE_LIMIT.as_secs().to_string()).args(modules);
    command.env_clear().current_dir("/");
    let mut path = bin.into_os_string();
    path.push(":");
    path.push(SYSTEM_PATH);
    // Nothing can be made below it, also by root.
    command.env("PATH", path).env("HOME", "/dev/null").env("LANG", "C.UTF-8");
    command.env("VIRTUAL_ENV", exam.env_dir).env("ENVSTORE_ENV", exam.env_dir).env("PYTHONDONTWRITEBYTECODE", "1");
    let limits = Limits::starting_now(TIME_LIMIT, TIME_LIMIT);
    process::run(command, "importing what the pack declares", &Log::memory(), limits, exam.cancel, None)
}

fn said(done: &Finished) -> Vec<Line> {
    String::from_utf8_lossy(&done.stdout).lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// What mends an import, where that is known.
fn hint(reason: &str) -> Option<String> {
    let missing = reason.strip_prefix("ModuleNotFoundError: No module named '")?.split('\'').next()?;
    Some(match missing.split('.').next()? {
        "pkg_resources" => "add `setuptools<82` to the requirements, or to `install.seed` for every pack".into(),
        "distutils" => "Python 3.12 and newer have no `distutils`: add `setuptools`, or ask for an older Python".into(),
        top => format!("`{top}` is used and not declared: add what brings it to the requirements"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_module_has_a_hint() {
        let named = |name: &str| hint(&format!("ModuleNotFoundError: No module named '{name}'"));
        assert!(named("pkg_resources").is_some_and(|hint| hint.contains("setuptools<82")));
        assert!(named("yaml.cyaml").is_some_and(|hint| hint.starts_with("`yaml` is used")));
        assert_eq!(hint("ValueError: boom"), None);
    }
}
