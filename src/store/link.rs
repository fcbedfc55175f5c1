//! `link` and `unlink`: a symbolic link outside the store that follows a pack, for runners with paths of their own.
//!
//! The link's row names the environment it leads to and keeps it, whatever became of the pack. After each change of a binding the links
//! are pointed anew, one rename each; the row is written after that, so that what a link leads to always has a root. A process killed between
//! the two is made up for by the next change, and by each collection before it looks for garbage.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Store;
use super::report::{Linked, Unlinked};
use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::fs::durable;
use crate::fs::lock::Mode;
use crate::guard::Guard;
use crate::index::roots::{self, LinkRoot};
use crate::index::{EnvRow, bindings, envs, events, sql};
use crate::pack::PackRef;
use crate::pin::{LinkFile, VERSION};

const PATIENCE: Duration = Duration::from_secs(30);

impl Store {
    /// Makes a symbolic link that leads to a pack's environment from now on. A link that is there is taken over.
    ///
    /// # Errors
    /// [`Error::NoPack`]; [`Error::NotPermitted`] when something other than a symbolic link is there; [`Error::WithinStore`] for a path
    /// within a store.
    pub fn link(&self, pack: &PackRef, path: &Path) -> Result<Linked> {
        self.require_owner("link a pack")?;
        self.require_home()?;
        if !path.is_absolute() || path.to_str().is_none() {
            let reason = "its path must be absolute, and UTF-8".into();
            return Err(Error::NotPermitted { what: format!("make a link at `{}`", path.display()), reason });
        }
        self.require_link_outside(path)?;
        let _guard = self.guard_links()?;
        let bound = self.0.index.read("look up a binding", |db| bindings::resolve(db, pack))?;
        let bound = bound.ok_or_else(|| Error::NoPack(pack.clone()))?;
        let link = LinkRoot { path: path.into(), pack: pack.clone(), env: bound.env.id, at: self.0.clock.now() };
        self.keep_link(&link, &bound.env)?;
        let op = "note a link";
        self.0.index.write(op, |tx| {
            let (name, key) = (path.to_string_lossy(), bound.env.key.to_string());
            events::event(tx, link.at, "linked", Some(pack.as_str()), Some(&name), (None, Some(&key))).map_err(sql(op))
        })?;
        point(path, &self.0.layout.env(&bound.env.name))?;
        Ok(Linked { pack: pack.clone(), link: path.into(), env: bound.env.key })
    }

    /// Whether a link follows a pack and leads to its environment, so that [`Store::link`] would change nothing. Writes nothing.
    pub fn is_linked(&self, pack: &PackRef, path: &Path) -> Result<bool> {
        let found = self.0.index.read("look up links", |db| {
            let follows = roots::links(db, Some(pack))?.into_iter().find(|link| link.path == path);
            Ok(follows.zip(bindings::resolve(db, pack)?))
        })?;
        let leads_to = |env: &EnvRow| fs::read_link(path).is_ok_and(|target| target == self.0.layout.env(&env.name));
        Ok(found.is_some_and(|(link, bound)| link.env == bound.env.id && leads_to(&bound.env)))
    }

    /// Takes a link away.
    ///
    /// # Errors
    /// [`Error::NoLink`].
    pub fn unlink(&self, path: &Path) -> Result<Unlinked> {
        self.require_owner("take a link away")?;
        let _guard = self.guard_links()?;
        let op = "take a link away";
        let is_ours = fs::read_link(path).is_ok_and(|target| self.is_env_of_this_store(&target));
        self.0.index.write(op, |tx| {
            // The environment that it led to may be gone with the index: then only its file is there.
            let is_file = self.0.layout.link(path).exists();
            if !roots::remove_link(tx, path).map_err(sql(op))? && !is_file {
                return Err(Error::NoLink(path.into()));
            }
            let (now, name) = (self.0.clock.now(), path.to_string_lossy());
            events::event(tx, now, "unlinked", None, Some(&name), (None, None)).map_err(sql(op))?;
            // Something else may stand there by now: that stays.
            if is_ours {
                fs::remove_file(path).map_err(Error::io("remove", path))?;
            }
            LinkFile::remove(&self.0.layout, path)
        })?;
        Ok(Unlinked { link: path.into() })
    }

