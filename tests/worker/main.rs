//! The store in an automation worker: the dependency-manager interface and the Python runtime, with real interpreters,
//! wheels and processes.

#[allow(dead_code, unused_imports, reason = "shared with the suite, which uses all of it")]
#[path = "../suite/support/mod.rs"]
mod support;

mod actions;
mod example;
mod heartbeat;
mod killed;
mod leases;
mod library;
mod load;
mod scenarios;
mod site;

use std::sync::Arc;

use envstore::runtime::{DependencySpec, PythonVenvManager};
use envstore::settings::Settings;
use envstore::site::Config;
use envstore::site::environment::Environment;
use envstore::worker::PythonRuntime;

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

/// A runtime on a world's store; the world's interpreter runs what is not bound.
fn runtime(world: &World) -> PythonRuntime {
    PythonRuntime::new(shared(world), world.python())
}

/// Waits until something is so; what is waited for comes about by itself.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(120), "waited in vain until {what}");
        // Others run meanwhile; nothing depends on how long this takes.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

/// The same manager for several tasks.
fn shared(world: &World) -> Arc<PythonVenvManager> {
    Arc::new(manager(world))
}
