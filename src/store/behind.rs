//! Whether the index knows everything that the files of packs, pins and links say.
//!
//! Each file is written before the transaction that makes the same change commits. So a file that says more than the index means that an older
//! `index.db` was put back, or that a process was killed between the two. It cannot be told which, so what the file names must not be
//! collected. `reindex` brings it back.
//!
//! # Performance
//! A full comparison reads each of the files. A writer compares the file of the pack that it changes.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{Connection, Transaction};

use super::finding::{Finding, Level};
use super::{Store, on_disk};
use crate::binding::{BindingFile, GenerationRecord};
use crate::digest::EnvKey;
use crate::error::{Error, Result};
use crate::index::roots::{self, PinRoot};
use crate::index::{Access, NewBinding, State, bindings, envs, sql};
use crate::layout::{EnvName, Layout};
use crate::pack::PackRef;
use crate::pin::Kept;

/// How many names a message has.
const NAMED: usize = 5;

/// How long a process that cannot keep others from writing waits before it looks again.
const PAUSE: Duration = Duration::from_millis(100);

/// What files know and the index does not.
#[derive(Debug, Default)]
pub(super) struct Behind {
    packs: Vec<PackRef>,
    pins: Vec<String>,
    links: Vec<PathBuf>,
    unreadable: Vec<Finding>,
    strays: Vec<Finding>,
}

impl Behind {
    /// Why nothing may be collected; none: the index knows everything.
    pub fn reason(&self) -> Option<String> {
        let packs = self.packs.iter().map(|pack| format!("pack `{pack}`"));
        let pins = self.pins.iter().map(|pin| format!("pin `{pin}`"));
        let links = self.links.iter().map(|link| format!("link `{}`", link.display()));
        let names: Vec<String> = packs.chain(pins).chain(links).collect();
        if let Some(first) = self.unreadable.first().filter(|_| names.is_empty()) {
            return Some(format!("it is not known what is bound or pinned: {}", first.message));
        }
        if names.is_empty() {
            return None;
        }
        let more = if names.len() > NAMED { format!(" and {} more", names.len() - NAMED) } else { String::new() };
        let named = names.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
        Some(format!(
            "the index does not know what the store's files say of {named}{more}: an older index was put back, or a command was killed"
        ))
    }

    /// What `doctor` says about it.
    pub fn findings(self) -> Vec<Finding> {
        let hint = "`envstore reindex` brings it back; nothing is collected until then";
        let behind = self.reason().map(|reason| Finding::new("index_behind", Level::Damage, reason).hint(hint));
        behind.into_iter().chain(self.unreadable).chain(self.strays).collect()
    }
}

impl Store {
    /// Compares the index with every file of packs, pins and links.
    pub(super) fn behind(&self) -> Result<Behind> {
        let op = "compare the index with the store's files";
        let layout = &self.0.layout;
        let compared = || {
            let (files, kept) = (on_disk::bindings(layout)?, on_disk::pins(layout)?);
            self.0.index.read(op, |db| compare(db, layout, &files, &kept))
        };
        let first = compared()?;
        if first.packs.is_empty() && first.pins.is_empty() && first.links.is_empty() {
            return Ok(first);
        }
        // A writer may have been between its file and its commit.
        if self.0.access == Access::Owner {
            return self.0.index.rehearse(op, |tx| {
                compare(tx, layout, &on_disk::bindings(layout)?, &on_disk::pins(layout)?).map_err(sql(op))
            });
        }
        std::thread::sleep(PAUSE);
        compared()
    }
}

