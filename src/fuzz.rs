//! What every reader of foreign bytes must do with any bytes at all: one function a format.
//!
//! Each takes bytes, reads them as the store does, and panics where a property does not hold: no reader panics or hangs, and what was read,
//! written and read again is the same. The fuzz targets under `fuzz/` are these functions; the tests below give them arbitrary bytes and
//! changed samples. Not in a build of the library.

use std::fs;
use std::path::{Path, PathBuf};

use url::Url;

use crate::binding::BindingFile;
use crate::interpreter::{FileStamp, Interpreter, InterpreterIdentity};
use crate::lock::Lock;
use crate::manifest::Manifest;
use crate::pin::Kept;
use crate::runtime::python::{classify, dist_info, pip, pylock, record, simple_api};
use crate::settings::PackOptions;
use crate::spec::requirements::Reader;
use crate::spec::{RuntimeKind, Spec, source};
use crate::store_file::StoreFile;

/// Where relative paths lead nowhere.
const NOWHERE: &str = "/nonexistent/envstore";

/// A format's name, the end of its samples' names, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every format.
pub const TARGETS: &[Target] = &[
    ("requirements", requirements),
    ("pack_yaml", pack_yaml),
    ("pyproject", pyproject),
    ("pylock", pylock),
    ("script", script),
    ("jsonl", jsonl),
    ("manifest", manifest),
    ("binding", binding),
    ("pin", pin),
    ("store_json", store_json),
    #[cfg(feature = "cli")]
    ("answers", answers),
    #[cfg(feature = "cli")]
    ("config", config),
    ("record", record),
    ("entry_points", entry_points),
    ("installer_output", installer_output),
    ("index_page", index_page),
    ("pip_report", pip_report),
];

/// A requirements file.
pub fn requirements(bytes: &[u8]) {
    let read = |text: &[u8]| {
        let mut reader = Reader::new(PackOptions::Ignore);
        reader.text("bytes", Path::new(NOWHERE), text)?;
        reader.finish().map(|(spec, _)| spec)
    };
    let Ok(spec) = read(bytes) else { return };
    canonical(&spec, &|text| read(text.as_bytes()));
}

/// A `pack.yaml`.
pub fn pack_yaml(bytes: &[u8]) {
    found("pack.yaml", bytes);
}

/// A `pyproject.toml`.
pub fn pyproject(bytes: &[u8]) {
    found("pyproject.toml", bytes);
}

/// A script with metadata.
pub fn script(bytes: &[u8]) {
    found("script.py", bytes);
}

/// A list of packs.
pub fn jsonl(bytes: &[u8]) {
    found("packs.jsonl", bytes);
}

/// A lock, brought by a pack, answered by uv, or kept.
pub fn pylock(bytes: &[u8]) {
    found("pylock.toml", bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(lock) = pylock::read(text) else { return };
    let interpreter = interpreter();
    let again = pylock::read(&pylock::write(&lock, &interpreter));
    assert_eq!(again.expect("what was written can be read"), lock);
    let mut packages = lock.packages.clone();
    packages.reverse();
    assert_eq!(Lock::new(packages).env_key(&interpreter.identity), lock.env_key(&interpreter.identity));
}

/// A manifest's file. The first byte says whether the rest is compressed already.
pub fn manifest(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let packed = if first % 2 == 0 { rest.to_vec() } else { gzip(rest) };
    let path = PathBuf::from(format!("/manifests/{}.json.gz", "a".repeat(32)));
    let Ok(manifest) = Manifest::decode(&packed, &path) else { return };
    let again = Manifest::decode(&manifest.encode().expect("it fits"), &path);
    assert_eq!(again.expect("what was written can be read"), manifest);
}

/// A binding file.
pub fn binding(bytes: &[u8]) {
    let path = Path::new("binding");
    let Ok(file) = BindingFile::decode(bytes, path) else { return };
    let text = serde_json::to_vec_pretty(&file).expect("it can be written");
    assert_eq!(BindingFile::decode(&text, path).expect("what was written can be read"), file);
}

/// A pin or a link.
pub fn pin(bytes: &[u8]) {
    let path = Path::new("pin");
    let Ok(kept) = Kept::decode(bytes, path) else { return };
    let text = match &kept {
        Kept::Pin(file) => serde_json::to_vec(file),
        Kept::Link(file) => serde_json::to_vec(file),
    };
    let again = Kept::decode(&text.expect("it can be written"), path).expect("what was written can be read");
    assert_eq!(format!("{again:?}"), format!("{kept:?}"));
}

/// A `store.json`.
pub fn store_json(bytes: &[u8]) {
    let root = Path::new(NOWHERE);
    let Ok(file) = StoreFile::decode(bytes, root) else { return };
    let text = serde_json::to_vec(&file).expect("it can be written");
    let again = StoreFile::decode(&text, root).expect("what was written can be read");
    assert_eq!(format!("{again:?}"), format!("{file:?}"));
}

/// An answer that was kept.
#[cfg(feature = "cli")]
pub fn answers(bytes: &[u8]) {
    use crate::answers::Answer;
    let Ok(answer) = serde_json::from_slice::<Answer>(bytes) else { return };
    let text = serde_json::to_string(&answer).expect("it can be written");
    assert!(!text.contains('\n'), "one line: {text}");
    assert_eq!(serde_json::from_str::<Answer>(&text).expect("what was written can be read"), answer);
}

/// A configuration.
#[cfg(feature = "cli")]
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = crate::site::Config::of_text(text, &Path::new(NOWHERE).join("config.toml"));
}

