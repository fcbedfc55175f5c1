//! [`Tree`]: what stands in an environment, and the removal of what does not belong there.
//!
//! An installer leaves marks of its own (who installed, when, from which cache) that differ between
//! installers and runs. They are no part of the artifacts. Symlinks are never followed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::archive;
use crate::error::{Error, Result};
use crate::interpreter::Interpreter;

/// In a `*.dist-info` directory.
const DIST_INFO_MARKS: [&str; 5] = ["INSTALLER", "REQUESTED", "direct_url.json", "uv_build.json", "uv_cache.json"];
/// At the top of the environment.
const TOP_MARKS: [&str; 3] = [".gitignore", ".lock", "CACHEDIR.TAG"];
/// In site-packages.
const SITE_MARKS: [&str; 2] = ["_virtualenv.pth", "_virtualenv.py"];

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    File,
    Dir,
    Link(PathBuf),
}

/// Everything below an environment's directory but its lease, by relative path, sorted bytewise.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    root: PathBuf,
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// Looks at everything once.
    ///
    /// # Errors
    /// [`Error::UnsafeArtifact`] for sockets, pipes, devices, and names that are not UTF-8 or hold control
    /// characters.
    pub(crate) fn walk(env_dir: &Path) -> Result<Self> {
        let mut nodes = BTreeMap::new();
        for entry in WalkDir::new(env_dir).min_depth(1).follow_links(false) {
            let entry = entry.map_err(|error| {
                let path = error.path().unwrap_or(env_dir).to_owned();
                let source = error.into_io_error().unwrap_or_else(|| std::io::ErrorKind::Other.into());
                Error::Io { op: "look at", path, source }
            })?;
            let path = entry.path().strip_prefix(env_dir).unwrap_or(entry.path());
            let name = match path.to_str() {
                Some(name) if !name.chars().any(char::is_control) => name,
                _ => {
                    let shown = path.as_os_str().as_encoded_bytes().escape_ascii().to_string();
                    return Err(refused(&shown, "its name is not printable UTF-8"));
                }
            };
            if name == ".lease" {
                continue;
            }
            let kind = entry.file_type();
            let node = if kind.is_dir() {
                Node::Dir
            } else if kind.is_file() {
                Node::File
            } else if kind.is_symlink() {
                Node::Link(fs::read_link(entry.path()).map_err(Error::io("read link", entry.path()))?)
            } else {
                return Err(refused(name, "it is neither a file, a directory nor a link"));
            };
            nodes.insert(name.to_owned(), node);
        }
        Ok(Self { root: env_dir.to_owned(), nodes })
    }

    /// What a path is, if it is there.
    pub(crate) fn node(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Whether it is a regular file.
    pub(crate) fn is_file(&self, path: &str) -> bool {
        self.nodes.get(path) == Some(&Node::File)
    }

    /// Every regular file, sorted.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter(|(_, node)| **node == Node::File).map(|(path, _)| path.as_str())
    }

    /// The `*.dist-info` directories in the given directory.
    pub(crate) fn dist_infos<'a>(&'a self, site_dir: &str) -> impl Iterator<Item = &'a str> {
        let prefix = format!("{site_dir}/");
        self.nodes.iter().filter(|(_, node)| **node == Node::Dir).filter_map(move |(path, _)| {
            let name = path.strip_prefix(&prefix)?;
            (!name.contains('/') && name.ends_with(".dist-info")).then_some(path.as_str())
        })
    }

    /// Notes a file that was written after the walk.
    pub(crate) fn insert_file(&mut self, path: &str) {
        self.nodes.insert(path.to_owned(), Node::File);
    }

    /// Deletes a file or link.
    pub(crate) fn remove_file(&mut self, path: &str) -> Result<()> {
        let full = self.root.join(path);
        fs::remove_file(&full).map_err(Error::io("remove", &full))?;
        self.nodes.remove(path);
        Ok(())
    }

    /// Checks that every link stays inside the environment or is the skeleton's to the interpreter.
    ///
    /// # Errors
    /// [`Error::UnsafeArtifact`] that names the link.
    pub(crate) fn check_links(&self, interpreter: &Interpreter) -> Result<()> {
        let real_root = fs::canonicalize(&self.root).map_err(Error::io("look at", &self.root))?;
        for (path, node) in &self.nodes {
            let Node::Link(target) = node else { continue };
            let named = target == &interpreter.path || self.stays_inside(path, target);
            // By name it may stay inside and still leave through another link.
            let real = fs::canonicalize(self.root.join(path));
            let leads = real.map_or(true, |real| real.starts_with(&real_root) || real == interpreter.path);
            if !(named && leads) {
                let reason = format!("it is a link out of the environment, to `{}`", target.display());
                return Err(refused(path, &reason));
            }
        }
        Ok(())
    }

    fn stays_inside(&self, link: &str, target: &Path) -> bool {
        let (depth, target) = match target.strip_prefix(&self.root) {
            Ok(inside) => (0, inside),
            Err(_) => (link.matches('/').count(), target),
        };
        archive::stays_inside(depth, target)
    }

    /// Removes what installers leave, unless `keep` says that the path belongs to an artifact. Bytecode in
    /// `__pycache__` is such a leftover too.
    pub(crate) fn remove_marks(&mut self, site_dirs: &[String], keep: impl Fn(&str) -> bool) -> Result<()> {
        let marks: Vec<String> = self
            .nodes
            .iter()
            .filter(|(_, node)| **node != Node::Dir)
            .filter(|(path, _)| is_dist_info_mark(path, site_dirs) || (is_mark(path, site_dirs) && !keep(path)))
            .map(|(path, _)| path.clone())
            .collect();
        marks.iter().try_for_each(|path| self.remove_file(path))
    }

    /// Removes directories without files, but the skeleton's.
    pub(crate) fn remove_empty_dirs(&mut self, skeleton_dirs: &[String]) -> Result<()> {
        let dirs: Vec<String> =
            self.nodes.iter().filter(|(_, node)| **node == Node::Dir).map(|(path, _)| path.clone()).collect();
        // Sorted bytewise a directory stands before everything in it: backwards is bottom up.
        for dir in dirs.iter().rev() {
            let inside = format!("{dir}/");
            let is_empty = self.nodes.range(inside.clone()..).next().is_none_or(|(path, _)| !path.starts_with(&inside));
            let ours = dir == "bin" || skeleton_dirs.iter().any(|ours| ours == dir || ours.starts_with(&inside));
            if is_empty && !ours {
                let full = self.root.join(dir);
                fs::remove_dir(&full).map_err(Error::io("remove", &full))?;
                self.nodes.remove(dir);
            }
        }
        Ok(())
    }
}

/// Whether a path is a mark of the installer in a `*.dist-info` directory. Distributions bundled inside a
/// package have such files too; those are the package's own.
pub(crate) fn is_dist_info_mark(path: &str, site_dirs: &[String]) -> bool {
    let mut parts = path.rsplitn(3, '/');
    let (Some(name), Some(dir), Some(site)) = (parts.next(), parts.next(), parts.next()) else { return false };
    dir.ends_with(".dist-info") && DIST_INFO_MARKS.contains(&name) && site_dirs.iter().any(|dir| dir == site)
}

fn is_mark(path: &str, site_dirs: &[String]) -> bool {
    let Some((dir, name)) = path.rsplit_once('/') else { return TOP_MARKS.contains(&path) };
    let in_site = site_dirs.iter().any(|site| site == dir);
    (in_site && SITE_MARKS.contains(&name))
        || (name.ends_with(".pyc") && (dir == "__pycache__" || dir.ends_with("/__pycache__")))
}

fn refused(path: &str, reason: &str) -> Error {
    Error::UnsafeArtifact { artifact: path.to_owned(), reason: reason.to_owned() }
}
