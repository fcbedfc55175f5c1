//! [`Reader`]: gathers what a pack declares, from files, texts and arguments, into one canonical [`Spec`].
//!
//! Requirements files are read as pip reads them (`lines` and `options` say which of it), with these differences:
//! relative paths are relative to the file that names them, everywhere; options that choose where artifacts come
//! from count only where [`PackOptions`] allows it; what would be kept on disk holds no secrets and reads no
//! environment variables; and requirements below a `-c` file are constraints, as uv has it.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use url::Url;

use super::lines::{self, Flaw, MAX_TEXT_BYTES};
use super::options::{self, Effect, Given};
use super::place::{Place, shown};
use super::{Declaration, InterpreterRange, Requirement, RuntimeKind, Spec, link, pep508, pylock};
use crate::error::{Error, Result};
use crate::settings::PackOptions;

/// How deep files may name other files.
const MAX_DEPTH: usize = 32;
/// How many files one declaration may be made of.
const MAX_FILES: usize = 1_000;
/// How many bytes its texts may have together.
const MAX_TOTAL_BYTES: usize = 4 * MAX_TEXT_BYTES;
/// How many requirements, constraints and options it may have.
const MAX_REQUIREMENTS: usize = 50_000;
/// How many warnings are told.
const MAX_WARNINGS: usize = 100;

/// Gathers a declaration from its pieces. The order of requirements does not matter, that of options does.
#[derive(Debug)]
pub struct Reader {
    pack_options: PackOptions,
    spec: Spec,
    warnings: Vec<String>,
    /// The files being read, outermost first.
    open: Vec<PathBuf>,
    files: usize,
    bytes: usize,
}

/// Reads requirements that stand alone, such as a site's own: one a line, no options.
///
/// # Errors
/// If one of them is no requirement.
pub fn each(origin: &str, lines: &[String]) -> Result<Vec<Requirement>> {
    let mut reader = Reader::new(PackOptions::Ignore);
    for line in lines {
        reader.requirement(origin, Path::new("/"), line)?;
    }
    Ok(reader.finish()?.0.requirements)
}

/// Whether a requirement asks for a package or limits one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Requirement,
    Constraint,
}

impl Reader {
    /// Starts with nothing declared.
    pub fn new(pack_options: PackOptions) -> Self {
        Self {
            pack_options,
            spec: Spec::empty(RuntimeKind::Python),
            warnings: Vec::new(),
            open: Vec::new(),
            files: 0,
            bytes: 0,
        }
    }

    /// Adds a file of requirements (`-r`). It may be a pipe.
    ///
    /// # Errors
    /// If the file, or one it names, cannot be read, or holds what a declaration must not; the error names the file
    /// and the line.
    pub fn file(&mut self, path: &Path) -> Result<&mut Self> {
        self.read_file(path, Role::Requirement, None)?;
        Ok(self)
    }

    /// Adds a file of constraints (`-c`).
    ///
    /// # Errors
    /// As [`Reader::file`]; also if a requirement in it has no name.
    pub fn constraint_file(&mut self, path: &Path) -> Result<&mut Self> {
        self.read_file(path, Role::Constraint, None)?;
        Ok(self)
    }

    /// Adds the text of a requirements file that stands elsewhere, such as in `origin`. Relative paths in it are
    /// relative to `base_dir`.
    ///
    /// # Errors
    /// As [`Reader::file`].
    pub fn text(&mut self, origin: &str, base_dir: &Path, text: impl AsRef<[u8]>) -> Result<&mut Self> {
        let base_dir = absolute(base_dir)?;
        self.read_text(origin, &base_dir, text.as_ref(), Role::Requirement)?;
        Ok(self)
    }

    /// Adds one requirement (`--with`). An option is none.
    ///
    /// # Errors
    /// If it is no requirement, or one that a declaration must not hold.
    pub fn requirement(&mut self, origin: &str, base_dir: &Path, line: &str) -> Result<&mut Self> {
        let base_dir = absolute(base_dir)?;
        let place = Place { origin, base_dir: &base_dir, line: None };
        let text = lines::without_comment(line);
        if text.len() > lines::MAX_LINE_BYTES || text.contains(['\n', '\r', '\0']) {
            return Err(place.refuse("one requirement is one line"));
        }
        if text.is_empty() {
            return Err(place.refuse("the requirement is empty"));
        }
        if text.starts_with('-') && options::editable(text).is_none() {
            return Err(place.refuse(format!("`{}` is an option, not a requirement", shown(text, 120))));
        }
        self.read_line(place, text, Role::Requirement)?;
        Ok(self)
    }

