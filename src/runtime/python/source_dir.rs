//! Local directories as dependencies: their content digest, and a private copy to build from.
//!
//! Build backends write into the directory they build (`build/`, `*.egg-info`), and whoever owns it may change it
//! between locking and building. So what is built is a copy whose digest is the locked one; what tools leave
//! behind and version control's own files count for neither.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use walkdir::{DirEntry, WalkDir};

use crate::digest::{Canonical, FileDigest};
use crate::error::{Error, Result};

/// The digest of domain `envstore/directory/v1`, hex: relative path, kind (`f`, `x`, `l`) and content digest or link
/// target of every file, sorted by path. Empty directories do not count.
pub(crate) fn digest(directory: &Path) -> Result<String> {
    let mut canonical = Canonical::new("envstore/directory/v1");
    for entry in entries(directory)? {
        let path = entry.path();
        let relative = path.strip_prefix(directory).unwrap_or(path);
        canonical.field(relative.as_os_str().as_bytes());
        if entry.file_type().is_symlink() {
            let target = fs::read_link(path).map_err(Error::io("read the link", path))?;
            canonical.field("l").field(target.as_os_str().as_bytes());
        } else {
            let meta = fs::metadata(path).map_err(Error::io("stat", path))?;
            let mut hasher = blake3::Hasher::new();
            let file = fs::File::open(path).map_err(Error::io("open", path))?;
            hasher.update_reader(file).map_err(Error::io("read", path))?;
            let kind = if meta.permissions().mode() & 0o111 == 0 { "f" } else { "x" };
            canonical.field(kind).field(FileDigest::from(hasher.finalize()).as_bytes());
        }
    }
    let digest: FileDigest = canonical.digest();
    Ok(digest.to_string())
}

/// Copies everything that counts into a directory that does not exist yet.
pub(crate) fn copy(directory: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).map_err(Error::io("create", to))?;
    for entry in entries(directory)? {
        let path = entry.path();
        let target = to.join(path.strip_prefix(directory).unwrap_or(path));
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        if entry.file_type().is_symlink() {
            let link = fs::read_link(path).map_err(Error::io("read the link", path))?;
            std::os::unix::fs::symlink(link, &target).map_err(Error::io("link", &target))?;
        } else {
            fs::copy(path, &target).map_err(Error::io("copy", path))?;
        }
    }
    Ok(())
}

/// The files and links below a directory, sorted. Sockets, pipes and devices are passed over: opening one could
/// wait for ever.
fn entries(directory: &Path) -> Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    for entry in WalkDir::new(directory).sort_by_file_name().into_iter().filter_entry(counts) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(directory).to_owned();
            let source = error.into_io_error().unwrap_or_else(|| std::io::ErrorKind::InvalidInput.into());
            Error::Io { op: "read", path, source }
        })?;
        if entry.depth() > 0 && (entry.file_type().is_file() || entry.file_type().is_symlink()) {
            entries.push(entry);
        }
    }
    Ok(entries)
}

fn counts(entry: &DirEntry) -> bool {
    if entry.depth() == 0 {
        return true;
    }
    let name = entry.file_name().as_bytes();
    let is_dir = entry.file_type().is_dir();
    !(is_dir && matches!(name, b"__pycache__" | b".hg" | b".svn" | b".tox" | b".nox" | b".mypy_cache" | b".pytest_cache")
        // A worktree's `.git` is a file.
        || name == b".git"
        || is_dir && name.ends_with(b".egg-info")
        || !is_dir && name.ends_with(b".pyc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&Path) -> std::io::Result<()>;

    fn project() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("src")).expect("creates");
        fs::write(dir.path().join("src/a.py"), "a").expect("writes");
        fs::write(dir.path().join("setup.py"), "s").expect("writes");
        std::os::unix::fs::symlink("a.py", dir.path().join("src/b.py")).expect("links");
        dir
    }

    fn after(change: impl FnOnce(&Path)) -> String {
        let dir = project();
        change(dir.path());
        digest(dir.path()).expect("digests")
    }

    #[test]
    fn what_counts_changes_the_digest_and_what_tools_leave_does_not() {
        let plain = after(|_| {});
        assert_eq!(plain.len(), 64);
        for leave in [".git/x", "p.egg-info/PKG-INFO", "src/__pycache__/a.pyc", "src/a.pyc"] {
            let same = after(|dir| {
                let path = dir.join(leave);
                fs::create_dir_all(path.parent().expect("a parent")).expect("creates");
                fs::write(path, "x").expect("writes");
            });
            assert_eq!(same, plain, "{leave}");
        }
        let changes: [(&str, Change); 4] = [
            ("content", |dir| fs::write(dir.join("setup.py"), "t")),
            ("name", |dir| fs::rename(dir.join("setup.py"), dir.join("setup2.py"))),
            ("file", |dir| fs::write(dir.join("new"), "")),
            ("mode", |dir| fs::set_permissions(dir.join("setup.py"), fs::Permissions::from_mode(0o755))),
        ];
        for (what, change) in changes {
            assert_ne!(after(|dir| change(dir).expect("changes")), plain, "{what}");
        }
    }

    #[test]
    fn a_copy_has_the_same_digest() {
        let dir = project();
        let to = tempfile::tempdir().expect("a directory");
        let to = to.path().join("copy");
        copy(dir.path(), &to).expect("copies");
        assert_eq!(digest(&to).expect("digests"), digest(dir.path()).expect("digests"));
        assert!(to.join("src/b.py").is_symlink());
    }

    #[test]
    fn a_missing_directory_is_an_error_with_its_path() {
        let error = digest(Path::new("/nonexistent/x")).expect_err("is not there");
        assert!(error.to_string().contains("/nonexistent/x"));
    }
}
