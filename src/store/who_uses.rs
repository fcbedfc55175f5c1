//! `who-uses`: whose environments hold a distribution.

use super::report::{Match, Role, WhoUses};
use super::{Store, running};
use crate::error::Result;
use crate::index::{EnvRow, roots};
use crate::spec::Selector;

impl Store {
    /// Every environment that holds a distribution of these versions: one match for each pack, generation and pin that
    /// names it, and one for an environment that only running processes use.
    ///
    /// Cost: one query by name, then one for each environment found; one look through `/proc`.
    pub fn who_uses(&self, selector: &Selector) -> Result<WhoUses> {
        let found = self.0.index.read("look up distributions", |db| {
            let mut found = Vec::new();
            let links = roots::links(db, None)?;
            for (env, version) in roots::holding(db, selector.name())? {
                if selector.selects(&version) {
                    let (bindings, pins) = (roots::bindings_of(db, env.id)?, roots::pins_of(db, env.id)?);
                    // While its pack is bound, a link follows it and is no user of its own.
                    let lone = |link: &&roots::LinkRoot| link.env == env.id && bindings.iter().all(|b| !b.current);
                    let links: Vec<_> = links.iter().filter(lone).cloned().collect();
                    found.push((env, version, bindings, pins, links));
                }
            }
            Ok(found)
        })?;
        let processes = if found.is_empty() { Default::default() } else { running::by_env(&self.0.layout) };
        let mut matches = Vec::new();
        for (env, version, bindings, pins, links) in found {
            let is_running = processes.contains_key(env.name.as_str());
            let one = |env: &EnvRow, role: Role| Match {
                pack: None,
                generation: None,
                pin: None,
                link: None,
                env: env.key,
                distribution: selector.name().to_owned(),
                version: version.clone(),
                role,
                running: is_running,
            };
            for binding in &bindings {
                let role = if binding.current { Role::Current } else { Role::Retained };
                let (pack, generation) = (Some(binding.pack.clone()), Some(binding.generation));
                matches.push(Match { pack, generation, ..one(&env, role) });
            }
            for pin in &pins {
                matches.push(Match { pin: Some(pin.name.clone()), ..one(&env, Role::Pinned) });
            }
            for link in &links {
                matches.push(Match { link: Some(link.path.clone()), ..one(&env, Role::Linked) });
            }
            if bindings.is_empty() && pins.is_empty() && links.is_empty() && is_running {
                matches.push(one(&env, Role::Running));
            }
        }
        matches.sort_by(|a, b| (a.role, &a.pack, &a.pin, b.generation).cmp(&(b.role, &b.pack, &b.pin, a.generation)));
        Ok(WhoUses { matches })
    }
}
