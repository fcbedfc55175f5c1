//! `export`: a pack's lock as a file that other tools take.

mod cyclonedx;

use super::Store;
use super::report::{Exported, Format};
use crate::error::{Error, Result};
use crate::index::{bindings, envs};
use crate::pack::PackRef;

impl Store {
    /// The lock of the environment a pack is bound to. No environment has to stand.
    ///
    /// # Errors
    /// [`Error::NoPack`]; [`Error::Corrupt`] if the lock's file is not what was written.
    pub fn export(&self, pack: &PackRef, format: Format) -> Result<Exported> {
        let bound = self.0.index.read("look up a binding", |db| bindings::resolve(db, pack))?;
        let bound = bound.ok_or_else(|| Error::NoPack(pack.clone()))?;
        let path = self.0.layout.lock(&bound.env.lock);
        let corrupt = |reason: String| Error::Corrupt { path: path.clone(), reason };
        let text = std::fs::read(&path).map_err(Error::io("read", &path))?;
        if bound.env.lock != blake3::hash(&text).into() {
            return Err(corrupt("its content is not the one it is named after".into()));
        }
        let text = String::from_utf8(text).map_err(|error| corrupt(error.to_string()))?;
        let runtime = self.runtime(bound.env.interpreter.identity.runtime)?;
        let text = match format {
            Format::Pylock => text,
            Format::Requirements => {
                let lock = runtime.read_lock(&text).map_err(corrupt)?;
                runtime.write_requirements(&lock, &bound.env.interpreter)
            }
            Format::Cyclonedx => {
                let lock = runtime.read_lock(&text).map_err(corrupt)?;
                let id = bound.env.id;
                let distributions = self.0.index.read("look up distributions", |db| envs::distributions(db, id))?;
                let billed = cyclonedx::Billed {
                    bound: &bound,
                    lock: &lock,
                    distributions: &distributions,
                    purl_type: runtime.purl_type(),
                };
                cyclonedx::write(&billed)
                    .map_err(|reason| corrupt(format!("it makes no bill of materials: {reason}")))?
            }
        };
        Ok(Exported { pack: pack.clone(), env: bound.env.key, generation: bound.generation, format, text })
    }
}
