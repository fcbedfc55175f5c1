//! The symbolic links outside the store, after its environments were made again.

use super::{is_below, target};
use crate::error::Result;
use crate::index::{envs, events, roots, sql};
use crate::pin::LinkFile;
use crate::store::Store;
use crate::store::link;
use crate::store::report::Relocated;
use crate::store_file::StoreFile;

impl Store {
    /// Points each link that leads into this store at the new environment, and forgets the others: what they lead to is not here. A
    /// link itself is changed only where it led into this store.
    pub(super) fn settle_links(&self, store: &StoreFile, report: &mut Relocated) -> Result<()> {
        let _guard = self.guard_links()?;
        for followed in self.0.index.read("look up links", |db| roots::links(db, None))? {
            let leads_here = |target: &std::path::Path| {
                let was_here =
                    store.former_id.is_none() && store.relocating_from.iter().any(|root| is_below(target, root));
                was_here || is_below(target, self.root())
            };
            // One that was deleted is made again when its pack changes.
            let Some(now) = target(&followed.path) else { continue };
            if !leads_here(&now) {
                self.forget_link(&followed.path)?;
                report.dropped_links.push(followed.path);
                continue;
            }
            let env = self.0.index.read("look up an environment", |db| envs::by_id(db, followed.env))?;
            let Some(env) = env else { continue };
            match link::point(&followed.path, &self.0.layout.env(&env.name)) {
                Ok(()) => report.links += 1,
                Err(error) => {
                    tracing::warn!(%error, link = %followed.path.display(), "a link still leads to the former place");
                    report.dropped_links.push(followed.path);
                }
            }
        }
        Ok(())
    }

    /// Drops a link's row and file; the link itself stays.
    fn forget_link(&self, path: &std::path::Path) -> Result<()> {
        let op = "forget a link";
        self.0.index.write(op, |tx| {
            roots::remove_link(tx, path).map_err(sql(op))?;
            let name = path.to_string_lossy();
            events::event(tx, self.0.clock.now(), "unlinked", None, Some(&name), (None, None)).map_err(sql(op))?;
            LinkFile::remove(&self.0.layout, path)
        })
    }
}