fn compare(
    db: &Connection,
    layout: &Layout,
    files: &on_disk::Files<BindingFile>,
    kept: &on_disk::Files<Kept>,
) -> rusqlite::Result<Behind> {
    let mut behind = Behind {
        unreadable: files.unreadable.iter().chain(&kept.unreadable).cloned().collect(),
        strays: files.strays.iter().chain(&kept.strays).cloned().collect(),
        ..Behind::default()
    };
    for file in &files.found {
        if !knows(db, file)? {
            behind.packs.push(file.pack.clone());
        } else if file.current.is_some() && bindings::resolve(db, &file.pack)?.is_none() {
            // Lost with the index: no row remembers it.
            let message = format!("the environment of pack `{}` is gone", file.pack);
            let finding = Finding::new("environment_missing", Level::Damage, message);
            behind.strays.push(finding.hint(format!("`envstore ensure {}`", file.pack)));
        }
    }
    let pins = roots::pins(db)?;
    let links: HashSet<PathBuf> = roots::links(db, None)?.into_iter().map(|link| link.path).collect();
    for kept in &kept.found {
        match kept {
            Kept::Pin(pin) if !is_known(&pins, &pin.name, &pin.key) && !is_on_disk(layout, &pin.key) => {
                let message = format!("pin `{}` names an environment that is gone", pin.name);
                let hint = format!("`envstore unpin {}` takes it away", pin.name);
                behind.strays.push(Finding::new("pin_lost", Level::Warning, message).hint(hint));
            }
            Kept::Link(link) if !links.contains(&link.link) && !is_on_disk(layout, &link.key) => {
                let message = format!("link `{}` leads to an environment that is gone", link.link.display());
                let hint = format!("`envstore unlink {}` forgets it", link.link.display());
                behind.strays.push(Finding::new("link_lost", Level::Warning, message).hint(hint));
            }
            Kept::Pin(pin) if !is_known(&pins, &pin.name, &pin.key) => behind.pins.push(pin.name.clone()),
            Kept::Link(link) if !links.contains(&link.link) => behind.links.push(link.link.clone()),
            _ => {}
        }
    }
    Ok(behind)
}

/// Whether an environment of a key has a directory.
fn is_on_disk(layout: &Layout, key: &EnvKey) -> bool {
    let stem = key.stem();
    let listed = std::fs::read_dir(layout.dir("envs")).into_iter().flatten().flatten();
    let mut names = listed.filter_map(|entry| entry.file_name().to_str()?.parse::<EnvName>().ok());
    names.any(|name| name.stem() == stem)
}

fn is_known(pins: &[(PinRoot, EnvKey)], name: &str, key: &EnvKey) -> bool {
    pins.iter().any(|(pin, of)| pin.name == name && of == key)
}

/// Whether the index has every generation of a pack's file. Generations older than the index's oldest one were dropped and do not count.
pub(super) fn knows(db: &Connection, file: &BindingFile) -> rusqlite::Result<bool> {
    let Some(row) = bindings::find_pack(db, &file.pack)? else { return Ok(false) };
    let known: HashMap<u64, EnvKey> =
        bindings::history(db, row.id)?.into_iter().map(|past| (past.generation, past.key)).collect();
    let lowest = known.keys().min().copied().unwrap_or(0);
    let mut later = file.generations.iter().filter(|past| past.generation >= lowest);
    Ok(later.all(|past| known.get(&past.generation) == Some(&past.key)))
}

/// Whether the index has a generation of a pack that was written after all those of its file.
pub(super) fn is_later(db: &Connection, file: &BindingFile) -> rusqlite::Result<bool> {
    let Some(row) = bindings::find_pack(db, &file.pack)? else { return Ok(false) };
    let known = bindings::history(db, row.id)?.into_iter().map(|past| past.at).max();
    Ok(known > file.generations.iter().map(|past| past.at).max())
}

/// Brings back the generations of a pack that its file has and the index has not, before the file is written again. Returns the
/// newest of them.
pub(super) fn catch_up(
    tx: &Transaction<'_>,
    layout: &Layout,
    pack: &PackRef,
    id: i64,
) -> Result<Option<GenerationRecord>> {
    let op = "bring a pack's history back";
    let file = match BindingFile::read(&layout.binding(pack)) {
        Ok(file) if file.pack == *pack => file,
        Err(error @ Error::UnsupportedFormat { .. }) => return Err(error),
        // It is written again from what the index has.
        Ok(_) | Err(_) => return Ok(None),
    };
    let known: HashSet<u64> =
        bindings::history(tx, id).map_err(sql(op))?.into_iter().map(|past| past.generation).collect();
    let mut newest = None;
    for past in file.generations.into_iter().filter(|past| !known.contains(&past.generation)) {
        for spec in file.earlier.iter().chain([&file.spec]).filter(|spec| spec.digest() == past.answers) {
            bindings::keep_spec(tx, spec).map_err(sql(op))?;
        }
        let env = envs::by_key(tx, &past.key).map_err(sql(op))?.filter(|env| env.state == State::Ready);
        let new = NewBinding::of(&past, env.map(|env| env.id));
        bindings::add(tx, id, past.generation, &new).map_err(sql(op))?;
        newest = Some(past);
    }
    Ok(newest)
}
