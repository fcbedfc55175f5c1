//! What manifests know beside their environments: what artifacts became, and bytecode by what it is made of.

use std::sync::Arc;

use rusqlite::Transaction;

use super::runtime::Runtime;
use crate::digest::FileDigest;
use crate::index::components;
use crate::manifest::{Content, Manifest};

/// The components of an environment whose directory is gone: they can be linked all the same.
pub(super) fn components(tx: &Transaction<'_>, manifest: &Manifest) -> rusqlite::Result<()> {
    for part in manifest.parts.iter().filter(|part| part.component.is_some()) {
        let component = manifest.component(part);
        components::learn(tx, part.component.as_ref(), &component, manifest.created_at)?;
    }
    Ok(())
}

/// The derived files of an environment. A source that was changed since has another key, so that nothing is taken for what it is not.
pub(super) fn derived(
    tx: &Transaction<'_>,
    manifest: &Manifest,
    runtimes: &[Arc<dyn Runtime>],
) -> rusqlite::Result<()> {
    let kind = manifest.interpreter.identity.runtime;
    let Some(runtime) = runtimes.iter().find(|runtime| runtime.kind() == kind) else { return Ok(()) };
    let sources: Vec<(&str, FileDigest)> = manifest
        .entries
        .iter()
        .filter_map(|entry| match entry.content {
            Content::File { digest, derived: false, .. } => Some((entry.path.as_str(), digest)),
            _ => None,
        })
        .collect();
    for made in runtime.derived_of(&manifest.interpreter, &sources) {
        let at = manifest.entries.binary_search_by(|entry| entry.path.as_str().cmp(&made.path));
        let entry = at.ok().map(|at| &manifest.entries[at]);
        // What an artifact ships where bytecode goes is no bytecode of ours.
        let ours = entry.filter(|entry| matches!(entry.content, Content::File { derived: true, .. }));
        if let Some(file) = ours.and_then(crate::manifest::Entry::file) {
            components::remember_derived(tx, &made.key, &file)?;
        }
    }
    Ok(())
}
