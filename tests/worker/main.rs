//! The store in an automation worker: the dependency-manager interface and the Python runtime, with real interpreters,
//! wheels and processes.

#[allow(dead_code, unused_imports, reason = "shared with the suite, which uses all of it")]
#[path = "../suite/support/mod.rs"]
mod support;

mod leases;
mod scenarios;
mod site;

use std::sync::Arc;

use envstore::runtime::{DependencySpec, PythonVenvManager};
use envstore::settings::Settings;
use envstore::site::Config;
use envstore::site::environment::Environment;

use support::{Wheel, World, uv_dir};

/// A world's settings, as its command line has them.
fn settings(world: &World) -> Settings {
    let path = format!("{}:/usr/bin:/bin", uv_dir().display());
    let environment =
        Environment::from_iter([("PATH", path), ("HOME", world.path().join("home").display().to_string())]);
    Config::load(Some(&world.config()), false, &environment).expect("a configuration").settings
}

/// A manager on a world's store.
fn manager(world: &World) -> PythonVenvManager {
    PythonVenvManager::with_settings(world.store(), settings(world))
}

/// A world in which there are two versions of `requests` and one of `flask`, as the worker's own suite asks for them.
fn world() -> World {
    let world = World::new();
    world.wheel(&Wheel::new("requests", "2.28.0"));
    world.wheel(&Wheel::new("requests", "2.29.0"));
    world.wheel(&Wheel::new("flask", "2.3.0").requires("requests"));
    world
}

fn spec(requirement: &str) -> DependencySpec {
    DependencySpec::new("python").with_dependency(requirement)
}

/// The same manager for several tasks.
fn shared(world: &World) -> Arc<PythonVenvManager> {
    Arc::new(manager(world))
}
