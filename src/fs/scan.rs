//! Sealing a tree: one walk that gives every file its canonical mode and time and reads each byte once.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use memchr::memmem;
use nix::fcntl::{AT_FDCWD, OFlag};
use nix::sys::stat::{Mode, UtimensatFlags, fchmod, futimens, utimensat};
use nix::sys::time::TimeSpec;
use walkdir::WalkDir;

use crate::error::{Error, Result};

/// 1980-01-02 UTC: zip refuses anything before 1980, in whatever time zone.
const MTIME: TimeSpec = TimeSpec::new(315_619_200, 0);
const CHUNK: usize = 256 << 10;

/// A file or link of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Relative to the tree's top, `/`-separated.
    pub path: String,
    /// What stands there.
    pub kind: NodeKind,
}

/// What a [`Node`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    /// A regular file.
    File {
        /// Bytes.
        size: u64,
        /// Whether anybody may execute it.
        executable: bool,
        /// BLAKE3 of the bytes.
        digest: blake3::Hash,
        /// Whether the text searched for is in it.
        found: bool,
    },
    /// A symbolic link.
    Link {
        /// Where it points, as it stands.
        target: String,
    },
}

/// Walks a tree in path order, makes it canonical (0444 or 0555, directories 0555, all times
/// 1980-01-02) and returns its files and links. The top directory and the entries named in `skip` are left alone. Every file is
/// searched for `needle`. A file with other links (an installer's cache) gets its own inode first.
///
/// # Errors
/// [`Error::Corrupt`] for anything but files, directories and links, and for names that are not UTF-8.
pub fn seal(top: &Path, skip: &[&str], needle: &str) -> Result<Vec<Node>> {
    let finder = memmem::Finder::new(needle.as_bytes());
    visit(top, skip, |path, meta| {
        if meta.is_dir() {
            let dir = File::open(path).map_err(Error::io("open", path))?;
            return canonical(&dir, path, 0o555).map(|()| None);
        }
        if meta.is_symlink() {
            utimensat(AT_FDCWD, path, &MTIME, &MTIME, UtimensatFlags::NoFollowSymlink)
                .map_err(Error::errno("set the times of", path))?;
            return link(path).map(Some);
        }
        if meta.nlink() > 1 {
            own_inode(path)?;
        }
        let executable = meta.mode() & 0o111 != 0;
        let file = File::open(path).map_err(Error::io("open", path))?;
        let node = read(&file, path, executable, Some(&finder))?;
        canonical(&file, path, if executable { 0o555 } else { 0o444 })?;
        Ok(Some(node))
    })
}

/// Walks a sealed tree without touching it, and reads every byte.
pub fn read_tree(top: &Path, skip: &[&str]) -> Result<Vec<Node>> {
    visit(top, skip, |path, meta| {
        if meta.is_dir() {
            return Ok(None);
        }
        if meta.is_symlink() {
            return link(path).map(Some);
        }
        let file = File::options()
            .read(true)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(path)
            .map_err(Error::io("open", path))?;
        read(&file, path, meta.mode() & 0o111 != 0, None).map(Some)
    })
}

fn visit(
    top: &Path,
    skip: &[&str],
    mut each: impl FnMut(&Path, &fs::Metadata) -> Result<Option<NodeKind>>,
) -> Result<Vec<Node>> {
    let mut nodes = Vec::new();
    // A directory's mode and time are set after what is in it.
    for entry in WalkDir::new(top).min_depth(1).contents_first(true).follow_links(false) {
        let entry = entry.map_err(|error| Error::Io {
            op: "walk",
            path: error.path().unwrap_or(top).to_owned(),
            source: error.into(),
        })?;
        if entry.depth() == 1 && skip.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let meta = entry.metadata().map_err(|error| Error::io("stat", entry.path())(error.into()))?;
        let kind = meta.file_type();
        if kind.is_socket() || kind.is_fifo() || kind.is_block_device() || kind.is_char_device() {
            let reason = "it is neither a file nor a directory nor a link".into();
            return Err(Error::Corrupt { path: entry.path().to_owned(), reason });
        }
        if let Some(kind) = each(entry.path(), &meta)? {
            let relative = entry.path().strip_prefix(top).unwrap_or(entry.path());
            nodes.push(Node { path: text(relative, entry.path())?, kind });
        }
    }
    nodes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(nodes)
}

fn text(relative: &Path, path: &Path) -> Result<String> {
    relative
        .to_str()
        .map(str::to_owned)
        .ok_or_else(|| Error::Corrupt { path: path.to_owned(), reason: "its name is not UTF-8".into() })
}

