//! A uv that notes what it is asked for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use super::{Ran, World, ran, uv_dir};

/// A uv that notes what it is asked for and then does it.
pub struct NotingUv {
    dir: PathBuf,
}

impl NotingUv {
    /// In a directory of a world.
    pub fn new(world: &World) -> Self {
        let dir = world.path().join("noting");
        fs::create_dir(&dir).expect("a directory");
        let script =
            format!("#!/bin/sh\necho \"$*\" >> {:?}\nexec {:?} \"$@\"\n", dir.join("log"), uv_dir().join("uv"));
        fs::write(dir.join("uv"), script).expect("a script");
        fs::set_permissions(dir.join("uv"), fs::Permissions::from_mode(0o755)).expect("chmod");
        Self { dir }
    }

    /// The directory it is in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How often it was asked for something.
    pub fn asked(&self, verb: &str) -> usize {
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        log.lines().filter(|line| line.contains(verb)).count()
    }

    /// Starts a command in a world whose uv this is; it answers in JSON.
    pub fn start(&self, world: &World, args: &[&str]) -> Child {
        let path = format!("{}:/usr/bin:/bin", self.dir.display());
        let mut command = world.command(["--format", "json"]);
        command.args(args).env("PATH", path).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("envstore starts")
    }

    /// Runs a command in a world whose uv this is, and returns its JSON object.
    #[track_caller]
    pub fn json(&self, world: &World, args: &[&str]) -> serde_json::Value {
        let ran: Ran = ran(self.start(world, args).wait_with_output().expect("it ends"));
        assert_eq!(ran.code, 0, "{ran:#?}");
        serde_json::from_str(&ran.stdout).expect("one JSON object")
    }
}
