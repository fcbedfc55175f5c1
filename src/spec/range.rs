//! [`InterpreterRange`]: which interpreters a pack accepts.
//!
//! A range is kept in canonical text, because its text is part of what the spec's digest is taken of:
//! specifiers in PEP 440's spelling, ordered by version and then by operator, sets sorted, nothing twice.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uv_pep440::{Version, VersionSpecifier, VersionSpecifiers, release_specifiers_to_ranges};

use crate::error::Error;

/// Which interpreters will do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InterpreterRange {
    /// Any.
    #[default]
    Any,
    /// Any of these PEP 440 specifier sets in canonical text, sorted: `["==2.*", ">=3.8,<3.12"]`.
    Versions(Vec<String>),
    /// Exactly the interpreter at this path.
    Path(PathBuf),
}

/// Why a text is no interpreter range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidRange(String);

impl InvalidRange {
    /// The error of a declaration that holds this range.
    pub fn at(self, origin: impl Into<String>, line: Option<usize>) -> Error {
        Error::InvalidSpec { origin: origin.into(), line, reason: self.0 }
    }
}

impl From<InvalidRange> for Error {
    fn from(invalid: InvalidRange) -> Self {
        invalid.at("of an interpreter range", None)
    }
}

impl InterpreterRange {
    /// Reads what a person writes: a version (`3`, `3.11`, `3.11.7`, `3.14.0rc1`), specifiers (`>=3.9,<3.12`),
    /// either with `python` or `cpython` in front, several with ` or ` between, `any`, or the path of an interpreter
    /// (anything with a `/`), which is made absolute.
    ///
    /// A version means what it says at its own precision: `3.11` is any 3.11, `3.11.7` that release alone.
    ///
    /// # Errors
    /// If the text is none of these, or no version can ever fit it.
    pub fn parse(text: &str) -> Result<Self, InvalidRange> {
        let trimmed = text.trim();
        if trimmed.contains('/') {
            return absolute(trimmed).map(Self::Path);
        }
        let mut sets = BTreeSet::new();
        for alternative in trimmed.split(" or ") {
            match alternative_of(alternative, text)? {
                Some(set) => sets.insert(set),
                None => return Ok(Self::Any),
            };
        }
        Ok(Self::Versions(sets.into_iter().collect()))
    }

    /// The range between two versions, both included at the precision they are given in: a `max` of `3.11` includes
    /// every 3.11 (`<3.12`), one of `3.11.2` stops there (`<=3.11.2`).
    ///
    /// # Errors
    /// If one is no version, or `min` is above `max`.
    pub fn between(min: Option<&str>, max: Option<&str>) -> Result<Self, InvalidRange> {
        let mut specifiers = Vec::new();
        if let Some(min) = min {
            specifiers.push(VersionSpecifier::greater_than_equal_version(version(min)?));
        }
        if let Some(max) = max {
            specifiers.push(up_to(version(max)?));
        }
        if specifiers.is_empty() {
            return Ok(Self::Any);
        }
        let text = format!("{} to {}", min.unwrap_or_default(), max.unwrap_or_default());
        Ok(Self::Versions(vec![canonical(specifiers, &text)?]))
    }

    /// The range that holds what any of the texts holds, as StackStorm's `python_versions` means it: `["2", "3"]` is
    /// every Python 2 and 3. An empty list is any interpreter.
    ///
    /// # Errors
    /// If one of them is no range of versions.
    pub fn any_of(texts: &[String]) -> Result<Self, InvalidRange> {
        let mut sets = BTreeSet::new();
        for text in texts {
            match Self::parse(text)? {
                Self::Any => return Ok(Self::Any),
                Self::Versions(more) => sets.extend(more),
                Self::Path(_) => return Err(InvalidRange(format!("`{text}` is a path, not a version"))),
            }
        }
        if sets.is_empty() {
            return Ok(Self::Any);
        }
        Ok(Self::Versions(sets.into_iter().collect()))
    }

