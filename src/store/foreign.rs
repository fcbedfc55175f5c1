//! Stores of other users: why this process does not write to one.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Uid, geteuid};

use crate::error::{Error, Result};

/// The owner of a store: the user its root directory belongs to.
pub(super) fn owner(root: &Path) -> Result<Uid> {
    Ok(Uid::from_raw(fs::metadata(root).map_err(Error::io("stat", root))?.uid()))
}

/// Refuses what would put files of this process's user under a root of another one.
pub(super) fn require_own(root: &Path, what: &str) -> Result<()> {
    match why_foreign(root)? {
        Some(reason) => Err(Error::NotPermitted { what: what.into(), reason }),
        None => Ok(()),
    }
}

/// Why this process does not write under a root of another user. None: it is this process's user's.
pub(super) fn why_foreign(root: &Path) -> Result<Option<String>> {
    let owner = owner(root)?;
    Ok((owner != geteuid()).then(|| reason(root, owner)))
}

/// Why this process does not write under a root of another user.
fn reason(root: &Path, owner: Uid) -> String {
    let root = root.display();
    if geteuid().is_root() {
        return format!(
            "`{root}` belongs to uid {owner}, which could neither replace nor delete files that root makes there; do it as that user"
        );
    }
    format!("`{root}` belongs to uid {owner}, and only its owner writes to it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_another_user_is_refused_with_its_owner() {
        let own = tempfile::tempdir().expect("a directory");
        require_own(own.path(), "write").expect("it is ours");
        let other = if geteuid().is_root() {
            std::os::unix::fs::chown(own.path(), Some(4711), None).expect("given away");
            own.path()
        } else {
            Path::new("/")
        };
        let error = require_own(other, "create a store").expect_err("another user's").to_string();
        let owner = owner(other).expect("an owner");
        assert!(error.starts_with("cannot create a store: ") && error.contains(&format!("uid {owner}")), "{error}");
    }
}
