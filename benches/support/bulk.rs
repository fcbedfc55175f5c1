//! Wheels of many files, made on the fly, and a store that installs them with the interpreter's own pip: no network is needed.

use std::path::Path;

use envstore::settings::{Installer, PackOptions, Settings};
use envstore::spec::Spec;
use envstore::spec::requirements::Reader;

use super::store::settings;
use super::wheel::Wheel;

/// Bytes of each file.
pub const FILE_BYTES: usize = 8192;

/// Settings that take nothing but what is in a directory of wheels.
pub fn offline(wheels: &Path) -> Settings {
    let mut settings = settings();
    settings.install.installer = Installer::Pip;
    settings.install.offline = true;
    settings.install.find_links = vec![wheels.to_string_lossy().into_owned()];
    settings
}

/// Writes a wheel of so many files, none of which is in a wheel of another name or version.
pub fn write_wheel(wheels: &Path, name: &str, version: &str, files: usize) {
    let mut wheel = Wheel::new(name, version);
    for number in 0..files {
        let mut bytes = blake3::Hasher::new();
        bytes.update(format!("{name} {version} {number}").as_bytes());
        let mut content = vec![0; FILE_BYTES];
        bytes.finalize_xof().fill(&mut content);
        wheel = wheel.file(&format!("{name}/data/{number:04}.bin"), content);
    }
    wheel.write(wheels);
}

/// The declaration of a requirements text.
pub fn declared(text: &str) -> Spec {
    let mut reader = Reader::new(PackOptions::Ignore);
    reader.text("bench", Path::new("/"), text).expect("reads");
    reader.finish().expect("a spec").0
}
