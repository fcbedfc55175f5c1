//! A configuration file as it is written: every key optional, unknown ones refused.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer};

use super::keys;
use super::units::{self, DurationText, SizeText};
use crate::error::{Error, Result};
use crate::fs::link::LinkMode;
use crate::settings::{AllowSource, Installer, MinFree, PackOptions};

/// More than any sensible file; a device or a log given by mistake is not read whole.
const LIMIT: u64 = 1 << 20;

/// A configuration file.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    pub index: Option<Vec<Index>>,
    pub install: Install,
    pub lock: Lock,
    pub gc: Gc,
    pub python: Python,
}

/// `[[index]]`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    pub name: String,
    pub url: String,
    #[serde(default)]
    pub default: bool,
    pub credentials: Option<Credentials>,
}

/// `credentials` of an index: exactly one source.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Credentials {
    pub command: Option<Vec<String>>,
    pub env: Option<String>,
    pub netrc: Option<bool>,
    pub file: Option<PathBuf>,
    pub username: Option<String>,
    pub ttl: Option<DurationText>,
}

/// `[install]`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Install {
    pub installer: Option<InstallerText>,
    pub offline: Option<bool>,
    pub find_links: Option<Vec<String>>,
    pub ca_bundle: Option<String>,
    pub timeout: Option<DurationText>,
    pub silence_timeout: Option<DurationText>,
    pub jobs: Option<JobsNumber>,
    pub allow_source: Option<AllowSourceValue>,
    pub build_constraints: Option<Vec<String>>,
    pub seed: Option<Vec<String>>,
    pub pack_options: Option<PackOptionsText>,
    pub link_mode: Option<LinkModeText>,
}

/// `[lock]`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lock {
    pub prefer: Option<String>,
    pub minimum: Option<Vec<String>>,
    pub exclude_newer: Option<DateText>,
}

/// `[gc]`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gc {
    pub max_size: Option<SizeText>,
    pub min_free: Option<MinFreeText>,
    pub history: Option<u32>,
    pub retain_generations: Option<u32>,
    pub retain_for: Option<DurationText>,
    pub idle: Option<DurationText>,
    pub cache_max_size: Option<BytesText>,
    pub components_max_size: Option<BytesText>,
}

/// `[python]`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Python {
    pub default: Option<String>,
    pub interpreters: Option<Vec<PathBuf>>,
    pub installations: Option<Vec<PathBuf>>,
}

/// A value with its own reading.
macro_rules! read_by {
    ($(#[$doc:meta])* $name:ident, $raw:ty => $value:ty, $read:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name($value);

        impl $name {
            /// The value.
            pub fn into_inner(self) -> $value {
                self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let read: fn($raw) -> Result<$value, String> = $read;
                read(<$raw>::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
            }
        }
    };
}

read_by!(
    /// `install.installer`.
    InstallerText, String => Installer, |text| match text.as_str() {
        "auto" => Ok(Installer::Auto),
        "uv" => Ok(Installer::Uv),
        "pip" => Ok(Installer::Pip),
        other => Err(format!("there is no installer `{other}`: write `auto`, `uv` or `pip`")),
    }
);
/// `true`, `false`, or names.
#[derive(Debug, serde::Deserialize)]
#[serde(untagged, expecting = "write `true`, `false` or a list of names")]
pub enum BoolOrNames {
    /// All or none.
    Bool(bool),
    /// Some.
    Names(Vec<String>),
}

read_by!(
    /// `install.allow_source`.
    AllowSourceValue, BoolOrNames => AllowSource, |value| match value {
        BoolOrNames::Bool(true) => Ok(AllowSource::All),
        BoolOrNames::Bool(false) => Ok(AllowSource::None),
        BoolOrNames::Names(names) => {
            for name in &names {
                if name.parse::<uv_normalize::PackageName>().is_err() {
                    return Err(format!("`{name}` is not the name of a distribution"));
                }
            }
            Ok(AllowSource::Only(names))
        }
    }
);
read_by!(
    /// `install.pack_options`.
    PackOptionsText, String => PackOptions, |text| match text.as_str() {
        "ignore" => Ok(PackOptions::Ignore),
        "allow" => Ok(PackOptions::Allow),
        other => Err(format!("`{other}` is not `ignore` or `allow`")),
    }
);
read_by!(
    /// `install.link_mode`; none: `auto`.
    LinkModeText, String => Option<LinkMode>, |text| match text.as_str() {
        "auto" => Ok(None),
        "reflink" => Ok(Some(LinkMode::Reflink)),
        "hardlink" => Ok(Some(LinkMode::Hardlink)),
        "copy" => Ok(Some(LinkMode::Copy)),
        other => Err(format!("`{other}` is not `auto`, `reflink`, `hardlink` or `copy`")),
    }
);
read_by!(
    /// `lock.exclude_newer`; empty: none.
    DateText, String => Option<String>, |text| {
        let is_date = text.parse::<jiff::civil::Date>().is_ok() || text.parse::<jiff::Timestamp>().is_ok();
        match text.as_str() {
            "" => Ok(None),
            _ if is_date => Ok(Some(text)),
            _ => Err(format!("`{text}` is no date such as `2026-01-31` and no time such as `2026-01-31T12:00:00Z`")),
        }
    }
);
read_by!(
    /// `install.jobs`.
    JobsNumber, u32 => usize, |number| match number {
        1..=1024 => Ok(number as usize),
        _ => Err(format!("{number} builds at once: write a number from 1 to 1024")),
    }
);
read_by!(
    /// `gc.min_free`.
    MinFreeText, String => MinFree, |text| {
        if text.trim().is_empty() { Ok(MinFree::Bytes(0)) } else { units::parse_min_free(&text) }
    }
);
read_by!(
    /// A size that has to be there.
    BytesText, String => u64, |text| units::parse_size(&text)
);

/// The duration in a text.
pub fn seconds(text: DurationText) -> Duration {
    text.0
}

/// The size in a text.
pub fn size(text: SizeText) -> Option<u64> {
    text.0
}

impl File {
    /// Reads a file; none if there is no such file.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        use std::io::Read;
        // Most are small: one read, and one that finds the end.
        let mut text = String::with_capacity(4 << 10);
        match std::fs::File::open(path).and_then(|file| file.take(LIMIT + 1).read_to_string(&mut text)) {
            Ok(_) if text.len() as u64 > LIMIT => Err(invalid(path, "it is larger than 1 MiB".into())),
            Ok(_) => Self::parse(&text, path).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            // A file where a directory of the path should be: there is no configuration either.
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Ok(None),
            Err(error) => Err(invalid(path, format!("cannot read it: {error}"))),
        }
    }

    /// Reads a text; the path is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let refuse = |error: toml::de::Error| {
            let line = error
                .span()
                .map(|span| text.as_bytes()[..span.start.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1);
            invalid(
                path,
                format!("{}{}", line.map(|n| format!("line {n}: ")).unwrap_or_default(), one_line(error.message())),
            )
        };
        // Keys first: serde stops at the first unknown key and cannot say which one was meant.
        let table: toml::Table = toml::from_str(text).map_err(refuse)?;
        keys::check(&table).map_err(|reason| invalid(path, reason))?;
        toml::from_str(text).map_err(refuse)
    }
}

fn one_line(message: &str) -> String {
    message.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

fn invalid(path: &Path, reason: String) -> Error {
    Error::InvalidConfig { origin: format!("`{}`", path.display()), reason }
}