    /// Points the links of a pack, or of all, at what they follow. What cannot be pointed stays, and keeps what it leads to.
    pub(super) fn follow_links(&self, pack: Option<&PackRef>) -> Result<()> {
        // The links of a moved store may be the original's by now: `relocate` decides.
        if self.is_moved() || self.0.index.read("look up links", |db| roots::links(db, pack))?.is_empty() {
            return Ok(());
        }
        let _guard = self.guard_links()?;
        for link in self.0.index.read("look up links", |db| roots::links(db, pack))? {
            if let Err(error) = self.follow(&link) {
                tracing::warn!(%error, link = %link.path.display(), "a link does not follow its pack");
            }
        }
        Ok(())
    }

    fn follow(&self, link: &LinkRoot) -> Result<()> {
        let env = self.0.index.read("look up what a link follows", |db| {
            let bound = bindings::resolve(db, &link.pack)?.map(|bound| bound.env);
            // Its pack was removed: it stays where it leads.
            bound.map_or_else(|| envs::by_id(db, link.env), |env| Ok(Some(env)))
        })?;
        let Some(env) = env else { return Ok(()) };
        let target = self.0.layout.env(&env.name);
        let now = fs::read_link(&link.path).ok();
        if now.as_ref() == Some(&target) && env.id == link.env {
            return Ok(());
        }
        if let Some(now) = now.filter(|now| !self.is_env_of_this_store(now)) {
            let reason = format!(
                "it leads to `{}` by now, which is not in this store; `envstore unlink` forgets it",
                now.display()
            );
            return Err(Error::NotPermitted {
                what: format!("point `{}` at `{}`", link.path.display(), target.display()),
                reason,
            });
        }
        // A link of an earlier release may be within a store.
        self.require_link_outside(&link.path)?;
        point(&link.path, &target)?;
        self.keep_link(&LinkRoot { env: env.id, ..link.clone() }, &env)
    }

    fn keep_link(&self, link: &LinkRoot, env: &EnvRow) -> Result<()> {
        let op = "note a link";
        let (path, pack) = (link.path.clone(), link.pack.clone());
        self.0.index.write(op, |tx| {
            roots::set_link(tx, link).map_err(sql(op))?;
            // Before the commit: an index that is lost afterwards finds it.
            LinkFile { version: VERSION, link: path, pack, key: env.key, at: link.at }.write(&self.0.layout)
        })
    }

    /// The link itself is replaced and not followed: its directory counts.
    fn require_link_outside(&self, path: &Path) -> Result<()> {
        self.require_outside(&format!("make a link at `{}`", path.display()), path.parent().unwrap_or(path))
    }

    pub(super) fn guard_links(&self) -> Result<Guard> {
        let deadline = Instant::now() + PATIENCE;
        Guard::take(self.0.layout.guard_links(), Mode::Exclusive, deadline, &Cancel::new(), &|_, _| ())
    }
}

/// Makes a symbolic link, or replaces one by rename: whoever follows it finds the old target or the new.
pub(super) fn point(path: &Path, target: &Path) -> Result<()> {
    let refused = |reason: &str| Error::NotPermitted {
        what: format!("make a link at `{}`", path.display()),
        reason: reason.into(),
    };
    match fs::symlink_metadata(path) {
        Ok(meta) if !meta.is_symlink() => return Err(refused("something that is no symbolic link is there")),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::io("stat", path)(error)),
        _ => {}
    }
    let dir = path.parent().ok_or_else(|| refused("it has no name"))?;
    let beside = dir.join(durable::unique(".envstore-link"));
    symlink(target, &beside).map_err(Error::io("create", &beside))?;
    // The directory is its user's and may be reached through links.
    let sync = || fs::File::open(dir)?.sync_all();
    fs::rename(&beside, path).and_then(|()| sync()).map_err(Error::io("rename to", path)).inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })
}
