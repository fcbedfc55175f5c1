//! `RECORD`: checked against the bytes, then written anew so that it depends on the artifact alone.
//!
//! What is checked: every line names a file inside the environment, and a file has the bytes that one of its
//! lines says (an installer's damaged cache would show here). What is written: the files of the distribution,
//! sorted, without the installer's marks and bytecode; no digest for files that hold the environment's own
//! path, which the specification allows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha384, Sha512};

use super::dist_info::{DistInfo, RecordLine};
use super::hashes::{Hash, Hashes};
use super::skeleton::through_lib64;
use super::tidy::{Tree, is_dist_info_mark};
use crate::error::{Error, Result};

/// The lines of all distributions by the file they name, relative to the environment.
#[derive(Debug, Default)]
pub(crate) struct Claims(BTreeMap<String, Vec<Claim>>);

/// One distribution's line for a file.
#[derive(Debug)]
struct Claim {
    dist: usize,
    line: RecordLine,
}

impl Claims {
    /// Finds the file each line names.
    ///
    /// # Errors
    /// [`Error::UnsafeArtifact`] for a line that leaves the environment.
    pub(crate) fn of(env_dir: &Path, dists: &[DistInfo]) -> Result<Self> {
        let mut claims: BTreeMap<String, Vec<Claim>> = BTreeMap::new();
        for (index, dist) in dists.iter().enumerate() {
            for line in &dist.record {
                let path = locate(env_dir, &dist.site_dir, &line.path).ok_or_else(|| Error::UnsafeArtifact {
                    artifact: dist.label(),
                    reason: format!("its RECORD names `{}`, outside the environment", line.path),
                })?;
                let of_file = claims.entry(path).or_default();
                if of_file.iter().all(|claim| claim.dist != index) {
                    of_file.push(Claim { dist: index, line: line.clone() });
                }
            }
        }
        Ok(Self(claims))
    }

    /// Whether a path is a distribution's own file. Bytecode is when the line has its digest: installers
    /// that compile add lines without.
    pub(crate) fn names(&self, path: &str) -> bool {
        self.0
            .get(path)
            .is_some_and(|claims| !path.ends_with(".pyc") || claims.iter().any(|claim| !claim.line.hash.is_empty()))
    }

    /// The distributions whose file a path is, for messages.
    pub(crate) fn owner(&self, path: &str, dists: &[DistInfo]) -> Option<String> {
        let claims = self.0.get(path)?.iter().filter_map(|claim| dists.get(claim.dist));
        Some(claims.map(DistInfo::label).collect::<Vec<_>>().join(" and "))
    }

