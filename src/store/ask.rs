//! `ask`: the environment of a pack, for a command that asks this one thing and ends, or becomes an action.
//!
//! What another such command was answered, and still holds, is the answer ([`Answers`]): the index is not opened. Else it is what [`Store::resolve`]
//! says, which the owner keeps for the next one.

use std::ffi::OsStr;
use std::process::Command;

use super::Store;
use super::open::{Builder, Found};
use super::report::Resolved;
use super::resolve::{self, EnvHandle};
use crate::answers::{Answer, Answers};
use crate::epoch::{Sample, Slot};
use crate::error::Result;
use crate::failpoint::reached;
use crate::fs::lock::Mode;
use crate::guard::Guard;
use crate::layout::Layout;
use crate::lease::Lease;
use crate::pack::PackRef;
use crate::store_file::StoreFile;

/// The environment a pack is bound to, leased.
#[derive(Debug)]
pub(crate) struct Answered {
    /// What there is to know of it.
    pub resolved: Resolved,
    lease: Lease,
}

impl Answered {
    /// [`EnvHandle::activate`].
    pub fn activate(&self, command: &mut Command, path: Option<&OsStr>) {
        resolve::activate(&self.resolved.path, command, path);
    }

    /// [`EnvHandle::leave_lease_open_for_exec`].
    pub fn leave_lease_open_for_exec(&self) -> Result<()> {
        self.lease.leave_open_for_exec()
    }
}

/// What a store that is asked about one pack has to say.
#[derive(Debug)]
pub(crate) enum Asked {
    /// The answer, and the store's id.
    Known(String, Answered),
    /// The index has to be asked ([`Store::answer`]).
    Open(Store),
}

impl Builder {
    /// [`Builder::open`], unless that is not needed to answer for this pack.
    ///
    /// # Errors
    /// Those of [`Builder::open`]; [`crate::Error::Busy`] when a collector holds the environment for longer than 10 s.
    pub(crate) fn ask(self, pack: &PackRef) -> Result<Asked> {
        let found = self.find()?;
        found.place.require_home(found.layout.root())?;
        match known(&found, pack)? {
            Some(answered) => Ok(Asked::Known(found.store.id, answered)),
            None => self.asks_once(true).open_found(found).map(Asked::Open),
        }
    }
}

/// An answer that was kept, leased, if it still holds.
fn known(found: &Found, pack: &PackRef) -> Result<Option<Answered>> {
    let Found { layout, store, epoch: Some(epoch), boot: Some(boot), .. } = found else { return Ok(None) };
    let Some(counter) = epoch.sample(Slot::of(pack.as_str())) else { return Ok(None) };
    let answers = Answers::of(layout, &store.id, boot, counter.incarnation());
    let answer = answers.and_then(|answers| answers.get(pack, counter.slot(), counter.value()));
    let Some(answer) = answer else { return Ok(None) };
    let Some(lease) = Lease::acquire(&layout.lease(&answer.name))? else { return Ok(None) };
    // Bound to it after the lock as well: then it was not condemned (I4).
    Ok(counter.is_current().then(|| Answered { resolved: resolved(answer, layout), lease }))
}

fn resolved(answer: Answer, layout: &Layout) -> Resolved {
    let Answer { pack, name, env, generation, cause, stale, interpreter, stamp } = answer;
    let path = layout.env(&name);
    let interpreter_changed = !stamp.is_still_of(&interpreter);
    Resolved {
        pack,
        env,
        interpreter: resolve::interpreter(&path),
        path,
        generation,
        cause,
        stale,
        interpreter_changed,
    }
}

impl Store {
    /// [`Store::resolve`], and what it says is kept for whoever asks next.
    pub(crate) fn answer(&self, pack: &PackRef) -> Result<Answered> {
        // Both before the query: every later change makes them invalid.
        let counter = self.counter(pack).filter(Sample::is_settled);
        let kept = counter.as_ref().zip(self.0.boot.as_ref()).and_then(|(counter, boot)| {
            Answers::of(&self.0.layout, &self.0.id, boot, counter.incarnation()).zip(Some(counter))
        });
        let handle = self.resolve(pack)?;
        if let Some((answers, counter)) = kept {
            self.keep_answer(&answers, &answer(&handle), counter);
        }
        Ok(Answered { resolved: handle.summary(), lease: handle.into_lease()? })
    }

    /// Caches an answer unless the index is being rebuilt or the store was sealed since it was opened: like each write to the index, it holds
    /// `guards/index` shared, and reads `store.json` under it.
    fn keep_answer(&self, answers: &Answers, answer: &Answer, counter: &Sample) {
        let layout = &self.0.layout;
        if reached("answers: before one is kept").is_err() {
            return;
        }
        let Ok(Some(_guard)) = Guard::try_take(&layout.guard_index(), Mode::Shared) else { return };
        if StoreFile::read(layout).is_ok_and(|store| store.is_some_and(|store| !store.sealed)) {
            answers.keep(answer, counter.slot(), counter.value());
        }
    }
}

fn answer(handle: &EnvHandle) -> Answer {
    let bound = handle.bound();
    Answer {
        pack: bound.pack.pack.clone(),
        name: bound.env.name.clone(),
        env: bound.env.key,
        generation: bound.generation,
        cause: bound.cause,
        stale: bound.is_stale(),
        interpreter: bound.env.interpreter.path.clone(),
        stamp: bound.env.interpreter.stamp,
    }
}
