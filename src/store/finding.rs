//! [`Finding`]: something that was looked at, and whether it is as it should be.

use serde::Serialize;

/// Something that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// A short name, e.g. `interpreter_changed`.
    pub kind: String,
    /// How bad it is.
    pub level: Level,
    /// One sentence.
    pub message: String,
    /// What to do, where there is something.
    pub hint: Option<String>,
}

impl Finding {
    /// A finding without a hint.
    pub fn new(kind: &str, level: Level, message: impl Into<String>) -> Self {
        Self { kind: kind.into(), level, message: message.into(), hint: None }
    }

    /// Says what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// Will hurt some day.
    Warning,
    /// Hurts now.
    Damage,
}