    /// Takes a lock file (PEP 751) for the whole declaration.
    ///
    /// # Errors
    /// If it cannot be read, or holds what a declaration must not.
    pub fn lock_file(&mut self, path: &Path) -> Result<&mut Self> {
        let refuse = |reason: String| Error::InvalidSpec {
            origin: path.display().to_string(),
            line: None,
            reason: shown(&reason, 600),
        };
        let bytes = super::source::read_limited(path)?;
        let text = String::from_utf8(bytes).map_err(|_| refuse("it is not UTF-8".into()))?;
        let base_dir = absolute(path.parent().unwrap_or(Path::new("")))?;
        let lock = pylock::declared(&text, &base_dir).map_err(|error| refuse(error.to_string()))?;
        if let Some(range) = &lock.requires_python {
            let range = InterpreterRange::parse(range).map_err(|invalid| refuse(invalid.to_string()))?;
            self.spec.interpreter = range;
        }
        self.spec.pylock = Some(lock);
        Ok(self)
    }

    /// Adds what another declaration says.
    pub fn declaration(&mut self, declaration: Declaration) -> &mut Self {
        let Spec { runtime, requirements, constraints, options, interpreter, seed, pylock } = declaration.spec;
        self.spec.runtime = runtime;
        self.spec.requirements.extend(requirements);
        self.spec.constraints.extend(constraints);
        self.spec.options.extend(options);
        self.spec.seed.extend(seed);
        if pylock.is_some() {
            self.spec.pylock = pylock;
        }
        if !interpreter.is_any() {
            self.spec.interpreter = interpreter;
        }
        self.warnings.extend(declaration.warnings);
        self
    }

    /// Installs what is declared and nothing it depends on (`--no-deps`).
    pub fn no_deps(&mut self) -> &mut Self {
        self.keep_option("--no-deps".into());
        self
    }

    /// Sets which interpreters will do, in place of what was said before.
    pub fn interpreter(&mut self, range: InterpreterRange) -> &mut Self {
        self.spec.interpreter = range;
        self
    }

    /// Narrows which interpreters will do to those that this range holds too.
    ///
    /// # Errors
    /// If nothing is left.
    pub(super) fn narrow_interpreter(&mut self, range: InterpreterRange, origin: &str) -> Result<()> {
        let before = std::mem::take(&mut self.spec.interpreter);
        self.spec.interpreter = before.and(range).map_err(|invalid| invalid.at(origin, None))?;
        Ok(())
    }

    /// Adds what is worth telling.
    pub(super) fn note(&mut self, warning: &str) {
        self.warnings.push(shown(warning, 300));
    }

    /// Ends with the canonical spec, and with what is worth telling about how it was declared.
    ///
    /// # Errors
    /// If more is declared than one environment can hold.
    pub fn finish(mut self) -> Result<(Spec, Vec<String>)> {
        let Spec { requirements, constraints, options, .. } = &self.spec;
        let count = requirements.len() + constraints.len() + options.len();
        if count > MAX_REQUIREMENTS {
            let reason = format!("it has {count} requirements, constraints and options, more than {MAX_REQUIREMENTS}");
            return Err(Error::InvalidSpec { origin: "as a whole".into(), line: None, reason });
        }
        if self.spec.pylock.is_some() && count > 0 {
            let reason = "it brings a lock, to which nothing can be added: lock it again with what is wanted".into();
            return Err(Error::InvalidSpec { origin: "as a whole".into(), line: None, reason });
        }
        self.spec.canonicalise();
        Ok((self.spec, self.warnings))
    }

