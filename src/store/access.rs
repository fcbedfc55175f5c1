//! What this process may do with an existing store.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Store, foreign};
use crate::error::{Error, Result};
use crate::index::Access;
use crate::layout::Layout;
use crate::store_file::StoreFile;

/// What this process may do with a store. `read_only`: its caller asked that nothing is written.
///
/// # Errors
/// [`Error::NotPermitted`] for a root that other users may write to.
pub(super) fn access(layout: &Layout, store: &StoreFile, read_only: bool) -> Result<Access> {
    let root = layout.root();
    let meta = metadata(root)?;
    if meta.mode() & 0o022 != 0 {
        let reason = format!("others may write to `{}` (mode {:o})", root.display(), meta.mode() & 0o7777);
        return Err(Error::NotPermitted { what: "use the store".into(), reason });
    }
    Ok(if store.sealed {
        Access::Immutable
    } else if read_only || !is_writable(root, &meta) {
        Access::Reader
    } else {
        Access::Owner
    })
}

/// Whether this process is the owner's, and the root can be written to.
pub(super) fn may_write(layout: &Layout) -> Result<bool> {
    let root = layout.root();
    Ok(is_writable(root, &metadata(root)?))
}

impl Store {
    /// Why this process may only read, for messages.
    pub(super) fn why_reader(&self) -> String {
        if self.0.read_only {
            return "the store is opened read-only".into();
        }
        let foreign = foreign::why_foreign(self.root()).ok().flatten();
        foreign.unwrap_or_else(|| "the store's directory cannot be written to, it may be on a read-only mount".into())
    }
}

fn metadata(root: &Path) -> Result<fs::Metadata> {
    fs::metadata(root).map_err(Error::io("stat", root))
}

fn is_writable(root: &Path, meta: &fs::Metadata) -> bool {
    is_owner(meta) && nix::unistd::access(root, nix::unistd::AccessFlags::W_OK).is_ok()
}

fn is_owner(root: &fs::Metadata) -> bool {
    // Not root: what it wrote into another user's store, the owner could neither replace nor delete.
    nix::unistd::geteuid().as_raw() == root.uid()
}
