//! The interpreters of the machine that the tests run on, found as a user's are.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::interpreter::InterpreterIdentity;
pub(crate) use crate::skip::skipped;
use crate::spec::RuntimeKind;

/// Remembers for as long as it lives.
#[derive(Debug, Default)]
pub(crate) struct Memory(pub Mutex<HashMap<PathBuf, Interpreter>>);

impl InterpreterMemory for Memory {
    fn recall(&self, path: &Path, stamp: FileStamp) -> Option<Interpreter> {
        self.0.lock().expect("not poisoned").get(path).filter(|known| known.stamp == stamp).cloned()
    }

    fn remember(&self, interpreter: &Interpreter) {
        self.0.lock().expect("not poisoned").insert(interpreter.path.clone(), interpreter.clone());
    }
}

/// The settings a user of this machine would have.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.install.path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let pyenv = std::env::var_os("PYENV_ROOT").map_or_else(|| home.join(".pyenv"), PathBuf::from);
    settings.python.installations = vec![pyenv.join("versions"), home.join(".local/share/uv/python")];
    settings
}

/// Everything found on this machine; looked for once.
pub(crate) fn survey() -> &'static [(PathBuf, Result<Interpreter, Refusal>)] {
    static FOUND: OnceLock<Vec<(PathBuf, Result<Interpreter, Refusal>)>> = OnceLock::new();
    FOUND.get_or_init(|| Finder::new(&settings()).survey(&Memory::default()))
}

/// The usable ones. Says loudly when there is none.
pub(crate) fn interpreters() -> Vec<Interpreter> {
    let found: Vec<_> = survey().iter().filter_map(|(_, result)| result.clone().ok()).collect();
    if found.is_empty() {
        skipped("no Python interpreter on this machine");
    }
    found
}

/// Writes an executable shell script.
pub(crate) fn script(path: &Path, body: &str) -> PathBuf {
    executable(path, format!("#!/bin/sh\n{body}\n").as_bytes())
}

/// Writes an executable file, in place of one that may be there.
pub(crate) fn executable(path: &Path, bytes: &[u8]) -> PathBuf {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, bytes).expect("written");
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    // By another process: while this one writes, a thread may fork, and a file that any child holds open for
    // writing cannot be executed.
    let copied = std::process::Command::new("/bin/cp").arg("--remove-destination").args([&draft, path]).status();
    assert!(copied.expect("cp").success());
    std::fs::remove_file(&draft).expect("removed");
    path.to_owned()
}

/// An interpreter that is nowhere.
pub(crate) fn example(version: &str) -> Interpreter {
    let minor = version.split('.').take(2).collect::<Vec<_>>().join(".");
    let facts = [("major_minor", minor.as_str()), ("gil_disabled", "0"), ("debug", "0"), ("format", "1")];
    Interpreter {
        identity: InterpreterIdentity {
            runtime: RuntimeKind::Python,
            implementation: "cpython".into(),
            version: version.into(),
            abi: "cpython-3-x86_64-linux-gnu".into(),
            platform: "linux-x86_64".into(),
            machine: "x86_64".into(),
            libc: "glibc 2.36".into(),
            build_id: "0".into(),
        },
        path: "/nowhere/python3".into(),
        stamp: FileStamp { inode: 1, size: 1, mtime_ns: 1 },
        facts: facts.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    }
}
