//! A pack's environment as a CycloneDX bill of materials (spec 1.5, JSON).
//!
//! The same environment, binding and release give the same text: the serial number is made of them, the time is when the environment was
//! published.

use cyclonedx_bom::models::component::Classification;
use cyclonedx_bom::models::external_reference::{ExternalReference, ExternalReferenceType, ExternalReferences, Uri};
use cyclonedx_bom::models::hash::{Hash, HashAlgorithm, HashValue, Hashes};
use cyclonedx_bom::models::property::{Properties, Property};
use cyclonedx_bom::models::tool::{Tool, Tools};
use cyclonedx_bom::prelude::{Bom, Component, Components, DateTime, Metadata, Purl, SpecVersion, UrnUuid};
use url::Url;

use super::super::runtime::Distribution;
use crate::digest::Canonical;
use crate::digest::EnvKey;
use crate::index::{Bound, EnvRow};
use crate::lock::{Artifact, Lock, Locked};

/// What a bill is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Billed<'a> {
    pub bound: &'a Bound,
    pub lock: &'a Lock,
    /// As they were installed: some locks do not know every version.
    pub distributions: &'a [Distribution],
    /// What package URLs call the language's index.
    pub purl_type: &'a str,
}

/// Writes the bill.
///
/// # Errors
/// What the format does not allow.
pub(super) fn write(billed: &Billed<'_>) -> Result<String, String> {
    let Bound { pack, generation, answers, env, .. } = billed.bound;
    let mut subject = Component::new(Classification::Application, pack.pack.as_str(), &generation.to_string(), None);
    subject.bom_ref = Some(format!("pack:{}", pack.pack));
    subject.properties = Some(Properties(vec![
        property("env", env.key),
        property("generation", generation),
        property("spec", answers),
        property("lock", env.lock),
        property("tree", env.tree_digest),
        property("installer", &env.installer),
    ]));
    let mut components = vec![interpreter(env)?];
    for locked in &billed.lock.packages {
        components.push(component(billed, locked)?);
    }
    let bom = Bom {
        version: 1,
        serial_number: Some(serial_number(billed.bound)),
        metadata: Some(Metadata {
            timestamp: Some(DateTime::try_from(env.created_at.to_string()).map_err(|error| error.to_string())?),
            tools: Some(Tools::List(vec![Tool::new("envstore", "envstore", env!("CARGO_PKG_VERSION"))])),
            component: Some(subject),
            ..Metadata::default()
        }),
        components: Some(Components(components)),
        spec_version: SpecVersion::V1_5,
        ..Bom::default()
    };
    let mut text = Vec::new();
    bom.output_as_json(&mut text, SpecVersion::V1_5).map_err(|error| error.to_string())?;
    String::from_utf8(text).map(|text| text + "\n").map_err(|error| error.to_string())
}

/// Made of what the bill is of (UUID version 8, RFC 9562).
fn serial_number(bound: &Bound) -> UrnUuid {
    let mut canonical = Canonical::new("envstore/bill/v1");
    canonical.field(bound.env.key.as_bytes()).field(bound.pack.pack.as_str()).field(bound.generation.to_string());
    let digest: EnvKey = canonical.digest();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    uuid::Uuid::new_v8(bytes).into()
}

fn property(name: &str, value: impl ToString) -> Property {
    Property::new(format!("envstore:{name}"), &value.to_string())
}

fn interpreter(env: &EnvRow) -> Result<Component, String> {
    let identity = &env.interpreter.identity;
    let bom_ref = format!("interpreter:{}", identity.digest());
    let mut component =
        Component::new(Classification::Platform, &identity.implementation, &identity.version, Some(bom_ref));
    component.purl = Some(purl("generic", &identity.implementation, &identity.version)?);
    component.properties = Some(Properties(vec![
        property("abi", &identity.abi),
        property("platform", &identity.platform),
        property("machine", &identity.machine),
        property("libc", &identity.libc),
        property("build_id", &identity.build_id),
    ]));
    Ok(component)
}

fn component(billed: &Billed<'_>, locked: &Locked) -> Result<Component, String> {
    let installed = billed.distributions.iter().find(|installed| installed.name == locked.name);
    let version = installed.map_or(&locked.version, |installed| &installed.version);
    let bom_ref = format!("{}:{}", locked.name, version);
    let mut component = Component::new(Classification::Library, &locked.name, version, Some(bom_ref));
    let mut properties = Vec::new();
    let (kind, place) = match &locked.artifact {
        Artifact::Wheel { file, url, sha256 } | Artifact::Sdist { file, url, sha256, .. } => {
            let content = HashValue(sha256.clone());
            component.hashes = Some(Hashes(vec![Hash { alg: HashAlgorithm::SHA_256, content }]));
            properties.push(property("file", file));
            (ExternalReferenceType::Distribution, url.clone())
        }
        Artifact::Vcs { vcs, url, commit, .. } => {
            properties.push(property("commit", commit));
            (ExternalReferenceType::Vcs, format!("{vcs}+{url}@{commit}"))
        }
        Artifact::Directory { path, digest } => {
            properties.push(property("directory_digest", digest));
            let url = Url::from_file_path(path).map_or_else(|()| path.clone(), String::from);
            (ExternalReferenceType::Distribution, url)
        }
    };
    // What came from a repository or a directory is not what the index has under that name.
    let is_published = matches!(locked.artifact, Artifact::Wheel { .. } | Artifact::Sdist { .. });
    component.purl = Some(purl(if is_published { billed.purl_type } else { "generic" }, &locked.name, version)?);
    if let Ok(url) = Url::parse(&place) {
        let mut reference = ExternalReference::new(kind, uri(&url)?);
        reference.comment = locked.index.as_ref().map(|index| format!("index {index}"));
        component.external_references = Some(ExternalReferences(vec![reference]));
    }
    properties.extend(locked.index.as_ref().map(|index| property("index", index)));
    properties.push(property("from_source", locked.artifact.is_source()));
    component.properties = Some(Properties(properties));
    Ok(component)
}

fn uri(url: &Url) -> Result<Uri, String> {
    let uri = cyclonedx_bom::prelude::Uri::try_from(url.to_string()).map_err(|error| error.to_string())?;
    Ok(Uri::Url(uri))
}

fn purl(kind: &str, name: &str, version: &str) -> Result<Purl, String> {
    Purl::new(kind, name, version).map_err(|error| error.to_string())
}
