//! Stores put aside and brought back, so that one setting serves many tries.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::World;

impl World {
    /// Puts the store aside as it is now.
    pub fn put_aside(&self) -> Aside {
        let aside = self.path().join("aside");
        copy(&self.store(), &aside);
        Aside(aside)
    }

    /// Brings back what was put aside.
    pub fn bring_back(&self, aside: &Aside) {
        remove(&self.store());
        copy(&aside.0, &self.store());
    }
}

/// A store that was put aside.
pub struct Aside(PathBuf);

/// With its hard links, modes and times: what shares goes on sharing.
fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs");
    assert!(done.success(), "cp -a {} {}", from.display(), to.display());
}

fn remove(path: &Path) {
    let _ = Command::new("chmod").args(["-R", "u+w"]).arg(path).status();
    assert!(Command::new("rm").arg("-rf").arg(path).status().expect("rm runs").success());
}
