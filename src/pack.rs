//! [`PackRef`]: the name under which a pack asks for its environment.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};

/// A pack's reference, e.g. `aws.s3`: non-empty UTF-8 of at most 255 bytes without control characters.
///
/// It may hold dots, slashes and spaces: no path, SQL text or shell word is ever made of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct PackRef(String);

/// Why a text is no pack reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPackRef {
    /// Nothing but white space.
    #[error("a pack ref cannot be empty")]
    Empty,
    /// More than 255 bytes.
    #[error("a pack ref has at most 255 bytes, this one has {0}")]
    TooLong(usize),
    /// NUL, newline, tab or another control character.
    #[error("the pack ref {0:?} holds a control character")]
    Control(String),
    /// White space at an end.
    #[error("the pack ref {0:?} begins or ends with white space")]
    Padded(String),
    /// `@envstore/…` outside the store itself.
    #[error("pack refs that begin with `@envstore/` are the store's own, `{0}` cannot be used")]
    Reserved(String),
}

const OWN: &str = "@envstore/";

impl PackRef {
    /// Checks a text a user gave.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidPackRef> {
        let text = text.into();
        if text.trim().is_empty() {
            return Err(InvalidPackRef::Empty);
        }
        if text.len() > 255 {
            return Err(InvalidPackRef::TooLong(text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidPackRef::Control(text));
        }
        if text.trim() != text {
            return Err(InvalidPackRef::Padded(text));
        }
        if text.starts_with(OWN) {
            return Err(InvalidPackRef::Reserved(text));
        }
        Ok(Self(text))
    }

    /// The reference as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for PackRef {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PackRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for PackRef {
    type Err = InvalidPackRef;

    fn from_str(text: &str) -> Result<Self, InvalidPackRef> {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for PackRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refs_may_look_like_paths_but_not_hide_anything() {
        for good in ["aws.s3", "a/b", "../../etc", "pack with spaces", "ümlaut", "-x", "'; drop table packs"] {
            assert_eq!(PackRef::new(good).expect(good).as_str(), good);
        }
        for bad in ["", "  ", "a\nb", "a\0b", " a", "a ", "\u{7f}", "@envstore/uv", &"x".repeat(256)] {
            assert!(PackRef::new(bad).is_err(), "{bad:?}");
        }
    }
}
