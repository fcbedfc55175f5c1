//! `pin` and `unpin`: a person's name for an environment keeps it.

use jiff::Timestamp;

use super::Store;
use super::inspect::What;
use super::report::{Pinned, Unpinned};
use crate::error::{Error, Result};
use crate::index::roots::{self, PinRoot};
use crate::index::{State, envs, events, sql};
use crate::pack::PackRef;
use crate::pin::{PinFile, VERSION};

impl Store {
    /// Keeps the environment that a pack is bound to now, or an environment by the beginning of its key, under a name. A
    /// name that is in use moves. The name follows the rules of a pack's.
    ///
    /// # Errors
    /// [`Error::NoPack`], [`Error::NoEnv`], also when it was collected meanwhile.
    pub fn pin(&self, name: &PackRef, what: &What, until: Option<Timestamp>) -> Result<Pinned> {
        self.require_owner("pin an environment")?;
        let env = self.find(what)?;
        let now = self.0.clock.now();
        let op = "pin an environment";
        let key = env.key.to_string();
        let env = self.0.index.write(op, |tx| {
            // A condemned environment is taken back. If it was made again meanwhile, the new one is pinned.
            let env = if envs::take_back(tx, env.id).map_err(sql(op))? {
                env
            } else {
                let other = envs::by_key(tx, &env.key).map_err(sql(op))?.filter(|other| other.state == State::Ready);
                other.ok_or_else(|| Error::NoEnv(format!("env:{key}")))?
            };
            let pin = PinRoot { name: name.as_str().into(), at: now, until };
            roots::set_pin(tx, env.id, &pin).map_err(sql(op))?;
            events::event(tx, now, "pinned", None, Some(name.as_str()), (None, Some(&key))).map_err(sql(op))?;
            // Before the commit: an index that is lost afterwards finds it.
            PinFile { version: VERSION, name: pin.name, key: env.key, at: now, until }.write(&self.0.layout)?;
            Ok(env)
        })?;
        Ok(Pinned { name: name.as_str().into(), env: env.key, path: self.0.layout.env(&env.name), until })
    }

    /// Takes a pin away. What only it kept is collected by the next [`Store::gc`].
    ///
    /// # Errors
    /// [`Error::NoPin`].
    pub fn unpin(&self, name: &PackRef) -> Result<Unpinned> {
        self.require_owner("take a pin away")?;
        let now = self.0.clock.now();
        let op = "take a pin away";
        self.0.index.write(op, |tx| {
            // The environment of a pin may be gone with the index: then only its file is there.
            let is_file = self.0.layout.pin(name.as_str()).exists();
            if !roots::remove_pin(tx, name.as_str()).map_err(sql(op))? && !is_file {
                return Err(Error::NoPin(name.as_str().into()));
            }
            events::event(tx, now, "unpinned", None, Some(name.as_str()), (None, None)).map_err(sql(op))?;
            PinFile::remove(&self.0.layout, name.as_str())
        })?;
        Ok(Unpinned { name: name.as_str().into() })
    }
}
