//! What packs declare: [`Declaration`] and its canonical form, [`Spec`].
//!
//! Data flows one way: text and files are read into a declaration, its spec is canonical, and the spec's
//! digest names it. How a declaration was written (order, case, separators, spaces, comments, line ends,
//! the file it stood in) never reaches the digest; what it means always does.

pub mod content;
mod lines;
mod link;
mod options;
mod pep508;
mod place;
pub mod pylock;
pub mod range;
pub mod requirements;
pub mod selector;
pub mod source;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use range::InterpreterRange;
pub use selector::Selector;

use crate::digest::{Canonical, SpecDigest};
use crate::pack::PackRef;

/// The language a pack runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RuntimeKind {
    /// CPython.
    Python,
}

impl RuntimeKind {
    /// The lowercase name, as it stands in specs and keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Python => "python",
        }
    }
}

/// One requirement: what it means, and the line that makes an installer do it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Requirement {
    /// The canonical PEP 508 text, with ` --hash=…` options sorted behind it. Names are normalised, URLs have
    /// no userinfo, local files stand as `name @ sha256:<hex>`.
    pub canonical: String,
    /// The line for the installer where it differs: paths absolute, userinfo kept out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<String>,
}

impl Requirement {
    /// The line to give to an installer.
    pub fn line(&self) -> &str {
        self.install.as_deref().unwrap_or(&self.canonical)
    }

    /// The distribution's normalised name.
    pub fn name(&self) -> &str {
        let end = self.canonical.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
        &self.canonical[..end.unwrap_or(self.canonical.len())]
    }
}

/// A canonical declaration. Equal specs have equal digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The runtime.
    pub runtime: RuntimeKind,
    /// Sorted by canonical text, without duplicates.
    pub requirements: Vec<Requirement>,
    /// Constraints (`-c`), sorted likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<Requirement>,
    /// Options in the order given, `--name` or `--name=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Which interpreters will do.
    #[serde(default, skip_serializing_if = "InterpreterRange::is_any")]
    pub interpreter: InterpreterRange,
    /// Packages installed beside the declared ones, such as `setuptools<82`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seed: Vec<String>,
    /// The lock that the pack brings itself (PEP 751), taken as it is. Then there are no requirements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pylock: Option<pylock::Pylock>,
}

impl Spec {
    /// A spec without requirements: the empty environment of any interpreter.
    pub fn empty(runtime: RuntimeKind) -> Self {
        Self {
            runtime,
            requirements: Vec::new(),
            constraints: Vec::new(),
            options: Vec::new(),
            interpreter: InterpreterRange::Any,
            seed: Vec::new(),
            pylock: None,
        }
    }

    /// Whether nothing would be installed.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty() && self.seed.is_empty() && self.pylock.is_none()
    }

    /// Adds what old packs expect to be there without declaring it, such as `setuptools<82` for those that import
    /// `pkg_resources`. What the declaration itself names stays as it says. One that is complete, a lock or
    /// requirements with digests, gets nothing.
    pub fn seed_with(&mut self, seed: &[Requirement]) {
        let is_complete = self.pylock.is_some()
            || self.options.iter().any(|option| option.starts_with("--require-hashes"))
            || self.requirements.iter().any(|requirement| requirement.canonical.contains(" --hash="));
        if !is_complete {
            let undeclared = seed.iter().filter(|seed| self.requirements.iter().all(|own| own.name() != seed.name()));
            self.seed.extend(undeclared.map(|seed| seed.canonical.clone()).collect::<Vec<_>>());
            self.canonicalise();
        }
    }

    /// Brings the lists into canonical order. Every constructor of specs ends with it; it is idempotent.
    pub fn canonicalise(&mut self) {
        for list in [&mut self.requirements, &mut self.constraints] {
            list.sort();
            list.dedup_by(|a, b| a.canonical == b.canonical);
        }
        self.seed.sort();
        self.seed.dedup();
    }

    /// The digest of domain `envstore/spec/v1`.
    pub fn digest(&self) -> SpecDigest {
        let mut canonical = Canonical::new("envstore/spec/v1");
        canonical
            .field(self.runtime.as_str())
            .list(self.requirements.iter().map(|r| &r.canonical))
            .list(self.constraints.iter().map(|r| &r.canonical))
            .list(self.options.iter())
            .field(self.interpreter.to_string())
            .list(self.seed.iter());
        // Every field says its own length, so that one more behind them changes no digest without it.
        if let Some(pylock) = &self.pylock {
            canonical.list(pylock.lines());
        }
        canonical.digest()
    }
}

/// A pack's declaration, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// Whose it is.
    pub pack: PackRef,
    /// What it declares.
    pub spec: Spec,
    /// The directory or list that `sync` found it in.
    pub origin: Option<PathBuf>,
    /// Oddities worth telling, e.g. an ignored index option.
    pub warnings: Vec<String>,
}
