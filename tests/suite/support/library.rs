//! The store of a world, opened in the tests' own process.

use std::path::Path;
use std::sync::Arc;

use envstore::Store;
use envstore::runtime::python::Python;
use envstore::settings::{MinFree, PackOptions, Settings};
use envstore::spec::Spec;
use envstore::spec::requirements::Reader;
use envstore::store::Builder;

use super::World;

/// Opens a world's store as its commands do, with the uv in this directory.
pub fn library(world: &World, uv: &Path) -> Builder {
    let mut settings = Settings::default();
    settings.install.offline = true;
    settings.install.find_links = vec![world.wheels().display().to_string()];
    settings.install.path = vec![uv.to_owned(), "/usr/bin".into(), "/bin".into()];
    settings.python.default = Some(world.python().display().to_string());
    settings.gc.min_free = MinFree::Bytes(0);
    let python = Arc::new(Python::new(&settings));
    Store::builder(world.store()).settings(settings).runtime(python).create(true)
}

/// The spec of a requirements text.
pub fn spec(requirements: &str) -> Spec {
    let mut reader = Reader::new(PackOptions::Ignore);
    reader.text("requirements", "/".as_ref(), requirements).expect("requirements");
    reader.finish().expect("a spec").0
}
