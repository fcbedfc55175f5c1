//! Asking a Python what it is.
//!
//! An interpreter is started by its real path, with an empty environment and without `site`, so that what it
//! says depends on nothing but itself. A shim (pyenv, asdf, a wrapper script) is started as its user would
//! start it, but is believed in one thing only: which executable it leads to.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use crate::cancel::Cancel;
use crate::error::Error;
use crate::interpreter::{FileStamp, Interpreter, InterpreterIdentity};
use crate::process::{self, Finished, Limits, Log};
use crate::spec::RuntimeKind;

const SCRIPT: &str = include_str!("probe.py");
/// Python 2 has no `fsencode`, and its paths are bytes already.
const WHERE: &str = "import os, sys; os.write(1, b'\\n' + getattr(os, 'fsencode', str)(sys.executable or '') + b'\\n')";
/// What `-I` means, spelled so that Python 2 takes it too; `probe.py` cleans `sys.path` itself.
const OPTIONS: [&str; 5] = ["-E", "-s", "-S", "-B", "-c"];
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// What a shell, `env` and pyenv end with when there is no such command.
const NO_SUCH_COMMAND: i32 = 127;
/// Variables that change what Python says of itself, also under `-E` and in Pythons a shim starts on its way.
const MISLEADING: [&str; 9] = [
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONPLATLIBDIR",
    "PYTHONSTARTUP",
    "PYTHONEXECUTABLE",
    "PYTHONINSPECT",
    "_PYTHON_HOST_PLATFORM",
    "_PYTHON_SYSCONFIGDATA_NAME",
    "__PYVENV_LAUNCHER__",
];

/// The fact that says which set of facts was asked for, and its value now: a release that asks for more counts
/// it up, and asks the interpreters that an older one remembered again.
const FORMAT: (&str, &str) = ("format", "1");
/// The fact that holds the path of the shared libpython, where there is one.
const LIBRARY: &str = "library";
/// The fact that holds its stamp.
const LIBRARY_STAMP: &str = "library_stamp";

/// Why an executable cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The version, where it is a Python and told.
    pub version: Option<String>,
    /// Completes "Python 3.7.16 is …" where there is a version, else says it all.
    pub reason: String,
    /// Set where the same executable may answer a moment later.
    pub passing: Option<Passing>,
}

/// A failure of the moment, which says nothing of the executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passing {
    /// It did not answer in time.
    TimedOut,
    /// The system could not start it for want of processes, descriptors or memory.
    NotStarted(nix::errno::Errno),
}

impl Passing {
    fn of(error: &Error) -> Option<Self> {
        use nix::errno::Errno;
        match error {
            Error::Timeout { .. } => Some(Self::TimedOut),
            Error::Io { source, .. } => {
                let errno = Errno::from_raw(source.raw_os_error()?);
                [Errno::EAGAIN, Errno::ENOMEM, Errno::EMFILE, Errno::ENFILE, Errno::ETXTBSY]
                    .contains(&errno)
                    .then_some(Self::NotStarted(errno))
            }
            _ => None,
        }
    }

    /// The failure as an error of its own.
    pub(crate) fn into_error(self, executable: &Path) -> Error {
        match self {
            Self::TimedOut => Error::Timeout { what: asking(executable), after: TIME_LIMIT },
            Self::NotStarted(errno) => Error::errno("run", executable)(errno),
        }
    }
}

