//! Writing outside the store: `export -o`, `link`, `checkout` and `sync --links` write where their user says, never into a store.
//!
//! A store is recognized by what it is and not by its path: each existing directory above the target is compared with the directories of this store by
//! device and inode (a bind mount has another path), and is looked at for the files of any other store. Nothing guards against a path that
//! somebody changes between the look and the write.

use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Write};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::Store;
use crate::error::{Error, Result};
use crate::fs::lock::is_same_inode;
use crate::fs::{durable, read};
use crate::layout::Layout;

/// Directories that together make a store, whatever became of its `store.json`.
const OF_A_STORE: [&str; 3] = ["envs", "objects", "guards"];
/// A longer `store.json` is another program's.
const SIZE_LIMIT: u64 = 64 << 10;

impl Store {
    /// Refuses a path that leads into a store, this one or another. The path need not exist; links in it are followed. `what` completes
    /// "cannot …".
    ///
    /// # Errors
    /// [`Error::WithinStore`]; [`Error::NotPermitted`] if it cannot be told where the path leads.
    pub fn require_outside(&self, what: &str, path: &Path) -> Result<()> {
        let dir = existing(what, path)?;
        let own = self.own_directories()?;
        for above in dir.ancestors() {
            let meta = fs::metadata(above).map_err(Error::io("stat", above))?;
            if own.iter().any(|of| is_same_inode(of, &meta)) || is_store(above) {
                return Err(Error::WithinStore { what: what.into(), store: above.to_owned() });
            }
        }
        Ok(())
    }

    /// Writes a file outside every store. A file that is there is replaced by rename, so that no other name of its inode changes: it may be a hard
    /// link to an object. What is no file, such as `/dev/stdout`, is written to.
    ///
    /// # Errors
    /// Those of [`Store::require_outside`] and of writing.
    pub fn write_outside(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.require_outside(&format!("write `{}`", path.display()), path)?;
        let before = match fs::metadata(path) {
            Ok(meta) if !meta.is_file() => return fs::write(path, bytes).map_err(Error::io("write", path)),
            Ok(meta) => Some(meta),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(Error::io("stat", path)(error)),
        };
        // Behind a symbolic link its target is replaced, and the link stays.
        let target = match before {
            Some(_) => fs::canonicalize(path).map_err(Error::io("find", path))?,
            None => path.to_owned(),
        };
        let beside = target.with_file_name(durable::unique(".envstore-export"));
        let written = replace(&beside, &target, bytes, before.as_ref());
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        written
    }

    /// The root and the directories in it.
    fn own_directories(&self) -> Result<Vec<Metadata>> {
        let root = self.root();
        let mut own = vec![fs::metadata(root).map_err(Error::io("stat", root))?];
        for entry in fs::read_dir(root).map_err(Error::io("list", root))? {
            let entry = entry.map_err(Error::io("list", root))?;
            let meta = entry.metadata().map_err(Error::io("stat", entry.path()))?;
            if meta.is_dir() {
                own.push(meta);
            }
        }
        Ok(own)
    }
}

fn replace(beside: &Path, target: &Path, bytes: &[u8], before: Option<&Metadata>) -> Result<()> {
    let mut file = File::create_new(beside).map_err(Error::io("create", beside))?;
    file.write_all(bytes).map_err(Error::io("write", beside))?;
    if let Some(before) = before {
        file.set_permissions(before.permissions()).map_err(Error::io("set the mode of", beside))?;
    }
    fs::rename(beside, target).map_err(Error::io("rename to", target))
}

/// The nearest directory above a path, or the path itself, that exists, links followed.
pub(super) fn existing(what: &str, path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path).map_err(Error::io("find", path))?;
    for above in path.ancestors() {
        match fs::canonicalize(above) {
            Ok(found) => {
                // Behind a directory that is still to be made, `..` leads to a place that cannot be looked at yet.
                let rest = path.strip_prefix(above).unwrap_or(&path);
                if rest.components().any(|part| part == Component::ParentDir) {
                    let reason = format!("`{}` has `..` behind a directory that does not exist", path.display());
                    return Err(Error::NotPermitted { what: what.into(), reason });
                }
                return Ok(found);
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => return Err(Error::io("find", above)(error)),
        }
    }
    Ok(PathBuf::from("/"))
}

/// Whether a directory is the root of a store. A `store.json` that cannot be read does not hide one.
pub(super) fn is_store(dir: &Path) -> bool {
    #[derive(Deserialize)]
    struct Identity {
        #[serde(rename = "format")]
        _format: u32,
        id: String,
    }
    let layout = Layout::new(dir);
    let identity = read::whole(&layout.store_json(), SIZE_LIMIT).ok();
    let identity = identity.and_then(|text| serde_json::from_slice::<Identity>(&text).ok());
    identity.is_some_and(|identity| identity.id.len() == 32 && identity.id.bytes().all(|b| b.is_ascii_hexdigit()))
        || OF_A_STORE.iter().all(|name| layout.dir(name).is_dir())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_store_is_recognized_with_and_without_its_file_and_nothing_else_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let make = |name: &str, json: Option<&str>, dirs: &[&str]| {
            let store = dir.path().join(name);
            fs::create_dir(&store).expect("a directory");
            json.map_or(Ok(()), |text| fs::write(store.join("store.json"), text)).expect("writes");
            dirs.iter().for_each(|name| fs::create_dir(store.join(name)).expect("a directory"));
            is_store(&store)
        };
        let id = "0123456789abcdef0123456789abcdef";
        assert!(make("plain", Some(&format!("{{\"format\": 1, \"id\": \"{id}\"}}")), &[]));
        assert!(make("newer", Some(&format!("{{\"format\": 99, \"id\": \"{id}\", \"new\": []}}")), &[]));
        assert!(make("damaged", Some("{"), &OF_A_STORE) && make("lost", None, &OF_A_STORE));
        assert!(!make("shop", Some("{\"id\": \"shop\", \"format\": 1}"), &["envs"]) && !make("empty", None, &[]));
    }

    #[test]
    fn a_path_leads_where_its_existing_part_leads() {
        let dir = tempfile::tempdir().expect("a directory");
        let top = fs::canonicalize(dir.path()).expect("exists");
        fs::create_dir_all(top.join("real/inner")).expect("directories");
        symlink("real/inner", top.join("link")).expect("links");
        symlink("nowhere", top.join("dangling")).expect("links");
        let of = |path: &str| existing("write", &top.join(path));
        assert_eq!(of("link/new/file").expect("exists"), top.join("real/inner"));
        assert_eq!(of("link/../file").expect("exists"), top.join("real"));
        assert_eq!(of("dangling").expect("exists"), top);
        assert!(matches!(of("new/../real/file"), Err(Error::NotPermitted { .. })));
    }
}
