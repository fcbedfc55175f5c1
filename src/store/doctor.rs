//! `doctor`: whether the store and this host are as they should be. Reads only.

use super::Store;
use super::report::{Finding, Level};
use crate::error::Result;
use crate::fs::probe;
use crate::index::{Access, State, bindings, envs};
use crate::spec::RuntimeKind;

impl Store {
    /// Looks at the store and the host and says what it found, good and bad.
    pub fn doctor(&self) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        self.look_at_access(&mut findings);
        self.look_at_space(&mut findings)?;
        self.look_at_index(&mut findings);
        self.look_at_interpreters(&mut findings)?;
        self.look_at_bindings(&mut findings)?;
        Ok(findings)
    }

    fn look_at_access(&self, findings: &mut Vec<Finding>) {
        let message = match self.0.access {
            Access::Owner => "this process may read and write",
            Access::Reader => "this process may only read: the store belongs to another user",
            Access::Immutable => "the store is opened read-only",
        };
        findings.push(found("access", Level::Ok, format!("`{}`: {message}", self.root().display())));
    }

    fn look_at_space(&self, findings: &mut Vec<Finding>) -> Result<()> {
        let space = probe::space(self.root())?;
        let percent = space.free_bytes.saturating_mul(100) / space.total_bytes.max(1);
        let level = if percent < 5 { Level::Warning } else { Level::Ok };
        let message = format!("{} MB free, {percent} %", space.free_bytes / 1_000_000);
        findings.push(Finding {
            hint: (level > Level::Ok).then(|| "`envstore gc`".into()),
            ..found("space", level, message)
        });
        if space.free_inodes.is_some_and(|inodes| inodes < 50_000) {
            findings.push(found("inodes", Level::Warning, format!("{} inodes free", space.free_inodes.unwrap_or(0))));
        }
        let cache = fs_extra::dir::get_size(self.0.layout.dir("cache")).unwrap_or(0);
        findings.push(found("cache", Level::Ok, format!("{} MB that can be fetched again", cache / 1_000_000)));
        Ok(())
    }

    fn look_at_index(&self, findings: &mut Vec<Finding>) {
        findings.push(match self.0.index.check() {
            Ok(()) => found("index", Level::Ok, format!("whole (SQLite {})", rusqlite::version())),
            Err(error) => Finding {
                hint: Some("`envstore reindex` rebuilds it from the store's files".into()),
                ..found("index", Level::Damage, error.to_string())
            },
        });
    }

    fn look_at_interpreters(&self, findings: &mut Vec<Finding>) -> Result<()> {
        for interpreter in self.interpreters(RuntimeKind::Python)? {
            let at = interpreter.found_at.display();
            findings.push(match interpreter.result {
                Ok(found_here) => {
                    let default = if interpreter.is_default { ", the default" } else { "" };
                    let version = &found_here.identity.version;
                    found("interpreter", Level::Ok, format!("Python {version} at `{at}`{default}"))
                }
                Err(reason) => found("interpreter", Level::Note, format!("`{at}`: {reason}")),
            });
        }
        if !findings.iter().any(|finding| finding.kind == "interpreter" && finding.level == Level::Ok) {
            findings.push(found("interpreter", Level::Warning, "no Python was found".into()));
        }
        Ok(())
    }

    fn look_at_bindings(&self, findings: &mut Vec<Finding>) -> Result<()> {
        let bound = self.0.index.read("list packs", bindings::list)?;
        let mut sound = 0;
        for bound in &bound {
            let (pack, env) = (&bound.pack.pack, &bound.env);
            let rebuild = Some(format!("`envstore ensure {pack}`"));
            if env.state != State::Ready || !self.0.layout.lease(&env.name).exists() {
                let message = format!("the environment of pack `{pack}` is gone");
                findings.push(Finding { hint: rebuild, ..found("environment_missing", Level::Damage, message) });
            } else if !env.interpreter.path.exists() {
                let message = format!("pack `{pack}`: its interpreter `{}` is gone", env.interpreter.path.display());
                findings.push(Finding { hint: rebuild, ..found("interpreter_missing", Level::Damage, message) });
            } else if !env.interpreter.is_unchanged() {
                let message =
                    format!("pack `{pack}`: its interpreter `{}` was replaced", env.interpreter.path.display());
                findings.push(Finding { hint: rebuild, ..found("interpreter_changed", Level::Warning, message) });
            } else {
                sound += 1;
            }
        }
        let environments = self.0.index.read("list environments", envs::all)?.len();
        let message = format!("{sound} of {} bound packs are sound, {environments} environments", bound.len());
        findings.push(found("packs", Level::Ok, message));
        Ok(())
    }
}

fn found(kind: &str, level: Level, message: String) -> Finding {
    Finding { kind: kind.into(), level, message, hint: None }
}