impl Refusal {
    /// A refusal of something that may not be a Python at all.
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { version: None, reason: reason.into(), passing: None }
    }

    /// The error with its sources, in one line.
    pub(crate) fn from_error(error: &Error) -> Self {
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(error) = source {
            reason.push_str(&format!(": {error}"));
            source = error.source();
        }
        Self { passing: Passing::of(error), ..Self::new(reason) }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.version {
            Some(version) => write!(f, "Python {version} is {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

/// What an executable turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Probed {
    /// An interpreter.
    Interpreter(Box<Interpreter>),
    /// Another program (a copy in a virtual environment, a wrapper) that leads to the interpreter at this path.
    Elsewhere(PathBuf),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Said {
    Interpreter(Answer),
    Elsewhere(PathBuf),
    Refused { version: String, reason: String },
}

#[derive(Deserialize)]
struct Answer {
    executable: PathBuf,
    version: String,
    abi: String,
    platform: String,
    machine: String,
    library: Option<PathBuf>,
    facts: BTreeMap<String, String>,
}

/// Asks an executable what it is: one start, and one read of its bytes and its libpython's.
///
/// # Errors
///
/// It does not run, is not CPython, or is older than 3.8.
pub(crate) fn probe(executable: &Path) -> Result<Probed, Refusal> {
    let real = executable
        .canonicalize()
        .map_err(Error::io("find", executable))
        .map_err(|error| Refusal::from_error(&error))?;
    // Before it is started: if it is replaced meanwhile, the next look sees another stamp and asks again.
    let stamp = FileStamp::of(&real).map_err(|error| Refusal::from_error(&error))?;
    let mut command = Command::new(&real);
    command.env_clear().args(OPTIONS).arg(SCRIPT);
    let done = run(command, &real)?;
    if !done.status.success() {
        return Err(failed(&done));
    }
    let said = last_line(&done.stdout).and_then(|line| serde_json::from_slice(line).ok());
    match said.ok_or_else(|| Refusal::new("does not answer as a Python does"))? {
        Said::Refused { version, reason } => Err(Refusal { version: Some(version), reason, passing: None }),
        Said::Elsewhere(path) => Ok(Probed::Elsewhere(path)),
        Said::Interpreter(answer) if answer.executable.canonicalize().is_ok_and(|path| path != real) => {
            Ok(Probed::Elsewhere(answer.executable))
        }
        Said::Interpreter(answer) => {
            let interpreter = interpreter(real, stamp, answer).map_err(|error| Refusal::from_error(&error))?;
            Ok(Probed::Interpreter(Box::new(interpreter)))
        }
    }
}

/// Asks a shim which executable it leads to: an absolute path, links not followed. None: to nothing, as a
/// pyenv shim whose version is not switched on.
///
/// # Errors
///
/// It fails otherwise.
pub(crate) fn follow(shim: &Path) -> Result<Option<PathBuf>, Refusal> {
    let mut command = Command::new(shim);
    command.args(OPTIONS).arg(WHERE);
    for name in MISLEADING {
        command.env_remove(name);
    }
    let done = run(command, shim)?;
    if done.status.code() == Some(NO_SUCH_COMMAND) {
        return Ok(None);
    }
    if !done.status.success() {
        return Err(failed(&done));
    }
    match last_line(&done.stdout).map(|line| PathBuf::from(OsStr::from_bytes(line))) {
        Some(path) if path.is_absolute() => Ok(Some(path)),
        _ => Err(Refusal::new("does not say which interpreter it starts")),
    }
}

/// Whether a remembered interpreter's facts are all there and its shared library is still the one that was
/// hashed. At most one `stat`; [`Interpreter::is_unchanged`] looks at the executable alone.
pub(crate) fn is_complete(interpreter: &Interpreter) -> bool {
    interpreter.fact(FORMAT.0) == Some(FORMAT.1)
        && match (interpreter.fact(LIBRARY), interpreter.fact(LIBRARY_STAMP)) {
            (Some(library), Some(stamp)) => FileStamp::of(Path::new(library)).is_ok_and(|now| spell(now) == stamp),
            _ => true,
        }
}

fn interpreter(path: PathBuf, stamp: FileStamp, answer: Answer) -> Result<Interpreter, Error> {
    let mut facts = answer.facts;
    facts.insert(FORMAT.0.into(), FORMAT.1.into());
    let mut hasher = blake3::Hasher::new();
    hash_file(&mut hasher, &path)?;
    if let Some(library) = answer.library {
        facts.insert(LIBRARY_STAMP.into(), spell(FileStamp::of(&library)?));
        hash_file(&mut hasher, &library)?;
        facts.insert(LIBRARY.into(), library.to_string_lossy().into_owned());
    }
    let fact = |name| facts.get(name).map_or("", String::as_str);
    let identity = InterpreterIdentity {
        runtime: RuntimeKind::Python,
        implementation: fact("implementation_name").into(),
        version: answer.version,
        abi: answer.abi,
        platform: answer.platform,
        machine: answer.machine,
        libc: format!("{} {}", fact("libc_family"), fact("libc_version")),
        build_id: hasher.finalize().to_hex().to_string(),
    };
    Ok(Interpreter { identity, path, stamp, facts })
}

fn hash_file(hasher: &mut blake3::Hasher, path: &Path) -> Result<(), Error> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    hasher.update_reader(file).map_err(Error::io("read", path))?;
    Ok(())
}

fn spell(stamp: FileStamp) -> String {
    format!("{}:{}:{}", stamp.inode, stamp.size, stamp.mtime_ns)
}

fn run(mut command: Command, executable: &Path) -> Result<Finished, Refusal> {
    // pyenv looks for `.python-version` from the working directory upwards: every process shall see the same.
    command.current_dir("/");
    let limits = Limits::starting_now(TIME_LIMIT, TIME_LIMIT);
    process::run(command, &asking(executable), &Log::memory(), limits, &Cancel::new(), None)
        .map_err(|error| Refusal::from_error(&error))
}

/// Completes "gave up …".
fn asking(executable: &Path) -> String {
    format!("asking `{}` which Python it is", executable.display())
}

fn failed(done: &Finished) -> Refusal {
    let how = match (done.status.code(), done.status.signal()) {
        (Some(code), _) => format!("exits with {code}"),
        (None, Some(signal)) => format!("is killed by signal {signal}"),
        (None, None) => "fails".into(),
    };
    match done.stderr.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(line) => Refusal::new(format!("{how}: {}", line.trim())),
        None => Refusal::new(how),
    }
}

/// A wrapper may print what it likes before.
fn last_line(stdout: &[u8]) -> Option<&[u8]> {
    stdout.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::discover::testing::{executable, interpreters, script, skipped, survey};
    use super::*;

    fn ask(path: &Path) -> Interpreter {
        match probe(path).expect("is an interpreter") {
            Probed::Interpreter(interpreter) => *interpreter,
            Probed::Elsewhere(path) => panic!("leads to {}", path.display()),
        }
    }

    #[test]
    fn an_identity_is_the_same_each_time_it_is_asked() {
        for known in interpreters() {
            let again = ask(&known.path);
            assert_eq!(again, known);
            assert_eq!(again.path, again.path.canonicalize().expect("exists"));
            assert!(is_complete(&again));
            for fact in ["purelib", "platlib", "magic", "cache_tag", "base_prefix", "libc_version"] {
                assert!(again.fact(fact).is_some_and(|value| !value.is_empty()), "{fact} of {}", again.path.display());
            }
            assert!(again.identity.abi.starts_with("cpython-"), "{}", again.identity.abi);
            let place = Path::new(again.fact("purelib").expect("given"));
            assert!(place.is_relative() && place.ends_with("site-packages"), "{}", place.display());
        }
    }

    #[test]
    fn a_build_id_covers_the_executable_and_its_library() {
        for known in interpreters() {
            let mut bytes = fs::read(&known.path).expect("readable");
            if let Some(library) = known.fact("library") {
                bytes.extend(fs::read(library).expect("readable"));
            }
            assert_eq!(known.identity.build_id, blake3::hash(&bytes).to_hex().to_string());
        }
    }

    #[test]
    fn one_byte_more_is_another_interpreter() {
        let mut compared = 0;
        for known in interpreters() {
            let temp = tempfile::tempdir().expect("a directory");
            let mut bytes = fs::read(&known.path).expect("readable");
            bytes.push(0);
            let copy = executable(&temp.path().join(known.path.file_name().expect("a name")), &bytes);
            let Ok(Probed::Interpreter(changed)) = probe(&copy) else { continue };
            assert_ne!(changed.digest(), known.digest());
            assert_eq!(changed.identity.version, known.identity.version);
            assert_ne!(changed.identity.build_id, known.identity.build_id);
            compared += 1;
        }
        if compared == 0 {
            skipped("no interpreter of this machine runs from another place");
        }
    }

    #[test]
    fn a_replaced_library_makes_the_memory_of_it_incomplete() {
        for mut known in interpreters() {
            if known.facts.contains_key(LIBRARY_STAMP) {
                known.facts.insert(LIBRARY_STAMP.into(), "1:2:3".into());
                assert!(!is_complete(&known));
            }
            known.facts.remove(FORMAT.0);
            assert!(!is_complete(&known));
        }
    }

    #[test]
    fn an_old_python_says_politely_that_it_is_old() {
        let mut seen = 0;
        for (path, result) in survey() {
            if let Err(refusal @ Refusal { version: Some(version), .. }) = &result
                && refusal.reason.starts_with("older")
            {
                seen += 1;
                assert_eq!(refusal.to_string(), format!("Python {version} is older than 3.8"), "{}", path.display());
            }
        }
        if seen == 0 {
            skipped("no Python older than 3.8 on this machine");
        }
    }

    #[test]
    fn a_shim_is_followed_by_what_it_starts() {
        let temp = tempfile::tempdir().expect("a directory");
        for known in interpreters() {
            let body = format!("echo noise; exec '{}' \"$@\"", known.path.display());
            let shim = script(&temp.path().join("python3"), &body);
            assert_eq!(follow(&shim), Ok(Some(known.path)));
        }
    }

    #[test]
    fn a_shim_without_a_version_leads_nowhere() {
        let temp = tempfile::tempdir().expect("a directory");
        let shim = script(&temp.path().join("python3.12"), "echo 'pyenv: python3.12: command not found' >&2; exit 127");
        assert_eq!(follow(&shim), Ok(None));
    }

    #[test]
    fn a_shim_that_fails_or_says_nothing_is_refused() {
        let temp = tempfile::tempdir().expect("a directory");
        let cases = [
            ("echo no license >&2; exit 3", "exits with 3: no license"),
            ("exit 1", "exits with 1"),
            ("kill -9 $$", "is killed by signal 9"),
            ("exit 0", "does not say which interpreter it starts"),
            ("echo python3", "does not say which interpreter it starts"),
        ];
        for (body, reason) in cases {
            let shim = script(&temp.path().join("python3"), body);
            assert_eq!(follow(&shim), Err(Refusal::new(reason)), "{body}");
        }
    }

    #[test]
    fn what_is_no_python_is_refused() {
        for program in ["/bin/true", "/bin/cat", "/nonexistent/python3"] {
            let refusal = probe(Path::new(program)).expect_err("is no Python");
            assert_eq!((&refusal.version, refusal.passing), (&None, None), "{refusal}");
        }
    }

    #[test]
    fn a_failure_of_the_moment_is_told_from_one_that_stays() {
        let timeout = Error::Timeout { what: "x".into(), after: TIME_LIMIT };
        assert_eq!(Refusal::from_error(&timeout).passing, Some(Passing::TimedOut));
        for (errno, passes) in [(nix::errno::Errno::EAGAIN, true), (nix::errno::Errno::ENOEXEC, false)] {
            assert_eq!(Refusal::from_error(&Error::errno("run", "/x")(errno)).passing.is_some(), passes);
        }
    }
}
