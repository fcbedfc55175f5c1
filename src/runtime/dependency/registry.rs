//! [`DependencyManagerRegistry`]: a manager for each language.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::{DependencyError, DependencyManager, DependencyResult, DependencySpec, EnvironmentInfo};

/// A manager for each language. Of two for one language the one registered last answers.
#[derive(Default)]
pub struct DependencyManagerRegistry {
    managers: BTreeMap<String, Box<dyn DependencyManager>>,
}

impl fmt::Debug for DependencyManagerRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DependencyManagerRegistry").field(&self.managers.keys()).finish()
    }
}

impl DependencyManagerRegistry {
    /// No managers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a manager for its language.
    pub fn register(&mut self, manager: Box<dyn DependencyManager>) {
        self.managers.insert(manager.runtime_type().to_owned(), manager);
    }

    /// The manager for a language.
    pub fn get(&self, runtime_type: &str) -> Option<&dyn DependencyManager> {
        self.managers.get(runtime_type).map(AsRef::as_ref)
    }

    /// Whether there is a manager for a language.
    pub fn supports(&self, runtime_type: &str) -> bool {
        self.managers.contains_key(runtime_type)
    }

    /// The languages, sorted.
    pub fn supported_runtimes(&self) -> Vec<String> {
        self.managers.keys().cloned().collect()
    }

    /// [`DependencyManager::ensure_environment`] of the language that the dependencies are for.
    ///
    /// # Errors
    /// Those of the manager; [`DependencyError::InvalidDependencySpec`] where there is none.
    pub async fn ensure_environment(&self, pack_ref: &str, spec: &DependencySpec) -> DependencyResult<EnvironmentInfo> {
        self.require(&spec.runtime)?.ensure_environment(pack_ref, spec).await
    }

    /// [`DependencyManager::get_executable_path`] of a language.
    ///
    /// # Errors
    /// Those of the manager; [`DependencyError::InvalidDependencySpec`] where there is none.
    pub async fn get_executable_path(&self, pack_ref: &str, runtime_type: &str) -> DependencyResult<PathBuf> {
        self.require(runtime_type)?.get_executable_path(pack_ref).await
    }

    /// [`DependencyManager::cleanup`] of every language.
    ///
    /// # Errors
    /// The first one; the managers behind it are not asked.
    pub async fn cleanup_all(&self, keep_recent: usize) -> DependencyResult<Vec<String>> {
        let mut removed = Vec::new();
        for manager in self.managers.values() {
            removed.extend(manager.cleanup(keep_recent).await?);
        }
        Ok(removed)
    }

    fn require(&self, runtime_type: &str) -> DependencyResult<&dyn DependencyManager> {
        self.get(runtime_type).ok_or_else(|| {
            DependencyError::InvalidDependencySpec(format!("there is no manager for `{runtime_type}`").into())
        })
    }
}
