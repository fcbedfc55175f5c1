//! A list of packs: one JSON object a line.
//!
//! | field | value |
//! |---|---|
//! | `pack_ref` | the pack; needed |
//! | `requirements` | the text of a requirements file |
//! | `dependencies` | a list of requirements; one of the two is needed, both may be |
//! | `runtime` | `python`, if it is there |
//! | `python_versions` | a list of versions, any of which will do |
//! | `min_version`, `max_version` | the first and last version |
//!
//! Other fields are not looked at, blank lines are skipped. Relative paths are relative to the list's directory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde_json::{Map, Value};

use super::{Ask, Found, finish, interpreter_range, pack_ref, refused};
use crate::error::{Error, Result};
use crate::pack::PackRef;
use crate::spec::requirements::Reader;

/// The longest row, bytes: a requirements file of the greatest size, every character escaped.
const MAX_ROW_BYTES: usize = 6 * super::MAX_TEXT_BYTES;
/// The most rows.
const MAX_ROWS: usize = 1_000_000;

/// Reads a list. A row that is not in order is an entry with an error.
///
/// # Errors
/// If the list cannot be read, or is beyond a limit.
pub(super) fn read(path: &Path, ask: Ask<'_>) -> Result<Vec<Found>> {
    let mut file = BufReader::new(File::open(path).map_err(Error::io("open", path))?);
    let mut found = Vec::new();
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        let limit = MAX_ROW_BYTES as u64 + 1;
        let read = file.by_ref().take(limit).read_until(b'\n', &mut bytes).map_err(Error::io("read", path))?;
        if read == 0 {
            break;
        }
        if bytes.len() > MAX_ROW_BYTES || found.len() >= MAX_ROWS {
            let reason = format!("it has a row of more than {} MiB, or more than {MAX_ROWS} rows", MAX_ROW_BYTES >> 20);
            return Err(refused(path, reason));
        }
        let text = bytes.strip_prefix(b"\xef\xbb\xbf".as_slice()).filter(|_| number == 1).unwrap_or(&bytes);
        if !text.trim_ascii().is_empty() {
            found.push(row(text, path, number, ask));
        }
    }
    Ok(found)
}

fn row(bytes: &[u8], path: &Path, line: usize, ask: Ask<'_>) -> Found {
    match serde_json::from_slice(bytes) {
        Ok(fields) => {
            let row = Row { fields, path, line };
            finish(row.pack(), path, Some(line), path, |reader| row.gather(reader), ask)
        }
        Err(error) => {
            let error = Error::InvalidSpec {
                origin: path.display().to_string(),
                line: Some(line),
                reason: format!("it is no JSON object: {error}"),
            };
            finish(Err(error), path, Some(line), path, |_| Ok(()), ask)
        }
    }
}

/// A row, read as JSON.
struct Row<'a> {
    fields: Map<String, Value>,
    path: &'a Path,
    line: usize,
}

impl Row<'_> {
    fn pack(&self) -> Result<PackRef> {
        match self.text("pack_ref")? {
            Some(text) => pack_ref(&text, &self.path.display().to_string(), Some(self.line)),
            None => Err(self.refuse("the field `pack_ref` is not there".into())),
        }
    }

    fn gather(&self, reader: &mut Reader) -> Result<()> {
        match self.text("runtime")?.as_deref() {
            None | Some("python") => {}
            Some(other) => return Err(self.refuse(format!("the field `runtime` is `{other}`: only `python` is known"))),
        }
        let (requirements, dependencies) = (self.text("requirements")?, self.list("dependencies")?);
        if requirements.is_none() && dependencies.is_none() {
            return Err(self.refuse("neither the field `requirements` nor `dependencies` is there".into()));
        }
        let base_dir = self.path.parent().unwrap_or(Path::new("/"));
        let origin = |field: &str| format!("{}, line {}, `{field}`", self.path.display(), self.line);
        if let Some(text) = requirements {
            reader.text(&origin("requirements"), base_dir, text)?;
        }
        for line in dependencies.iter().flatten() {
            reader.requirement(&origin("dependencies"), base_dir, line)?;
        }
        let versions = self.list("python_versions")?.unwrap_or_default();
        let (min, max) = (self.text("min_version")?, self.text("max_version")?);
        let origin = self.path.display().to_string();
        reader.interpreter(interpreter_range(&versions, min.as_deref(), max.as_deref(), &origin, Some(self.line))?);
        Ok(())
    }

    /// A field that holds a text. One that is null is not there.
    fn text(&self, field: &str) -> Result<Option<String>> {
        self.fields.get(field).map_or(Ok(None), |value| match value {
            Value::Null => Ok(None),
            value => self.scalar(field, value).map(Some),
        })
    }

    /// A field that holds a list of texts.
    fn list(&self, field: &str) -> Result<Option<Vec<String>>> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(values)) => {
                values.iter().map(|value| self.scalar(field, value)).collect::<Result<_>>().map(Some)
            }
            Some(_) => Err(self.refuse(format!("the field `{field}` is no list"))),
        }
    }

    fn scalar(&self, field: &str, value: &Value) -> Result<String> {
        match value {
            Value::String(text) => Ok(text.clone()),
            // A whole number can only mean itself; 3.10 as a number is 3.1.
            Value::Number(number) if number.is_u64() => Ok(number.to_string()),
            Value::Number(number) => {
                Err(self.refuse(format!("the field `{field}` holds the number {number}: put it in quotes")))
            }
            _ => Err(self.refuse(format!("the field `{field}` holds what is no text"))),
        }
    }

    fn refuse(&self, reason: String) -> Error {
        Error::InvalidSpec { origin: self.path.display().to_string(), line: Some(self.line), reason }
    }
}
