//! Which environments running processes show signs of using, whatever became of their leases.
//!
//! A help, not a promise: it only ever keeps an environment. A daemon that closed its descriptors is found by its executable, its directories, its command
//! line, its variables or its memory maps, under whatever path it knows the store by: through a symbolic link, a bind mount, or
//! in a container's mount namespace. A process of another pid namespace than this one's `/proc` shows, or one whose `/proc` entries another uid keeps to
//! itself, is not found.
//!
//! # How paths are compared
//! A directory of `envs/` has the same name under every spelling of the store's path. So only paths with such a name in them are looked up, from the
//! root of the process they are of; what counts is that device and inode are those of the environment's directory. No other path is looked
//! up: one on a network filesystem that does not answer would stop the collector.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::Mode;

use crate::layout::{EnvName, Layout};

/// Device and number of an inode.
type Inode = (u64, u64);

/// The environments that processes show signs of using, and one process for each.
#[derive(Debug, Default)]
pub struct InUse {
    /// Directory name to pid.
    pub by_name: HashMap<String, u32>,
    /// Processes that could not be looked into.
    pub unreadable: u64,
}

/// Whether `/proc` shows processes at all.
pub fn can_look() -> bool {
    Path::new("/proc/self/fd").is_dir()
}

/// Looks through `/proc` once: about 0.1 ms a process.
pub fn scan(layout: &Layout) -> InUse {
    let envs = Directories::of(layout);
    let mut found = InUse::default();
    if envs.by_name.is_empty() {
        return found;
    }
    let own = std::process::id();
    // Mounts are looked at once for each namespace of mounts.
    let mut namespaces: HashSet<PathBuf> = HashSet::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if pid == own {
            continue;
        }
        let mut process = Process { dir: entry.path(), pid, root: None, envs: &envs, denied: false, found: &mut found };
        process.look();
        let namespace = fs::read_link(process.dir.join("ns/mnt")).ok();
        if namespace.is_none_or(|namespace| namespaces.insert(namespace)) {
            process.look_at_mounts();
        }
        let denied = process.denied;
        found.unreadable += u64::from(denied);
    }
    found
}

/// The directories of environments, by name.
struct Directories {
    /// The path of `envs/` as the collector knows it, with a slash.
    top: Vec<u8>,
    by_name: HashMap<Vec<u8>, Inode>,
}

impl Directories {
    fn of(layout: &Layout) -> Self {
        let entries = fs::read_dir(layout.dir("envs")).into_iter().flatten().flatten();
        let named =
            entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<EnvName>().is_ok()));
        let inode = |entry: fs::DirEntry| {
            let meta = fs::symlink_metadata(entry.path()).ok().filter(fs::Metadata::is_dir)?;
            Some((entry.file_name().into_encoded_bytes(), (meta.dev(), meta.ino())))
        };
        let mut top = layout.dir("envs").into_os_string().into_encoded_bytes();
        top.push(b'/');
        Self { top, by_name: named.filter_map(inode).collect() }
    }

    /// Every place in a text where an environment's name stands, with its inode.
    fn names_in<'t>(&'t self, text: &'t [u8]) -> impl Iterator<Item = (std::ops::Range<usize>, Inode)> + 't {
        let is_inside = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'.';
        let mut at = 0;
        std::iter::from_fn(move || {
            while at < text.len() {
                let start = at + text[at..].iter().position(is_inside)?;
                let end = text[start..].iter().position(|byte| !is_inside(byte)).map_or(text.len(), |n| start + n);
                at = end;
                // No name is shorter: most words need no look.
                if end - start >= 32
                    && let Some(inode) = self.by_name.get(&text[start..end])
                {
                    return Some((start..end, *inode));
                }
            }
            None
        })
    }
}

/// A process that is being looked into.
struct Process<'a> {
    dir: PathBuf,
    pid: u32,
    /// Its root directory, once it was asked for.
    root: Option<Option<File>>,
    envs: &'a Directories,
    denied: bool,
    found: &'a mut InUse,
}

