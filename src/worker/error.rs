//! [`RunError`]: why an action was not run. One that ran and failed is a result.

use std::path::PathBuf;

use crate::error::Error;

/// Why an action was not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A combined reference that no bound pack fits.
    #[error("no bound pack fits the action `{reference}`; looked for {}", quoted(.candidates))]
    NoPackFits {
        /// The reference.
        reference: String,
        /// The packs that would fit, shortest first.
        candidates: Vec<String>,
    },
    /// A combined reference that several bound packs fit.
    #[error("the action `{reference}` fits several bound packs: {}; name pack and action apart", quoted(.candidates))]
    Ambiguous {
        /// The reference.
        reference: String,
        /// The packs that fit, shortest first.
        candidates: Vec<String>,
    },
    /// The store cannot say what the pack is bound to.
    #[error(transparent)]
    Store(#[from] Error),
    /// The interpreter does not start.
    #[error("cannot start `{}`", program.display())]
    Start {
        /// The interpreter.
        program: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What an action reads and writes cannot be set up.
    #[error("cannot {op} of an action")]
    Io {
        /// The operation, an infinitive.
        op: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The worker's own runtime ended first.
    #[error("the worker stopped while the action ran; the action runs on")]
    Stopped,
}

fn quoted(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing: it is not `pack_ref.action_name`".into();
    }
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
