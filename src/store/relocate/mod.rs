//! `relocate`: makes every environment of a moved or copied store again for the path where the store is now.
//!
//! The files of an environment are objects, and those that name its path are objects in placeholder form; so the manifest and the objects are
//! enough to publish the same environment in a new directory, without network or installer. Keys, generations, pins and retained
//! environments stay. An environment whose binaries hold the old path (host-bound), or whose objects or interpreter are gone, is
//! reported, and packs bound to it need `ensure --rebuild`.
//!
//! # Durability
//! `store.json` first says that a relocation is under way: from then on every process refuses the store with `moved_store`, wherever it is moved
//! next. Each environment is published as a build is. A process that dies leaves some environments made again; the next run
//! makes the others. `store.json` says last that the store is at its place.

mod links;
mod publish;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::identity::{self, Neighbor, Place};
use super::report::{Collected, NotRelocated, Relocated};
use super::{Store, create, reindex};
use crate::cancel::Cancel;
use crate::error::{Error, Kind, Result};
use crate::failpoint::reached;
use crate::index::{self, EnvRow, State, bindings, envs, events, sql};
use crate::layout::Layout;
use crate::manifest::Manifest;
use crate::pack::PackRef;
use crate::store_file::StoreFile;

/// How the store came to its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relocation {
    /// It was moved here: this is the same store, and its links are pointed at the new environments.
    Moved,
    /// It is still there, and this is a copy: it gets an id of its own and drops the links that lead into the original.
    Copied,
}

impl Relocation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Moved => "moved",
            Self::Copied => "copied",
        }
    }
}

impl Store {
    /// Makes every environment again for the path where the store is. Nothing is done to a store that is where its environments say. Open the store again afterwards.
    ///
    /// If nothing is `wanted`, the store counts as moved, unless a store with its id is at a former path.
    ///
    /// # Errors
    /// [`Error::Sealed`]; [`Error::NotPermitted`] where this process may not write, and where `wanted` contradicts a relocation that was stopped here;
    /// [`Error::MovedOrCopied`] where a former path holds a store with this id and nothing is `wanted`; [`Error::NoSpace`] before anything is made. An
    /// environment that cannot be made again is no error but part of the report.
    pub fn relocate(
        &self,
        wanted: Option<Relocation>,
        progress: &(dyn Fn(&str) + Sync),
        cancel: &Cancel,
    ) -> Result<Relocated> {
        let started = Instant::now();
        if self.0.sealed {
            return Err(Error::Sealed { what: "relocate the store".into() });
        }
        self.require_owner("relocate the store")?;
        let mut report = Relocated { path: self.root().to_owned(), ..Relocated::default() };
        if matches!(self.0.place, Place::Home { .. }) {
            return Ok(report);
        }
        create::check_new_path(self.root())?;
        let moved = self.elsewhere()?;
        self.require_room_for(&moved)?;
        let store = self.begin(wanted)?;
        report.from = store.relocating_from.clone();
        report.is_copy = store.former_id.is_some();
        report.changed = true;
        let packs = self.packs_by_environment()?;
        let total = moved.len();
        for (done, env) in moved.into_iter().enumerate() {
            cancel.check("relocating")?;
            progress(&format!("relocating environment {} of {total}", done + 1));
            match self.publish_here(&env, cancel) {
                Ok(bytes) => {
                    report.environments += 1;
                    report.written_bytes += bytes;
                }
                Err(error) if matches!(error.kind(), Kind::Corrupt | Kind::NoInterpreter) => {
                    let packs = packs.get(&env.id).cloned().unwrap_or_default();
                    report.not_relocated.push(NotRelocated { env: env.key, packs, reason: error.explained() });
                    self.put_out_of_use(&env)?;
                }
                // A full disk or a busy index says nothing of the environment: the next run goes on here.
                Err(error) => return Err(error),
            }
        }
        self.settle_links(&store, &mut report)?;
        let all = self.0.index.read("list environments", envs::all)?;
        let is_former =
            |env: &&EnvRow| env.state == State::Corrupt && identity::names_elsewhere(&self.0.layout, &env.name);
        let former: Vec<&EnvRow> = all.iter().filter(is_former).collect();
        // One that is in use or cannot be deleted is left for the collector.
        self.collect_at_once(&former, cancel, &mut Collected::default())?;
        self.end(&store)?;
        report.elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(report)
    }

    /// The environments that name another path and that something may still use.
    fn elsewhere(&self) -> Result<Vec<EnvRow>> {
        let all = self.0.index.read("list environments", envs::all)?;
        let is_usable = |env: &EnvRow| matches!(env.state, State::Ready | State::Condemned);
        // One that names nothing is damaged, or was made for another path: it is made again too.
        let is_elsewhere = |env: &EnvRow| !identity::names_this_root(&self.0.layout, &env.name);
        let mut elsewhere: Vec<EnvRow> = all.into_iter().filter(|env| is_usable(env) && is_elsewhere(env)).collect();
        // Of several of one key the ready one answers; the others find that when their turn comes.
        elsewhere.sort_by_key(|env| env.state != State::Ready);
        Ok(elsewhere)
    }

