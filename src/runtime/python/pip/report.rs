//! pip's installation report: what it would install, one file or commit a package.

use std::collections::BTreeMap;

use serde::Deserialize;
use url::Url;
use uv_pep440::Version;

use crate::runtime::python::pylock::{File, Package, Pylock, is_wheel};
use crate::spec::pylock::{Directory, Vcs};

#[derive(Debug, Deserialize)]
struct Report {
    version: String,
    install: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    download_info: Download,
    #[serde(default)]
    is_direct: bool,
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
    version: String,
}

/// A `direct_url.json` (PEP 610).
#[derive(Debug, Deserialize)]
struct Download {
    url: String,
    subdirectory: Option<String>,
    archive_info: Option<Archive>,
    vcs_info: Option<Repository>,
    dir_info: Option<toml::Table>,
}

#[derive(Debug, Deserialize)]
struct Archive {
    hash: Option<String>,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Repository {
    vcs: String,
    commit_id: String,
}

/// The report as a lock file that leaves no choice.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse(text: &[u8]) -> Result<Pylock, String> {
    let report: Report = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if report.version != "1" {
        return Err(format!("its version is `{}`", report.version));
    }
    let packages = report.install.into_iter().map(package).collect::<Result<_, _>>()?;
    Ok(Pylock { packages, ..Pylock::default() })
}

fn package(entry: Entry) -> Result<Package, String> {
    let Entry { download_info: from, is_direct, metadata } = entry;
    let mut package = Package { name: metadata.name.clone(), ..Package::default() };
    let version: Version = metadata.version.parse().map_err(|_| format!("`{}` has no version", metadata.name))?;
    if let Some(repository) = from.vcs_info {
        package.version = Some(version.to_string());
        package.vcs = Some(Vcs {
            r#type: repository.vcs,
            url: Some(from.url),
            path: None,
            commit_id: repository.commit_id,
            subdirectory: from.subdirectory,
        });
    } else if from.dir_info.is_some() {
        let path = Url::parse(&from.url).ok().and_then(|url| url.to_file_path().ok());
        let path = path.ok_or_else(|| format!("`{}` is in no local directory", metadata.name))?;
        package.directory = Some(Directory {
            path: path.to_str().ok_or("a path is no text")?.to_owned(),
            editable: None,
            subdirectory: from.subdirectory,
        });
    } else {
        package.version = Some(version.to_string());
        let archive = from.archive_info.ok_or_else(|| format!("`{}` comes from nowhere", metadata.name))?;
        let mut hashes = archive.hashes;
        if let Some((algorithm, digest)) = archive.hash.as_deref().and_then(|hash| hash.split_once('=')) {
            hashes.entry(algorithm.to_owned()).or_insert_with(|| digest.to_owned());
        }
        let file = File { url: Some(from.url), hashes, subdirectory: from.subdirectory, ..File::default() };
        let is_wheel = file.file_name().is_some_and(|name| is_wheel(&name));
        match (is_direct, is_wheel) {
            (true, _) => package.archive = Some(file),
            (false, true) => package.wheels.push(file),
            (false, false) => package.sdist = Some(file),
        }
    }
    Ok(package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_download_is_its_kind_of_source() {
        let entry = |url: &str, info: &str, direct: bool| {
            format!(
                r#"{{"download_info": {{"url": "{url}", {info}}}, "is_direct": {direct}, "metadata": {{"name": "A.b", "version": "1.00"}}}}"#
            )
        };
        let entries = [
            entry("https://h/A_b-1.00-py3-none-any.whl", r#""archive_info": {"hashes": {"sha256": "aa"}}"#, false),
            entry("https://h/a.b-1.00.tar.gz", r#""archive_info": {"hash": "sha256=bb"}"#, false),
            entry(
                "https://h/x.zip",
                r#""archive_info": {"hash": "sha256=cc", "hashes": {"sha256": "cc"}}, "subdirectory": "p""#,
                true,
            ),
            entry("https://h/r", r#""vcs_info": {"vcs": "git", "commit_id": "dd"}"#, true),
            entry("file:///srv/a%20b", r#""dir_info": {}"#, true),
        ];
        let text = format!(r#"{{"version": "1", "pip_version": "23.0.1", "install": [{}]}}"#, entries.join(","));
        let lock = parse(text.as_bytes()).expect("a report");
        let [wheel, sdist, archive, vcs, directory] = &*lock.packages else { panic!("{lock:?}") };
        assert_eq!(wheel.version.as_deref(), Some("1.0"));
        assert_eq!(wheel.wheels[0].hashes["sha256"], "aa");
        assert_eq!(sdist.sdist.as_ref().expect("source").hashes["sha256"], "bb");
        let archive = archive.archive.as_ref().expect("named by its URL");
        assert_eq!((archive.hashes.len(), archive.subdirectory.as_deref()), (1, Some("p")));
        assert_eq!(vcs.vcs.as_ref().map(|vcs| vcs.commit_id.as_str()), Some("dd"));
        assert_eq!(directory.directory.as_ref().map(|directory| directory.path.as_str()), Some("/srv/a b"));
        for bad in ["", "{}", r#"{"version": "2", "install": []}"#] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
