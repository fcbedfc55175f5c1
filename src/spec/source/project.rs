//! `pyproject.toml` (PEP 621) and scripts that carry their dependencies (PEP 723).
//!
//! Of a project only what it depends on is installed: the pack's own code runs from where it stands. Which of its
//! optional dependencies belong to it says `extras` in its table `[tool.envstore]`, or whoever asks for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;
use uv_normalize::{ExtraName, PackageName};

use super::{interpreter_range, read_limited, refused};
use crate::error::{Error, Result};
use crate::spec::lines::MAX_TEXT_BYTES;
use crate::spec::pep508;
use crate::spec::requirements::Reader;

/// The line that a script's metadata begins with.
const BEGIN: &str = "# /// script";

/// A `pyproject.toml`, as far as it says what a pack depends on.
#[derive(Debug, Deserialize)]
struct ProjectFile {
    project: Option<Project>,
    #[serde(default)]
    tool: Tools,
}

/// `[project]`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Project {
    /// Its name, as it is written.
    pub(super) name: Option<String>,
    requires_python: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
    #[serde(default)]
    optional_dependencies: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    dynamic: Vec<String>,
    /// `[tool.envstore]` and others' tables.
    #[serde(skip)]
    tool: Tools,
}

/// `[tool]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tools {
    envstore: Ours,
    uv: Option<toml::Table>,
}

/// `[tool.envstore]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Ours {
    extras: Vec<String>,
}

/// The metadata of a script.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Script {
    requires_python: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
    #[serde(default)]
    tool: Tools,
}

/// Reads a `pyproject.toml`; none if it describes no project and only serves tools.
pub(super) fn read(path: &Path) -> Result<Option<Project>> {
    let file: ProjectFile = parse(&text_of(path)?, path, 0)?;
    Ok(file.project.map(|project| Project { tool: file.tool, ..project }))
}

/// Adds what a project depends on, with the extras it names itself and those asked for.
pub(super) fn gather(reader: &mut Reader, project: Project, path: &Path, extras: &[String]) -> Result<()> {
    for field in ["dependencies", "optional-dependencies", "requires-python"] {
        if project.dynamic.iter().any(|dynamic| dynamic == field) {
            return Err(refused(
                path,
                format!(
                    "its `{field}` are dynamic, so that only a build can tell them: write them down, or write `.` into \
                     a `requirements.txt` beside it to install the project itself"
                ),
            ));
        }
    }
    let origin = path.display().to_string();
    let base_dir = path.parent().unwrap_or(Path::new("/"));
    add(reader, &origin, "project.dependencies", base_dir, &project.dependencies)?;
    for extra in chosen(&project, path, extras)? {
        let lines: Vec<&String> = project
            .optional_dependencies
            .iter()
            .filter(|(name, _)| normal_extra(name).as_deref() == Some(&*extra))
            .flat_map(|(_, lines)| lines)
            .filter(|line| own_extras(&project, line).is_none())
            .collect();
        add(reader, &origin, &format!("project.optional-dependencies.{extra}"), base_dir, lines)?;
    }
    set_range(reader, project.requires_python.as_deref(), &origin)?;
    warn_of_sources(reader, &project.tool, &origin);
    Ok(())
}

/// The extras wanted and those they name in turn (`all = ["mine[s3,http]"]`), normalised.
fn chosen(project: &Project, path: &Path, asked: &[String]) -> Result<BTreeSet<String>> {
    let mut chosen = BTreeSet::new();
    let mut open: Vec<String> = project.tool.envstore.extras.iter().chain(asked).cloned().collect();
    while let Some(extra) = open.pop() {
        let known = |name: &&String| normal_extra(name).is_some() && normal_extra(name) == normal_extra(&extra);
        let Some((_, lines)) = project.optional_dependencies.iter().find(|(name, _)| known(name)) else {
            let there: Vec<_> = project.optional_dependencies.keys().map(|name| format!("`{name}`")).collect();
            let there = if there.is_empty() { "none".into() } else { there.join(", ") };
            return Err(refused(path, format!("it has no extra `{extra}`; there are: {there}")));
        };
        if chosen.insert(normal_extra(&extra).unwrap_or(extra)) {
            open.extend(lines.iter().filter_map(|line| own_extras(project, line)).flatten());
        }
    }
    Ok(chosen)
}

/// The extras a line asks of the project itself; none if it names another.
fn own_extras(project: &Project, line: &str) -> Option<Vec<String>> {
    let name = PackageName::from_str(project.name.as_deref()?).ok()?;
    pep508::extras_of(name.as_ref(), line)
}

