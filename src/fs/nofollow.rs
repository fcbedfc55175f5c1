//! File operations that follow no symbolic link in any component of a path (I9).
//!
//! A store's root is canonical from its opening on, so every path below it is free of links. A link that appears later, in place of
//! a directory or of a file, was not made by a store; these functions refuse it with `ELOOP` instead of following it out of the root.
//! Use them for everything that creates, truncates, renames or deletes below a root. Paths that users choose outside
//! the store (`export -o`, `checkout`, `link`) may hold links and do not belong here.
//!
//! # Performance
//! One `openat2(2)` more than the plain call. A kernel before Linux 5.6, or a sandbox that forbids the call, costs one `openat` for each component.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, renameat};
use nix::sys::stat::{Mode, fchmod, mkdirat};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

/// Opens a file or directory with these flags; `O_CLOEXEC` is added.
///
/// # Errors
/// `ELOOP` where the path or a directory it goes through is a symbolic link.
pub fn open(path: &Path, flags: OFlag, mode: u32) -> io::Result<File> {
    let mode = Mode::from_bits_truncate(mode);
    open_at(path, flags | OFlag::O_CLOEXEC, mode).map(File::from).map_err(Into::into)
}

/// Opens a directory for reading.
pub fn open_dir(path: &Path) -> io::Result<File> {
    open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY, 0)
}

/// Creates a file that does not exist yet, and opens it for writing.
pub fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    open(path, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, mode)
}

/// Renames; what is at `to` is replaced as rename(2) does, a link there included.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let (from_dir, from_name) = parent(from)?;
    let (to_dir, to_name) = parent(to)?;
    renameat(&from_dir, from_name, &to_dir, to_name).map_err(Into::into)
}

/// Gives a file a second name. A link at `from` is linked itself, not what it leads to.
pub fn hard_link(from: &Path, to: &Path) -> io::Result<()> {
    let (from_dir, from_name) = parent(from)?;
    let (to_dir, to_name) = parent(to)?;
    linkat(&from_dir, from_name, &to_dir, to_name, AtFlags::empty()).map_err(Into::into)
}

/// Removes a file, or a link itself.
pub fn remove_file(path: &Path) -> io::Result<()> {
    let (dir, name) = parent(path)?;
    unlinkat(&dir, name, UnlinkatFlags::NoRemoveDir).map_err(Into::into)
}

/// Removes an empty directory.
pub fn remove_dir(path: &Path) -> io::Result<()> {
    let (dir, name) = parent(path)?;
    unlinkat(&dir, name, UnlinkatFlags::RemoveDir).map_err(Into::into)
}

/// Makes a directory with exactly this mode, whatever the umask.
pub fn create_dir(path: &Path, mode: u32) -> io::Result<()> {
    let (dir, name) = parent(path)?;
    mkdirat(&dir, name, Mode::from_bits_truncate(mode))?;
    set_dir_mode(path, mode)
}

/// Sets the mode of a directory.
pub fn set_dir_mode(path: &Path, mode: u32) -> io::Result<()> {
    fchmod(open_dir(path)?, Mode::from_bits_truncate(mode)).map_err(Into::into)
}

/// Sets the mode of an open file, whatever the umask was when it was created.
pub fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(mode))
}

