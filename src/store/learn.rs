//! Learning: what an installer made of a lock's artifacts becomes components.

use std::collections::BTreeSet;

use super::assemble::Plan;
use super::runtime::{Installed, Skeleton};
use crate::component::{self, Component};
use crate::digest::ComponentId;
use crate::interpreter::Interpreter;
use crate::manifest::{Content, Part, Tree};

/// The parts of an environment: one for each distribution, a component where its files are what the artifact becomes in
/// whatever environment, and one for files of no distribution. `tree` has all that stands there.
pub(super) fn parts(
    installed: &Installed,
    plan: &Plan,
    interpreter: &Interpreter,
    skeleton: &Skeleton,
    tree: &Tree,
) -> Vec<Part> {
    let position = |path: &str| tree.entries.binary_search_by(|entry| entry.path.as_str().cmp(path)).ok();
    let mut parts: Vec<Part> = plan.known.iter().map(|(identity, known)| placed(*identity, known, position)).collect();
    for dist in &installed.distributions {
        let entries: Vec<usize> = dist.paths.iter().filter_map(|path| position(path)).collect();
        let package = plan.missing.packages.iter().find(|package| package.name == dist.distribution.name);
        let is_shareable = dist.is_shareable && entries.iter().all(|at| can_be_anywhere(tree, *at));
        parts.push(Part {
            component: package.filter(|_| is_shareable).map(|package| component::identity(package, interpreter)),
            distribution: Some(dist.distribution.clone()),
            uncompiled: dist.uncompiled.clone(),
            notes: dist.notes.clone(),
            entries,
        });
    }
    parts.sort_by(|a, b| a.distribution.cmp(&b.distribution));
    let mut unclaimed: BTreeSet<usize> = (0..tree.entries.len()).collect();
    let skeleton = skeleton.names.iter().filter_map(|name| position(name));
    for at in skeleton.chain(parts.iter().flat_map(|part| part.entries.iter().copied())) {
        unclaimed.remove(&at);
    }
    if !unclaimed.is_empty() {
        parts.push(Part { entries: unclaimed.into_iter().collect(), ..Part::default() });
    }
    parts
}

fn placed(identity: ComponentId, component: &Component, position: impl Fn(&str) -> Option<usize>) -> Part {
    Part {
        component: Some(identity),
        distribution: component.distribution.clone(),
        uncompiled: component.uncompiled.clone(),
        notes: component.notes.clone(),
        entries: component.files.iter().filter_map(|file| position(&file.path)).collect(),
    }
}

/// Whether an entry can stand in another environment: a file that holds no path of this one, or only where it can be replaced.
fn can_be_anywhere(tree: &Tree, at: usize) -> bool {
    let entry = &tree.entries[at];
    match entry.content {
        Content::Link { .. } => false,
        Content::File { canonical: Some(_), .. } => tree.neutral.contains_key(&entry.path),
        Content::File { .. } => !tree.bound.contains(&entry.path),
    }
}
