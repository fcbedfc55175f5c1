//! Makes what an installer left in our skeleton an environment that does not depend on who installed it.
//!
//! Order: check first, change afterwards, compile last. Everything an artifact could do to the rest of
//! the environment is refused before the first file is touched.

use std::path::Path;

use super::tidy::Tree;
use super::{bytecode, check, dist_info, record, scripts, skeleton};
use crate::error::Result;
use crate::interpreter::Interpreter;
use crate::lock::Lock;
use crate::store::runtime::{Installed, Job};

/// Checks the installed tree, writes scripts and records, removes the installer's marks and compiles. The
/// answer's `installer` is for the caller to fill.
///
/// # Errors
/// [`crate::error::Error::UnsafeArtifact`] for what an environment must not hold,
/// [`crate::error::Error::Installer`] for a tree that is not the lock's or does not run.
pub(crate) fn finish(job: &Job<'_>, lock: &Lock, env_dir: &Path) -> Result<Installed> {
    let interpreter = job.interpreter;
    let site_dirs = skeleton::site_dirs(interpreter)?;
    let mut notes = Vec::new();

    job.cancel.check("checking the environment")?;
    (job.progress)("checking");
    let mut tree = Tree::walk(env_dir)?;
    tree.check_links(interpreter)?;
    let dists = dist_info::read_all(env_dir, &tree, &site_dirs)?;
    let claims = record::Claims::of(env_dir, &dists)?;
    skeleton::check(env_dir, interpreter, |path| claims.owner(path, &dists))?;
    let distributions = check::against_lock(&dists, lock)?;
    let digests = claims.check(env_dir, &tree, &dists, &site_dirs, &mut notes)?;

    job.cancel.check("checking the environment")?;
    tree.remove_marks(&site_dirs, |path| claims.names(path))?;
    let made = scripts::write(env_dir, interpreter, &mut tree, &dists, &mut notes)?;
    scripts::normalise(env_dir, interpreter, &tree)?;
    tree.remove_empty_dirs(&site_dirs)?;
    claims.rewrite(env_dir, &tree, &dists, &made, &digests)?;
    let ours = skeleton::names(env_dir, interpreter)?;
    claims.note_strays(&tree, |path| made.contains_key(path) || ours.iter().any(|name| name == path), &mut notes);

    (job.progress)("compiling");
    let compiled = bytecode::compile(job, env_dir, &tree)?;
    notes.sort();
    notes.dedup();
    Ok(Installed {
        installer: String::new(),
        distributions,
        derived: compiled.derived,
        uncompiled: compiled.uncompiled,
        notes,
        placeholders: placeholders(env_dir, interpreter),
        local_files: vec!["pyvenv.cfg".into()],
    })
}

/// The texts that stand for a place on this host, longest first.
///
/// The interpreter's directory is often `/usr/bin`, which other texts name for other reasons (`#!/usr/bin/env`):
/// it stands here with the line of `pyvenv.cfg` that it is in.
fn placeholders(env_dir: &Path, interpreter: &Interpreter) -> Vec<(String, String)> {
    let env = env_dir.to_string_lossy().into_owned();
    let quoted = skeleton::single_quoted(&env);
    let mut all = vec![
        (
            skeleton::home_lines(&skeleton::home(interpreter).display().to_string()),
            skeleton::home_lines("@PYTHON_HOME@"),
        ),
        (interpreter.path.to_string_lossy().into_owned(), "@PYTHON@".into()),
    ];
    if quoted != env {
        all.push((quoted, "@ENV@".into()));
    }
    all.push((env, "@ENV@".into()));
    all.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then(a.cmp(b)));
    all
}

#[cfg(test)]
mod tests;
