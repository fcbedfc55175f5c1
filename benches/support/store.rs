//! Stores as a program opens them, with the interpreters of this machine.

use std::path::Path;
use std::sync::Arc;

use envstore::runtime::python::Python;
use envstore::settings::Settings;
use envstore::{PackRef, Store};

/// What a site without configuration has; `ENVSTORE_BENCH_PYTHON` names another default interpreter.
pub fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.install.path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    settings.python.default = std::env::var("ENVSTORE_BENCH_PYTHON").ok();
    settings
}

/// Opens the store at a root, or makes one there.
pub fn open(root: &Path, settings: Settings) -> Store {
    let python = Arc::new(Python::new(&settings));
    Store::builder(root).settings(settings).runtime(python).create(true).open().expect("a store")
}

/// The name of a numbered pack.
pub fn pack(number: u64) -> PackRef {
    PackRef::new(format!("pack{number}")).expect("a ref")
}
