//! The languages, and the interface by which a worker asks for environments.
//!
//! A language implements [`crate::store::runtime::Runtime`]. With the feature `worker` there is `DependencyManager`: what an
//! automation worker expects of whatever makes its packs' environments, answered for Python by `PythonVenvManager` out of a
//! store.

#[cfg(feature = "worker")]
mod dependency;
pub mod python;
#[cfg(feature = "worker")]
mod python_venv;

#[cfg(feature = "worker")]
pub use dependency::{
    DependencyError, DependencyManager, DependencyManagerRegistry, DependencyResult, DependencySpec, EnvironmentInfo,
    Reason,
};
#[cfg(feature = "worker")]
pub use python_venv::PythonVenvManager;