impl Process<'_> {
    fn look(&mut self) {
        for name in ["cmdline", "environ", "maps"] {
            match fs::read(self.dir.join(name)) {
                Ok(text) => self.look_at(&text),
                Err(error) => self.denied |= error.kind() == ErrorKind::PermissionDenied,
            }
        }
        let mut links = vec![self.dir.join("exe"), self.dir.join("cwd"), self.dir.join("root")];
        links.extend(fs::read_dir(self.dir.join("fd")).into_iter().flatten().flatten().map(|entry| entry.path()));
        for link in links {
            if let Ok(target) = fs::read_link(link) {
                self.look_at(target.as_os_str().as_bytes());
            }
        }
    }

    /// Looks for paths of environments in a text.
    fn look_at(&mut self, text: &[u8]) {
        let envs = self.envs;
        for (name, inode) in envs.names_in(text) {
            let key = String::from_utf8_lossy(&text[name.clone()]).into_owned();
            if !self.found.by_name.contains_key(&key) && self.is_path_of(text, name, inode) {
                self.found.by_name.insert(key, self.pid);
            }
        }
    }

    /// Whether a name in a text ends the path of the environment with this inode. The text does not say where the path begins.
    fn is_path_of(&mut self, text: &[u8], name: std::ops::Range<usize>, inode: Inode) -> bool {
        let begin = text[..name.start].iter().rposition(|byte| [0, b'\n'].contains(byte)).map_or(0, |at| at + 1);
        let before = &text[begin..name.start];
        if before.ends_with(&self.envs.top) {
            return true;
        }
        // A relative path begins at the process's working directory.
        let relative = (before.first() != Some(&b'/')).then_some(begin);
        let slashes = before
            .iter()
            .enumerate()
            .filter(|(at, byte)| **byte == b'/' && (*at == 0 || b":= \"'\t@,(".contains(&before[at - 1])));
        let starts: Vec<usize> = slashes.map(|(at, _)| begin + at).chain(relative).collect();
        starts.into_iter().any(|start| {
            let path = Path::new(std::ffi::OsStr::from_bytes(&text[start..name.end]));
            self.inode_of(path) == Some(inode)
        })
    }

    /// Device and inode of what a path of this process leads to, with its links followed below its own root.
    fn inode_of(&mut self, path: &Path) -> Option<Inode> {
        if path.is_relative() {
            return inode(&fs::metadata(self.dir.join("cwd").join(path)).ok()?);
        }
        let dir = &self.dir;
        let root = self.root.get_or_insert_with(|| File::open(dir.join("root")).ok());
        let Some(root) = root else {
            // Not ours to look through: perhaps it has the same root.
            return inode(&fs::metadata(path).ok()?);
        };
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .mode(Mode::empty())
            .resolve(ResolveFlag::RESOLVE_IN_ROOT);
        match openat2(&*root, path, how) {
            Ok(found) => inode(&File::from(found).metadata().ok()?),
            Err(nix::errno::Errno::ENOSYS | nix::errno::Errno::EPERM) => {
                inode(&fs::metadata(self.dir.join("root").join(path.strip_prefix("/").ok()?)).ok()?)
            }
            Err(_) => None,
        }
    }

    /// Looks for environments, or parts of one, that are mounted under another name in the process's namespace of mounts.
    fn look_at_mounts(&mut self) {
        // proc(5): the fourth field is what is mounted, within its filesystem, the fifth where.
        let text = fs::read(self.dir.join("mountinfo")).unwrap_or_default();
        for line in text.split(|byte| *byte == b'\n') {
            let mut fields = line.split(|byte| *byte == b' ').skip(3);
            let (Some(mounted), Some(point)) = (fields.next(), fields.next()) else { continue };
            let envs = self.envs;
            for (name, (device, _)) in envs.names_in(mounted) {
                let key = String::from_utf8_lossy(&mounted[name]).into_owned();
                // The same device is enough: a part of an environment has an inode of its own, and another store's is kept for nothing.
                let path = Path::new(std::ffi::OsStr::from_bytes(point));
                // A path with a space is written with escapes: it is kept without a look.
                let is_here = point.contains(&b'\\') || self.inode_of(path).is_some_and(|(on, _)| on == device);
                if is_here {
                    self.found.by_name.entry(key).or_insert(self.pid);
                }
            }
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "ends a chain of `?`")]
fn inode(meta: &fs::Metadata) -> Option<Inode> {
    Some((meta.dev(), meta.ino()))
}

/// The environment whose lease file a descriptor leads to.
pub(super) fn leased(layout: &Layout, descriptor: &Path, target: &Path) -> Option<String> {
    let name: EnvName = target.parent()?.file_name()?.to_str()?.parse().ok()?;
    let (open, named) = (fs::metadata(descriptor).ok()?, fs::metadata(layout.lease(&name)).ok()?);
    crate::fs::lock::is_same_inode(&open, &named).then(|| name.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_wherever_a_path_may_end() {
        let name = "a".repeat(32);
        let by_name = HashMap::from([(name.clone().into_bytes(), (1, 2)), (format!("{name}.1").into_bytes(), (1, 3))]);
        let envs = Directories { top: b"/s/envs/".to_vec(), by_name };
        let found = |text: &str| envs.names_in(text.as_bytes()).map(|(_, (_, number))| number).collect::<Vec<_>>();
        assert_eq!(found(&format!("/s/envs/{name}/bin:/s/envs/{name}.1/bin\0X={name}")), [2, 3, 2]);
        assert_eq!(found(&format!("/s/trash/{name}-0123 {name}b")), [2], "another directory's inode is not the same");
        assert!(found("").is_empty());
    }
}
