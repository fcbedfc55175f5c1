//! [`Selector`]: distributions by name and versions, as `who-uses` and `upgrade --using` are asked for them.

use std::fmt;
use std::str::FromStr;

use url::Url;
use uv_pep440::{Version, VersionSpecifiers};
use uv_pep508::VersionOrUrl;

/// A name and the versions that are meant, e.g. `urllib3<2.2.2`; without versions every one, pre-releases included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    name: String,
    versions: VersionSpecifiers,
}

impl Selector {
    /// The normalised name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a version is meant. A text that is no version never is, unless every version is.
    pub fn selects(&self, version: &str) -> bool {
        self.versions.is_empty() || Version::from_str(version).is_ok_and(|version| self.versions.contains(&version))
    }
}

impl FromStr for Selector {
    type Err = String;

    /// # Errors
    /// What is wrong with the text.
    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = uv_pep508::Requirement::<Url>::from_str(text)
            .map_err(|error| format!("`{text}` is no name with versions: {}", error.message))?;
        if !parsed.extras.is_empty() || !parsed.marker.is_true() {
            return Err(format!("`{text}`: a name and versions are enough here, e.g. `urllib3<2.2.2`"));
        }
        let versions = match parsed.version_or_url {
            None => VersionSpecifiers::empty(),
            Some(VersionOrUrl::VersionSpecifier(versions)) => versions,
            Some(VersionOrUrl::Url(_)) => return Err(format!("`{text}`: a URL selects nothing; name the versions")),
        };
        Ok(Self { name: parsed.name.to_string(), versions })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, self.versions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised_and_versions_compared_as_pep_440_says() {
        for (text, version, selected) in [
            ("URLLIB3<2.2.2", "2.2.1", true),
            ("urllib3<2.2.2", "2.2.2", false),
            ("urllib3<2.2.2", "2.0.0a1", true),
            ("urllib3", "no version", true),
            ("urllib3<2", "no version", false),
            ("Zope.Interface >=5,<6", "5.4", true),
            ("a==1.*", "1.10", true),
        ] {
            let selector: Selector = text.parse().expect(text);
            assert_eq!(selector.selects(version), selected, "{text} {version}");
        }
        assert_eq!("Zope_Interface>=5".parse::<Selector>().expect("parses").name(), "zope-interface");
        for bad in ["", "<2", "a[b]", "a; python_version>'3'", "a @ https://example.org/a.whl", "a<<1"] {
            bad.parse::<Selector>().expect_err(bad);
        }
    }
}