    /// Reads a file. `from` is the place that names it, if a file does.
    fn read_file(&mut self, path: &Path, role: Role, from: Option<Place<'_>>) -> Result<()> {
        let refuse = |reason: String| match from {
            Some(place) => place.refuse(reason),
            None => Error::InvalidSpec { origin: path.display().to_string(), line: None, reason },
        };
        let unreadable = |error: std::io::Error| match from {
            Some(place) => place.refuse(format!("cannot read `{}`: {error}", path.display())),
            None => Error::io("read", path)(error),
        };
        let meta = fs::metadata(path).map_err(unreadable)?;
        if path.extension().is_some_and(|extension| extension == "toml" || extension == "py") {
            return Err(refuse(format!("`{}` is no requirements file: give it with `--from`", path.display())));
        }
        // What a pack names must be a file: a pipe would be waited for. A person may give one (`-r <(…)`).
        if meta.is_dir() || (from.is_some() && !meta.is_file()) {
            return Err(refuse(format!("`{}` is not a file", path.display())));
        }
        // A pipe has no real path, and names no files that could name it.
        let real = if meta.is_file() { fs::canonicalize(path).map_err(unreadable)? } else { path.to_owned() };
        if self.open.contains(&real) {
            return Err(refuse(format!("`{}` names itself, by way of the files it names", path.display())));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(refuse(format!("files name each other more than {MAX_DEPTH} deep")));
        }
        self.files += 1;
        if self.files > MAX_FILES {
            return Err(refuse(format!("the declaration is made of more than {MAX_FILES} files")));
        }
        let mut bytes = Vec::new();
        let limit = MAX_TEXT_BYTES as u64 + 1;
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(unreadable)?;
        let base_dir = absolute(path.parent().unwrap_or(Path::new("")))?;
        self.open.push(real);
        let result = self.read_text(&path.display().to_string(), &base_dir, &bytes, role);
        self.open.pop();
        result
    }

    fn read_text(&mut self, origin: &str, base_dir: &Path, text: &[u8], role: Role) -> Result<()> {
        let refuse = |Flaw { line, reason }| Error::InvalidSpec { origin: origin.to_owned(), line, reason };
        self.bytes += text.len();
        if self.bytes > MAX_TOTAL_BYTES {
            let reason = format!("the declaration is larger than {} MiB in all", MAX_TOTAL_BYTES >> 20);
            return Err(refuse(Flaw { line: None, reason }));
        }
        for line in lines::split(text).map_err(refuse)? {
            self.read_line(Place { origin, base_dir, line: Some(line.number) }, &line.text, role)?;
        }
        Ok(())
    }

    fn read_line(&mut self, place: Place<'_>, text: &str, role: Role) -> Result<()> {
        if let Some(requirement) = options::editable(text) {
            let is_url = requirement.contains("://") && !requirement.starts_with("file:");
            if !is_url {
                let path = shown(requirement, 120);
                return Err(place.refuse(format!(
                    "`-e {path}` cannot be shared: environments never change. Write `{path}` without `-e` to install \
                     what stands there now, or name a wheel built from it"
                )));
            }
            self.read_requirement(place, requirement, role)?;
            self.warn(place, "`-e` is left out: environments never change");
            return Ok(());
        }
        if text.starts_with('-') {
            for given in options::parse(text).map_err(|reason| place.refuse(reason))? {
                self.read_option(place, given, role)?;
            }
            return Ok(());
        }
        self.read_requirement(place, text, role)
    }

    fn read_requirement(&mut self, place: Place<'_>, text: &str, role: Role) -> Result<()> {
        refuse_variables(place, text)?;
        let (requirement, behind) = options::split_trailing(text);
        let told = |reason: String| place.refuse(format!("`{}`: {reason}", shown(requirement, 200)));
        let hashes = options::hashes(behind).map_err(told)?;
        let read = pep508::read(requirement, &hashes, place.base_dir).map_err(told)?;
        // Written down, it would swallow the line after it.
        if read.requirement.line().ends_with('\\') {
            return Err(told("a backslash at its end continues no line".into()));
        }
        for note in &read.notes {
            self.warn(place, note);
        }
        let list: &mut Vec<Requirement> = match role {
            Role::Requirement => &mut self.spec.requirements,
            Role::Constraint if read.name.is_some() => &mut self.spec.constraints,
            Role::Constraint => return Err(told("a constraint needs a name: write `NAME @ ` in front of it".into())),
        };
        list.push(read.requirement);
        Ok(())
    }