    /// Checks every file that a line names, and returns those that no line fits, unless an installer rewrites such
    /// files. Verdicts say which files are missing, which are claimed twice, and whose files depend on the others'.
    pub(crate) fn check(
        &self,
        env_dir: &Path,
        tree: &Tree,
        dists: &[DistInfo],
        site_dirs: &[String],
        hashes: &Hashes,
        verdicts: &mut Verdicts,
    ) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        for (path, claims) in &self.0 {
            let owner = || self.owner(path, dists).unwrap_or_default();
            if is_dist_info_mark(path, site_dirs) || dists.iter().any(|dist| is_own_record(dist, path)) {
                continue;
            }
            let Some(hash) = hashes.get(path).filter(|_| tree.is_file(path)) else {
                for claim in claims {
                    if tree.node(path).is_some() {
                        verdicts.depends_on_others(claim.dist);
                    } else if self.names(path) {
                        let note = format!("{}: RECORD names `{path}`, which is missing", owner());
                        verdicts.note(claim.dist, note);
                    }
                }
                continue;
            };
            let fit = |claim: &Claim| fits(&claim.line.hash, hash, &env_dir.join(path));
            let fitting = claims.iter().map(fit).collect::<Result<Vec<_>>>()?;
            if claims.len() > 1 {
                // Equal bytes under one name are legal; whose other bytes stand there is the installer's choice.
                let is_agreed = fitting.iter().zip(claims).all(|(fits, claim)| *fits && !claim.line.hash.is_empty());
                for claim in claims {
                    verdicts.note(claim.dist, format!("`{path}` is claimed by {}", owner()));
                    if !is_agreed {
                        verdicts.depends_on_others(claim.dist);
                    }
                }
            }
            if !fitting.contains(&true) && !is_script(env_dir, path)? {
                wrong.push(path.clone());
            }
        }
        Ok(wrong)
    }

    /// The files of each distribution that stand there: those of its lines, its `RECORD`, and `scripts` made of its entry points.
    pub(crate) fn files(
        &self,
        tree: &Tree,
        dists: &[DistInfo],
        scripts: &BTreeMap<String, usize>,
    ) -> Vec<BTreeSet<String>> {
        let record = |dist: &DistInfo| BTreeSet::from([format!("{}/RECORD", dist.dir)]);
        let mut files: Vec<_> = dists.iter().map(record).collect();
        for (path, claims) in self.0.iter().filter(|(path, _)| tree.is_file(path) && !scripts.contains_key(*path)) {
            for claim in claims {
                files[claim.dist].insert(path.clone());
            }
        }
        for (path, dist) in scripts {
            files[*dist].insert(path.clone());
        }
        files
    }

    /// The files that are nobody's: neither the environment's own nor in any `RECORD`.
    pub(crate) fn strays<'a>(&self, tree: &'a Tree, is_ours: impl Fn(&str) -> bool) -> Vec<&'a str> {
        tree.files().filter(|path| !self.0.contains_key(*path) && !is_ours(path)).collect()
    }

    /// Writes the `RECORD` of every distribution; `scripts` are those made of its entry points.
    pub(crate) fn rewrite(
        &self,
        env_dir: &Path,
        tree: &Tree,
        dists: &[DistInfo],
        scripts: &BTreeMap<String, usize>,
        hashes: &Hashes,
    ) -> Result<()> {
        let mut records: Vec<Vec<(String, String)>> = dists.iter().map(|_| Vec::new()).collect();
        let mut add = |dist: usize, path: &str| -> Result<()> {
            let Some((info, record)) = dists.get(dist).zip(records.get_mut(dist)) else { return Ok(()) };
            let shown = relative(&info.site_dir, path);
            let line = if is_own_record(info, path) || holds_path(env_dir, path)? {
                csv_line(&shown, "", None)
            } else {
                // A script that names no place of this host is the artifact's own, perhaps rewritten.
                let fresh = if path.starts_with("bin/") { None } else { hashes.get(path).cloned() };
                let hash = fresh.map_or_else(|| Hashes::read(&env_dir.join(path)), Ok)?;
                csv_line(&shown, &format!("sha256={}", hash.sha256), Some(hash.content.size))
            };
            record.push((shown, line));
            Ok(())
        };
        for (path, claims) in self.0.iter().filter(|(path, _)| tree.is_file(path) && !scripts.contains_key(*path)) {
            claims.iter().try_for_each(|claim| add(claim.dist, path))?;
        }
        scripts.iter().try_for_each(|(path, dist)| add(*dist, path))?;
        for (dist, mut record) in dists.iter().zip(records) {
            record.sort();
            let text: String = record.into_iter().map(|(_, line)| line).collect();
            replace(&env_dir.join(&dist.dir).join("RECORD"), text.as_bytes())?;
        }
        Ok(())
    }
}

/// What checking says about each distribution, by its position.
#[derive(Debug)]
pub(crate) struct Verdicts(Vec<Verdict>);

/// What checking says about one distribution.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdict {
    /// Oddities worth keeping.
    pub notes: Vec<String>,
    /// Whether what stands there depends on what else was installed.
    pub depends_on_others: bool,
}

impl Verdicts {
    /// Nothing said yet.
    pub(crate) fn new(dists: &[DistInfo]) -> Self {
        Self(vec![Verdict::default(); dists.len()])
    }

    /// Notes something of a distribution.
    pub(crate) fn note(&mut self, dist: usize, note: String) {
        let notes = &mut self.0[dist].notes;
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// Says that another set of distributions would have given it other files.
    pub(crate) fn depends_on_others(&mut self, dist: usize) {
        self.0[dist].depends_on_others = true;
    }

    /// The verdicts, in the distributions' order.
    pub(crate) fn into_inner(self) -> Vec<Verdict> {
        self.0
    }
}

/// A line of `RECORD`, quoted where it must be.
pub(crate) fn csv_line(path: &str, hash: &str, size: Option<u64>) -> String {
    let size = size.map(|bytes| bytes.to_string()).unwrap_or_default();
    if path.contains([',', '"', '\n', '\r']) {
        format!("\"{}\",{hash},{size}\n", path.replace('"', "\"\""))
    } else {
        format!("{path},{hash},{size}\n")
    }
}

/// The file a line means, relative to the environment; none when it is outside.
fn locate(env_dir: &Path, site_dir: &str, line: &str) -> Option<String> {
    let mut parts: Vec<&str> = site_dir.split('/').collect();
    let relative = if line.starts_with('/') {
        parts.clear();
        line.strip_prefix(env_dir.to_str()?)?.strip_prefix('/')?
    } else {
        line
    };
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| through_lib64(&parts.join("/")))
}

