//! A manager that is given a directory alone takes the site's configuration: tried in a process with variables of its own.

use std::process::{Command, Stdio};

use envstore::runtime::{DependencyManager, PythonVenvManager};

use crate::spec;
use crate::support::{Wheel, World, uv_dir};

const BASE: &str = "ENVSTORE_TEST_BASE";

/// Runs alone only as the other test's child.
#[tokio::test]
async fn child() {
    let Some(base) = std::env::var_os(BASE) else { return };
    let manager = PythonVenvManager::new(base.clone().into());
    let made = manager.ensure_environment("pack", &spec("alpha")).await.expect("made");
    let named = PythonVenvManager::with_python_path(base.into(), made.executable_path.clone());
    let same = named.ensure_environment("other", &spec("alpha")).await.expect("made");
    println!("made {} {}", made.path.display(), same.path == made.path);
}

#[test]
fn a_directory_alone_is_enough() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    let child = Command::new(std::env::current_exe().expect("this program"))
        .args(["site::child", "--exact", "--nocapture"])
        .env_clear()
        .env("HOME", world.path().join("home"))
        .env("PATH", format!("{}:/usr/bin:/bin", uv_dir().display()))
        .env("ENVSTORE_CONFIG", world.config())
        .env(BASE, world.store())
        .stdin(Stdio::null())
        .output()
        .expect("starts");
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(said.contains(&format!("made {}", world.store().join("envs").display())), "{child:?}");
    assert!(said.contains(" true"), "{child:?}");
    // The same store that the command line has.
    assert_eq!(world.json(["list"])["packs"].as_array().map(Vec::len), Some(2));
}
