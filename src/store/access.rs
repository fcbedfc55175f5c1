//! What this process may do with an existing store.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

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

/// Whether this process is the owner's, or root's, and the root can be written to.
pub(super) fn may_write(layout: &Layout) -> Result<bool> {
    let root = layout.root();
    Ok(is_writable(root, &metadata(root)?))
}

/// Why a process that may only read does not write, for messages.
pub(super) fn why_reader(layout: &Layout, read_only: bool) -> &'static str {
    if read_only {
        return "the store is opened read-only";
    }
    if metadata(layout.root()).is_ok_and(|meta| is_owner(&meta)) {
        return "the store's directory cannot be written to, it may be on a read-only mount";
    }
    "the store belongs to another user; only its owner writes to it"
}

fn metadata(root: &Path) -> Result<fs::Metadata> {
    fs::metadata(root).map_err(Error::io("stat", root))
}

fn is_writable(root: &Path, meta: &fs::Metadata) -> bool {
    is_owner(meta) && nix::unistd::access(root, nix::unistd::AccessFlags::W_OK).is_ok()
}

fn is_owner(root: &fs::Metadata) -> bool {
    let uid = nix::unistd::geteuid();
    uid.is_root() || uid.as_raw() == root.uid()
}
