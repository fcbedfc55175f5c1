//! Local files and directories by content: what a declaration points to counts by its bytes, never by where
//! it stands or when it was written.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use walkdir::{DirEntry, WalkDir};

use crate::digest::{Canonical, FileDigest};
use crate::error::{Error, Result};

/// The most entries a local directory may have.
const MAX_ENTRIES: usize = 200_000;

/// The SHA-256 of a file's bytes, hex. The file is read in pieces.
///
/// # Errors
/// If it cannot be read.
pub fn file_sha256(path: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    each_piece(path, |piece| hasher.update(piece))?;
    Ok(HEXLOWER.encode(&hasher.finalize()))
}

/// The digest of a source directory's content, hex: domain `envstore/directory/v1`, then for each entry, sorted
/// by path, its relative path, its kind (`file`, `exec` or `link`) and the BLAKE3 of its bytes or its target.
///
/// Left out is what building and working leave behind and no build reads: version control, `__pycache__` and
/// `*.pyc`, `*.egg-info`, and at the top `.venv`, and `build` and `dist` unless they are packages themselves.
/// Symlinks are not followed; directories count by what is in them.
///
/// # Errors
/// If something cannot be read, is neither file, directory nor symlink, or there is too much of it.
pub fn directory_digest(path: &Path) -> Result<FileDigest> {
    let entries = directory_entries(path)?;
    let mut canonical = Canonical::new("envstore/directory/v1");
    canonical.count(entries.len());
    for entry in &entries {
        let at = entry.path();
        let relative = at.strip_prefix(path).unwrap_or(at);
        let (kind, digest) = if entry.file_type().is_symlink() {
            let target = std::fs::read_link(at).map_err(Error::io("read the link", at))?;
            ("link", blake3::hash(target.as_os_str().as_bytes()))
        } else if entry.file_type().is_file() {
            let mode = std::fs::symlink_metadata(at).map_err(Error::io("stat", at))?.mode();
            let mut hasher = blake3::Hasher::new();
            each_piece(at, |piece| {
                hasher.update(piece);
            })?;
            (if mode & 0o111 == 0 { "file" } else { "exec" }, hasher.finalize())
        } else {
            return Err(refused(at, "a source directory holds files, directories and symlinks only"));
        };
        canonical.field(relative.as_os_str().as_bytes()).field(kind).field(digest.as_bytes());
    }
    Ok(canonical.digest())
}

fn refused(path: &Path, reason: &str) -> Error {
    Error::InvalidSpec { origin: path.display().to_string(), line: None, reason: reason.to_owned() }
}

/// The files and links of a source directory that count for its digest, sorted by path: what is built from.
///
/// # Errors
/// If something cannot be read, or there is too much of it.
pub(crate) fn directory_entries(path: &Path) -> Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    for entry in WalkDir::new(path).min_depth(1).into_iter().filter_entry(|entry| !is_left_out(entry)) {
        let entry = entry.map_err(|error| {
            let at = error.path().unwrap_or(path).to_owned();
            Error::io("read", at)(error.into_io_error().unwrap_or_else(|| io::Error::other("a loop of links")))
        })?;
        if entry.file_type().is_dir() {
            continue;
        }
        if entries.len() == MAX_ENTRIES {
            return Err(refused(path, &format!("the directory holds more than {MAX_ENTRIES} files")));
        }
        entries.push(entry);
    }
    entries.sort_by(|a, b| a.path().as_os_str().cmp(b.path().as_os_str()));
    Ok(entries)
}

fn is_left_out(entry: &DirEntry) -> bool {
    let name = entry.file_name().as_bytes();
    if !entry.file_type().is_dir() {
        // A worktree's or submodule's `.git` is a file.
        return name.ends_with(b".pyc") || name == b".git";
    }
    match name {
        b".git" | b".hg" | b".svn" | b"__pycache__" => true,
        b".venv" => entry.depth() == 1,
        b"build" | b"dist" => entry.depth() == 1 && !entry.path().join("__init__.py").exists(),
        _ => name.ends_with(b".egg-info"),
    }
}

fn each_piece(path: &Path, mut take: impl FnMut(&[u8])) -> Result<()> {
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => take(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read", path)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn source(root: &Path) {
        fs::create_dir_all(root.join("src/pkg/build")).expect("directories");
        fs::write(root.join("pyproject.toml"), "[project]").expect("a file");
        fs::write(root.join("src/pkg/__init__.py"), "").expect("a file");
        fs::write(root.join("src/pkg/build/a.py"), "a").expect("a file");
        symlink("pkg", root.join("src/alias")).expect("a link");
    }

    fn digest(root: &Path) -> FileDigest {
        directory_digest(root).expect("a digest")
    }

    #[test]
    fn leftovers_and_places_do_not_count() {
        let (a, b) = (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"));
        source(a.path());
        source(b.path());
        let before = digest(a.path());
        assert_eq!(before, digest(b.path()));
        for left in [
            ".git/HEAD",
            "src/pkg/__pycache__/a.pyc",
            "src/pkg/a.pyc",
            ".venv/x",
            "build/lib/a",
            "dist/a.whl",
            "src/p.egg-info/PKG-INFO",
        ] {
            let path = b.path().join(left);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, left).expect("a file");
        }
        fs::create_dir(b.path().join("empty")).expect("a directory");
        assert_eq!(before, digest(b.path()));
    }

    #[test]
    fn every_change_of_content_counts() {
        let root = tempfile::tempdir().expect("a directory");
        source(root.path());
        let mut seen = vec![digest(root.path())];
        let at = |path: &str| root.path().join(path);
        let mut look = |what: &str| {
            let digest = digest(root.path());
            assert!(!seen.contains(&digest), "{what} made no difference");
            seen.push(digest);
        };
        fs::write(at("src/pkg/build/a.py"), "b").expect("a file");
        look("a file's bytes below a directory named build");
        fs::rename(at("pyproject.toml"), at("setup.cfg")).expect("renamed");
        look("a file's name");
        fs::set_permissions(at("setup.cfg"), fs::Permissions::from_mode(0o755)).expect("a mode");
        look("the executable bit");
        fs::remove_file(at("src/alias")).expect("removed");
        symlink("../src/pkg", at("src/alias")).expect("a link");
        look("a link's target");
        fs::create_dir(at("dist")).expect("a directory");
        fs::write(at("dist/__init__.py"), "").expect("a file");
        look("a package named dist");
    }

    #[test]
    fn what_is_no_file_is_refused_without_opening_it() {
        let root = tempfile::tempdir().expect("a directory");
        nix::unistd::mkfifo(&root.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        let error = directory_digest(root.path()).expect_err("refused");
        assert!(error.to_string().contains("pipe"), "{error}");
    }

    #[test]
    fn golden_digests() {
        let root = tempfile::tempdir().expect("a directory");
        fs::write(root.path().join("setup.py"), "print(1)\n").expect("a file");
        assert_eq!(
            file_sha256(&root.path().join("setup.py")).expect("a digest"),
            "cc42155088fca5730758db72b2a5bca33112a941dfaa2d43098ec422ce4ea213"
        );
        assert_eq!(digest(root.path()).to_string(), "c12b1340dcf6c46ddbef9d8e81f263132b037d2b9fb23203cc57e97a24b9c0d6");
    }
}
