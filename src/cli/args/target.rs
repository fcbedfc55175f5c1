//! What a command is about: a pack or an environment.

use crate::pack::PackRef;
use crate::store::What;

/// A pack or an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A pack.
    Pack(PackRef),
    /// The beginning of an env key.
    Env(String),
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(prefix) = text.strip_prefix("env:") else {
            return PackRef::new(text).map(Self::Pack).map_err(|error| error.to_string());
        };
        Ok(Self::Env(prefix.to_owned()))
    }
}

/// Reads what several commands are about, as the store takes it.
pub(super) fn parse_what(text: &str) -> Result<What, String> {
    Ok(match text.parse()? {
        Target::Pack(pack) => What::Pack(pack),
        Target::Env(prefix) => What::Env(prefix),
    })
}
