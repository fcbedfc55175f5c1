//! Whether the shared libraries that extension modules name are to be had.
//!
//! The loader that would load them is asked (as ldd(1) does it, ld.so(8)): only it knows its search paths, its cache and which
//! symbol versions a library has. It maps the files and runs nothing of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use goblin::elf::Elf;

use super::system_packages;
use super::{few, not_looked_at};
use crate::error::{Error, Result};
use crate::fs::parallel;
use crate::process::{self, Limits, Log};
use crate::store::finding::{Finding, Level};
use crate::store::runtime::Exam;

const TIME_LIMIT: Duration = Duration::from_secs(60);
const KIND: &str = "shared_libraries";

/// What one file lacks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Lack {
    /// A library, by the name it is asked for.
    Library(String),
    /// A version of symbols, and the library that should have it.
    Version(String, String),
    /// The loader does not take the file at all.
    Refused(String),
}

/// Looks at every shared library of the environment.
pub(super) fn look(exam: &Exam<'_>, findings: &mut Vec<Finding>) -> Result<()> {
    let files: Vec<&str> = exam.paths.iter().copied().filter(|path| is_library(path)).collect();
    if files.is_empty() {
        return Ok(());
    }
    let Some(loader) = loader(&exam.interpreter.path) else {
        findings.push(Finding::new(KIND, Level::Note, "the interpreter is static: its libraries are not looked at"));
        return Ok(());
    };
    // What the interpreter brings along is there before any extension module is loaded.
    let looked = ask(&loader, &exam.interpreter.path, exam).and_then(|of_python| {
        let there: BTreeSet<&str> = of_python.iter().filter_map(|line| line.split_whitespace().next()).collect();
        parallel::map(&files, |file| {
            let said = ask(&loader, &exam.env_dir.join(file), exam)?;
            let mut lacks = lacks(&said);
            lacks.retain(|lack| match lack {
                Lack::Library(name) => !there.contains(name.as_str()) && !stands_in(exam, name),
                _ => true,
            });
            Ok(lacks)
        })
    });
    let looked = match looked {
        Ok(looked) => looked,
        Err(error) => {
            findings.push(not_looked_at(KIND, error)?);
            return Ok(());
        }
    };
    let mut by_lack: BTreeMap<Lack, Vec<&str>> = BTreeMap::new();
    for (file, lacks) in files.iter().zip(looked) {
        for lack in lacks {
            by_lack.entry(lack).or_default().push(file);
        }
    }
    if by_lack.is_empty() {
        let message = format!("the libraries that {} extension modules and libraries need are there", files.len());
        findings.push(Finding::new(KIND, Level::Ok, message));
    }
    findings.extend(by_lack.iter().map(|(lack, files)| told(lack, files)));
    Ok(())
}

fn told(lack: &Lack, files: &[&str]) -> Finding {
    let files = few(files);
    match lack {
        Lack::Library(name) => {
            let finding =
                Finding::new(KIND, Level::Damage, format!("the library `{name}` is not on this host; {files} need it"));
            match system_packages::of(name) {
                Some(package) => finding.hint(format!("on Debian: apt-get install {package}")),
                None => finding.hint(format!("install what brings `{name}`")),
            }
        }
        Lack::Version(version, library) => {
            Finding::new(KIND, Level::Damage, format!("`{library}` of this host has no `{version}`; {files} need it"))
                .hint(
                    "the artifact was built for a newer system: another version of it, or a build from source, may fit",
                )
        }
        Lack::Refused(reason) => {
            Finding::new(KIND, Level::Damage, format!("the loader does not take {files}: {reason}"))
        }
    }
}

fn is_library(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.ends_with(".so") || name.contains(".so.")
}

/// Whether the environment has a library of this name, which the package then loads itself before it is asked for.
fn stands_in(exam: &Exam<'_>, library: &str) -> bool {
    exam.paths.iter().any(|path| path.rsplit('/').next() == Some(library))
}

