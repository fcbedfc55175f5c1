//! A project to build from, without the network.

use std::fs;
use std::path::Path;

/// A project that builds with nothing but Python: its own backend, kept beside it.
pub fn project(dir: &Path, version: &str) {
    fs::create_dir_all(dir).expect("a directory");
    let files = [
        ("pyproject.toml", "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n[project]\nname = 'local'\ndynamic = ['version']\n".to_owned()),
        ("local.py", format!("version = {version:?}\n")),
        ("backend.py", BACKEND.replace("VERSION", version)),
    ];
    for (name, text) in files {
        fs::write(dir.join(name), text).expect("a file");
    }
}

const BACKEND: &str = r#"
import os, zipfile
INFO = "local-VERSION.dist-info"
META = "Metadata-Version: 2.1\nName: local\nVersion: VERSION\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"

def prepare_metadata_for_build_wheel(directory, settings=None):
    os.mkdir(os.path.join(directory, INFO))
    for name, text in (("METADATA", META), ("WHEEL", WHEEL)):
        with open(os.path.join(directory, INFO, name), "w") as file:
            file.write(text)
    return INFO

def build_wheel(directory, settings=None, metadata=None):
    name = "local-VERSION-py3-none-any.whl"
    files = [("local.py", open("local.py").read()), (INFO + "/METADATA", META), (INFO + "/WHEEL", WHEEL)]
    record = "".join(path + ",,\n" for path, _ in files) + INFO + "/RECORD,,\n"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        for path, text in files + [(INFO + "/RECORD", record)]:
            wheel.writestr(path, text)
    return name
"#;
