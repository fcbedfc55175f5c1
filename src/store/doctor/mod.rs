//! `doctor`: whether the store, this host and a pack are as they should be. Reads only.

mod host;
mod owners;
mod pack;

use std::collections::BTreeMap;

use super::Store;
use super::finding::{Finding, Level};
use super::grace::Grace;
use crate::cancel::Cancel;
use crate::error::Result;
use crate::index::{Access, Bound, State, bindings, envs};
use crate::spec::RuntimeKind;

impl Store {
    /// Looks at the store and the host and says what it found, good and bad.
    ///
    /// # Errors
    /// Where the index cannot be read at all; what is wrong otherwise is a finding.
    pub fn doctor(&self, cancel: &Cancel) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        self.look_at_access(&mut findings);
        self.look_at_owners(&mut findings)?;
        self.look_at_host(&mut findings)?;
        self.look_at_index(&mut findings);
        findings.extend(self.behind()?.findings());
        self.look_at_grace(&mut findings)?;
        self.look_at_interpreters(&mut findings)?;
        self.look_at_installer(&mut findings, cancel)?;
        let bound = self.0.index.read("list packs", bindings::list)?;
        self.look_at_bindings(&bound, &mut findings)?;
        self.look_at_minimum(&bound, &mut findings)?;
        self.look_for_lost_files(&mut findings)?;
        Ok(findings)
    }

    fn look_at_access(&self, findings: &mut Vec<Finding>) {
        let message = match self.0.access {
            Access::Owner => "this process may read and write".to_owned(),
            Access::Reader => self.why_reader(),
            Access::Immutable => "the store is sealed".to_owned(),
        };
        findings.push(Finding::new("access", Level::Ok, format!("`{}`: {message}", self.root().display())));
        findings.extend(self.place_finding());
    }

    fn look_at_index(&self, findings: &mut Vec<Finding>) {
        findings.push(match self.0.index.check() {
            Ok(()) => Finding::new("index", Level::Ok, format!("the index is whole (SQLite {})", rusqlite::version())),
            Err(error) => Finding::new("index", Level::Damage, error.to_string())
                .hint("`envstore reindex` rebuilds it from the store's files"),
        });
    }

    fn look_at_grace(&self, findings: &mut Vec<Finding>) -> Result<()> {
        if let Some(Grace { until, reason }) = self.grace()? {
            let until = until.strftime("%Y-%m-%d %H:%M UTC");
            let message = format!("nothing is collected until {until}, because something had been lost: {reason}");
            findings.push(Finding::new("grace", Level::Note, message).hint("`envstore gc --end-grace` collects again"));
        }
        Ok(())
    }

    fn look_at_interpreters(&self, findings: &mut Vec<Finding>) -> Result<()> {
        for interpreter in self.interpreters(RuntimeKind::Python)? {
            let at = interpreter.found_at.display();
            findings.push(match interpreter.result {
                Ok(found_here) => {
                    let default = if interpreter.is_default { ", the default" } else { "" };
                    let version = &found_here.identity.version;
                    Finding::new("interpreter", Level::Ok, format!("Python {version} at `{at}`{default}"))
                }
                Err(reason) => Finding::new("interpreter", Level::Note, format!("`{at}`: {reason}")),
            });
        }
        if !findings.iter().any(|finding| finding.kind == "interpreter" && finding.level == Level::Ok) {
            findings.push(Finding::new("interpreter", Level::Warning, "no Python was found"));
        }
        Ok(())
    }

    fn look_at_installer(&self, findings: &mut Vec<Finding>, cancel: &Cancel) -> Result<()> {
        let runtime = self.runtime(RuntimeKind::Python)?;
        let found = runtime.installer(&self.0.settings, &self.0.layout.dir("tools"), cancel)?;
        findings.push(match found {
            Some(installer) => Finding::new("installer", Level::Ok, format!("installs with {installer}")),
            None => {
                let message = "no uv that is new enough is here: the store fetches one for itself when it needs it";
                Finding::new("installer", Level::Note, message)
            }
        });
        Ok(())
    }

    fn look_at_bindings(&self, bound: &[Bound], findings: &mut Vec<Finding>) -> Result<()> {
        let mut sound = 0;
        // What is wrong with an interpreter is said once, with the packs that it is wrong for.
        let mut moved: BTreeMap<(Level, String), Vec<&str>> = BTreeMap::new();
        for Bound { pack, env, .. } in bound {
            let (pack, at) = (&pack.pack, env.interpreter.path.display());
            if env.state != State::Ready || !self.0.layout.lease(&env.name).exists() {
                // Perhaps it was made again, or the pack removed, since the rows were read.
                let now = self.0.index.read("look up a binding", |db| bindings::resolve(db, pack))?;
                if now.is_none_or(|now| now.env.id != env.id) {
                    continue;
                }
                let message = format!("the environment of pack `{pack}` is gone");
                let finding = Finding::new("environment_missing", Level::Damage, message);
                findings.push(finding.hint(format!("`envstore ensure {pack}`")));
            } else if !env.interpreter.path.exists() {
                moved
                    .entry((Level::Damage, format!("the interpreter `{at}` is gone")))
                    .or_default()
                    .push(pack.as_str());
            } else if !env.interpreter.is_unchanged() {
                let what = format!("the interpreter `{at}` was replaced since environments were made for it");
                moved.entry((Level::Warning, what)).or_default().push(pack.as_str());
            } else {
                sound += 1;
            }
        }
        for ((level, what), packs) in moved {
            let kind = if level == Level::Damage { "interpreter_missing" } else { "interpreter_changed" };
            let finding = Finding::new(kind, level, format!("{what}; packs: {}", packs.join(", ")));
            findings.push(finding.hint("`envstore ensure` of each makes its environment again, of the same artifacts"));
        }
        let environments = self.0.index.read("list environments", envs::all)?.len();
        let message = format!("{sound} of {} bound packs are sound, {environments} environments", bound.len());
        findings.push(Finding::new("packs", Level::Ok, message));
        Ok(())
    }

    /// Packs that hold what `[lock] minimum` would not let them have today.
    fn look_at_minimum(&self, bound: &[Bound], findings: &mut Vec<Finding>) -> Result<()> {
        let mut below: BTreeMap<(String, String), Vec<&str>> = BTreeMap::new();
        for bound in bound {
            for held in self.below_floor(bound.env.id)? {
                below.entry((held.name, held.version)).or_default().push(bound.pack.pack.as_str());
            }
        }
        for ((name, version), packs) in below {
            let message = format!("{name} {version} is below `lock.minimum`; packs: {}", packs.join(", "));
            let hint = format!("`envstore upgrade --using '{name}=={version}' -P {name}` moves them");
            findings.push(Finding::new("below_minimum", Level::Warning, message).hint(hint));
        }
        Ok(())
    }
}
