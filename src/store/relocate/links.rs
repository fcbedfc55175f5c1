//! The symbolic links outside the store, after its environments were made again.

use std::path::Path;

use super::{is_below, target};
use crate::error::Result;
use crate::index::roots::LinkRoot;
use crate::index::{envs, events, roots, sql};
use crate::pin::LinkFile;
use crate::store::Store;
use crate::store::identity::{self, Neighbor};
use crate::store::link;
use crate::store::report::Relocated;
use crate::store_file::StoreFile;

impl Store {
    /// Points each link that leads into this store at the new environment, and forgets the others: what they lead to is not here. A
    /// link itself is changed only where it led into this store.
    pub(super) fn settle_links(&self, store: &StoreFile, report: &mut Relocated) -> Result<()> {
        let is_copy = store.former_id.is_some();
        // A link into a former path where another store is now is that store's.
        let is_gone = |root: &Path| self.is_same_place(root) || identity::neighbor(root, store) != Neighbor::Other;
        let leads_here = |target: &Path| {
            let was_here = !is_copy && store.relocating_from.iter().any(|root| is_below(target, root) && is_gone(root));
            was_here || is_below(target, self.root())
        };
        let _guard = self.guard_links()?;
        for followed in self.0.index.read("look up links", |db| roots::links(db, None))? {
            match target(&followed.path) {
                Some(now) if leads_here(&now) => {
                    if self.point_here(&followed)? {
                        report.links += 1;
                    } else {
                        report.lost_links.push(followed.path);
                    }
                }
                // Deleted: the store makes it again when its pack changes, unless it is the original's.
                None if !is_copy => {}
                _ => {
                    self.forget_link(&followed.path)?;
                    report.dropped_links.push(followed.path);
                }
            }
        }
        Ok(())
    }

    /// Points a link at the environment that it follows. False: it cannot be changed, or the environment was not made again.
    fn point_here(&self, followed: &LinkRoot) -> Result<bool> {
        let env = self.0.index.read("look up an environment", |db| envs::by_id(db, followed.env))?;
        let Some(env) = env.filter(|env| identity::names_this_root(&self.0.layout, &env.name)) else {
            return Ok(false);
        };
        let pointed = link::point(&followed.path, &self.0.layout.env(&env.name));
        if let Err(error) = &pointed {
            tracing::warn!(%error, link = %followed.path.display(), "a link still leads to the former place");
        }
        Ok(pointed.is_ok())
    }

    /// Drops a link's row and file; the link itself stays.
    fn forget_link(&self, path: &Path) -> Result<()> {
        let op = "forget a link";
        self.0.index.write(op, |tx| {
            roots::remove_link(tx, path).map_err(sql(op))?;
            let name = path.to_string_lossy();
            events::event(tx, self.0.clock.now(), "unlinked", None, Some(&name), (None, None)).map_err(sql(op))?;
            LinkFile::remove(&self.0.layout, path)
        })
    }
}
