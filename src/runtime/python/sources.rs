//! Where Python executables may be, in the order they are looked at.
//!
//! Nothing is started here: candidates come from names and directories alone, and every listing is fresh, so
//! that a process that lives long sees what was installed meanwhile.

use std::cmp::Reverse;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::probe::Refusal;
use crate::error::Error;
use crate::settings::PythonSettings;

/// The `python3.N` looked for, newest first. Below 3.8 nothing can be used; above there is room to grow.
const MINORS: std::ops::RangeInclusive<u8> = 8..=19;
/// The first minor version with a free-threaded build (`python3.13t`).
const FIRST_FREE_THREADED: u8 = 13;
/// Where distributions and administrators put theirs, for a caller with a bare `PATH`.
const SYSTEM: [&str; 2] = ["/usr/bin/python3", "/usr/local/bin/python3"];

/// A path that may lead to an interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The path, not resolved.
    pub path: PathBuf,
    /// Whether a setting names it, so that its absence is worth a word.
    pub configured: bool,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A binary that may be taken for a Python by the name of its real path, which this is.
    Python(PathBuf),
    /// A script, or a binary of another name that may choose a Python when it is started.
    Shim,
}

/// Every candidate: configured executables, `PATH`, installations, the system's. No path comes twice.
pub(crate) fn candidates(python: &PythonSettings, path: &[PathBuf]) -> Vec<Candidate> {
    let default = python.default.as_deref().and_then(default_path);
    let configured = default.into_iter().chain(python.interpreters.iter().cloned());
    let configured = configured.map(|path| Candidate { path, configured: true });
    let on_path = directories(path).flat_map(|directory| in_directory(directory, names()));
    let installed = python.installations.iter().flat_map(|directory| installations(directory));
    let system = SYSTEM.into_iter().map(PathBuf::from).filter(|path| exists(path));
    let found = on_path.chain(installed).chain(system).map(|path| Candidate { path, configured: false });
    let mut seen = std::collections::HashSet::new();
    configured.chain(found).filter(|candidate| seen.insert(candidate.path.clone())).collect()
}

/// The path that a default interpreter's setting is, unless it is a version.
pub(crate) fn default_path(default: &str) -> Option<PathBuf> {
    default.contains('/').then(|| PathBuf::from(default))
}

/// The `python3` of each directory of `PATH`, in order.
pub(crate) fn python3_on(path: &[PathBuf]) -> impl Iterator<Item = PathBuf> {
    directories(path).map(|directory| directory.join("python3")).filter(|path| exists(path))
}

/// What stands at a path. One `stat`, one read of two bytes.
///
/// # Errors
///
/// Nothing does, or it is no program.
pub(crate) fn kind(path: &Path) -> Result<Kind, Refusal> {
    let refuse = |error: Error| Refusal::from_error(&error);
    let real = path.canonicalize().map_err(Error::io("find", path)).map_err(refuse)?;
    let meta = fs::metadata(&real).map_err(Error::io("stat", &real)).map_err(refuse)?;
    if !meta.is_file() || meta.permissions().mode() & 0o111 == 0 {
        return Err(Refusal::new("is not an executable file"));
    }
    let mut start = [0; 2];
    let read = fs::File::open(&real).and_then(|mut file| file.read_exact(&mut start));
    let is_script = read.is_ok() && start == *b"#!";
    // A binary's name tells `python3 -> python3.11` from `python3 -> mise`, which looks at the name it is called by.
    let named = file_name(&real).is_some_and(|name| name.starts_with("python")) || is_foreign(&real);
    Ok(if named && !is_script { Kind::Python(real) } else { Kind::Shim })
}

/// The version that a file's name promises: `(3, 11)` for `python3.11`, `python3.11-dbg` or `python3.11t`.
pub(crate) fn promised_version(path: &Path) -> Option<(u8, u8)> {
    let version = file_name(path)?.strip_prefix("python")?;
    let (major, rest) = version.split_once('.')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some((major.parse().ok()?, rest[..digits].parse().ok()?))
}

/// Whether a file's name is that of another implementation.
pub(crate) fn is_foreign(path: &Path) -> bool {
    file_name(path).is_some_and(|name| name.starts_with("pypy") || name.starts_with("graalpy"))
}

/// The interpreters of the installations in a directory (pyenv's `versions`, uv's `python`), newest name first.
fn installations(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut children: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    children.retain(|name| !name.as_encoded_bytes().starts_with(b"."));
    children.sort_by_cached_key(|name| Reverse((numbers(&name.to_string_lossy()), name.clone())));
    children.into_iter().filter_map(|child| in_directory(&directory.join(child).join("bin"), names()).next()).collect()
}

/// The first version in a name, `[3, 11, 7]` in `cpython-3.11.7-linux`; empty where there is none.
fn numbers(name: &str) -> Vec<u64> {
    let start = name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len());
    let text = &name[start..];
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text[..end].split('.').map_while(|number| number.parse().ok()).collect()
}

