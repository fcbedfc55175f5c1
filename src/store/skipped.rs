//! What a collection goes past: an item that cannot be inspected or removed is kept, named with the reason, and does not stop the rest (I8).

use std::path::{Path, PathBuf};

use super::gc::children;
use super::report::{Collected, Skipped};
use crate::error::{Error, Result};

impl Collected {
    /// Notes an item that is kept because of an error.
    pub(super) fn skip(&mut self, path: &Path, error: &Error) {
        // A collection with a target goes over the same items several times.
        if self.skipped.iter().any(|known| known.path == path) {
            return;
        }
        let skipped = Skipped { path: path.to_owned(), reason: error.explained() };
        tracing::debug!(path = %skipped.path.display(), reason = skipped.reason, "kept");
        self.skipped.push(skipped);
    }

    /// The bytes that removing an item freed; none if that failed, which is noted.
    pub(super) fn freed(&mut self, path: &Path, freed: Result<u64>) -> u64 {
        freed.unwrap_or_else(|error| {
            self.skip(path, &error);
            0
        })
    }

    /// What a directory holds; nothing if it cannot be listed, which is noted.
    pub(super) fn children(&mut self, dir: &Path) -> Vec<PathBuf> {
        children(dir).unwrap_or_else(|error| {
            self.skip(dir, &error);
            Vec::new()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_named_once_and_costs_nothing_but_itself() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        std::fs::write(&file, "").expect("writes");
        let mut done = Collected::default();
        assert_eq!(done.children(dir.path()), std::slice::from_ref(&file));
        assert!(done.children(&dir.path().join("missing")).is_empty() && done.skipped.is_empty());
        // A file where a directory belongs cannot be listed.
        assert!(done.children(&file).is_empty() && done.children(&file).is_empty());
        assert_eq!((done.skipped.len(), &done.skipped[0].path), (1, &file));
        assert!(done.skipped[0].reason.contains(&format!("cannot list `{}`: Not a directory", file.display())));
        assert_eq!((done.freed(&file, Ok(5)), done.skipped.len()), (5, 1));
    }
}
