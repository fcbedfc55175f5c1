//! `why`: what keeps an environment, and what would be free without it.

use super::inspect::What;
use super::report::{Root, RootKind, Why};
use super::{Store, running};
use crate::error::Result;
use crate::index::roots;

impl Store {
    /// Every root of the environment that a pack is bound to, or of one by the beginning of its key.
    ///
    /// Weighs the store, as [`Store::du`] does, to say what only this environment holds.
    ///
    /// # Errors
    /// [`Error::NoPack`](crate::Error::NoPack), [`Error::NoEnv`](crate::Error::NoEnv).
    pub fn why(&self, what: &What) -> Result<Why> {
        let env = self.find(what)?;
        let (bindings, pins, links) = self.0.index.read("look up what names an environment", |db| {
            Ok((roots::bindings_of(db, env.id)?, roots::pins_of(db, env.id)?, roots::links(db, None)?))
        })?;
        let mut all: Vec<Root> = Vec::new();
        for binding in bindings {
            let kind = if binding.current { RootKind::Binding } else { RootKind::Generation };
            let (generation, since) = (Some(binding.generation), Some(binding.at));
            all.push(Root { generation, since, ..Root::new(kind, binding.pack.as_str()) });
        }
        for pin in pins {
            all.push(Root { since: Some(pin.at), until: pin.until, ..Root::new(RootKind::Pin, &pin.name) });
        }
        for link in links.into_iter().filter(|link| link.env == env.id) {
            all.push(Root { since: Some(link.at), ..Root::new(RootKind::Link, &link.path.to_string_lossy()) });
        }
        for process in running::by_env(&self.0.layout).remove(env.name.as_str()).unwrap_or_default() {
            let kind = if process.leased { RootKind::Lease } else { RootKind::Process };
            all.push(Root { pid: Some(process.pid), since: process.since, ..Root::new(kind, &process.command) });
        }
        let usage = self.du()?.by_env.into_iter().find(|usage| usage.env == env.key);
        Ok(Why {
            env: env.key,
            path: self.0.layout.env(&env.name),
            state: env.state,
            bytes: env.bytes,
            unique_bytes: usage.map_or(0, |usage| usage.unique_bytes),
            roots: all,
        })
    }
}
