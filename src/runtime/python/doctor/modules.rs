//! Which modules a distribution gives to its users: those of its `top_level.txt` that its files show, else what its files show; private
//! ones only where there are no others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::store::runtime::Exam;

/// What careless projects install beside their packages.
const NOT_MEANT: [&str; 12] = [
    "benchmarks",
    "conftest",
    "doc",
    "docs",
    "example",
    "examples",
    "scripts",
    "setup",
    "test",
    "tests",
    "testing",
    "tools",
];

/// The modules that a distribution gives to its users, sorted.
pub(super) fn of(exam: &Exam<'_>, site_dirs: &[String], files: &[&str]) -> Vec<String> {
    let mut shown = BTreeMap::new();
    for dir in site_dirs {
        let inside = files.iter().filter_map(|file| file.strip_prefix(dir.as_str())?.strip_prefix('/'));
        collect(&inside.collect::<Vec<_>>(), &mut shown);
    }
    let said = files.iter().find(|file| file.ends_with(".dist-info/top_level.txt"));
    let said: BTreeSet<String> = said.map(|file| lines(&exam.env_dir.join(file))).into_iter().flatten().collect();
    let any_said = shown.keys().any(|top| said.contains(top));
    let mut chosen: Vec<(String, BTreeSet<String>)> =
        shown.into_iter().filter(|(top, _)| !any_said || said.contains(top)).collect();
    if chosen.iter().any(|(top, _)| !NOT_MEANT.contains(&top.as_str())) {
        chosen.retain(|(top, _)| !NOT_MEANT.contains(&top.as_str()));
    }
    let mut modules: Vec<String> = chosen.into_iter().flat_map(|(_, modules)| modules).collect();
    let is_public = |module: &String| !module.split('.').any(|part| part.starts_with('_'));
    if modules.iter().any(is_public) {
        modules.retain(is_public);
    }
    modules
}

/// Modules by their top name: the top itself, or for a namespace package those below it that are modules.
fn collect(files: &[&str], shown: &mut BTreeMap<String, BTreeSet<String>>) {
    let split = || files.iter().map(|file| file.rsplit_once('/').unwrap_or(("", file)));
    let packages: BTreeSet<&str> =
        split().filter(|(_, name)| stem(name) == Some("__init__")).map(|(dir, _)| dir).collect();
    for (dir, name) in split() {
        let Some(stem) = stem(name) else { continue };
        // Below a directory with an `__init__` everything belongs to that package.
        let ends = dir.match_indices('/').map(|(at, _)| at).chain([dir.len()]);
        let package = ends.map(|end| &dir[..end]).find(|dir| packages.contains(dir));
        let module = match package {
            Some(package) => package.replace('/', "."),
            None if dir.is_empty() => stem.to_owned(),
            None => format!("{}.{stem}", dir.replace('/', ".")),
        };
        if module.split('.').all(is_identifier) {
            let top = module.split('.').next().unwrap_or(&module).to_owned();
            shown.entry(top).or_default().insert(module);
        }
    }
}

/// A module file's name without what follows the first dot; none for what is no module.
fn stem(name: &str) -> Option<&str> {
    let (stem, end) = name.split_once('.')?;
    stem_end(end).then_some(stem)
}

/// `py`, `so`, `abi3.so`, `cpython-311-x86_64-linux-gnu.so`.
fn stem_end(end: &str) -> bool {
    end == "py" || end == "so" || end == "abi3.so" || end.starts_with("cpython-") && end.ends_with(".so")
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_') && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| line.trim().replace('/', ".")).filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(files: &[&str]) -> Vec<String> {
        let mut all = BTreeMap::new();
        collect(files, &mut all);
        all.into_values().flatten().collect()
    }

    #[test]
    fn files_show_modules() {
        for (files, modules) in [
            (&["six.py"][..], &["six"][..]),
            (&["a/__init__.py", "a/b.py", "a/c/__init__.py", "a/data.txt"], &["a"]),
            (&["_yaml.cpython-311-x86_64-linux-gnu.so", "x.abi3.so"], &["_yaml", "x"]),
            (&["google/cloud/storage/__init__.py", "google/cloud/storage/blob.py"], &["google.cloud.storage"]),
            (&["ns/one.py", "ns/two.py"], &["ns.one", "ns.two"]),
            (&["a.libs/libz.so.1", "a-1.dist-info/METADATA", "a-1.dist-info/x.py", "a/not-one.py"], &[]),
            (&["x/__init__.cpython-311-x86_64-linux-gnu.so"], &["x"]),
        ] {
            assert_eq!(shown(files), modules, "{files:?}");
        }
    }
}
