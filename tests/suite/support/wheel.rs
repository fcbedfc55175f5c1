//! Wheels made on the fly: a zip with METADATA, WHEEL and RECORD (PEP 427).

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;

/// A wheel to be written.
#[derive(Debug, Clone)]
pub struct Wheel {
    name: String,
    version: String,
    build: Option<String>,
    tag: String,
    requires: Vec<String>,
    extras: Vec<String>,
    scripts: Vec<String>,
    files: Vec<(String, Vec<u8>)>,
    recorded: Vec<(String, String)>,
    bare_mode: Option<u16>,
    hidden: Vec<(String, Vec<u8>, u16)>,
}

impl Wheel {
    /// A pure wheel with one module of the distribution's name that knows its version.
    pub fn new(name: &str, version: &str) -> Self {
        let module = name.replace('-', "_");
        Self {
            name: module.clone(),
            version: version.into(),
            build: None,
            tag: "py3-none-any".into(),
            requires: Vec::new(),
            extras: Vec::new(),
            scripts: Vec::new(),
            recorded: Vec::new(),
            bare_mode: None,
            hidden: Vec::new(),
            files: vec![(format!("{module}/__init__.py"), format!("version = {version:?}\n").into_bytes())],
        }
    }

    /// Adds a file, relative to site-packages, or replaces it.
    pub fn file(mut self, path: &str, text: impl AsRef<[u8]>) -> Self {
        self.files.retain(|(other, _)| other != path);
        self.files.push((path.into(), text.as_ref().to_vec()));
        self
    }

    /// Requires another distribution.
    pub fn requires(mut self, requirement: &str) -> Self {
        self.requires.push(requirement.into());
        self
    }

    /// Has an extra.
    pub fn provides_extra(mut self, extra: &str) -> Self {
        self.extras.push(extra.into());
        self
    }

    /// Has a console script, `name = module:function`.
    pub fn script(mut self, entry_point: &str) -> Self {
        self.scripts.push(entry_point.into());
        self
    }

    /// Says another digest of a file than it has.
    pub fn recorded_as(mut self, path: &str, digest: &str) -> Self {
        self.recorded.push((path.into(), digest.into()));
        self
    }

    /// Its archive's entries have this mode, and no mark of what kind of file they are, as some build systems write them.
    pub fn bare_mode(mut self, mode: u16) -> Self {
        self.bare_mode = Some(mode);
        self
    }

    /// Its archive has a member that its `RECORD` does not say, with this kind and mode.
    pub fn hidden(mut self, name: &str, bytes: impl AsRef<[u8]>, mode: u16) -> Self {
        self.hidden.push((name.into(), bytes.as_ref().to_vec(), mode));
        self
    }

    /// Has another tag, e.g. `cp311-cp311-linux_x86_64`.
    pub fn tag(mut self, tag: &str) -> Self {
        self.tag = tag.into();
        self
    }

    /// Has a build tag.
    pub fn build(mut self, build: &str) -> Self {
        self.build = Some(build.into());
        self
    }

    /// Writes it into a directory and returns its path.
    pub fn write(&self, dir: &Path) -> PathBuf {
        let Self { name, version, tag, .. } = self;
        let info = format!("{name}-{version}.dist-info");
        let mut metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
        for extra in &self.extras {
            writeln!(metadata, "Provides-Extra: {extra}").expect("a string takes it");
        }
        for requirement in &self.requires {
            writeln!(metadata, "Requires-Dist: {requirement}").expect("a string takes it");
        }
        let mut files = self.files.clone();
        files.push((format!("{info}/METADATA"), metadata.into_bytes()));
        let wheel = format!("Wheel-Version: 1.0\nGenerator: envstore-tests\nRoot-Is-Purelib: true\nTag: {tag}\n");
        files.push((format!("{info}/WHEEL"), wheel.into_bytes()));
        if !self.scripts.is_empty() {
            let entry_points = format!("[console_scripts]\n{}\n", self.scripts.join("\n"));
            files.push((format!("{info}/entry_points.txt"), entry_points.into_bytes()));
        }
        let mut record = String::new();
        for (path, bytes) in &files {
            let said = self.recorded.iter().find(|(name, _)| name == path).map(|(_, digest)| digest.clone());
            let digest = said.unwrap_or_else(|| format!("sha256={}", BASE64URL_NOPAD.encode(&Sha256::digest(bytes))));
            writeln!(record, "{path},{digest},{}", bytes.len()).expect("a string takes it");
        }
        writeln!(record, "{info}/RECORD,,").expect("a string takes it");
        files.push((format!("{info}/RECORD"), record.into_bytes()));

        let build = self.build.as_ref().map(|build| format!("-{build}")).unwrap_or_default();
        let path = dir.join(format!("{name}-{version}{build}-{tag}.whl"));
        let mut zip = zip::ZipWriter::new(File::create(&path).expect("the wheel can be created"));
        for (name, bytes) in files {
            zip.start_file(name, SimpleFileOptions::default()).expect("a zip entry begins");
            zip.write_all(&bytes).expect("a zip entry is written");
        }
        for (name, bytes, _) in &self.hidden {
            zip.start_file(name.as_str(), SimpleFileOptions::default()).expect("a zip entry begins");
            zip.write_all(bytes).expect("a zip entry is written");
        }
        zip.finish().expect("the zip ends");
        if !self.hidden.is_empty() {
            let mut bytes = std::fs::read(&path).expect("the wheel can be read");
            let entries: Vec<_> = memchr::memmem::find_iter(&bytes, b"PK\x01\x02").collect();
            for entry in entries {
                let length = usize::from(u16::from_le_bytes([bytes[entry + 28], bytes[entry + 29]]));
                let name = bytes[entry + 46..entry + 46 + length].to_vec();
                if let Some((_, _, mode)) = self.hidden.iter().find(|(hidden, ..)| hidden.as_bytes() == name) {
                    bytes[entry + 38..entry + 42].copy_from_slice(&(u32::from(*mode) << 16).to_le_bytes());
                }
            }
            std::fs::write(&path, bytes).expect("the wheel can be written");
        }
        if let Some(mode) = self.bare_mode {
            let mut bytes = std::fs::read(&path).expect("the wheel can be read");
            // The external attributes of each entry of the central directory (APPNOTE.TXT, 4.3.12).
            let entries: Vec<_> = memchr::memmem::find_iter(&bytes, b"PK\x01\x02").collect();
            for entry in entries {
                bytes[entry + 38..entry + 42].copy_from_slice(&(u32::from(mode) << 16).to_le_bytes());
            }
            std::fs::write(&path, bytes).expect("the wheel can be written");
        }
        path
    }
}