    /// The range of what both hold.
    ///
    /// # Errors
    /// If nothing fits both, or one is a path and the other is not the same.
    pub fn and(self, other: Self) -> Result<Self, InvalidRange> {
        let text = format!("{self}` and `{other}");
        let (ours, theirs) = match (self, other) {
            (Self::Any, range) | (range, Self::Any) => return Ok(range),
            (Self::Versions(ours), Self::Versions(theirs)) => (ours, theirs),
            (Self::Path(a), Self::Path(b)) if a == b => return Ok(Self::Path(a)),
            _ => return Err(InvalidRange(format!("`{text}` cannot both hold"))),
        };
        let both: BTreeSet<String> = ours
            .iter()
            .flat_map(|a| theirs.iter().map(move |b| format!("{a},{b}")))
            .filter_map(|set| specifiers(&set).and_then(|s| canonical(s, &set).ok()))
            .collect();
        if both.is_empty() {
            return Err(InvalidRange(format!("no version is within `{text}`")));
        }
        Ok(Self::Versions(both.into_iter().collect()))
    }

    /// Whether it accepts everything.
    pub fn is_any(&self) -> bool {
        *self == Self::Any
    }

    /// Whether an interpreter of this version (`3.11.7`, `3.14.0rc1`, `3.13.0+`) will do.
    ///
    /// A pre-release counts as the release it becomes, so 3.14.0rc1 fits `>=3.14` and does not fit `<3.14`; where a
    /// specifier names a pre-release itself, PEP 440 decides. A path accepts any version: it names the interpreter.
    pub fn accepts(&self, version: &str) -> bool {
        let sets = match self {
            Self::Any | Self::Path(_) => return true,
            Self::Versions(sets) => sets,
        };
        let Ok(version) = Version::from_str(version.trim().trim_end_matches('+')) else { return false };
        let release = version.only_release();
        sets.iter().filter_map(|set| specifiers(set)).any(|set| {
            set.iter().all(|specifier| specifier.contains(if specifier.any_prerelease() { &version } else { &release }))
        })
    }
}

impl std::fmt::Display for InterpreterRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Versions(sets) => f.write_str(&sets.join(" or ")),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// One alternative in canonical text, `None` if it holds every version.
fn alternative_of(alternative: &str, whole: &str) -> Result<Option<String>, InvalidRange> {
    let nothing = || InvalidRange(format!("`{whole}` is neither a Python version, a range of versions nor a path"));
    let text = alternative.trim();
    let lower = text.to_ascii_lowercase();
    let stem = ["cpython", "python", "py"].iter().find_map(|stem| lower.strip_prefix(stem));
    let bare = stem.map_or(lower.as_str(), |rest| rest.trim_start_matches(['@', '-', ' ']));
    if matches!(bare, "any" | "*") || (bare.is_empty() && stem.is_some()) {
        return Ok(None);
    }
    let list = match bare.as_bytes().first() {
        Some(b'0'..=b'9') if !bare.contains(',') => vec![at_own_precision(bare).ok_or_else(nothing)?],
        Some(_) => specifiers(bare).ok_or_else(nothing)?,
        None => return Err(nothing()),
    };
    canonical(list, whole).map(Some)
}

/// `3` and `3.11` are families of releases, `3.11.7` and `3.14.0rc1` single ones.
fn at_own_precision(text: &str) -> Option<VersionSpecifier> {
    let family = text.strip_suffix(".*");
    let version = Version::from_str(family.unwrap_or(text)).ok()?;
    let is_family = version.is_stable() && !version.is_post() && !version.is_local() && version.release().len() < 3;
    Some(if family.is_some() || is_family {
        VersionSpecifier::equals_star_version(version)
    } else {
        VersionSpecifier::equals_version(version)
    })
}

/// The upper bound that includes `max` at its precision.
fn up_to(max: Version) -> VersionSpecifier {
    let mut release = max.release().to_vec();
    if release.len() > 2 || !max.is_stable() || max.is_post() {
        return VersionSpecifier::less_than_equal_version(max);
    }
    if let Some(last) = release.last_mut() {
        *last = last.saturating_add(1);
    }
    VersionSpecifier::less_than_version(Version::new(release))
}

fn version(text: &str) -> Result<Version, InvalidRange> {
    let text = text.trim();
    let version = Version::from_str(text).map_err(|_| InvalidRange(format!("`{text}` is no version")))?;
    if version.is_local() { Err(InvalidRange(format!("`{text}` is no version of Python"))) } else { Ok(version) }
}

fn specifiers(text: &str) -> Option<Vec<VersionSpecifier>> {
    let set = VersionSpecifiers::from_str(text).ok()?;
    (!set.is_empty()).then(|| set.iter().cloned().collect())
}

