//! Local directories as dependencies: their content digest, and a private copy to build from.
//!
//! Build backends write into the directory they build (`build/`, `*.egg-info`), and whoever owns it may change it
//! between locking and building. So what is built is a copy whose digest is the locked one; what tools leave
//! behind and version control's own files count for neither.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};
use crate::spec::content::{directory_digest, directory_entries};

/// The content digest that the spec of such a directory has too, hex.
pub(crate) fn digest(directory: &Path) -> Result<String> {
    directory_digest(directory).map(|digest| digest.to_string())
}

/// Copies everything that counts into a directory that does not exist yet.
pub(crate) fn copy(directory: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).map_err(Error::io("create", to))?;
    for entry in directory_entries(directory)? {
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

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
