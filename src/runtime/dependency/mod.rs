//! [`DependencyManager`]: what a worker expects of whatever makes its packs' environments, for one language.

mod error;
mod info;
mod registry;
mod spec;

use std::path::PathBuf;

use async_trait::async_trait;

pub use error::{DependencyError, DependencyResult, Reason};
pub use info::EnvironmentInfo;
pub use registry::DependencyManagerRegistry;
pub use spec::DependencySpec;

/// Environments of one language, an entry for each pack.
#[async_trait]
pub trait DependencyManager: Send + Sync {
    /// The language, e.g. `python`.
    fn runtime_type(&self) -> &str;

    /// Makes sure that a pack has the environment that its dependencies ask for.
    async fn ensure_environment(&self, pack_ref: &str, spec: &DependencySpec) -> DependencyResult<EnvironmentInfo>;

    /// A pack's environment; none: it has none.
    async fn get_environment(&self, pack_ref: &str) -> DependencyResult<Option<EnvironmentInfo>>;

    /// Takes a pack's environment away. A pack without one is no error.
    async fn remove_environment(&self, pack_ref: &str) -> DependencyResult<()>;

    /// Whether a pack has an environment that is sound and starts.
    async fn validate_environment(&self, pack_ref: &str) -> DependencyResult<bool>;

    /// What to start a pack's actions with.
    ///
    /// # Errors
    /// [`DependencyError::EnvironmentNotFound`] for a pack that has no environment.
    async fn get_executable_path(&self, pack_ref: &str) -> DependencyResult<PathBuf>;

    /// Every pack that has an environment, one entry each.
    async fn list_environments(&self) -> DependencyResult<Vec<EnvironmentInfo>>;

    /// Takes away what cannot be used any more, but for so many packs that changed last. Returns the packs that lost their entry.
    async fn cleanup(&self, keep_recent: usize) -> DependencyResult<Vec<String>>;

    /// Whether [`DependencyManager::ensure_environment`] would have something to do.
    async fn needs_update(&self, pack_ref: &str, spec: &DependencySpec) -> DependencyResult<bool> {
        let _ = spec;
        Ok(self.get_environment(pack_ref).await?.is_none_or(|environment| !environment.is_valid))
    }
}
