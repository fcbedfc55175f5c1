//! [`DistInfo`]: what an installed distribution says of itself in its `*.dist-info` directory
//! (packaging.python.org, "Recording installed projects").

use std::fs;
use std::path::Path;
use std::str::FromStr;

use uv_normalize::PackageName;
use uv_pep440::Version;

use super::tidy::Tree;
use crate::error::{Error, Result};

/// An installed distribution.
#[derive(Debug)]
pub(crate) struct DistInfo {
    /// Its directory, relative to the environment.
    pub dir: String,
    /// The directory that one stands in: what `RECORD` paths are relative to.
    pub site_dir: String,
    /// Normalised name.
    pub name: String,
    /// Version, in its normal form where it has one.
    pub version: String,
    /// Its console and GUI scripts, in the file's order.
    pub scripts: Vec<EntryPoint>,
    /// Lines of `entry_points.txt` that make no script.
    pub bad_scripts: Vec<String>,
    /// Its `RECORD`.
    pub record: Vec<RecordLine>,
}

/// A script an installer makes of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EntryPoint {
    /// The script's name.
    pub name: String,
    /// The module, dotted.
    pub module: String,
    /// The function in it, perhaps dotted.
    pub function: String,
}

/// A line of `RECORD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordLine {
    /// As it is written: relative to site-packages, or absolute.
    pub path: String,
    /// `sha256=…`, empty where there is none.
    pub hash: String,
    /// Bytes.
    pub size: Option<u64>,
}

impl DistInfo {
    /// `name version`, for messages.
    pub(crate) fn label(&self) -> String {
        format!("{} {}", self.name, self.version)
    }
}

/// Reads every `*.dist-info` in the given directories; sorted by name, then version.
///
/// # Errors
/// [`Error::UnsafeArtifact`] for a distribution without a name, a version or a `RECORD`.
pub(crate) fn read_all(env_dir: &Path, tree: &Tree, site_dirs: &[String]) -> Result<Vec<DistInfo>> {
    let mut all = Vec::new();
    for site_dir in site_dirs {
        for dir in tree.dist_infos(site_dir) {
            all.push(read(env_dir, tree, site_dir, dir)?);
        }
    }
    all.sort_by(|a, b| (&a.name, &a.version, &a.dir).cmp(&(&b.name, &b.version, &b.dir)));
    Ok(all)
}

fn read(env_dir: &Path, tree: &Tree, site_dir: &str, dir: &str) -> Result<DistInfo> {
    let text = |name: &str| -> Result<Option<String>> {
        let path = format!("{dir}/{name}");
        if !tree.is_file(&path) {
            return Ok(None);
        }
        let full = env_dir.join(path);
        let bytes = fs::read(&full).map_err(Error::io("read", &full))?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    };
    let refused = |reason: &str| Error::UnsafeArtifact { artifact: dir.to_owned(), reason: reason.to_owned() };
    let stem = dir.rsplit('/').next().unwrap_or(dir).trim_end_matches(".dist-info");
    let metadata = text("METADATA")?.unwrap_or_default();
    let (stem_name, stem_version) = stem.split_once('-').unwrap_or((stem, ""));
    let name = header(&metadata, "Name").unwrap_or_else(|| stem_name.to_owned());
    let version = header(&metadata, "Version").unwrap_or_else(|| stem_version.to_owned());
    let name = PackageName::from_str(&name).map_err(|_| refused("it has no valid name"))?.to_string();
    if version.is_empty() {
        return Err(refused("it has no version"));
    }
    let (scripts, bad_scripts) = entry_points(&text("entry_points.txt")?.unwrap_or_default());
    let record = record_lines(&text("RECORD")?.ok_or_else(|| refused("it has no RECORD"))?);
    Ok(DistInfo {
        dir: dir.to_owned(),
        site_dir: site_dir.to_owned(),
        name,
        version: Version::from_str(&version).map_or(version, |version| version.to_string()),
        scripts,
        bad_scripts,
        record,
    })
}

/// The first header of that name in a metadata file's head.
fn header(metadata: &str, name: &str) -> Option<String> {
    metadata.trim_start_matches('\u{feff}').lines().take_while(|line| !line.trim().is_empty()).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.eq_ignore_ascii_case(name) && !value.trim().is_empty()).then(|| value.trim().to_owned())
    })
}

/// The scripts of an `entry_points.txt`, read as `importlib.metadata` does, and the lines that make none.
pub(crate) fn entry_points(text: &str) -> (Vec<EntryPoint>, Vec<String>) {
    let (mut scripts, mut bad) = (Vec::<EntryPoint>::new(), Vec::new());
    let mut in_scripts = false;
    for line in text.trim_start_matches('\u{feff}').lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            in_scripts = matches!(section.trim(), "console_scripts" | "gui_scripts");
        } else if in_scripts {
            match entry_point(line) {
                // Said twice, the first counts.
                Some(script) if scripts.iter().all(|other| other.name != script.name) => scripts.push(script),
                Some(_) => {}
                None => bad.push(line.to_owned()),
            }
        }
    }
    (scripts, bad)
}

