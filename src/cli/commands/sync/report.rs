//! What `sync` did: rows, totals, and how people see them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::super::{count, short};
use super::{code, explain};
use crate::cli::context::Context;
use crate::cli::declare::Found;
use crate::cli::failure::{ErrorObject, Failure};
use crate::cli::output;
use crate::cli::style::Paint;
use crate::cli::table::{Look, Table};
use crate::cli::units;
use crate::digest::EnvKey;
use crate::error::{Kind, Result};
use crate::pack::PackRef;
use crate::store::report::{Ensured, Likeness, Outcome, PackSummary, Removed};

/// How many of the installer's last lines stand below the table for each failure; the log has all.
const TAIL: usize = 8;

/// How a pack stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Its environment answers its declaration.
    Ready,
    /// It keeps the environment it had.
    Kept,
    /// It has none, or its declaration could not be read.
    Failed,
    /// It was removed; with `--dry-run`: it would be.
    Removed,
    /// `--dry-run` and `--check`: there is something to do.
    Pending,
}

/// One pack.
#[derive(Debug, Serialize)]
pub struct Row {
    pub pack: String,
    pub status: Status,
    pub env: Option<EnvKey>,
    pub outcome: Option<Outcome>,
    pub origin: Option<PathBuf>,
    pub error: Option<ErrorObject>,
    /// What became of the versions to prefer, where there were any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub like: Option<Likeness>,
    /// The link that follows it, with `--links`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<PathBuf>,
    #[serde(skip)]
    pub millis: u64,
    /// The failure as people read it.
    #[serde(skip)]
    pub text: Option<String>,
}

impl Row {
    pub fn new(pack: &str, status: Status, origin: Option<&Path>) -> Self {
        let origin = origin.map(Path::to_owned);
        Self {
            pack: pack.to_owned(),
            status,
            env: None,
            outcome: None,
            origin,
            error: None,
            like: None,
            link: None,
            millis: 0,
            text: None,
        }
    }

    pub fn ready(found: &Found, ensured: &Ensured) -> Self {
        let row = Self::new(&found.name, Status::Ready, Some(&found.origin));
        Self { env: Some(ensured.env), outcome: Some(ensured.outcome), like: ensured.like.clone(), ..row }
    }

    pub fn kept(found: &Found, kept: &Ensured, failure: &Failure) -> Self {
        let row = Self { status: Status::Kept, ..Self::failed(found, failure) };
        Self { env: Some(kept.env), outcome: Some(Outcome::Kept), ..row }
    }

    pub fn failed(found: &Found, failure: &Failure) -> Self {
        Self::new(&found.name, Status::Failed, Some(&found.origin)).because(failure)
    }

    pub fn removed(pack: &PackRef, origin: Option<&Path>, removed: Result<Removed, Failure>) -> Self {
        match removed {
            Ok(_) => Self::new(pack.as_str(), Status::Removed, origin),
            Err(failure) => Self::new(pack.as_str(), Status::Failed, origin).because(&failure),
        }
    }

    /// The pack's link is made, or could not be.
    pub fn linked(self, linked: Result<PathBuf, Failure>) -> Self {
        match linked {
            Ok(link) => Self { link: Some(link), ..self },
            Err(_) if self.error.is_some() => self,
            Err(failure) => Self { status: Status::Failed, ..self }.because(&failure),
        }
    }

    pub fn after(self, elapsed: Duration) -> Self {
        Self { millis: millis(elapsed), ..self }
    }

    /// Whether it was left undone by Ctrl-C or SIGTERM.
    pub fn is_interrupted(&self) -> bool {
        self.status == Status::Failed && self.error.as_ref().is_some_and(|error| error.kind == Kind::Interrupted)
    }

    fn because(self, failure: &Failure) -> Self {
        Self { error: Some(failure.object()), text: Some(output::human(failure, Paint::plain(), TAIL)), ..self }
    }
}

/// All packs and the totals.
#[derive(Debug, Serialize)]
pub struct Report {
    pub packs: Vec<Row>,
    pub summary: Summary,
    /// Versions of the packs' interpreters, for people.
    #[serde(skip)]
    versions: BTreeMap<String, String>,
}

