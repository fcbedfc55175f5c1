//! [`Failure`]: why a command ends without having done what it was asked for, and the error object of the JSON.

use std::path::PathBuf;

use serde::Serialize;

use super::hints;
use crate::error::{Error, Kind};
use crate::pack::PackRef;

/// A command's failure.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong.
    pub trouble: Trouble,
    /// The pack it is about.
    pub pack: Option<PackRef>,
    /// What to do, where this place knows better than the kind's usual hint.
    pub hint: Option<String>,
}

/// What went wrong.
#[derive(Debug)]
pub enum Trouble {
    /// In the library.
    Library(Box<Error>),
    /// Arguments that contradict each other or the state of things.
    Usage(String),
    /// A panic.
    Bug(String),
}

/// The result of a command: an exit code.
pub type Outcome = Result<u8, Failure>;

impl Failure {
    /// A use that is wrong for a reason the parser cannot see.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { trouble: Trouble::Usage(message.into()), pack: None, hint: None }
    }

    /// A mistake in envstore.
    pub fn bug(message: impl Into<String>) -> Self {
        Self { trouble: Trouble::Bug(message.into()), pack: None, hint: None }
    }

    /// Says which pack it is about.
    pub fn about(mut self, pack: &PackRef) -> Self {
        self.pack.get_or_insert_with(|| pack.clone());
        self
    }

    /// Says what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// The kind, as the JSON names it.
    pub fn kind(&self) -> Kind {
        match &self.trouble {
            Trouble::Library(error) => error.kind(),
            Trouble::Usage(_) => Kind::Usage,
            Trouble::Bug(_) => Kind::Bug,
        }
    }

    /// Whether there is no store at all.
    pub fn is_no_store(&self) -> bool {
        matches!(&self.trouble, Trouble::Library(error) if matches!(error.as_ref(), Error::NoStore { .. }))
    }

    /// The last lines of the installer, where there are any.
    pub fn tail(&self) -> &[String] {
        match &self.trouble {
            Trouble::Library(error) => match error.as_ref() {
                Error::Installer { tail, .. } => tail,
                _ => &[],
            },
            _ => &[],
        }
    }

    /// The error object.
    pub fn object(&self) -> ErrorObject {
        let (message, causes, log) = match &self.trouble {
            Trouble::Library(error) => (error.to_string(), causes(error), error.log_path().map(PathBuf::from)),
            Trouble::Usage(message) | Trouble::Bug(message) => (message.clone(), Vec::new(), None),
        };
        let kind = self.kind();
        let retryable = kind.is_retryable();
        let hint = self.hint.clone().or_else(|| hints::hint(self));
        ErrorObject { kind, message, causes, hint, retryable, pack: self.pack.as_ref().map(ToString::to_string), log }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let pack = match &error {
            Error::NoPack(pack) => Some(pack.clone()),
            _ => None,
        };
        Self { trouble: Trouble::Library(Box::new(error)), pack, hint: None }
    }
}

/// What the source chain says, and the installer's last lines as one text.
fn causes(error: &Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    if let Error::Installer { tail, .. } = error
        && !tail.is_empty()
    {
        causes.push(tail.join("\n"));
    }
    causes
}

/// A failure in JSON.
#[derive(Debug, Clone, Serialize)]
pub struct ErrorObject {
    /// From a closed list.
    pub kind: Kind,
    /// What was being done to what, and why it failed.
    pub message: String,
    /// What caused it, outermost first.
    pub causes: Vec<String>,
    /// What to do.
    pub hint: Option<String>,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// The pack it is about.
    pub pack: Option<String>,
    /// The build's whole output.
    pub log: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{InstallerCause, Phase};

    #[test]
    fn the_error_object_has_the_fields_of_the_contract() {
        let pack = PackRef::new("aws.s3").expect("a ref");
        let error = Error::Installer {
            phase: Phase::Lock,
            cause: InstallerCause::Network,
            summary: "the index cannot be reached".into(),
            tail: vec!["one".into(), "two".into()],
            log: Some("/s/logs/x.log".into()),
        };
        let object = serde_json::to_value(Failure::from(error).about(&pack).object()).expect("JSON");
        assert_eq!(
            object,
            serde_json::json!({
                "kind": "network",
                "message": "cannot lock the declaration: the index cannot be reached",
                "causes": ["one\ntwo"],
                "hint": object["hint"],
                "retryable": true,
                "pack": "aws.s3",
                "log": "/s/logs/x.log",
            })
        );
        assert!(object["hint"].is_string());
    }

    #[test]
    fn sources_are_told_outermost_first() {
        let source = std::io::Error::other("inner");
        let object = Failure::from(Error::io("open", "/x")(source)).object();
        assert_eq!((object.message.as_str(), object.causes), ("cannot open `/x`", vec!["inner".to_owned()]));
    }
}