fn link(path: &Path) -> Result<NodeKind> {
    let target = fs::read_link(path).map_err(Error::io("read the link", path))?;
    Ok(NodeKind::Link { target: text(&target, path)? })
}

fn canonical(file: &File, path: &Path, mode: u32) -> Result<()> {
    fchmod(file.as_fd(), Mode::from_bits_truncate(mode)).map_err(Error::errno("set the mode of", path))?;
    futimens(file.as_fd(), &MTIME, &MTIME).map_err(Error::errno("set the times of", path))
}

fn read(mut file: &File, path: &Path, executable: bool, finder: Option<&memmem::Finder<'_>>) -> Result<NodeKind> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; CHUNK];
    // The end of the last chunk stays in front, so that a text across two chunks is found.
    let keep = finder.map_or(0, |finder| finder.needle().len().saturating_sub(1));
    let (mut filled, mut size, mut found) = (0, 0, false);
    loop {
        let n = file.read(&mut buffer[filled..]).map_err(Error::io("read", path))?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[filled..filled + n]);
        size += n as u64;
        filled += n;
        found = found || finder.is_some_and(|finder| finder.find(&buffer[..filled]).is_some());
        let start = filled.saturating_sub(keep);
        buffer.copy_within(start..filled, 0);
        filled -= start;
    }
    Ok(NodeKind::File { size, executable, digest: hasher.finalize(), found })
}

/// Gives a file that shares its inode one of its own.
fn own_inode(path: &Path) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".own-inode");
    let copy = PathBuf::from(name);
    fs::copy(path, &copy).map_err(Error::io("copy", path))?;
    fs::rename(&copy, path).map_err(Error::io("rename to", path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn sealing_makes_modes_and_times_canonical_and_finds_texts_across_chunks() {
        let dir = tempfile::tempdir().expect("a directory");
        let top = dir.path().join("top");
        fs::create_dir_all(top.join("sub")).expect("makes");
        let mut big = vec![b'x'; CHUNK - 3];
        big.extend(b"/a/b/c and more");
        fs::write(top.join("sub/big"), &big).expect("writes");
        fs::write(top.join("script"), "#!/a/b\n").expect("writes");
        fs::set_permissions(top.join("script"), fs::Permissions::from_mode(0o711)).expect("chmod");
        std::os::unix::fs::symlink("sub/big", top.join("link")).expect("links");
        fs::write(top.join(".lease"), "").expect("writes");
        let nodes = seal(&top, &[".lease"], "/a/b/c").expect("seals");
        let names: Vec<_> = nodes.iter().map(|n| n.path.as_str()).collect();
        assert_eq!(names, ["link", "script", "sub/big"]);
        assert!(
            matches!(nodes[1].kind, NodeKind::File { executable: true, found: false, digest, .. } if digest == blake3::hash(b"#!/a/b\n"))
        );
        assert!(
            matches!(nodes[2].kind, NodeKind::File { executable: false, found: true, size, digest } if size == big.len() as u64 && digest == blake3::hash(&big))
        );
        let mode = |name: &str| fs::symlink_metadata(top.join(name)).expect("stat").mode() & 0o7777;
        assert_eq!((mode("script"), mode("sub/big"), mode("sub")), (0o555, 0o444, 0o555));
        assert_eq!(fs::symlink_metadata(top.join("link")).expect("stat").mtime(), 315_619_200);
        let again: Vec<_> = read_tree(&top, &[".lease"]).expect("reads").into_iter().map(|n| n.path).collect();
        assert_eq!(again, names);
    }

    #[test]
    fn a_file_linked_from_elsewhere_is_not_touched_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let cache = dir.path().join("cached");
        let top = dir.path().join("top");
        fs::create_dir(&top).expect("makes");
        fs::write(&cache, "x").expect("writes");
        fs::set_permissions(&cache, fs::Permissions::from_mode(0o644)).expect("chmod");
        fs::hard_link(&cache, top.join("file")).expect("links");
        seal(&top, &[], "/nowhere").expect("seals");
        assert_eq!(fs::metadata(&cache).expect("stat").mode() & 0o777, 0o644);
        assert_eq!(fs::metadata(top.join("file")).expect("stat").mode() & 0o777, 0o444);
    }

    #[test]
    fn a_fifo_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        nix::unistd::mkfifo(&dir.path().join("fifo"), Mode::S_IRWXU).expect("makes");
        assert!(matches!(seal(dir.path(), &[], "/x"), Err(Error::Corrupt { .. })));
    }
}
