//! A filesystem of its own for a test: an image on a loop device. Needs root and the filesystem's own programs.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::skipped;

/// A mounted image, unmounted with the test.
pub struct Mount {
    dir: tempfile::TempDir,
}

impl Mount {
    /// Makes and mounts a filesystem of so many megabytes; none, loudly, where that cannot be done.
    pub fn new(mkfs: &[&str], megabytes: u64) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            skipped("mounting a filesystem needs root");
            return None;
        }
        let dir = tempfile::Builder::new().prefix("envstore-mount-").tempdir().expect("a temporary directory");
        let (image, point) = (dir.path().join("image"), dir.path().join("mounted"));
        File::create(&image).and_then(|file| file.set_len(megabytes << 20)).expect("an image");
        std::fs::create_dir(&point).expect("a directory");
        let done = |command: &mut Command| {
            command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        if !done(Command::new(mkfs[0]).args(&mkfs[1..]).arg(&image)) {
            skipped(&format!("`{}` does not run here", mkfs.join(" ")));
            return None;
        }
        if !done(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&point)) {
            skipped("loop devices cannot be mounted here");
            return None;
        }
        Some(Self { dir })
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("mounted")
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