    fn packs_by_environment(&self) -> Result<HashMap<i64, Vec<PackRef>>> {
        let mut packs: HashMap<i64, Vec<PackRef>> = HashMap::new();
        for bound in self.0.index.read("list packs", bindings::list)? {
            packs.entry(bound.env.id).or_default().push(bound.pack.pack);
        }
        Ok(packs)
    }

    /// Writes down that a relocation is under way, unless an earlier one was stopped here.
    fn begin(&self, wanted: Option<Relocation>) -> Result<StoreFile> {
        let layout = &self.0.layout;
        let _index = reindex::exclusive(layout)?;
        let mut store = self.store_file()?;
        let named = match &self.0.place {
            Place::View { named } | Place::Moved { named } => named.clone(),
            Place::Home { .. } => return Ok(store),
        };
        let is_resumed = !store.relocating_from.is_empty() && store.root.as_deref() == Some(self.root());
        if is_resumed {
            let begun = if store.former_id.is_some() { Relocation::Copied } else { Relocation::Moved };
            if wanted.is_some_and(|wanted| wanted != begun) {
                let reason =
                    format!("it was begun as that of a store that was {}; run it without options", begun.as_str());
                return Err(Error::NotPermitted { what: "change how the relocation goes on".into(), reason });
            }
            return Ok(store);
        }
        if wanted.map_or_else(|| self.how_it_came(&named, &store), Ok)? == Relocation::Copied {
            store.former_id = Some(std::mem::replace(&mut store.id, create::new_id(self.root())?));
        }
        let former = store.root.replace(self.root().to_owned()).unwrap_or_else(|| named.clone());
        for path in store.also_named.split_off(0).into_iter().chain([former, named]) {
            if path != self.root() && !store.relocating_from.contains(&path) {
                store.relocating_from.push(path);
            }
        }
        store.write(layout)?;
        Ok(store)
    }

    /// Whether the store was moved or copied, as far as its former paths tell.
    fn how_it_came(&self, named: &Path, store: &StoreFile) -> Result<Relocation> {
        let former = store.relocating_from.iter().chain(&store.root).chain(&store.also_named);
        let mut others = former.map(PathBuf::as_path).chain([named]).filter(|path| !self.is_same_place(path));
        match others.find(|path| identity::neighbor(path, store) == Neighbor::Same) {
            None => Ok(Relocation::Moved),
            Some(other) => Err(Error::MovedOrCopied { path: self.root().to_owned(), named: other.to_owned() }),
        }
    }

    pub(super) fn is_same_place(&self, path: &Path) -> bool {
        identity::is_same_directory(path, self.root())
    }

    /// Writes down that the store is at its place.
    fn end(&self, store: &StoreFile) -> Result<()> {
        let (layout, op) = (&self.0.layout, "belong to a copy");
        // While `former_id` stands, the index may carry either id.
        self.0.index.write(op, |tx| index::set_store(tx, &store.id).map_err(sql(op)))?;
        reached("relocate: before store.json")?;
        let _index = reindex::exclusive(layout)?;
        let store = StoreFile { relocating_from: Vec::new(), former_id: None, ..self.store_file()? };
        if !self.elsewhere()?.is_empty() {
            let what = "an environment that another command brought back meanwhile".into();
            return Err(Error::Busy { what, holder: None });
        }
        store.write(layout)
    }

    /// An environment that cannot be made again here must answer for nothing.
    fn put_out_of_use(&self, env: &EnvRow) -> Result<()> {
        let op = "mark an environment";
        self.0.index.write(op, |tx| {
            envs::set_state(tx, env.id, &[State::Ready, State::Condemned], State::Corrupt).map(drop).map_err(sql(op))
        })
    }

    /// Notes that another row answers for what an environment was used for.
    fn note_relocated(&self, env: &EnvRow) -> Result<()> {
        let op = "note a relocation";
        let key = env.key.to_string();
        self.0.index.write(op, |tx| {
            envs::set_state(tx, env.id, &[State::Ready, State::Condemned], State::Corrupt).map_err(sql(op))?;
            events::event(tx, self.0.clock.now(), "relocated", None, None, (Some(&key), Some(&key))).map_err(sql(op))
        })
    }

    /// Refuses to begin where the disk cannot take the new directories beside the old ones.
    fn require_room_for(&self, moved: &[EnvRow]) -> Result<()> {
        let mode = self.link_mode()?;
        let manifests = moved.iter().filter_map(|env| Manifest::read(&self.0.layout.manifest(&env.name)).ok());
        let need = manifests
            .map(|manifest| publish::need(&manifest, mode))
            .fold((0, 0), |(bytes, inodes), need| (bytes + need.bytes, inodes + need.inodes));
        self.require_free(need.0, need.1, &format!("relocating {} environments", moved.len()))
    }
}

/// Paths are compared as they were recorded: both are canonical.
fn is_below(target: &Path, root: &Path) -> bool {
    target.starts_with(Layout::new(root).dir("envs"))
}

/// The directory a link leads to, if it is a link.
fn target(link: &Path) -> Option<PathBuf> {
    std::fs::read_link(link).ok()
}
