//! `seal` and `unseal`: a store that takes no changes, for images and read-only mounts.
//!
//! Whoever opens a sealed store reads the database as a file that nobody changes: no lock, no log, no shared memory, no write at all. Before
//! `store.json` says so the log is emptied into the database, and nothing is under way; a process that was open before finds out at its next
//! write, and one that was open while it was sealed at its next read after `unseal`.

use std::path::PathBuf;

use super::report::Sealing;
use super::{Store, access, reindex};
use crate::error::{Error, Result};
use crate::fs::lock::Mode;
use crate::fs::{durable, nofollow};
use crate::guard::Guard;
use crate::store_file::StoreFile;

impl Store {
    /// Seals the store. Nothing is done to one that is sealed.
    ///
    /// # Errors
    /// [`Error::Busy`] while something is built or collected, or read for longer than 30 s.
    pub fn seal(&self) -> Result<Sealing> {
        let layout = &self.0.layout;
        let sealed = |changed| Sealing { path: self.root().to_owned(), sealed: true, changed };
        if self.store_file()?.sealed {
            return Ok(sealed(false));
        }
        self.require_owner("seal the store")?;
        self.require_home()?;
        let _still = [layout.guard_gc(), layout.guard_cache(), layout.guard_objects()]
            .map(held_alone)
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        let _index = reindex::exclusive(layout)?;
        self.0.index.checkpoint()?;
        // Of no use to anybody from here on.
        let _ = nofollow::remove_file(&layout.answers());
        durable::sync_filesystem(self.root())?;
        StoreFile { sealed: true, ..self.store_file()? }.write(layout)?;
        Ok(sealed(true))
    }

    /// Lets a sealed store be changed again. Nothing is done to one that is not sealed.
    ///
    /// # Errors
    /// [`Error::NotPermitted`] where this process cannot write to it.
    pub fn unseal(&self) -> Result<Sealing> {
        let layout = &self.0.layout;
        let unsealed = |changed| Sealing { path: self.root().to_owned(), sealed: false, changed };
        let reason = if self.0.read_only {
            Some("it is opened read-only")
        } else if !access::may_write(layout)? {
            Some("this process cannot write to it")
        } else {
            None
        };
        if let Some(reason) = reason {
            return Err(Error::NotPermitted { what: "unseal the store".into(), reason: reason.into() });
        }
        if !self.store_file()?.sealed {
            return Ok(unsealed(false));
        }
        let _index = reindex::exclusive(layout)?;
        StoreFile { sealed: false, ..self.store_file()? }.write(layout)?;
        Ok(unsealed(true))
    }

    pub(super) fn store_file(&self) -> Result<StoreFile> {
        StoreFile::read(&self.0.layout)?.ok_or_else(|| Error::NoStore { path: self.root().to_owned() })
    }
}

fn held_alone(path: PathBuf) -> Result<Guard> {
    let guard = Guard::try_take(&path, Mode::Exclusive)?;
    let what = format!("`{}`", path.display());
    guard.ok_or_else(|| Error::Busy { what, holder: Guard::holder(&[path]).map(|holder| holder.to_string()) })
}