/// `name = module:function [extras]`.
fn entry_point(line: &str) -> Option<EntryPoint> {
    let (name, value) = line.split_once('=')?;
    let value = value.split_once('[').map_or(value, |(value, _)| value);
    let (module, function) = value.split_once(':')?;
    let (name, module, function) = (name.trim(), module.trim(), function.trim());
    (!name.is_empty() && is_dotted(module) && is_dotted(function)).then(|| EntryPoint {
        name: name.to_owned(),
        module: module.to_owned(),
        function: function.to_owned(),
    })
}

/// Whether a text is `identifier.identifier…`: it goes into a script as it is.
fn is_dotted(text: &str) -> bool {
    text.split('.').all(|part| {
        !part.starts_with(|c: char| c.is_ascii_digit())
            && !part.is_empty()
            && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    })
}

/// The lines of a `RECORD`: comma-separated, quoted as Python's `csv` does. Extra fields are ignored.
pub(crate) fn record_lines(text: &str) -> Vec<RecordLine> {
    let mut lines = Vec::new();
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.trim_start_matches('\u{feff}').chars().peekable();
    loop {
        let c = chars.next();
        let field = fields.last_mut();
        match (c, quoted, field) {
            (Some('"'), true, Some(field)) if chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            (Some('"'), true, _) => quoted = false,
            (Some('"'), false, Some(field)) if field.is_empty() => quoted = true,
            (Some(','), false, _) => fields.push(String::new()),
            (Some('\n' | '\r'), false, _) | (None, ..) => {
                let mut row = std::mem::replace(&mut fields, vec![String::new()]).into_iter();
                let path = row.next().unwrap_or_default();
                let hash = row.next().unwrap_or_default();
                let size = row.next().and_then(|size| size.trim().parse().ok());
                if !path.is_empty() {
                    lines.push(RecordLine { path, hash, size });
                }
                if c.is_none() {
                    return lines;
                }
            }
            (Some(c), _, Some(field)) => field.push(c),
            (Some(_), _, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::record::csv_line;
    use super::*;

    fn line(path: &str, hash: &str, size: Option<u64>) -> RecordLine {
        RecordLine { path: path.into(), hash: hash.into(), size }
    }

    #[test]
    fn record_lines_are_read_with_quotes_and_any_line_end() {
        let text = "a.py,sha256=x,3\r\n\"we,ird \"\"b\"\".py\",sha256=y,4\nc/RECORD,,\n\nlast.py,,";
        let wanted = [
            line("a.py", "sha256=x", Some(3)),
            line("we,ird \"b\".py", "sha256=y", Some(4)),
            line("c/RECORD", "", None),
            line("last.py", "", None),
        ];
        assert_eq!(record_lines(text), wanted);
    }

    #[test]
    fn entry_points_lose_their_extras_and_other_sections() {
        let text = "# x\n[other]\na = b:c\n[console_scripts]\n flask=flask.cli:main\nx-y = m : K.run [tls, fast]\n\
                    bad = module\nworse = m:f()\n[gui_scripts]\ngui = m:g\nflask = late:one\n";
        let (scripts, bad) = entry_points(text);
        let made: Vec<_> = scripts.iter().map(|s| (s.name.as_str(), s.module.as_str(), s.function.as_str())).collect();
        assert_eq!(made, [("flask", "flask.cli", "main"), ("x-y", "m", "K.run"), ("gui", "m", "g")]);
        assert_eq!(bad, ["bad = module", "worse = m:f()"]);
    }

    #[test]
    fn headers_end_at_the_body() {
        let metadata = "Metadata-Version: 2.1\nname:  Foo.Bar \nVersion: 1.0\n\nVersion: 9\nLicense: x\n";
        assert_eq!(header(metadata, "Name").as_deref(), Some("Foo.Bar"));
        assert_eq!(header(metadata, "Version").as_deref(), Some("1.0"));
        assert_eq!(header(metadata, "License"), None);
    }

    proptest! {
        #[test]
        fn a_written_record_line_is_read_back(path in "[^\u{feff}\0][^\0]{0,20}", size in any::<Option<u64>>()) {
            let written = csv_line(&path, "sha256=x", size);
            prop_assert_eq!(record_lines(&written), vec![line(&path, "sha256=x", size)]);
        }

        #[test]
        fn nothing_makes_the_readers_panic(text in "(?s).{0,200}") {
            record_lines(&text);
            entry_points(&text);
            header(&text, "Name");
        }
    }
}