fn names() -> impl Iterator<Item = String> {
    let versioned = MINORS.rev().flat_map(|minor| {
        let free_threaded = (minor >= FIRST_FREE_THREADED).then(|| format!("python3.{minor}t"));
        std::iter::once(format!("python3.{minor}")).chain(free_threaded)
    });
    std::iter::once("python3".to_owned()).chain(versioned)
}

fn in_directory(directory: &Path, names: impl Iterator<Item = String>) -> impl Iterator<Item = PathBuf> {
    names.map(|name| directory.join(name)).filter(|path| exists(path))
}

/// A relative directory would mean another one in every process.
fn directories(path: &[PathBuf]) -> impl Iterator<Item = &Path> {
    path.iter().map(PathBuf::as_path).filter(|directory| directory.is_absolute())
}

fn exists(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::discover::testing::script;
    use super::*;

    #[test]
    fn a_name_promises_a_version() {
        let cases = [
            ("/usr/bin/python3.11", Some((3, 11))),
            ("python3.7m", Some((3, 7))),
            ("python3.13t", Some((3, 13))),
            ("python3.11-dbg", Some((3, 11))),
            ("python2.7", Some((2, 7))),
            ("python3", None),
            ("python", None),
            ("pypy3.10", None),
            ("python3.", None),
            ("python3.999", None),
            ("/", None),
        ];
        for (name, version) in cases {
            assert_eq!(promised_version(Path::new(name)), version, "{name}");
        }
    }

    #[test]
    fn the_first_version_in_a_name() {
        let cases: [(&str, &[u64]); 5] = [
            ("3.11.7", &[3, 11, 7]),
            ("cpython-3.13.0+freethreaded-linux-x86_64-gnu", &[3, 13, 0]),
            ("3.14.0rc1", &[3, 14, 0]),
            ("env", &[]),
            ("99999999999999999999", &[]),
        ];
        for (name, version) in cases {
            assert_eq!(numbers(name), version, "{name}");
        }
    }

    #[test]
    fn candidates_come_in_order_and_once() {
        let temp = tempfile::tempdir().expect("a directory");
        let root = temp.path();
        let executable = |path: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("has one")).expect("created");
            script(&path, "exit 127")
        };
        let first = executable("a/python3.9");
        let expected = [
            root.join("mine"),
            executable("a/python3"),
            executable("a/python3.13"),
            executable("a/python3.13t"),
            first.clone(),
            executable("b/python3.8"),
            executable("versions/3.12.1/bin/python3"),
            executable("versions/3.9.2/bin/python3.9"),
            executable("versions/own/bin/python3"),
        ];
        executable("a/python3.7");
        executable("a/python3-config");
        executable("versions/.temp/bin/python3");
        executable("versions/3.12.1/bin/python3.12");
        fs::write(root.join("a/python3.11"), "not executable").expect("written");
        fs::create_dir(root.join("a/python3.10")).expect("created");
        symlink("nowhere", root.join("a/python3.12")).expect("linked");
        let python = PythonSettings {
            default: None,
            interpreters: vec![root.join("mine"), first],
            installations: vec![root.join("versions"), root.join("absent")],
        };
        let path = [root.join("a"), root.join("a"), PathBuf::from("."), PathBuf::new(), root.join("b")];
        let found = candidates(&python, &path);
        let mut expected = expected.to_vec();
        // Configured ones are looked at first, and then no more.
        let configured = expected.remove(4);
        expected.insert(1, configured);
        let found: Vec<_> = found.into_iter().map(|candidate| candidate.path).collect();
        assert_eq!(found[..expected.len()], expected);
        assert!(found[expected.len()..].iter().all(|path| SYSTEM.contains(&path.to_str().expect("text"))), "{found:?}");
        assert_eq!(python3_on(&path).next(), Some(root.join("a/python3")));
    }

    #[test]
    fn relative_directories_of_path_do_not_count() {
        let path = ["", ".", "bin", "/a", "../b", "/c"].map(PathBuf::from);
        assert_eq!(directories(&path).collect::<Vec<_>>(), [Path::new("/a"), Path::new("/c")]);
    }

    #[test]
    fn a_script_or_a_binary_of_another_name_is_a_shim() {
        let temp = tempfile::tempdir().expect("a directory");
        let at = |name: &str| temp.path().join(name);
        assert_eq!(kind(&script(&at("python3"), "exit 1")), Ok(Kind::Shim));
        symlink("/bin/cat", at("python3.11")).expect("linked");
        assert_eq!(kind(&at("python3.11")), Ok(Kind::Shim));
        fs::copy("/bin/cat", at("python3.12")).expect("copied");
        symlink("python3.12", at("python")).expect("linked");
        let real = at("python3.12").canonicalize().expect("exists");
        assert_eq!(kind(&at("python")), Ok(Kind::Python(real)));
        fs::write(at("plain"), "text").expect("written");
        assert!(kind(&at("plain")).is_err());
        assert!(kind(&at("absent")).is_err());
    }
}
