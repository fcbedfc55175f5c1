//! Digests and the canonical encoding they are taken of.
//!
//! Everything that names something by content goes through [`Canonical`]: a domain string, then fields
//! in a fixed order, each with its length in front (u64, little endian), lists counted. Two different
//! sequences of fields can therefore never encode to the same bytes. The digest is BLAKE3-256.
//!
//! Spec digests and env keys are spelled in lowercase base32 without padding (RFC 4648 alphabet, 52
//! characters); file and tree digests in lowercase hex (64 characters), as `b3sum` prints them.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use data_encoding::{Encoding, HEXLOWER, Specification};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    spec.encoding().expect("32 distinct ASCII symbols are a valid encoding")
});

/// A text that is not the digest it should be.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a {what}")]
pub struct ParseDigestError {
    text: String,
    what: &'static str,
}

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $what:literal, $encoding:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl From<blake3::Hash> for $name {
            fn from(hash: blake3::Hash) -> Self {
                Self(*hash.as_bytes())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&$encoding.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = ParseDigestError;

            fn from_str(text: &str) -> Result<Self, ParseDigestError> {
                $encoding
                    .decode(text.as_bytes())
                    .ok()
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(Self)
                    .ok_or_else(|| ParseDigestError { text: text.chars().take(80).collect(), what: $what })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

digest!(
    /// The digest of a canonical declaration, base32.
    SpecDigest, "spec digest", BASE32
);
digest!(
    /// The digest of an interpreter's identity, base32.
    InterpreterDigest, "interpreter digest", BASE32
);
digest!(
    /// The name of an environment: digest of lock, interpreter identity and build options, base32.
    EnvKey, "env key", BASE32
);
digest!(
    /// The identity of a component: an artifact under a kind of interpreter, base32.
    ComponentId, "component identity", BASE32
);
digest!(
    /// What a derived file (bytecode) is made of and by what, hex.
    DerivedKey, "derived file's key", HEXLOWER
);
digest!(
    /// The digest of a file's bytes, hex.
    FileDigest, "file digest", HEXLOWER
);
digest!(
    /// The digest of an environment's canonical manifest, hex.
    TreeDigest, "tree digest", HEXLOWER
);
digest!(
    /// The digest of a lock file's bytes, hex: its name under `locks/`.
    LockDigest, "lock digest", HEXLOWER
);

impl EnvKey {
    /// The first 32 characters, the stem of the environment's directory name.
    ///
    /// 160 bits; the full key stands in the manifest and is compared.
    pub fn stem(&self) -> String {
        let mut text = self.to_string();
        text.truncate(32);
        text
    }
}

/// An encoder of fields into bytes no other sequence of fields encodes to.
#[derive(Debug, Clone)]
pub struct Canonical {
    bytes: Vec<u8>,
}

impl Canonical {
    /// Starts an encoding in a domain, e.g. `envstore/spec/v1`.
    pub fn new(domain: &str) -> Self {
        let mut this = Self { bytes: Vec::with_capacity(512) };
        this.field(domain.as_bytes());
        this
    }

    /// Appends one field.
    pub fn field(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        self.count(bytes.len());
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Appends a list in the order given: its length, then each item as a field.
    pub fn list<T: AsRef<[u8]>>(
        &mut self,
        items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    ) -> &mut Self {
        let items = items.into_iter();
        self.count(items.len());
        for item in items {
            self.field(item);
        }
        self
    }

    /// Appends a number (u64, little endian), such as the length of a list whose items have several fields.
    pub fn count(&mut self, count: usize) -> &mut Self {
        self.bytes.extend_from_slice(&(count as u64).to_le_bytes());
        self
    }

    /// The encoded bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The BLAKE3-256 of the encoded bytes, as the digest type asked for.
    pub fn digest<D: From<blake3::Hash>>(&self) -> D {
        blake3::hash(&self.bytes).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_has_lengths_and_counts() {
        let mut canonical = Canonical::new("d");
        canonical.field("ab").list(["", "c"]);
        let expected = [
            &1u64.to_le_bytes()[..],
            b"d",
            &2u64.to_le_bytes(),
            b"ab",
            &2u64.to_le_bytes(),
            &0u64.to_le_bytes(),
            &1u64.to_le_bytes(),
            b"c",
        ]
        .concat();
        assert_eq!(canonical.bytes(), expected);
    }

    #[test]
    fn fields_cannot_run_into_each_other() {
        let digest = |parts: &[&str]| Canonical::new("d").list(parts.iter()).digest::<SpecDigest>();
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_ne!(digest(&["a"]), digest(&["a", ""]));
    }

    #[test]
    fn golden_spellings() {
        let key: EnvKey = blake3::hash(b"").into();
        assert_eq!(key.to_string(), "v4jutopv7gq2nicajxvdnxgjjgn4wjojvxarfn6mtkj4vza7gjra");
        assert_eq!(key.stem().len(), 32);
        let file: FileDigest = blake3::hash(b"").into();
        assert_eq!(file.to_string(), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    }

    #[test]
    fn spelled_then_parsed_is_the_same() {
        let key: EnvKey = blake3::hash(b"x").into();
        assert_eq!(key.to_string().parse(), Ok(key));
        assert!("".parse::<EnvKey>().is_err());
        assert!(key.to_string().to_uppercase().parse::<EnvKey>().is_err());
    }
}