/// The canonical text of a set that at least one version fits.
fn canonical(specifiers: Vec<VersionSpecifier>, text: &str) -> Result<String, InvalidRange> {
    if specifiers.iter().any(VersionSpecifier::any_prerelease) {
        // Ranges of releases say nothing about a set such as `==3.14.0rc1`: it is taken at its word.
        return Ok(join(specifiers));
    }
    if release_specifiers_to_ranges(specifiers.iter().cloned().collect()).is_empty() {
        return Err(InvalidRange(format!("no version is within `{text}`")));
    }
    Ok(join(specifiers))
}

/// Specifiers in canonical order, without duplicates, joined by commas.
pub(super) fn join(mut specifiers: Vec<VersionSpecifier>) -> String {
    // `Version` compares 3.11 and 3.11.0 as equal; the text settles what it leaves open.
    specifiers.sort_by_cached_key(|s| (s.version().clone(), s.to_string()));
    let mut texts: Vec<String> = specifiers.iter().map(ToString::to_string).collect();
    texts.dedup();
    texts.join(",")
}

fn absolute(text: &str) -> Result<PathBuf, InvalidRange> {
    let path = std::path::absolute(Path::new(text))
        .map_err(|error| InvalidRange(format!("cannot make the path `{text}` absolute: {error}")))?;
    if path.components().any(|c| c.as_os_str().as_encoded_bytes().contains(&0)) {
        return Err(InvalidRange(format!("the path {text:?} holds a NUL byte")));
    }
    Ok(path.components().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(range: Result<InterpreterRange, InvalidRange>) -> String {
        range.map_or_else(|error| format!("error: {error}"), |range| range.to_string())
    }

    #[test]
    fn what_people_write_has_one_canonical_text() {
        for (given, expected) in [
            ("3", "==3.*"),
            ("3.11", "==3.11.*"),
            ("3.11.*", "==3.11.*"),
            (" python3.11 ", "==3.11.*"),
            ("cpython3.11", "==3.11.*"),
            ("CPython-3.11", "==3.11.*"),
            ("cpython@3.11.7", "==3.11.7"),
            ("python 3", "==3.*"),
            ("3.11.7", "==3.11.7"),
            ("3.14.0RC1", "==3.14.0rc1"),
            (">= 3.9 , <3.12", ">=3.9,<3.12"),
            ("<3.12,>=3.9,>=3.9", ">=3.9,<3.12"),
            ("python>=3.9", ">=3.9"),
            ("~=3.8", "~=3.8"),
            ("!=3.9.*,>=3.8", ">=3.8,!=3.9.*"),
            ("3 or 2", "==2.* or ==3.*"),
            (">=3.8,<3.12 or ==2.*", "==2.* or >=3.8,<3.12"),
            ("any", "any"),
            ("python", "any"),
            ("*", "any"),
            ("/opt/python/bin/python3", "/opt/python/bin/python3"),
            ("/opt/./python//bin/python3", "/opt/python/bin/python3"),
        ] {
            assert_eq!(text(InterpreterRange::parse(given)), expected, "{given}");
        }
    }

    #[test]
    fn what_is_no_range_is_named() {
        for given in
            ["", "  ", "pypy3.9", "3.13t", "three", ">=3.9,", "=3", "3..1", "3.9 3.10", ">=", "3,4", "or", "3 or "]
        {
            let error = text(InterpreterRange::parse(given));
            assert!(error.starts_with("error: ") && error.contains(given), "{given}: {error}");
        }
        assert_eq!(text(InterpreterRange::parse(">=3.12,<3.9")), "error: no version is within `>=3.12,<3.9`");
        assert_eq!(text(InterpreterRange::parse("==3.9.*,==3.8.*")), "error: no version is within `==3.9.*,==3.8.*`");
    }

    #[test]
    fn relative_paths_become_absolute() {
        let InterpreterRange::Path(path) = InterpreterRange::parse("./venv/bin/python").expect("a path") else {
            panic!("not a path");
        };
        assert!(path.is_absolute() && path.ends_with("venv/bin/python"), "{}", path.display());
    }

    #[test]
    fn bounds_are_inclusive_at_their_precision() {
        for (min, max, expected) in [
            (Some("3.8"), Some("3.11"), ">=3.8,<3.12"),
            (Some("3.8"), Some("3.11.2"), ">=3.8,<=3.11.2"),
            (None, Some("3"), "<4"),
            (Some("3.9"), None, ">=3.9"),
            (Some("3.9"), Some("3.9"), ">=3.9,<3.10"),
            (Some("3.9.1"), Some("3.9"), ">=3.9.1,<3.10"),
            (None, None, "any"),
            (Some("3.12"), Some("3.9"), "error: no version is within `3.12 to 3.9`"),
            (Some("new"), None, "error: `new` is no version"),
            (None, Some("18446744073709551615"), "error: `18446744073709551615` is no version"),
        ] {
            assert_eq!(text(InterpreterRange::between(min, max)), expected, "{min:?} {max:?}");
        }
    }

    #[test]
    fn alternatives_are_a_sorted_set() {
        let any_of =
            |list: &[&str]| text(InterpreterRange::any_of(&list.iter().map(ToString::to_string).collect::<Vec<_>>()));
        assert_eq!(any_of(&["2", "3"]), "==2.* or ==3.*");
        assert_eq!(any_of(&["3", "2", "3"]), "==2.* or ==3.*");
        assert_eq!(any_of(&["3.8", ">=3.10"]), "==3.8.* or >=3.10");
        assert_eq!(any_of(&[]), "any");
        assert_eq!(any_of(&["/usr/bin/python3"]), "error: `/usr/bin/python3` is a path, not a version");
    }

    #[test]
    fn two_ranges_meet_in_what_both_hold() {
        let meet = |a: &str, b: &str| {
            let parse = |t: &str| InterpreterRange::parse(t).expect("a range");
            text(parse(a).and(parse(b)))
        };
        assert_eq!(meet("any", "3"), "==3.*");
        assert_eq!(meet("2 or 3", ">=3.8,<3.12"), "==3.*,>=3.8,<3.12");
        assert_eq!(meet("2", ">=3.8"), "error: no version is within `==2.*` and `>=3.8`");
        assert_eq!(meet("/a/python", "3"), "error: `/a/python` and `==3.*` cannot both hold");
    }

    #[test]
    fn versions_are_accepted_as_the_release_they_become() {
        for (range, version, expected) in [
            ("any", "2.7.18", true),
            ("/a/python", "3.8.1", true),
            ("3.11", "3.11.7", true),
            ("3.11", "3.1.1", false),
            ("3.1", "3.11.0", false),
            ("3.11.7", "3.11.2", false),
            (">=3.9,<3.12", "3.12.0", false),
            (">=3.9,<3.12", "3.9.0", true),
            ("2 or 3", "2.7.18", true),
            (">=3.14", "3.14.0rc1", true),
            ("<3.14", "3.14.0rc1", false),
            (">=3.14.1", "3.14.0rc1", false),
            ("3.14.0rc1", "3.14.0rc1", true),
            ("3.14.0rc1", "3.14.0", false),
            (">=3.14.0rc1", "3.14.0a1", false),
            ("3.13", "3.13.0+", true),
            ("3", "nonsense", false),
            ("3", "", false),
        ] {
            let range = InterpreterRange::parse(range).expect("a range");
            assert_eq!(range.accepts(version), expected, "{range} {version}");
        }
    }

    proptest! {
        #[test]
        fn a_canonical_range_parses_to_itself(texts in prop::collection::vec("(>=|<|<=|==|!=|~=)?3\\.[0-9]{1,2}(\\.[0-9]{1,2}|\\.\\*)?", 1..4)) {
            if let Ok(range) = InterpreterRange::parse(&texts.join(",")) {
                prop_assert_eq!(InterpreterRange::parse(&range.to_string()), Ok(range.clone()));
                let mut reversed = texts.clone();
                reversed.reverse();
                if texts.len() > 1 || texts[0].starts_with(['<', '>', '=', '!', '~']) {
                    prop_assert_eq!(InterpreterRange::parse(&reversed.join(" , ")), Ok(range));
                }
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,40}", version in ".{0,12}") {
            if let Ok(range) = InterpreterRange::parse(&text) {
                range.accepts(&version);
            }
            let _ = InterpreterRange::between(Some(&text), Some(&version));
        }
    }
}
