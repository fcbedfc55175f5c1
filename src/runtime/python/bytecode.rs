//! Bytecode, compiled by a script of ours that the environment's own interpreter runs.
//!
//! Unchecked-hash files (PEP 552) never go stale, so an environment that cannot be written starts as fast as
//! one that can. File names in the code are relative to the environment; Python puts the true ones in when
//! it loads a file from bytecode. CPython's output depends on reference counts and hash seeds: the seed is
//! fixed and the code is written twice, which leaves few files that differ from one run to another. Hence
//! bytecode is derived, outside the tree digest.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

use super::hashes::Hashes;
use super::tidy::Tree;
use crate::digest::{Canonical, DerivedKey, FileDigest};
use crate::error::{Error, InstallerCause, Phase, Result};
use crate::fs::read::Content;
use crate::interpreter::Interpreter;
use crate::process;
use crate::store::runtime::{DerivedFile, Job};

/// How often a run goes on behind a file that made the interpreter crash.
const CRASHES: usize = 16;
/// What the script exits with when the disk is full (ENOSPC) or a quota is used up (EDQUOT).
const NO_SPACE: i32 = 28;
const QUOTA: i32 = 122;

/// What became of the sources.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Compiled {
    /// The bytecode files, by their source.
    pub derived: BTreeMap<String, DerivedFile>,
    /// Those that were there already, with what they hold.
    pub placed: Vec<(String, Content)>,
    /// The sources that cannot be compiled, relative, sorted.
    pub uncompiled: Vec<String>,
}

/// A source and its bytecode.
#[derive(Debug)]
struct Pair {
    source: String,
    made: DerivedFile,
}

/// Compiles every `.py` below `lib` whose bytecode is not there yet; what the store has of it is put there instead. Runs the
/// interpreter also when there is nothing to compile, which shows that it starts.
///
/// # Errors
/// [`Error::Installer`] when the interpreter does not start or cannot write.
pub(crate) fn compile(job: &Job<'_>, env_dir: &Path, tree: &Tree, hashes: &Hashes) -> Result<Compiled> {
    let mut done = Compiled::default();
    let mut pairs = VecDeque::new();
    for pair in pairs_of(job, tree, hashes) {
        match job.derived.place(&pair.made.key, &env_dir.join(&pair.made.path)) {
            Some(content) => {
                done.placed.push((pair.made.path.clone(), content));
                done.derived.insert(pair.source, pair.made);
            }
            None => pairs.push_back(pair),
        }
    }
    for _ in 0..CRASHES {
        let (status, said, stderr) = run(job, env_dir, &pairs)?;
        let Some(answers) = said.strip_prefix(b"S") else { return Err(failed(job, status, &stderr)) };
        for answer in answers.iter().filter(|answer| matches!(answer, b'.' | b'x')) {
            let Some(pair) = pairs.pop_front() else { break };
            if *answer == b'.' {
                done.derived.insert(pair.source, pair.made);
            } else {
                done.uncompiled.push(pair.source);
            }
        }
        if status.success() && answers.ends_with(b"E") {
            done.uncompiled.sort();
            return Ok(done);
        }
        // A source can overflow the compiler's stack: that file is left out.
        match pairs.pop_front() {
            Some(pair) if is_crash(status) => done.uncompiled.push(pair.source),
            _ => return Err(failed(job, status, &stderr)),
        }
    }
    Err(Error::Installer {
        phase: Phase::Finish,
        cause: InstallerCause::Other,
        summary: format!("the interpreter crashed on {CRASHES} source files"),
        tail: done.uncompiled,
        log: job.log.path().map(Path::to_owned),
    })
}

/// The sources without bytecode, with what their bytecode is made of: source, path and the interpreter's magic number.
fn pairs_of(job: &Job<'_>, tree: &Tree, hashes: &Hashes) -> Vec<Pair> {
    let tag = job.interpreter.fact("cache_tag").unwrap_or_default();
    let magic = job.interpreter.fact("magic").unwrap_or_default();
    let pair = |source: &str| {
        let path = target(source, tag).filter(|path| tree.node(path).is_none())?;
        let key = key(hashes.get(source)?.content.digest.as_bytes(), source, magic);
        Some(Pair { source: source.to_owned(), made: DerivedFile { path, key } })
    };
    tree.files().filter_map(pair).collect()
}