/// The totals.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Packs found.
    pub packs: u64,
    pub ready: u64,
    pub kept: u64,
    pub failed: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub removed: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub pending: u64,
    /// Distinct environments among the packs.
    pub environments: u64,
    /// What the packs' environments would take one by one.
    pub logical_bytes: u64,
    /// What they take, each distinct file once.
    pub unique_bytes: u64,
    pub elapsed_ms: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn millis(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

impl Report {
    /// Adds up the rows; `listed` knows the sizes, `distinct` what environments weigh that share files.
    pub fn new(
        mut rows: Vec<Row>,
        listed: &[PackSummary],
        distinct: impl FnOnce(&BTreeSet<EnvKey>) -> Result<u64>,
        elapsed: Duration,
    ) -> Result<Self> {
        rows.sort_by(|a, b| a.pack.cmp(&b.pack));
        let known: BTreeMap<&str, &PackSummary> = listed.iter().map(|pack| (pack.pack.as_str(), pack)).collect();
        let of = |row: &Row| known.get(row.pack.as_str()).filter(|pack| row.env == Some(pack.env)).copied();
        let with = |status| rows.iter().filter(|row| row.status == status).count() as u64;
        let mut summary = Summary {
            packs: rows.len() as u64 - with(Status::Removed),
            ready: with(Status::Ready),
            kept: with(Status::Kept),
            failed: with(Status::Failed),
            removed: with(Status::Removed),
            pending: with(Status::Pending),
            elapsed_ms: millis(elapsed),
            ..Summary::default()
        };
        let mut seen = BTreeSet::new();
        for row in &rows {
            let Some(env) = row.env else { continue };
            let bytes = of(row).map_or(0, |pack| pack.bytes);
            summary.logical_bytes += bytes;
            summary.environments += u64::from(seen.insert(env));
        }
        summary.unique_bytes = distinct(&seen)?;
        let versions = rows.iter().filter_map(|row| Some((row.pack.clone(), of(row)?.version.clone()))).collect();
        Ok(Self { packs: rows, summary, versions })
    }

    /// 1 if a pack failed or keeps an environment that is not the one asked for.
    pub fn exit_code(&self) -> u8 {
        code(self.summary.failed == 0 && self.summary.kept == 0)
    }

    /// Writes it: one object, or the table, the totals, and below them what failed.
    pub fn print(&self, context: &Context) -> Result<(), Failure> {
        context.out.result(self, |text| {
            *text = self.table(context.out.paint);
            text.push_str(&self.totals(context.out.paint));
        })?;
        if !context.out.is_json() {
            let failures: Vec<_> = self
                .packs
                .iter()
                .filter(|row| !row.is_interrupted())
                .filter_map(|row| Some((row.pack.clone(), row.text.clone()?)))
                .collect();
            explain(context, &failures);
        }
        Ok(())
    }

    fn table(&self, paint: Paint) -> String {
        let mut table = Table::new(&["PACK", "ENV", "PYTHON", "OUTCOME"]);
        for row in &self.packs {
            let env = row.env.as_ref().map_or(("-".to_owned(), Look::Dim), |env| (short(env), Look::Name));
            let version =
                self.versions.get(&row.pack).map_or(("-".to_owned(), Look::Dim), |v| (v.clone(), Look::Plain));
            table.row(vec![(row.pack.clone(), Look::Plain), env, version, outcome(row)]);
        }
        table.render(paint)
    }

    fn totals(&self, paint: Paint) -> String {
        let summary = &self.summary;
        let mut parts = Vec::new();
        let interrupted = self.packs.iter().filter(|row| row.is_interrupted()).count() as u64;
        for (number, word) in [
            (summary.ready, "ready"),
            (summary.pending, "to do"),
            (summary.kept, "kept"),
            (summary.failed - interrupted, "failed"),
            (interrupted, "interrupted"),
            (summary.removed, "removed"),
        ] {
            if number > 0 {
                let text = format!("{number} {word}");
                parts.push(match word {
                    "ready" => paint.green(&text),
                    "failed" => paint.red(&text),
                    "removed" => text,
                    _ => paint.yellow(&text),
                });
            }
        }
        if parts.is_empty() {
            parts.push("nothing to do".into());
        }
        let mut text = format!(
            "\n{}: {} in {}\n",
            count(summary.packs, "pack"),
            parts.join(", "),
            units::span(summary.elapsed_ms)
        );
        text.push_str(&self.saved());
        text
    }

    /// What sharing saved.
    fn saved(&self) -> String {
        let Summary { environments, logical_bytes, unique_bytes, .. } = self.summary;
        let bound = self.packs.iter().filter(|row| row.env.is_some()).count() as u64;
        if environments == 0 {
            return String::new();
        }
        let saved = logical_bytes.saturating_sub(unique_bytes);
        // What rounds to nothing is not worth a sentence.
        if u128::from(saved) * 100 < u128::from(logical_bytes) || saved == 0 {
            return format!("{}, {}\n", count(environments, "environment"), units::bytes(unique_bytes));
        }
        let percent = u128::from(saved) * 100 / u128::from(logical_bytes);
        format!(
            "{} instead of {bound}, {} instead of {}: sharing saved {} ({percent} %)\n",
            count(environments, "environment"),
            units::bytes(unique_bytes),
            units::bytes(logical_bytes),
            units::bytes(saved)
        )
    }
}

/// A word for how an environment came to be.
pub fn came(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Hit => "hit",
        Outcome::Shared => "shared",
        Outcome::Assembled => "assembled",
        Outcome::Built => "built",
        Outcome::Pulled => "pulled",
        Outcome::Kept => "kept",
    }
}

fn outcome(row: &Row) -> (String, Look) {
    // The kind of a failure as the JSON has it: what people search the documentation for.
    let kind = || {
        let kind = row.error.as_ref().and_then(|error| serde_json::to_value(error.kind).ok());
        kind.and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default()
    };
    match row.status {
        Status::Ready => {
            let outcome = row.outcome.unwrap_or(Outcome::Hit);
            (came(outcome).into(), if outcome == Outcome::Hit { Look::Dim } else { Look::Good })
        }
        Status::Kept => (format!("kept ({})", kind()), Look::Odd),
        Status::Failed if row.is_interrupted() => ("interrupted".into(), Look::Odd),
        Status::Failed => (format!("failed ({})", kind()), Look::Bad),
        Status::Removed => ("removed".into(), Look::Odd),
        Status::Pending => (if row.env.is_some() { "changed" } else { "new" }.into(), Look::Odd),
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