fn normal_extra(name: &str) -> Option<String> {
    ExtraName::from_str(name).ok().map(|name| name.to_string())
}

/// Whether a script carries metadata. Whatever else ends in `.py` is no pack, whatever is in it.
pub(super) fn is_script(path: &Path) -> Result<bool> {
    let size = std::fs::metadata(path).map_err(Error::io("read", path))?.len();
    if size > MAX_TEXT_BYTES as u64 {
        return Ok(false);
    }
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    Ok(bytes.split(|byte| *byte == b'\n').any(|line| line.trim_ascii_end() == BEGIN.as_bytes()))
}

/// Adds what a script depends on.
pub(super) fn gather_script(reader: &mut Reader, path: &Path) -> Result<()> {
    let Some(block) = block(&text_of(path)?, path)? else {
        return Err(refused(path, "it is a script without metadata (PEP 723): no line is `# /// script`".into()));
    };
    let script: Script = parse(&block.text, path, block.line)?;
    let origin = path.display().to_string();
    let base_dir = path.parent().unwrap_or(Path::new("/"));
    add(reader, &origin, "dependencies", base_dir, &script.dependencies)?;
    set_range(reader, script.requires_python.as_deref(), &origin)?;
    warn_of_sources(reader, &script.tool, &origin);
    Ok(())
}

/// The TOML of a script's metadata.
struct Block {
    text: String,
    /// The line it begins behind.
    line: usize,
}

/// The one block of type `script` (PEP 723): comments from `# /// script` to the last `# ///` of that comment.
fn block(text: &str, path: &Path) -> Result<Option<Block>> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found: Option<Block> = None;
    let mut at = 0;
    while at < lines.len() {
        if lines[at].trim_end() != BEGIN {
            at += 1;
            continue;
        }
        let content = lines[at + 1..].iter().take_while(|line| **line == "#" || line.starts_with("# "));
        let content: Vec<&str> = content.copied().collect();
        // Without an end it is a comment like any other.
        let Some(end) = content.iter().rposition(|line| line.trim_end() == "# ///") else {
            at += 1;
            continue;
        };
        if found.is_some() {
            return Err(refused(path, "it has several blocks `# /// script`: one is allowed".into()));
        }
        let plain = |line: &&str| line.strip_prefix("# ").unwrap_or("").to_owned();
        let text = content[..end].iter().map(plain).collect::<Vec<_>>().join("\n");
        found = Some(Block { text, line: at + 1 });
        at += end + 2;
    }
    Ok(found)
}

fn add<S: AsRef<str>>(
    reader: &mut Reader,
    origin: &str,
    field: &str,
    base_dir: &Path,
    lines: impl IntoIterator<Item = S>,
) -> Result<()> {
    for line in lines {
        reader.requirement(&format!("{origin}, `{field}`"), base_dir, line.as_ref())?;
    }
    Ok(())
}

fn set_range(reader: &mut Reader, requires_python: Option<&str>, origin: &str) -> Result<()> {
    let versions: Vec<String> =
        requires_python.map(str::trim).filter(|range| !range.is_empty()).map(str::to_owned).into_iter().collect();
    reader.interpreter(interpreter_range(&versions, None, None, origin, None)?);
    Ok(())
}

/// Where a project's tools find artifacts is not what it declares.
fn warn_of_sources(reader: &mut Reader, tool: &Tools, origin: &str) {
    for key in ["index", "index-url", "extra-index-url", "find-links", "sources"] {
        if tool.uv.as_ref().is_some_and(|uv| uv.contains_key(key)) {
            reader.note(&format!(
                "{origin}: `tool.uv.{key}` is ignored: a pack does not choose where artifacts come from"
            ));
        }
    }
}

fn text_of(path: &Path) -> Result<String> {
    let text = String::from_utf8(read_limited(path)?).map_err(|_| refused(path, "it is not UTF-8".into()))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Reads TOML that begins behind some line of its file.
fn parse<T: serde::de::DeserializeOwned>(text: &str, path: &Path, behind: usize) -> Result<T> {
    toml::from_str(text).map_err(|error| {
        let before = |span: std::ops::Range<usize>| text.as_bytes()[..span.start.min(text.len())].to_vec();
        let line = error.span().map(|span| before(span).iter().filter(|byte| **byte == b'\n').count() + 1 + behind);
        let reason = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
        Error::InvalidSpec { origin: path.display().to_string(), line, reason }
    })
}
