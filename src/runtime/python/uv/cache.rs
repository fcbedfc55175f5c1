//! What uv keeps in its cache of artifacts that the store has as components.
//!
//! Only uv takes its cache apart: what lies there refers to each other, and it fails over a piece that is missing.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use uv_normalize::PackageName;

use crate::error::Result;
use crate::fs::remove::remove_tree;
use crate::fs::size::own_bytes;
use crate::process::{self, Limits, Log};
use crate::runtime::python::tool::{self, Tool};
use crate::store::runtime::Upkeep;

/// About how many bytes [`trim`] frees: unpacked wheels and built sources of known distributions.
pub(crate) fn trimmable(upkeep: &Upkeep<'_>) -> u64 {
    let mut bytes = 0;
    for bucket in children(&upkeep.cache.join("uv")).iter().flat_map(|cache| children(cache)) {
        let name = file_name(&bucket);
        if name.starts_with("archive-v") {
            let archives = children(&bucket);
            let known = archives.iter().filter(|path| unpacked(path).is_some_and(|name| upkeep.known.contains(&name)));
            bytes += known.map(|path| own_bytes(path)).sum::<u64>();
        } else if name.starts_with("sdists-v") {
            let projects = children(&bucket).into_iter().flat_map(|index| children(&index));
            bytes += projects
                .filter(|path| upkeep.known.contains(file_name(path)))
                .map(|path| own_bytes(&path))
                .sum::<u64>();
        }
    }
    bytes
}

/// Makes uv forget known distributions, and whatever nothing in its cache refers to. Caches of other versions of uv go: nobody reads
/// them.
pub(crate) fn trim(upkeep: &Upkeep<'_>) -> Result<()> {
    let tool = tool::find(upkeep.settings, upkeep.tools, upkeep.cancel)?;
    for cache in children(&upkeep.cache.join("uv")) {
        match tool.as_ref().filter(|tool| tool.version == file_name(&cache)) {
            None => drop(remove_tree(&cache)?),
            Some(tool) => {
                let known = upkeep.known.iter().map(OsString::from);
                let clean: Vec<OsString> = std::iter::once("clean".into()).chain(known).collect();
                for arguments in [clean, vec!["prune".into()]] {
                    run(tool, &cache, &arguments, upkeep)?;
                }
            }
        }
    }
    Ok(())
}

fn run(tool: &Tool, cache: &Path, arguments: &[OsString], upkeep: &Upkeep<'_>) -> Result<()> {
    let install = &upkeep.settings.install;
    let mut command = Command::new(&tool.path);
    command.arg("cache").args(arguments).env_clear().current_dir("/");
    command.args(["--no-config", "--no-progress", "--color", "never", "--cache-dir"]).arg(cache);
    let limits = Limits::starting_now(install.timeout, install.silence_timeout);
    let log = Log::memory();
    let finished = process::run(command, "trimming uv's cache", &log, limits, upkeep.cancel, None)?;
    if !finished.status.success() {
        tracing::warn!(said = log.tail().join("; "), "uv did not trim its cache");
    }
    Ok(())
}

/// The distribution of an unpacked wheel, by its `*.dist-info`.
fn unpacked(archive: &Path) -> Option<String> {
    let children = children(archive);
    let info = children.iter().find_map(|path| file_name(path).strip_suffix(".dist-info"))?;
    Some(PackageName::from_str(info.split_once('-')?.0).ok()?.to_string())
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}
