//! Filesystems of a test's own: an image on a loop device, a writable layer over a directory. Needs root and the filesystem's own programs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::skipped;

/// A filesystem in a file, which can be mounted, cut off and copied.
pub struct Image {
    path: PathBuf,
    options: &'static str,
}

impl Image {
    /// Makes a filesystem of so many megabytes; none, loudly, where that cannot be done.
    pub fn new(path: PathBuf, mkfs: &[&str], megabytes: u64) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            skipped("mounting a filesystem needs root");
            return None;
        }
        File::create(&path).and_then(|file| file.set_len(megabytes << 20)).expect("an image");
        if !done(Command::new(mkfs[0]).args(&mkfs[1..]).arg(&path)) {
            skipped(&format!("`{}` does not run here", mkfs.join(" ")));
            return None;
        }
        Some(Self { path, options: "loop" })
    }

    /// The same, mounted with these options, `loop` among them.
    pub fn with_options(self, options: &'static str) -> Self {
        Self { options, ..self }
    }

    /// Another one with the same bytes: while it is mounted, with what its device was told so far.
    pub fn copy(&self, path: PathBuf) -> Self {
        assert!(done(Command::new("cp").arg("--sparse=always").arg(&self.path).arg(&path)), "the image can be copied");
        Self { path, options: self.options }
    }

    /// Mounts it; false, loudly, where that cannot be done.
    pub fn mount(&self, point: &Path) -> bool {
        // Others may take the loop device that was free a moment ago.
        let try_once = || done(Command::new("mount").args(["-o", self.options]).arg(&self.path).arg(point));
        let mounted = (0..20).any(|_| {
            let mounted = try_once();
            if !mounted {
                std::thread::park_timeout(std::time::Duration::from_millis(50));
            }
            mounted
        });
        if !mounted {
            skipped("loop devices cannot be mounted here");
        }
        mounted
    }

    /// Unmounts it, for good: whoever was killed a moment ago may still be leaving, and a process in a mount namespace of its own
    /// keeps the filesystem as it is, cut off or not, until it ends.
    pub fn unmount(&self, point: &Path) {
        let is_free = || {
            let uses = Command::new("losetup").arg("-j").arg(&self.path).output().expect("losetup runs");
            uses.stdout.is_empty()
        };
        let mut is_unmounted = false;
        for _ in 0..6000 {
            is_unmounted = is_unmounted || done(Command::new("umount").arg(point));
            if is_unmounted && is_free() {
                return;
            }
            std::thread::park_timeout(std::time::Duration::from_millis(10));
        }
        panic!("`{}` cannot be unmounted", point.display());
    }
}

fn done(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// A mounted image, unmounted with the test.
pub struct Mount {
    dir: tempfile::TempDir,
}

impl Mount {
    /// Makes and mounts a filesystem of so many megabytes; none, loudly, where that cannot be done.
    pub fn new(mkfs: &[&str], megabytes: u64) -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("envstore-mount-").tempdir().expect("a temporary directory");
        let point = dir.path().join("mounted");
        std::fs::create_dir(&point).expect("a directory");
        let image = Image::new(dir.path().join("image"), mkfs, megabytes)?;
        image.mount(&point).then_some(Self { dir })
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

/// A directory that became the lower layer of a filesystem mounted where it stood, unmounted with the test.
pub struct Overlay {
    point: PathBuf,
    upper: PathBuf,
}

impl Overlay {
    /// Puts a writable layer over a directory; none, loudly, where that cannot be done.
    pub fn new(dir: &std::path::Path) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            skipped("mounting a filesystem needs root");
            return None;
        }
        let beside = |name: &str| dir.with_file_name(name);
        let (lower, upper, work) = (beside("lower"), beside("upper"), beside("work"));
        std::fs::rename(dir, &lower).expect("renames");
        let mode = std::fs::metadata(&lower).expect("stat").permissions();
        for made in [dir, &upper, &work] {
            std::fs::create_dir(made).expect("a directory");
            std::fs::set_permissions(made, mode.clone()).expect("chmod");
        }
        let layers = format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
        let mounted = Command::new("mount").args(["-t", "overlay", "overlay", "-o", &layers]).arg(dir).output();
        if !mounted.is_ok_and(|mounted| mounted.status.success()) {
            skipped("overlays cannot be mounted here");
            return None;
        }
        Some(Self { point: dir.to_owned(), upper })
    }

    /// What was written, relative to the directory.
    pub fn written(&self) -> Vec<PathBuf> {
        let entries = walkdir::WalkDir::new(&self.upper).min_depth(1).sort_by_file_name();
        let paths = entries.into_iter().map(|entry| entry.expect("walks").into_path());
        paths.map(|path| path.strip_prefix(&self.upper).expect("inside").to_owned()).collect()
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.point).status();
    }
}