/// The directory that holds a path, opened, and the path's last component.
pub fn parent(path: &Path) -> io::Result<(OwnedFd, &OsStr)> {
    let name = path.file_name().ok_or(Errno::EINVAL)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((open_at(dir, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?, name))
}

fn open_at(path: &Path, flags: OFlag, mode: Mode) -> nix::Result<OwnedFd> {
    // The kernel accepts a mode only with a flag that may create something.
    let creates = flags.intersects(OFlag::O_CREAT | OFlag::O_TMPFILE);
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    match openat2(AT_FDCWD, path, if creates { how.mode(mode) } else { how }) {
        // Before Linux 5.6, and where a seccomp filter does not know the call.
        Err(Errno::ENOSYS | Errno::EPERM) => walk(path, flags, mode),
        opened => opened,
    }
}

/// [`open_at`] without `openat2`: each component is opened from the one before it.
fn walk(path: &Path, flags: OFlag, mode: Mode) -> nix::Result<OwnedFd> {
    let step = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let start = if path.is_absolute() { "/" } else { "." };
    let mut dir = openat(AT_FDCWD, start, step, Mode::empty())?;
    let mut names = path.components().filter(|part| !matches!(part, Component::RootDir | Component::CurDir)).peekable();
    if names.peek().is_none() {
        return openat(AT_FDCWD, start, flags, mode);
    }
    while let Some(name) = names.next() {
        if names.peek().is_none() {
            let last = openat(dir.as_fd(), name.as_os_str(), flags | OFlag::O_NOFOLLOW, mode);
            // With O_DIRECTORY the kernel calls a link "not a directory".
            return last.map_err(|errno| if is_link(&dir, name.as_os_str()) { Errno::ELOOP } else { errno });
        }
        dir = openat(dir.as_fd(), name.as_os_str(), step, Mode::empty())
            .map_err(|errno| if is_link(&dir, name.as_os_str()) { Errno::ELOOP } else { errno })?;
    }
    Ok(dir)
}

fn is_link(dir: &OwnedFd, name: &OsStr) -> bool {
    nix::sys::stat::fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| stat.st_mode & nix::libc::S_IFMT == nix::libc::S_IFLNK)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn scratch() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let root = fs::canonicalize(dir.path()).expect("a path");
        fs::create_dir_all(root.join("outside/dir")).expect("makes");
        fs::write(root.join("outside/precious"), "x").expect("writes");
        fs::create_dir(root.join("real")).expect("makes");
        symlink("outside", root.join("link")).expect("links");
        symlink("../outside/precious", root.join("real/file")).expect("links");
        (dir, root)
    }

    fn is_loop<T>(result: io::Result<T>) -> bool {
        result.is_err_and(|error| error.raw_os_error() == Some(Errno::ELOOP as i32))
    }

    #[test]
    fn no_operation_goes_through_a_linked_directory() {
        let (_dir, root) = scratch();
        fs::write(root.join("real/own"), "own").expect("writes");
        assert!(is_loop(create_new(&root.join("link/new"), 0o600)));
        assert!(is_loop(create_dir(&root.join("link/new"), 0o700)));
        assert!(is_loop(remove_file(&root.join("link/precious"))));
        assert!(is_loop(rename(&root.join("link/precious"), &root.join("real/taken"))));
        assert!(is_loop(rename(&root.join("real/own"), &root.join("link/given"))));
        assert!(is_loop(hard_link(&root.join("link/precious"), &root.join("real/taken"))));
        assert!(is_loop(open_dir(&root.join("link/dir"))));
        assert!(is_loop(open_dir(&root.join("link"))));
        assert_eq!(fs::read_dir(root.join("outside")).expect("lists").count(), 2);
    }

    #[test]
    fn a_file_that_is_a_link_is_not_opened_and_not_truncated() {
        let (_dir, root) = scratch();
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC;
        assert!(is_loop(open(&root.join("real/file"), flags, 0o600)));
        assert_eq!(fs::read(root.join("outside/precious")).expect("reads"), b"x");
        remove_file(&root.join("real/file")).expect("removes the link itself");
        assert!(root.join("outside/precious").exists());
    }

    /// Modules whose paths lie below a root.
    const BELOW: [&str; 9] =
        ["store", "index", "epoch", "binding.rs", "guard.rs", "lease.rs", "objects.rs", "pin.rs", "process/log.rs"];
    /// Of these the ones that also write where users say, and why that is so.
    const OUTSIDE: [&str; 4] = [
        "store/checkout.rs", // copies an environment to a user's directory
        "store/create.rs",   // makes the directories that a new root is in
        "store/link.rs",     // makes and removes symbolic links of users
        "store/outside.rs",  // writes exports
    ];

    #[test]
    fn no_module_of_the_store_writes_past_these_functions() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let files = BELOW.iter().flat_map(|name| walkdir::WalkDir::new(source.join(name)));
        let files = files.map(|entry| entry.expect("walks").into_path()).filter(|path| path.is_file());
        let is_outside = |path: &Path| OUTSIDE.iter().any(|name| path.ends_with(name));
        let mut found = Vec::new();
        let mut looked_at = 0;
        for path in files.filter(|path| !path.ends_with("tests.rs") && !is_outside(path)) {
            let text = fs::read_to_string(&path).expect("reads");
            looked_at += 1;
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            for call in ["rename", "remove_file", "remove_dir", "hard_link", "write", "set_permissions", "create_dir"] {
                let plain = [format!(" fs::{call}("), format!("!fs::{call}("), format!("std::fs::{call}(")];
                if plain.iter().any(|plain| code.contains(plain)) {
                    found.push(format!("{}: fs::{call}", path.display()));
                }
            }
        }
        assert!(looked_at > 60, "{looked_at}");
        assert!(found.is_empty(), "use `fs::nofollow` below a root: {found:#?}");
    }

    #[test]
    fn without_openat2_the_same_paths_open_and_the_same_are_refused() {
        let (_dir, root) = scratch();
        let step = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        assert!(walk(&root.join("real"), step, Mode::empty()).is_ok());
        assert!(walk(Path::new("/"), step, Mode::empty()).is_ok());
        assert_eq!(walk(&root.join("link"), step, Mode::empty()).expect_err("a link"), Errno::ELOOP);
        assert_eq!(walk(&root.join("link/dir"), step, Mode::empty()).expect_err("a link"), Errno::ELOOP);
        assert_eq!(walk(&root.join("gone"), step, Mode::empty()).expect_err("nothing"), Errno::ENOENT);
        assert_eq!(walk(&root.join("outside/precious"), step, Mode::empty()).expect_err("a file"), Errno::ENOTDIR);
    }
}
