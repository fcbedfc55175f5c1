//! [`InterpreterRange`]: which interpreters a pack accepts.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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

impl InterpreterRange {
    /// Whether it accepts everything.
    pub fn is_any(&self) -> bool {
        *self == Self::Any
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