    fn read_option(&mut self, place: Place<'_>, given: Given, role: Role) -> Result<()> {
        let Given { known, value } = given;
        match known.effect {
            Effect::Requirements | Effect::Constraints => {
                refuse_variables(place, &value)?;
                if value.contains("://") && !value.starts_with("file://") {
                    return Err(place.refuse(format!(
                        "`{}` names a URL, whose content changes: save it beside this file and name that",
                        known.name
                    )));
                }
                let path = place.base_dir.join(value.strip_prefix("file://").unwrap_or(&value));
                let is_constraint = known.effect == Effect::Constraints || role == Role::Constraint;
                let role = if is_constraint { Role::Constraint } else { Role::Requirement };
                self.read_file(&path, role, Some(place))
            }
            Effect::Source { .. } if self.pack_options == PackOptions::Ignore => {
                self.warn(
                    place,
                    &format!("`{}` is ignored: a pack does not choose where artifacts come from", known.name),
                );
                Ok(())
            }
            Effect::Source { path } => {
                refuse_variables(place, &value)?;
                let value = source(place, &value, path)?;
                self.keep_option(if value.is_empty() { known.name.into() } else { format!("{}={value}", known.name) });
                Ok(())
            }
            Effect::Choice => {
                self.keep_option(known.name.into());
                Ok(())
            }
            Effect::Packages => {
                let mut names =
                    value
                        .split(',')
                        .map(str::trim)
                        .filter(|name| !name.is_empty())
                        .map(|name| {
                            if matches!(name, ":all:" | ":none:") {
                                Ok(name.into())
                            } else {
                                pep508::package_name(name)
                            }
                        })
                        .collect::<Result<Vec<String>, String>>()
                        .map_err(|reason| place.refuse(format!("`{}`: {reason}", known.name)))?;
                // `:none:` takes back what stands before it; plain names are a set.
                if !names.iter().any(|name| name.starts_with(':')) {
                    names.sort();
                }
                for name in names {
                    self.keep_option(format!("{}={name}", known.name));
                }
                Ok(())
            }
            Effect::Nothing => {
                self.warn(place, &format!("`{}` is ignored: it changes nothing here", known.name));
                Ok(())
            }
        }
    }

    fn keep_option(&mut self, option: String) {
        // A flag said twice is said once; of options with values the last may take back the first.
        if option.contains('=') || !self.spec.options.contains(&option) {
            self.spec.options.push(option);
        }
    }

    fn warn(&mut self, place: Place<'_>, what: &str) {
        match self.warnings.len() {
            ..MAX_WARNINGS => self.warnings.push(format!("{}: {}", place.told(), shown(what, 300))),
            MAX_WARNINGS => self.warnings.push("there is more of this kind".into()),
            _ => {}
        }
    }
}

/// The value of an index option: a URL without credentials, or an absolute path.
fn source(place: Place<'_>, value: &str, may_be_path: bool) -> Result<String> {
    if value.contains("://") {
        let url = Url::parse(value).map_err(|error| place.refuse(format!("an index option holds no URL: {error}")))?;
        link::refuse_secrets(&url, false)
            .map_err(|reason| place.refuse(format!("an index option is refused: {reason}")))?;
        return Ok(value.to_owned());
    }
    if may_be_path {
        let path = place.base_dir.join(value);
        return Ok(fs::canonicalize(&path).unwrap_or(path).display().to_string());
    }
    Ok(value.to_owned())
}

/// A pack must not read the environment of the process that installs it.
fn refuse_variables(place: Place<'_>, text: &str) -> Result<()> {
    let variable = text.split("${").skip(1).find_map(|rest| rest.split_once('}').map(|(name, _)| name));
    match variable {
        Some(name) if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => Err(place
            .refuse(format!(
                "`${{{name}}}` stands for an environment variable: a declaration says what it means itself"
            ))),
        _ => Ok(()),
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    std::path::absolute(path).map_err(Error::io("find", path))
}

#[cfg(test)]
mod tests;
