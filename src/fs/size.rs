//! What trees weigh.

use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use walkdir::WalkDir;

/// The bytes that removing a tree frees: its directories, links, and files without another name. What cannot be looked at
/// counts for nothing.
pub fn own_bytes(top: &Path) -> u64 {
    entries(top).filter(|meta| meta.is_dir() || meta.nlink() == 1).map(|meta| meta.len()).sum()
}

/// Bytes of files and links, and of directories, each inode once over all trees weighed.
#[derive(Debug, Default)]
pub struct Scales {
    seen: HashSet<(u64, u64)>,
}

/// What a tree weighs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    /// Of files and symbolic links.
    pub files: u64,
    /// Of directories.
    pub directories: u64,
}

impl Scales {
    /// Weighs a tree, or a file, without what was weighed before.
    pub fn weigh(&mut self, top: &Path) -> Weight {
        let mut weight = Weight::default();
        for meta in entries(top) {
            if meta.is_dir() {
                weight.directories += meta.len();
            } else if meta.nlink() == 1 || self.seen.insert((meta.dev(), meta.ino())) {
                weight.files += meta.len();
            }
        }
        weight
    }
}

fn entries(top: &Path) -> impl Iterator<Item = Metadata> {
    WalkDir::new(top).into_iter().flatten().filter_map(|entry| entry.metadata().ok())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_inode_weighs_once_and_frees_nothing_while_it_has_another_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        for top in [&one, &two] {
            fs::create_dir(top).expect("makes");
        }
        fs::write(one.join("shared"), "12345").expect("writes");
        fs::write(two.join("own"), "123").expect("writes");
        fs::hard_link(one.join("shared"), two.join("shared")).expect("links");
        let mut scales = Scales::default();
        assert_eq!(scales.weigh(&one).files, 5);
        assert_eq!(scales.weigh(&two).files, 3);
        assert_eq!(own_bytes(&two), 3 + fs::metadata(&two).expect("stat").len());
    }
}