/// What the bytecode of sources is called and made of.
pub(crate) fn of_sources<'a>(
    interpreter: &Interpreter,
    sources: impl IntoIterator<Item = (&'a str, FileDigest)>,
) -> Vec<DerivedFile> {
    let tag = interpreter.fact("cache_tag").unwrap_or_default();
    let magic = interpreter.fact("magic").unwrap_or_default();
    let made = |(source, digest): (&str, FileDigest)| {
        Some(DerivedFile { path: target(source, tag)?, key: key(digest.as_bytes(), source, magic) })
    };
    sources.into_iter().filter_map(made).collect()
}

fn key(digest: &[u8], source: &str, magic: &str) -> DerivedKey {
    let mut canonical = Canonical::new("envstore/derived/v1");
    canonical.field(digest).field(source).field(magic);
    canonical.digest()
}

/// Where a source's bytecode goes (PEP 3147); none for what is no source.
fn target(source: &str, tag: &str) -> Option<String> {
    let (dir, name) = source.strip_prefix("lib/")?.rsplit_once('/')?;
    let stem = name.strip_suffix(".py").filter(|stem| !stem.is_empty())?;
    Some(format!("lib/{dir}/__pycache__/{stem}.{tag}.pyc"))
}

fn run(job: &Job<'_>, env_dir: &Path, pairs: &VecDeque<Pair>) -> Result<(ExitStatus, Vec<u8>, String)> {
    let list = job.scratch.join("compile.list");
    let names: String = pairs.iter().map(|pair| format!("{}\0{}\0", pair.source, pair.made.path)).collect();
    fs::write(&list, names).map_err(Error::io("write", &list))?;
    let mut command = Command::new(env_dir.join("bin/python"));
    // Not `-I`: it would ignore the hash seed. Not `site`: `.pth` files run code of the artifacts.
    command.args(["-S", "-s", "-B", "-c", include_str!("compile.py")]).arg(env_dir).arg(&list);
    command.env_clear().env("PYTHONHASHSEED", "0").env("LC_ALL", "C.UTF-8").env("PYTHONUTF8", "1").current_dir("/");
    let finished = process::run(command, "compiling bytecode", job.log, job.limits, job.cancel, job.lease)?;
    fs::remove_file(&list).map_err(Error::io("remove", &list))?;
    Ok((finished.status, finished.stdout, finished.stderr))
}

/// SIGILL, SIGABRT, SIGBUS, SIGSEGV: the interpreter's own end, not somebody's kill.
fn is_crash(status: ExitStatus) -> bool {
    matches!(status.signal(), Some(4 | 6 | 7 | 11))
}

fn failed(job: &Job<'_>, status: ExitStatus, stderr: &str) -> Error {
    let (cause, summary) = match status.code() {
        Some(NO_SPACE) => (InstallerCause::NoSpace, "no space left for bytecode".to_owned()),
        Some(QUOTA) => (InstallerCause::Quota, "a disk quota is used up, nothing is left for bytecode".to_owned()),
        _ => (
            InstallerCause::Other,
            format!("`{}` does not run in the environment ({status})", job.interpreter.path.display()),
        ),
    };
    Error::Installer {
        phase: Phase::Finish,
        cause,
        summary,
        tail: stderr.lines().map(str::to_owned).collect(),
        log: job.log.path().map(Path::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sources_below_lib_have_bytecode() {
        let tag = "cpython-311";
        let known = target("lib/python3.11/site-packages/a.b.py", tag);
        assert_eq!(known.as_deref(), Some("lib/python3.11/site-packages/__pycache__/a.b.cpython-311.pyc"));
        for other in ["bin/x.py", "lib/x/a.pyi", "lib/x/.py", "share/a.py"] {
            assert_eq!(target(other, tag), None, "{other}");
        }
    }
}
