//! What an action must not inherit of its worker.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Variables that name an environment the worker itself runs in, or that choose what a shim starts.
const OF_THE_WORKER: [&str; 6] =
    ["VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "ENVSTORE_ENV", "CONDA_PREFIX", "PYENV_VERSION", "__PYVENV_LAUNCHER__"];

/// Whether a variable changes what a Python process does.
pub(super) fn is_dropped(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"PYTHON") || OF_THE_WORKER.iter().any(|dropped| name == *dropped)
}

/// A worker's `PATH` without the environment it runs in.
pub(super) fn path(path: &OsStr, virtual_env: Option<&OsStr>) -> OsString {
    let own = virtual_env.map(|dir| PathBuf::from(dir).join("bin"));
    let dirs = std::env::split_paths(path).filter(|dir| Some(dir) != own.as_ref());
    // Fails only for a directory with a colon in its name, which came from no PATH.
    std::env::join_paths(dirs).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pythons_and_the_workers_own_goes() {
        for name in ["PYTHONPATH", "PYTHONSTARTUP", "PYTHONANYTHING", "VIRTUAL_ENV", "ENVSTORE_ENV"] {
            assert!(is_dropped(name.as_ref()), "{name}");
        }
        for name in ["PATH", "HOME", "LANG", "PY", "MY_PYTHON", "ENVSTORE_STORE"] {
            assert!(!is_dropped(name.as_ref()), "{name}");
        }
        assert_eq!(path("/w/bin:/usr/bin".as_ref(), Some("/w".as_ref())), "/usr/bin");
        assert_eq!(path("/w/bin:/usr/bin".as_ref(), None), "/w/bin:/usr/bin");
    }
}
