//! [`EnvironmentInfo`]: a pack's entry, as a worker is told of it.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A pack's environment. Packs with equal dependencies have one `path`, and an entry each.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnvironmentInfo {
    /// The pack's ref as the worker gave it.
    pub id: String,
    /// The environment's directory.
    pub path: PathBuf,
    /// The language.
    pub runtime: String,
    /// The interpreter's full version, e.g. `3.11.7`.
    pub runtime_version: String,
    /// What is installed, `name==version`, by name.
    pub installed_dependencies: Vec<String>,
    /// Since when the pack has an environment for what it declares.
    pub created_at: DateTime<Utc>,
    /// When it last got another one.
    pub updated_at: DateTime<Utc>,
    /// Whether the environment and its interpreter are there.
    pub is_valid: bool,
    /// What to start actions with.
    pub executable_path: PathBuf,
}
