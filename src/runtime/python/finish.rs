//! Makes what an installer left in our skeleton an environment that does not depend on who installed it.
//!
//! Order: check first, change afterwards, compile last. Everything an artifact could do to the rest of
//! the environment is refused before the first file is touched.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use tracing::debug_span;

use super::bytecode::{self, Compiled};
use super::dist_info::DistInfo;
use super::hashes::Hashes;
use super::record::{Claims, Verdict, Verdicts};
use super::tidy::Tree;
use super::{check, dist_info, executables, scripts, skeleton};
use crate::error::{Error, InstallerCause, Phase, Result};
use crate::fs::scan::Known;
use crate::lock::Lock;
use crate::store::runtime::{DerivedFile, Distribution, Installed, InstalledDistribution, Job};

/// How the note of a file that differs ends.
pub(crate) const OTHER_BYTES: &str = "has not the bytes its RECORD says";

/// What becomes of a file that has other bytes than its `RECORD` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// The environment is refused: the installer's cache may be damaged.
    Refused,
    /// It is noted: the artifact itself says what is not so.
    Noted,
}

/// Checks the installed tree, writes scripts and records, removes the installer's marks and compiles. The
/// answer's `installer` is for the caller to fill.
///
/// # Errors
/// [`Error::UnsafeArtifact`] for what an environment must not hold, [`Error::Installer`] for a tree that is not the lock's or does
/// not run; with [`InstallerCause::HashMismatch`] for files that are not what their `RECORD` says, if those are refused.
pub(crate) fn finish(job: &Job<'_>, lock: &Lock, env_dir: &Path, wrong: Wrong) -> Result<Installed> {
    let interpreter = job.interpreter;
    let site_dirs = skeleton::site_dirs(interpreter)?;

    job.cancel.check("checking the environment")?;
    (job.progress)("checking");
    let mut tree = Tree::walk(env_dir)?;
    tree.check_links(interpreter)?;
    let dists = dist_info::read_all(env_dir, &tree, &site_dirs)?;
    let mut verdicts = Verdicts::new(&dists);
    let claims = Claims::of(env_dir, &dists)?;
    skeleton::check(env_dir, interpreter, |path| claims.owner(path, &dists))?;
    let distributions = check::against_lock(&dists, lock)?;
    let hashes = debug_span!("hash").in_scope(|| Hashes::of(env_dir, &tree))?;
    let differing = claims.check(env_dir, &tree, &dists, &site_dirs, &hashes, &mut verdicts)?;
    let mut notes = differ(&differing, |path| claims.owner(path, &dists), wrong)?;

    job.cancel.check("checking the environment")?;
    tree.remove_marks(&site_dirs, |path| claims.names(path))?;
    let made = scripts::write(env_dir, interpreter, &mut tree, &dists, &mut verdicts)?;
    scripts::normalise(env_dir, interpreter, &tree)?;
    executables::settle(env_dir, &tree, &hashes)?;
    tree.remove_empty_dirs(&site_dirs)?;
    claims.rewrite(env_dir, &tree, &dists, &made, &hashes)?;
    let ours = skeleton::names(env_dir, interpreter)?;
    let strays = claims.strays(&tree, |path| made.contains_key(path) || ours.iter().any(|name| name == path));
    let has_strays = !strays.is_empty();
    notes.extend(strays.into_iter().map(|path| format!("`{path}` is in no RECORD")));

    (job.progress)("compiling");
    let compiled = debug_span!("compile").in_scope(|| bytecode::compile(job, env_dir, &tree, &hashes))?;
    notes.sort();
    let files = claims.files(&tree, &dists, &made);
    let verdicts = verdicts.into_inner();
    Ok(Installed {
        installer: String::new(),
        distributions: parts(&dists, distributions, files, verdicts, &compiled, has_strays),
        derived: sorted(compiled.derived),
        notes,
        known: known(hashes, compiled.placed, &tree),
    })
}

/// What differing files make of the environment.
fn differ(files: &[String], owner: impl Fn(&str) -> Option<String>, wrong: Wrong) -> Result<Vec<String>> {
    let mut said: Vec<String> =
        files.iter().map(|path| format!("`{path}` of {} {OTHER_BYTES}", owner(path).unwrap_or_default())).collect();
    if wrong == Wrong::Noted || said.is_empty() {
        return Ok(said);
    }
    let summary = said.swap_remove(0);
    Err(Error::Installer { phase: Phase::Finish, cause: InstallerCause::HashMismatch, summary, tail: said, log: None })
}

/// Each distribution with its files. Where files of no distribution stand nobody knows whose doing they are: nothing is
/// shareable.
fn parts(
    dists: &[DistInfo],
    distributions: Vec<Distribution>,
    files: Vec<BTreeSet<String>>,
    verdicts: Vec<Verdict>,
    compiled: &Compiled,
    has_strays: bool,
) -> Vec<InstalledDistribution> {
    let mut parts: Vec<_> = dists
        .iter()
        .zip(files)
        .zip(verdicts)
        .filter_map(|((dist, mut files), verdict)| {
            let distribution = distributions.iter().find(|d| d.name == dist.name)?.clone();
            let bytecode: Vec<String> =
                files.iter().filter_map(|path| Some(compiled.derived.get(path)?.path.clone())).collect();
            let uncompiled = files.iter().filter(|path| compiled.uncompiled.contains(path)).cloned().collect();
            files.extend(bytecode);
            Some(InstalledDistribution {
                distribution,
                paths: files.into_iter().collect(),
                is_shareable: !verdict.depends_on_others && !has_strays,
                uncompiled,
                notes: verdict.notes,
            })
        })
        .collect();
    parts.sort_by(|a, b| a.distribution.cmp(&b.distribution));
    parts
}

fn sorted(derived: BTreeMap<String, DerivedFile>) -> Vec<DerivedFile> {
    let mut all: Vec<_> = derived.into_values().collect();
    all.sort();
    all
}

/// What need not be read again: everything but what was written here (scripts, records, new bytecode).
fn known(hashes: Hashes, placed: Vec<(String, crate::fs::read::Content)>, tree: &Tree) -> HashMap<String, Known> {
    let is_rewritten = |path: &str| path.starts_with("bin/") || path.ends_with(".dist-info/RECORD");
    let read = hashes
        .into_contents()
        .filter(|(path, _)| tree.is_file(path) && !is_rewritten(path))
        .map(|(path, content)| (path, Known { content, is_sealed: false }));
    read.chain(placed.into_iter().map(|(path, content)| (path, Known { content, is_sealed: true }))).collect()
}

#[cfg(test)]
mod tests;
