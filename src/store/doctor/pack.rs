//! `doctor PACK`: everything that stands between a pack and its imports.

use super::super::Store;
use super::super::finding::{Finding, Level};
use super::super::lost_files::LostLock;
use super::super::resolve::EnvHandle;
use super::super::runtime::Exam;
use crate::cancel::Cancel;
use crate::error::{Error, Kind, Result};
use crate::index::failures::{self, PackFailure};
use crate::manifest::Manifest;
use crate::pack::PackRef;

/// How many damaged files are named.
const NAMED: usize = 20;

impl Store {
    /// Looks at a pack: its last failure, its environment against the manifest, the interpreter, shared libraries, imports. Its
    /// processes run in its environment; nothing is written.
    ///
    /// # Errors
    /// [`Error::NoPack`] for one that never had an environment and never failed to get one.
    pub fn examine(&self, pack: &PackRef, cancel: &Cancel) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        let failure = self.0.index.read("look up a failure", |db| failures::last(db, pack))?;
        match self.resolve(pack) {
            Ok(handle) => self.examine_env(pack, &handle, &mut findings, cancel)?,
            Err(Error::NoPack(_)) if failure.is_some() => {
                findings.push(Finding::new("no_environment", Level::Damage, format!("`{pack}` has no environment")));
            }
            Err(error) if error.kind() == Kind::Corrupt => {
                findings.push(Finding::new("environment_missing", Level::Damage, error.to_string()).hint(again(pack)));
            }
            Err(error) => return Err(error),
        }
        findings.extend(failure.map(|failure| told(pack, &failure)));
        Ok(findings)
    }

    fn examine_env(
        &self,
        pack: &PackRef,
        handle: &EnvHandle,
        findings: &mut Vec<Finding>,
        cancel: &Cancel,
    ) -> Result<()> {
        let (bound, summary) = (handle.bound(), handle.summary());
        let mut short = format!("env:{}", summary.env);
        short.truncate(16);
        let message = format!("`{pack}` has {short} (generation {})", summary.generation);
        findings.push(Finding::new("pack", Level::Ok, message));
        let python = &bound.env.interpreter;
        if !python.path.exists() {
            let message = format!("its interpreter `{}` is gone", python.path.display());
            findings.push(Finding::new("interpreter_missing", Level::Damage, message).hint(again(pack)));
        } else if summary.interpreter_changed {
            let message = format!("its interpreter `{}` was replaced since it was made", python.path.display());
            findings.push(Finding::new("interpreter_changed", Level::Warning, message).hint(again(pack)));
        }
        if summary.stale {
            let message = "its environment answers another declaration than the last one given";
            let hint = format!("`envstore ensure {pack}` moves it once that declaration can be met");
            findings.push(Finding::new("stale", Level::Warning, message).hint(hint));
        }
        let lost = self.lost_locks(Some([bound.env.lock].into()))?;
        findings.extend(lost.iter().map(LostLock::finding));
        let Some(manifest) = self.walk(pack, handle, findings)? else { return Ok(()) };
        if !python.path.exists() {
            return Ok(());
        }
        let (spec, _) = self.recorded(pack)?;
        let paths: Vec<&str> = manifest.entries.iter().map(|entry| entry.path.as_str()).collect();
        let of = |entries: &[usize]| entries.iter().filter_map(|at| paths.get(*at).copied()).collect::<Vec<_>>();
        let distributions: Vec<_> = manifest
            .parts
            .iter()
            .filter_map(|part| part.distribution.as_ref().map(|distribution| (distribution, of(&part.entries))))
            .collect();
        let exam = Exam {
            env_dir: handle.path(),
            interpreter: python,
            spec: &spec,
            paths: &paths,
            distributions: &distributions,
            cancel,
        };
        findings.extend(self.runtime(handle.runtime())?.examine(&exam)?);
        Ok(())
    }

    /// Compares its files with the manifest, which is the answer where it could be read.
    fn walk(&self, pack: &PackRef, handle: &EnvHandle, findings: &mut Vec<Finding>) -> Result<Option<Manifest>> {
        let survey = self.survey(&handle.bound().env, false)?;
        let damaged = survey.damage.len();
        if let Some(manifest) = survey.manifest.as_ref().filter(|_| damaged == 0) {
            let message = format!("its {} files are as they were published", manifest.files());
            findings.push(Finding::new("files", Level::Ok, message));
        }
        findings.extend(survey.findings(std::slice::from_ref(pack)).take(NAMED));
        if damaged > NAMED {
            let message = format!("{} more files are not as they were published", damaged - NAMED);
            findings.push(Finding::new("file_damaged", Level::Damage, message));
        }
        Ok(survey.manifest)
    }
}

fn told(pack: &PackRef, failure: &PackFailure) -> Finding {
    let at = failure.at.strftime("%Y-%m-%d %H:%M:%S UTC");
    let finding = Finding::new("last_failure", Level::Warning, format!("it failed at {at}: {}", failure.message));
    match &failure.log {
        Some(log) => finding.hint(format!("the whole output is in `{}`", log.display())),
        None => finding.hint(again(pack)),
    }
}

fn again(pack: &PackRef) -> String {
    format!("`envstore ensure {pack}` makes it again")
}
