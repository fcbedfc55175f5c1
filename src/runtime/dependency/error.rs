//! [`DependencyError`]: the store's errors in the words of the worker's interface.

use std::error::Error as StdError;
use std::fmt;
use std::ops::Deref;

use crate::error::{Error, Kind};
use crate::store::EnsureError;

/// What a dependency manager answers.
pub type DependencyResult<T> = Result<T, DependencyError>;

/// Why a dependency manager failed. Where an error of the store is behind it, that is its [`source`](StdError::source).
#[derive(Debug)]
pub enum DependencyError {
    /// There is no interpreter, no room, or no permission to make environments.
    CreateEnvironmentFailed(Reason),
    /// What is declared could not be locked or installed.
    InstallFailed(Reason),
    /// The pack has no environment.
    EnvironmentNotFound(Reason),
    /// What is declared is no declaration.
    InvalidDependencySpec(Reason),
    /// An input or output error.
    IoError(std::io::Error),
    /// Work that was stopped or took too long.
    ProcessError(Reason),
    /// What is kept about environments cannot be read or written.
    LockFileError(Reason),
    /// An environment is not what it was.
    ValidationFailed(Reason),
}

/// A text, and what it came of. It reads as its text, and is made of one by `into`.
#[derive(Debug)]
pub struct Reason {
    text: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Reason {
    fn of(error: impl StdError + Send + Sync + 'static) -> Self {
        Self { text: error.to_string(), source: Some(Box::new(error)) }
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self { text, source: None }
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Deref for Reason {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl DependencyError {
    /// What is said before the reason.
    fn what(&self) -> &'static str {
        match self {
            Self::CreateEnvironmentFailed(_) => "cannot create the environment",
            Self::InstallFailed(_) => "cannot install the dependencies",
            Self::EnvironmentNotFound(_) => "there is no environment",
            Self::InvalidDependencySpec(_) => "the dependencies cannot be read",
            Self::IoError(_) => "input or output failed",
            Self::ProcessError(_) => "the work was stopped",
            Self::LockFileError(_) => "what is kept about environments cannot be used",
            Self::ValidationFailed(_) => "the environment is damaged",
        }
    }

    fn reason(&self) -> Option<&Reason> {
        match self {
            Self::IoError(_) => None,
            Self::CreateEnvironmentFailed(reason)
            | Self::InstallFailed(reason)
            | Self::EnvironmentNotFound(reason)
            | Self::InvalidDependencySpec(reason)
            | Self::ProcessError(reason)
            | Self::LockFileError(reason)
            | Self::ValidationFailed(reason) => Some(reason),
        }
    }

    fn of(kind: Kind, source: impl StdError + Send + Sync + 'static) -> Self {
        let reason = Reason::of(source);
        match kind {
            Kind::Usage | Kind::InvalidSpec => Self::InvalidDependencySpec(reason),
            Kind::NotFound => Self::EnvironmentNotFound(reason),
            Kind::Corrupt => Self::ValidationFailed(reason),
            Kind::Index | Kind::Busy => Self::LockFileError(reason),
            Kind::Interrupted | Kind::Timeout => Self::ProcessError(reason),
            Kind::NoInterpreter
            | Kind::InvalidConfig
            | Kind::NotPermitted
            | Kind::MovedStore
            | Kind::UnsupportedFilesystem
            | Kind::UnsupportedFormat
            | Kind::NoSpace
            | Kind::Io => Self::CreateEnvironmentFailed(reason),
            _ => Self::InstallFailed(reason),
        }
    }
}

impl From<Error> for DependencyError {
    fn from(error: Error) -> Self {
        match &error {
            Error::Io { source, .. } => Self::IoError(std::io::Error::new(source.kind(), error)),
            _ => Self::of(error.kind(), error),
        }
    }
}

impl From<EnsureError> for DependencyError {
    fn from(failed: EnsureError) -> Self {
        // Without an environment to keep it says no more than its source.
        if failed.kept.is_none() { failed.error.into() } else { Self::of(failed.error.kind(), failed) }
    }
}

impl From<std::io::Error> for DependencyError {
    fn from(error: std::io::Error) -> Self {
        Self::IoError(error)
    }
}

impl fmt::Display for DependencyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IoError(error) => write!(f, "{}: {error}", self.what()),
            _ => write!(f, "{}: {}", self.what(), self.reason().map_or("", |reason| reason)),
        }
    }
}

impl StdError for DependencyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::IoError(error) => Some(error),
            _ => self.reason()?.source.as_deref().map(|source| source as &(dyn StdError + 'static)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::PackRef;

    fn chain(error: &(dyn StdError + 'static)) -> Vec<String> {
        std::iter::successors(error.source(), |&error| error.source()).map(ToString::to_string).collect()
    }

    #[test]
    fn the_stores_errors_are_their_sources() {
        let missing = Error::NoPack(PackRef::new("aws.s3").expect("a ref"));
        let text = missing.to_string();
        let error = DependencyError::from(missing);
        assert!(matches!(&error, DependencyError::EnvironmentNotFound(reason) if reason.contains("aws.s3")), "{error}");
        assert_eq!(chain(&error), [text]);
        assert!(error.source().is_some_and(|source| source.is::<Error>()));

        let failed = Error::Io { op: "open", path: "x".into(), source: std::io::ErrorKind::StorageFull.into() };
        let error = DependencyError::from(failed);
        assert!(matches!(&error, DependencyError::IoError(io) if io.kind() == std::io::ErrorKind::StorageFull));
        assert!(chain(&error).len() >= 2, "{:?}", chain(&error));
    }

    #[test]
    fn a_text_alone_has_no_source() {
        let error = DependencyError::InstallFailed("no network".into());
        assert_eq!(error.to_string(), "cannot install the dependencies: no network");
        assert!(error.source().is_none());
    }

    #[test]
    fn what_an_installer_says_is_a_failed_install() {
        for kind in [Kind::NoSolution, Kind::Network, Kind::HashMismatch, Kind::SourceBuild, Kind::Offline] {
            assert!(matches!(DependencyError::of(kind, std::fmt::Error), DependencyError::InstallFailed(_)));
        }
    }
}
