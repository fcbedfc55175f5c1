//! The one place where the command line meets the store.

use std::sync::Arc;

use super::args;
use super::context::Context;
use super::effect::Effect;
use super::failure::Failure;
use super::owner;
use crate::cancel::Cancel;
use crate::error::Error;
use crate::pack::PackRef;
use crate::runtime::python::{Python, venv};
use crate::settings::Settings;
use crate::spec::Spec;
use crate::store::ask::{Answered, Asked};
use crate::store::report::Ensured;
use crate::store::{Builder, Ensure, EnsureError, ShareWith};
pub use crate::store::{Gc, Rollback, Store};

/// How `ensure` is to be done, beside the declaration.
#[derive(Debug, Clone, Default)]
pub struct How {
    /// Where `sync` found the declaration.
    pub origin: Option<std::path::PathBuf>,
    /// Lock again.
    pub upgrade: bool,
    /// With `upgrade`: only these distributions.
    pub only: Vec<String>,
    /// Build again.
    pub rebuild: bool,
    /// Prefer the versions of this virtual environment.
    pub like: Option<std::path::PathBuf>,
}

/// What is told while `ensure` works: what is being done, e.g. `installing 12 packages`.
pub type OnPhase = Arc<dyn Fn(&str) + Send + Sync>;

/// Why `ensure` failed, and the environment the pack keeps.
#[derive(Debug)]
pub struct NotEnsured {
    /// Why.
    pub error: Error,
    /// What it keeps.
    pub kept: Option<Box<Ensured>>,
}

/// Opens the store for a command that works with what is there.
pub fn open(context: &Context, settings: Settings) -> Result<Store, Failure> {
    opened(context, builder(context, settings)?)
}

/// Opens the store; where `store.json` was lost it is written again first.
pub fn open_or_restore(context: &Context, settings: Settings) -> Result<Store, Failure> {
    opened(context, builder(context, settings)?.restore(true))
}

/// The environment of a pack, for a command that asks this and nothing else.
pub fn ask(context: &Context, pack: &PackRef) -> Result<Answered, Failure> {
    match builder(context, Settings::default())?.ask(pack)? {
        Asked::Known(store_id, answered) => {
            context.out.set_store(&store_id);
            Ok(answered)
        }
        Asked::Open(store) => Ok(announced(context, store).answer(pack)?),
    }
}

/// Opens the store for a command that most often asks one question.
pub fn open_to_ask(context: &Context, settings: Settings) -> Result<Store, Failure> {
    opened(context, builder(context, settings)?.asks_once(true))
}

/// Opens the store, and creates it if it is not there. `asks_once`: most often nothing is written.
pub fn open_or_create(
    context: &Context,
    settings: Settings,
    share_with: Option<args::ShareWith>,
    asks_once: bool,
) -> Result<Store, Failure> {
    let share_with = match share_with {
        None => ShareWith::default(),
        Some(args::ShareWith::Group) => ShareWith::Group,
        Some(args::ShareWith::All) => ShareWith::All,
    };
    opened(context, builder(context, settings)?.create(true).share_with(share_with).asks_once(asks_once))
}

fn builder(context: &Context, settings: Settings) -> Result<Builder, Failure> {
    let root = context.root()?.path;
    let is_read_only = context.read_only().is_some();
    let effect = match context.effect {
        // What is written outside is written all the same.
        Effect::WritesOutside => Effect::WritesOutside,
        _ if is_read_only => Effect::Reads,
        effect => effect,
    };
    let settings = owner::prepare(effect, &root, settings)?;
    let python = Arc::new(Python::new(&settings));
    // A command asks for each pack once. Kept handles would be a descriptor for each of them.
    let builder = Store::builder(root).handles(0);
    Ok(builder.runtime(python).settings(settings).read_only(is_read_only))
}

fn opened(context: &Context, builder: Builder) -> Result<Store, Failure> {
    Ok(announced(context, builder.open()?))
}

/// Tells of a store that was opened.
fn announced(context: &Context, store: Store) -> Store {
    context.out.set_store(store.id());
    if let Some(recovered) = store.recovered() {
        let lost = recovered.lost.as_deref().unwrap_or("the index was lost or damaged");
        context.out.warn(&format!(
            "{lost}; it was rebuilt from the store's files: {} packs, {} environments",
            recovered.packs, recovered.environments
        ));
    }
    store
}

/// Ensures a pack: by a declaration, or by the recorded one.
pub fn ensure(
    store: &Store,
    pack: &PackRef,
    spec: Option<Spec>,
    how: &How,
    on_phase: OnPhase,
    cancel: &Cancel,
) -> Result<Ensured, NotEnsured> {
    let like = how.like.as_deref().map(venv::versions).transpose().map_err(|error| NotEnsured { error, kept: None })?;
    let ask = spec
        .map_or_else(Ensure::recorded, Ensure::new)
        .origin(how.origin.clone())
        .upgrade(how.upgrade)
        .upgrade_only(how.only.clone())
        .rebuild(how.rebuild)
        .like(like)
        // Who asks by hand may have mended what failed a minute ago.
        .retry_failed(true)
        .on_progress(on_phase);
    let ready = store.ensure(pack, &ask, cancel);
    ready.map(|ready| ready.report).map_err(|EnsureError { error, kept }| NotEnsured { error, kept })
}
