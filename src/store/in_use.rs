//! Which environments running processes show signs of using, whatever became of their leases.
//!
//! A help, not a promise: a daemon that closed its descriptors is found by its command line, its memory maps or its `ENVSTORE_ENV`;
//! a process in another pid namespace, or one whose `/proc` entries another uid keeps to itself, is not.

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use memchr::memmem;

use crate::layout::Layout;

/// The environments that processes show signs of using, and one process for each.
#[derive(Debug, Default)]
pub struct InUse {
    /// Directory name to pid.
    pub by_name: HashMap<String, u32>,
    /// Processes that could not be looked into.
    pub unreadable: u64,
}

/// Looks through `/proc` once: about 0.1 ms a process.
pub fn scan(layout: &Layout) -> InUse {
    let mut prefix = layout.dir("envs").as_os_str().as_bytes().to_vec();
    prefix.push(b'/');
    let finder = memmem::Finder::new(&prefix);
    let mut found = InUse::default();
    let own = std::process::id();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if pid == own {
            continue;
        }
        let mut denied = false;
        for text in signs(&entry.path(), &mut denied) {
            for at in finder.find_iter(&text) {
                let name = text[at + prefix.len()..].split(|b| !b.is_ascii_alphanumeric() && *b != b'.').next();
                if let Some(Ok(name)) = name.map(std::str::from_utf8) {
                    found.by_name.entry(name.to_owned()).or_insert(pid);
                }
            }
        }
        found.unreadable += u64::from(denied);
    }
    found
}

fn signs(process: &Path, denied: &mut bool) -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    for name in ["cmdline", "environ", "maps"] {
        match fs::read(process.join(name)) {
            Ok(text) => texts.push(text),
            Err(error) => *denied |= error.kind() == std::io::ErrorKind::PermissionDenied,
        }
    }
    let mut links = vec![process.join("exe"), process.join("cwd"), process.join("root")];
    links.extend(fs::read_dir(process.join("fd")).into_iter().flatten().flatten().map(|entry| entry.path()));
    for link in links {
        if let Ok(target) = fs::read_link(link) {
            let mut target = target.into_os_string().into_encoded_bytes();
            target.push(b'/');
            texts.push(target);
        }
    }
    texts
}