/// A path as `RECORD` writes it: relative to site-packages.
fn relative(site_dir: &str, path: &str) -> String {
    let (from, to): (Vec<&str>, Vec<&str>) = (site_dir.split('/').collect(), path.split('/').collect());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let mut parts = vec![".."; from.len() - common];
    parts.extend(&to[common..]);
    parts.join("/")
}

fn is_own_record(dist: &DistInfo, path: &str) -> bool {
    path.strip_suffix("/RECORD").is_some_and(|dir| dir == dist.dir)
}

/// Whether a file in `bin` holds the environment's own path. Elsewhere none does: a wheel cannot know it.
fn holds_path(env_dir: &Path, path: &str) -> Result<bool> {
    if !path.starts_with("bin/") {
        return Ok(false);
    }
    let full = env_dir.join(path);
    let bytes = fs::read(&full).map_err(Error::io("read", &full))?;
    let wanted = env_dir.as_os_str().as_encoded_bytes();
    Ok(bytes.windows(wanted.len().max(1)).any(|window| window == wanted))
}

/// Whether a file in `bin` begins as a script does: installers rewrite its first line.
fn is_script(env_dir: &Path, path: &str) -> Result<bool> {
    if !path.starts_with("bin/") {
        return Ok(false);
    }
    let full = env_dir.join(path);
    fs::read(&full).map(|bytes| bytes.starts_with(b"#!")).map_err(Error::io("read", &full))
}

/// Whether a file holds what a line says. A line without a digest, or with one of a kind that is not known to be strong, says
/// nothing.
fn fits(line: &str, hash: &Hash, path: &Path) -> Result<bool> {
    let Some((algorithm, digest)) = line.split_once('=') else { return Ok(true) };
    let bytes = || fs::read(path).map_err(Error::io("read", path));
    let found = match algorithm.to_ascii_lowercase().as_str() {
        "sha256" => hash.sha256.clone(),
        "sha384" => BASE64URL_NOPAD.encode(&Sha384::digest(bytes()?)),
        "sha512" => BASE64URL_NOPAD.encode(&Sha512::digest(bytes()?)),
        _ => return Ok(true),
    };
    Ok(digest.trim_end_matches('=') == found)
}

/// Replaces a file by a new one: the installer may have linked the old one from its cache.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::remove_file(path).map_err(Error::io("remove", path))?;
    let mut file =
        File::options().write(true).create_new(true).mode(0o644).open(path).map_err(Error::io("create", path))?;
    file.write_all(bytes).map_err(Error::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "lib/python3.11/site-packages";

    #[test]
    fn lines_name_files_inside_the_environment_or_nothing() {
        let locate = |line| locate(Path::new("/e/x"), SITE, line);
        for (line, wanted) in [
            ("a/b.py", Some("lib/python3.11/site-packages/a/b.py")),
            ("./a//b.py", Some("lib/python3.11/site-packages/a/b.py")),
            ("../../../bin/x", Some("bin/x")),
            ("../../../lib64/python3.11/site-packages/c.so", Some("lib/python3.11/site-packages/c.so")),
            ("/e/x/share/man", Some("share/man")),
            ("../../../../x/bin/x", None),
            ("../../../..", None),
            ("../../..", None),
            ("/e/xy/bin", None),
            ("/etc/passwd", None),
        ] {
            assert_eq!(locate(line).as_deref(), wanted, "{line}");
        }
    }

    #[test]
    fn relative_paths_lead_back() {
        for path in ["bin/x", "lib/python3.11/site-packages/a.py", "lib/python3.11/x", "share/man/x.1", "x"] {
            assert_eq!(locate(Path::new("/e"), SITE, &relative(SITE, path)).as_deref(), Some(path));
        }
    }

    #[test]
    fn digests_are_those_of_the_wheel_specification() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("empty");
        fs::write(&path, "").expect("writes");
        let hash = Hashes::read(&path).expect("reads");
        let fits = |line: &str| fits(line, &hash, &path).expect("no error");
        assert!(fits("sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU="));
        assert!(fits("sha512=z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg_SpIdNs6c5H0NE8XYXysP-DGNKHfuwvY7kxvUdBeoGlODJ6-SfaPg"));
        assert!(!fits("sha256=57DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU") && !fits("sha384=AAAA"));
        assert!(fits("") && fits("md5=x"));
    }
}