/// The program that loads an executable (its `PT_INTERP`).
fn loader(executable: &Path) -> Option<PathBuf> {
    let bytes = std::fs::read(executable).ok()?;
    Elf::parse(&bytes).ok()?.interpreter.map(PathBuf::from)
}

/// What the loader says of a file, line by line.
fn ask(loader: &Path, file: &Path, exam: &Exam<'_>) -> Result<Vec<String>> {
    let mut command = Command::new(loader);
    command.env_clear().current_dir("/");
    if loader.to_string_lossy().contains("musl") {
        command.arg("--list");
    } else {
        // Unlike `--list` this goes on after the first that is missing.
        command.env("LD_TRACE_LOADED_OBJECTS", "1");
    }
    command.arg(file);
    let limits = Limits::starting_now(TIME_LIMIT, TIME_LIMIT);
    let done = process::run(command, "asking the loader for libraries", &Log::memory(), limits, exam.cancel, None)?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &done.stderr;
    if !done.status.success() && said.trim().is_empty() {
        let source = std::io::Error::other(done.status.to_string());
        return Err(Error::Io { op: "ask the loader about", path: file.into(), source });
    }
    Ok(said.lines().map(|line| line.trim().to_owned()).collect())
}

/// What is missing, as glibc and musl say it.
fn lacks(said: &[String]) -> BTreeSet<Lack> {
    let mut found = BTreeSet::new();
    for line in said {
        if let Some((name, _)) = line.split_once(" => not found") {
            found.insert(Lack::Library(name.to_owned()));
        } else if let Some((head, rest)) = line.split_once(": version `") {
            // `FILE: LIBRARY: version `V' not found (required by FILE)`; the first may be left out.
            let library = head.rsplit(": ").next().unwrap_or(head);
            let library = library.rsplit('/').next().unwrap_or(library);
            let version = rest.split('\'').next().unwrap_or(rest);
            found.insert(Lack::Version(version.to_owned(), library.to_owned()));
        } else if let Some(rest) = line.strip_prefix("Error loading shared library ") {
            found.insert(Lack::Library(rest.split(':').next().unwrap_or(rest).to_owned()));
        } else if let Some((_, reason)) = line.split_once("error while loading shared libraries: ") {
            // The file's own name, then what is wrong with it.
            let reason = reason.split_once(": ").map_or(reason, |(_, reason)| reason);
            found.insert(Lack::Refused(reason.to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_loaders_say_is_understood() {
        let said: Vec<String> = [
            "linux-vdso.so.1 (0x00007ffd)",
            "libgomp.so.1 => not found",
            "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)",
            "/e/x.so: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by /e/x.so)",
            "Error loading shared library libpq.so.5: No such file or directory (needed by /e/x.so)",
            "/e/x.so: error while loading shared libraries: /e/x.so: wrong ELF class: ELFCLASS32",
        ]
        .map(str::to_owned)
        .into();
        assert_eq!(
            lacks(&said).into_iter().collect::<Vec<_>>(),
            [
                Lack::Library("libgomp.so.1".into()),
                Lack::Library("libpq.so.5".into()),
                Lack::Version("GLIBC_2.38".into(), "libc.so.6".into()),
                Lack::Refused("wrong ELF class: ELFCLASS32".into()),
            ]
        );
    }

    #[test]
    fn a_known_library_has_its_package() {
        let finding = told(&Lack::Library("libgomp.so.1".into()), &["a.so", "b.so"]);
        assert_eq!(finding.message, "the library `libgomp.so.1` is not on this host; `a.so`, `b.so` need it");
        assert_eq!(finding.hint.as_deref(), Some("on Debian: apt-get install libgomp1"));
    }

    #[test]
    fn an_executable_of_this_host_has_a_loader() {
        assert!(loader(Path::new("/bin/sh")).is_some_and(|loader| loader.is_absolute()));
        assert!(loader(Path::new("/etc/passwd")).is_none());
        assert!(is_library("lib/a.cpython-311-x86_64-linux-gnu.so") && is_library("a.libs/libz-1.so.1.2"));
        assert!(!is_library("lib/a.so/readme") && !is_library("lib/also"));
    }
}