/// A `RECORD`.
pub fn record(bytes: &[u8]) {
    let lines = dist_info::record_lines(&String::from_utf8_lossy(bytes));
    let text: String = lines.iter().map(|line| record::csv_line(&line.path, &plain(&line.hash), line.size)).collect();
    // At the start of a text, and only there, a byte order mark is no part of a path.
    let again = dist_info::record_lines(&format!("\n{text}"));
    assert_eq!(again.len(), lines.len());
    for (again, line) in again.iter().zip(&lines) {
        assert_eq!((&again.path, again.size), (&line.path, line.size));
    }
}

/// A digest without what would need quotes: none that is written has any.
fn plain(hash: &str) -> String {
    hash.chars().filter(|c| c.is_ascii_alphanumeric()).collect()
}

/// An `entry_points.txt`.
pub fn entry_points(bytes: &[u8]) {
    let read = |text: &str| dist_info::entry_points(text).0;
    let scripts = read(&String::from_utf8_lossy(bytes));
    let line = |script: &dist_info::EntryPoint| format!("{}={}:{}\n", script.name, script.module, script.function);
    let text: String = scripts.iter().map(line).collect();
    for script in &scripts {
        // What goes into a script as it is.
        let is_plain = |text: &str| text.chars().all(|c| c.is_alphanumeric() || "._".contains(c));
        assert!(is_plain(&script.module) && is_plain(&script.function), "{script:?}");
    }
    // A name may begin as a comment or a section does only where it stood behind white space.
    let is_odd = |script: &dist_info::EntryPoint| script.name.starts_with(['#', ';', '[']);
    if !scripts.iter().any(is_odd) {
        assert_eq!(read(&format!("[console_scripts]\n{text}")), scripts);
    }
}

/// What uv or pip printed.
pub fn installer_output(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for verdict in [classify::classify(&text), pip::classify::classify(&text)] {
        assert!(verdict.summary.len() <= 16 << 10, "a summary of {} bytes", verdict.summary.len());
    }
}

/// A page of an index, as HTML and as JSON.
pub fn index_page(bytes: &[u8]) {
    let base = Url::parse("https://index.example/simple/x/").expect("a URL");
    let _ = simple_api::html(bytes, &base);
    let _ = simple_api::json(bytes, &base);
}

/// pip's report of what it would install.
pub fn pip_report(bytes: &[u8]) {
    let _ = pip::report::parse(bytes);
}

/// Reads a declaration as `sync` does, from a directory that holds nothing else.
fn found(name: &str, bytes: &[u8]) {
    thread_local! {
        static DIR: PathBuf = scratch();
    }
    DIR.with(|dir| {
        let path = dir.join(name);
        fs::write(&path, bytes).expect("the sample can be written");
        let all = source::find(std::slice::from_ref(&path), PackOptions::Ignore);
        for declaration in all.into_iter().flatten().filter_map(|found| found.result.ok()) {
            canonical(&declaration.spec, &|text| {
                let mut reader = Reader::new(PackOptions::Ignore);
                reader.text("again", dir, text)?;
                reader.finish().map(|(spec, _)| spec)
            });
        }
    });
}

fn scratch() -> PathBuf {
    let thread = format!("{:?}", std::thread::current().id()).replace(|c: char| !c.is_ascii_digit(), "");
    let dir = std::env::temp_dir().join(format!("envstore-fuzz-{}-{thread}", std::process::id()));
    fs::create_dir_all(&dir).expect("a directory");
    dir
}

/// A spec is the same after it was written down, whatever the order of its lines.
fn canonical(spec: &Spec, read: &dyn Fn(&str) -> crate::error::Result<Spec>) {
    let mut again = spec.clone();
    again.requirements.reverse();
    again.constraints.reverse();
    again.canonicalise();
    assert_eq!(&again, spec, "order does not matter");
    let kept: Spec = serde_json::from_str(&serde_json::to_string(spec).expect("it can be written")).expect("and read");
    assert_eq!(&kept, spec);
    assert_eq!(kept.digest(), spec.digest());
    if spec.pylock.is_some() {
        return;
    }
    let lines = spec.requirements.iter().rev().map(|requirement| requirement.line());
    let text = lines.collect::<Vec<_>>().join("\n");
    let again = read(&text).unwrap_or_else(|error| panic!("what was read can be read again: {error}: {text:?}"));
    assert_eq!(again.requirements, spec.requirements, "{text:?}");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes it")
}

fn interpreter() -> Interpreter {
    Interpreter {
        identity: InterpreterIdentity {
            runtime: RuntimeKind::Python,
            implementation: "cpython".into(),
            version: "3.11.7".into(),
            abi: "cpython-311".into(),
            platform: "linux_x86_64".into(),
            machine: "x86_64".into(),
            libc: "glibc 2.36".into(),
            build_id: "x".into(),
        },
        path: "/usr/bin/python3".into(),
        stamp: FileStamp { inode: 1, size: 1, mtime_ns: 1 },
        facts: Default::default(),
    }
}

#[cfg(test)]
mod tests;
