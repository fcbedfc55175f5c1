//! [`DependencySpec`]: a pack's dependencies as its worker knows them.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, Result};
use crate::settings::InstallSettings;
use crate::spec::requirements::{Reader, each};
use crate::spec::{InterpreterRange, Spec};

/// A pack's dependencies, as `meta.python_dependencies` of its `pack.yaml` has them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DependencySpec {
    /// The language; `python` where nothing is said.
    #[serde(default = "python")]
    pub runtime: String,
    /// Requirements, one each.
    #[serde(default, deserialize_with = "or_empty")]
    pub dependencies: Vec<String>,
    /// The text of a requirements file, beside `dependencies`.
    #[serde(default)]
    pub requirements_file_content: Option<String>,
    /// The lowest version of the interpreter that will do.
    #[serde(default)]
    pub min_version: Option<String>,
    /// The highest one; `3.11` includes every 3.11.
    #[serde(default)]
    pub max_version: Option<String>,
    /// What else the worker knows. It changes no environment.
    #[serde(default, deserialize_with = "or_empty")]
    pub metadata: HashMap<String, serde_json::Value>,
}

fn python() -> String {
    "python".into()
}

/// A key without a value (`dependencies:`) says the same as no key.
fn or_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl DependencySpec {
    /// No dependencies of a language.
    pub fn new(runtime: impl Into<String>) -> Self {
        Self {
            runtime: runtime.into(),
            dependencies: Vec::new(),
            requirements_file_content: None,
            min_version: None,
            max_version: None,
            metadata: HashMap::new(),
        }
    }

    /// Adds a requirement.
    pub fn with_dependency(mut self, dependency: impl Into<String>) -> Self {
        self.dependencies.push(dependency.into());
        self
    }

    /// Adds requirements.
    pub fn with_dependencies(mut self, dependencies: Vec<String>) -> Self {
        self.dependencies.extend(dependencies);
        self
    }

    /// Sets the text of a requirements file.
    pub fn with_requirements_file(mut self, content: String) -> Self {
        self.requirements_file_content = Some(content);
        self
    }

    /// Sets which versions of the interpreter will do, both included.
    pub fn with_version_range(mut self, min_version: Option<String>, max_version: Option<String>) -> Self {
        self.min_version = min_version;
        self.max_version = max_version;
        self
    }

    /// Whether anything is declared.
    pub fn has_dependencies(&self) -> bool {
        !self.dependencies.is_empty() || self.requirements_file_content.is_some()
    }

    /// The canonical declaration, the same that `sync` reads from the pack's directory.
    ///
    /// # Errors
    /// [`Error::InvalidSpec`].
    pub(in crate::runtime) fn declaration(&self, install: &InstallSettings) -> Result<Spec> {
        // A worker hands over texts, not a directory: what is relative has nothing to be relative to.
        let base = Path::new("/");
        let mut reader = Reader::new(install.pack_options);
        for line in &self.dependencies {
            reader.requirement("`dependencies`", base, line)?;
        }
        if let Some(text) = &self.requirements_file_content {
            reader.text("`requirements_file_content`", base, text)?;
        }
        let range = InterpreterRange::between(self.min_version.as_deref(), self.max_version.as_deref());
        reader.interpreter(range.map_err(|invalid| invalid.at("`min_version` and `max_version`", None))?);
        let (mut spec, warnings) = reader.finish()?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        spec.seed_with(&each("install.seed", &install.seed)?);
        Ok(spec)
    }

    /// Refuses another language.
    pub(in crate::runtime) fn require_runtime(&self, runtime: &str) -> Result<()> {
        if self.runtime.eq_ignore_ascii_case(runtime) {
            return Ok(());
        }
        let reason = format!("it is for `{}`, and this manager makes environments for `{runtime}`", self.runtime);
        Err(Error::InvalidSpec { origin: "as a whole".into(), line: None, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_a_pack_file_holds() {
        let text =
            "dependencies: [requests==2.28.0, \"flask>=2.0.0\"]\nmin_version: \"3.10\"\nrequirements_file_content:\n";
        let spec: DependencySpec = serde_saphyr::from_str(text).expect("reads");
        assert_eq!((spec.runtime.as_str(), spec.dependencies.len()), ("python", 2));
        assert_eq!((spec.min_version.as_deref(), spec.max_version.as_deref()), (Some("3.10"), None));
        let nothing: DependencySpec = serde_saphyr::from_str("dependencies:\nmax_version: \"3.11\"\n").expect("reads");
        assert!(!nothing.has_dependencies());
        let text = serde_json::to_string(&spec).expect("serialises");
        let again: DependencySpec = serde_json::from_str(&text).expect("reads");
        assert_eq!(again.dependencies, spec.dependencies);
    }

    #[test]
    fn order_and_spelling_do_not_matter() {
        let install = InstallSettings::default();
        let one = DependencySpec::new("python").with_dependency("Requests == 2.28.0").with_dependency("flask>=2");
        let other = DependencySpec::new("python").with_requirements_file("flask>=2\nrequests==2.28.0 # why\n".into());
        let digest = |spec: &DependencySpec| spec.declaration(&install).expect("reads").digest();
        assert_eq!(digest(&one), digest(&other));
        assert_ne!(digest(&one), digest(&one.clone().with_version_range(Some("3.9".into()), None)));
    }

    #[test]
    fn what_is_no_declaration_is_refused() {
        let install = InstallSettings::default();
        for bad in [
            DependencySpec::new("python").with_dependency("not a requirement"),
            DependencySpec::new("python").with_version_range(Some("3.12".into()), Some("3.8".into())),
            DependencySpec::new("python").with_version_range(Some("new".into()), None),
        ] {
            assert!(bad.declaration(&install).is_err(), "{bad:?}");
        }
        assert!(DependencySpec::new("nodejs").require_runtime("python").is_err());
        assert!(DependencySpec::new("Python").require_runtime("python").is_ok());
    }
}
