//! Sealing a tree: every file gets its canonical mode and time, and each byte is read once.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use memchr::memmem::Finder;
use walkdir::WalkDir;

use super::read::{self, Content};
use super::{canonical, parallel};
use crate::error::{Error, Result};
use crate::fs::nofollow;

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
        /// What its bytes are.
        content: Content,
        /// Whether anybody may execute it.
        executable: bool,
    },
    /// A symbolic link.
    Link {
        /// Where it points, as it stands.
        target: String,
    },
}

/// A file whose bytes were read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// What they are.
    pub content: Content,
    /// Whether it is sealed already and shares its inode on purpose.
    pub is_sealed: bool,
}

/// What a walk found.
#[derive(Debug, Default)]
pub struct Walked {
    /// Files and links, sorted by path.
    pub nodes: Vec<Node>,
    /// Directories below the top, each after everything in it.
    pub dirs: Vec<PathBuf>,
}

/// Walks a tree, makes every file and link canonical and returns what there is. Directories are left for
/// [`seal_dirs`]; the entries of the top named in `skip` are left alone. Files that are not `known` are read, on all cores, and
/// searched for `needle`. A file with other links (an installer's cache) gets its own inode first.
///
/// # Errors
/// [`Error::Corrupt`] for anything but files, directories and links, and for names that are not UTF-8.
pub fn seal_files(top: &Path, skip: &[&str], needle: &str, known: &HashMap<String, Known>) -> Result<Walked> {
    let finder = Finder::new(needle.as_bytes());
    let (files, mut walked) = walk(top, skip)?;
    let nodes = parallel::map(&files, |(name, meta)| -> Result<Node> {
        let path = top.join(name);
        let known = known.get(name);
        let executable = meta.mode() & 0o111 != 0;
        if let Some(known) = known
            && known.is_sealed
        {
            return Ok(node(name, known.content, executable));
        }
        if meta.nlink() > 1 {
            own_inode(&path)?;
        }
        let file = read::open(&path)?;
        let content = match known {
            Some(known) => known.content,
            None => read::content(&file, &path, Some(&finder), |_| ())?,
        };
        canonical::seal_file(&file, &path, executable)?;
        Ok(node(name, content, executable))
    })?;
    for link in &walked.nodes {
        canonical::seal_link(&top.join(&link.path))?;
    }
    walked.nodes.extend(nodes);
    walked.nodes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walked)
}

/// Makes directories canonical, in the order given: what is in one comes before it.
pub fn seal_dirs<'a>(dirs: impl IntoIterator<Item = &'a PathBuf>) -> Result<()> {
    dirs.into_iter().try_for_each(|dir| canonical::seal_dir(dir))
}

/// Walks a sealed tree without touching it, and reads every byte.
pub fn read_tree(top: &Path, skip: &[&str]) -> Result<Vec<Node>> {
    let (files, mut walked) = walk(top, skip)?;
    let nodes = parallel::map(&files, |(name, meta)| -> Result<Node> {
        let path = top.join(name);
        let content = read::content(&read::open(&path)?, &path, None, |_| ())?;
        Ok(node(name, content, meta.mode() & 0o111 != 0))
    })?;
    walked.nodes.extend(nodes);
    walked.nodes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walked.nodes)
}

fn node(name: &str, content: Content, executable: bool) -> Node {
    Node { path: name.to_owned(), kind: NodeKind::File { content, executable } }
}

/// The files with their metadata; links and directories.
fn walk(top: &Path, skip: &[&str]) -> Result<(Vec<(String, fs::Metadata)>, Walked)> {
    let (mut files, mut walked) = (Vec::new(), Walked::default());
    for entry in WalkDir::new(top).min_depth(1).contents_first(true).follow_links(false) {
        let entry = entry.map_err(|error| Error::Io {
            op: "walk",
            path: error.path().unwrap_or(top).to_owned(),
            source: error.into(),
        })?;
        if entry.depth() == 1 && skip.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let kind = entry.file_type();
        if kind.is_dir() {
            walked.dirs.push(entry.into_path());
            continue;
        }
        if kind.is_socket() || kind.is_fifo() || kind.is_block_device() || kind.is_char_device() {
            let reason = "it is neither a file nor a directory nor a link".into();
            return Err(Error::Corrupt { path: entry.into_path(), reason });
        }
        let name = text(entry.path().strip_prefix(top).unwrap_or(entry.path()), entry.path())?;
        if kind.is_symlink() {
            let target = fs::read_link(entry.path()).map_err(Error::io("read the link", entry.path()))?;
            let target = text(&target, entry.path())?;
            walked.nodes.push(Node { path: name, kind: NodeKind::Link { target } });
        } else {
            let meta = entry.metadata().map_err(|error| Error::io("stat", entry.path())(error.into()))?;
            files.push((name, meta));
        }
    }
    Ok((files, walked))
}

fn text(relative: &Path, path: &Path) -> Result<String> {
    relative
        .to_str()
        .map(str::to_owned)
        .ok_or_else(|| Error::Corrupt { path: path.to_owned(), reason: "its name is not UTF-8".into() })
}

/// Gives a file that shares its inode one of its own.
fn own_inode(path: &Path) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".own-inode");
    let copy = PathBuf::from(name);
    fs::copy(path, &copy).map_err(Error::io("copy", path))?;
    nofollow::rename(&copy, path).map_err(Error::io("rename to", path))
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
        let mut big = vec![b'x'; (256 << 10) - 3];
        big.extend(b"/a/b/c and more");
        fs::write(top.join("sub/big"), &big).expect("writes");
        fs::write(top.join("script"), "#!/a/b\n").expect("writes");
        fs::set_permissions(top.join("script"), fs::Permissions::from_mode(0o711)).expect("chmod");
        std::os::unix::fs::symlink("sub/big", top.join("link")).expect("links");
        fs::write(top.join(".lease"), "").expect("writes");
        let walked = seal_files(&top, &[".lease"], "/a/b/c", &HashMap::new()).expect("seals");
        seal_dirs(&walked.dirs).expect("seals");
        let nodes = walked.nodes;
        let names: Vec<_> = nodes.iter().map(|n| n.path.as_str()).collect();
        assert_eq!(names, ["link", "script", "sub/big"]);
        let file = |node: &Node| match node.kind {
            NodeKind::File { content, executable } => (content.digest, content.size, content.found, executable),
            NodeKind::Link { .. } => panic!("a link"),
        };
        assert_eq!(file(&nodes[1]), (blake3::hash(b"#!/a/b\n"), 7, false, true));
        assert_eq!(file(&nodes[2]), (blake3::hash(&big), big.len() as u64, true, false));
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
        seal_files(&top, &[], "/nowhere", &HashMap::new()).expect("seals");
        assert_eq!(fs::metadata(&cache).expect("stat").mode() & 0o777, 0o644);
        assert_eq!(fs::metadata(top.join("file")).expect("stat").mode() & 0o777, 0o444);
    }

    #[test]
    fn a_fifo_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        nix::unistd::mkfifo(&dir.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("makes");
        assert!(matches!(seal_files(dir.path(), &[], "/x", &HashMap::new()), Err(Error::Corrupt { .. })));
    }
}
