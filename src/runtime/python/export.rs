//! A lock as a requirements file, for pip and whatever else reads one.

use crate::interpreter::Interpreter;
use crate::lock::{Artifact, Lock, Locked};

/// Writes the lines, one a package, sorted by name. Where all are files, each is held to its digest
/// (`pip install --no-deps --require-hashes -r …`); a commit or a directory has none that pip would take, and then no
/// line has one.
pub(crate) fn requirements(lock: &Lock, interpreter: &Interpreter) -> String {
    let files = |locked: &Locked| matches!(locked.artifact, Artifact::Wheel { .. } | Artifact::Sdist { .. });
    let digests = lock.packages.iter().all(files);
    let mut text = format!(
        "# Locked for Python {} on {}; complete, so that it is installed with --no-deps.\n",
        interpreter.identity.version, interpreter.identity.platform
    );
    for locked in &lock.packages {
        text.push_str(&line(locked, digests));
        text.push('\n');
    }
    text
}

fn line(locked: &Locked, digests: bool) -> String {
    let Locked { name, version, artifact, index } = locked;
    let within = |subdirectory: &Option<String>| {
        subdirectory.as_ref().map(|directory| format!("#subdirectory={directory}")).unwrap_or_default()
    };
    match artifact {
        Artifact::Wheel { url, sha256, .. } | Artifact::Sdist { url, sha256, .. } => {
            let subdirectory = match artifact {
                Artifact::Sdist { subdirectory, .. } => within(subdirectory),
                _ => String::new(),
            };
            let hash = if digests { format!(" --hash=sha256:{sha256}") } else { String::new() };
            match index {
                // An index has it under its version; what came from elsewhere is named by its place.
                Some(_) if !version.is_empty() && subdirectory.is_empty() => format!("{name}=={version}{hash}"),
                _ => format!("{name} @ {url}{subdirectory}{hash}"),
            }
        }
        Artifact::Vcs { vcs, url, commit, subdirectory } => {
            format!("{name} @ {vcs}+{url}@{commit}{}", within(subdirectory))
        }
        Artifact::Directory { path, .. } => {
            let url = url::Url::from_file_path(path).map_or_else(|()| path.clone(), String::from);
            format!("{name} @ {url}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(name: &str, artifact: Artifact, index: Option<&str>) -> Locked {
        Locked { name: name.into(), version: "1.0".into(), artifact, index: index.map(Into::into) }
    }

    #[test]
    fn each_artifact_has_its_line() {
        let file = "https://h/a-1.0-py3-none-any.whl".to_owned();
        let wheel = Artifact::Wheel { file: "a-1.0-py3-none-any.whl".into(), url: file.clone(), sha256: "aa".into() };
        let sdist = Artifact::Sdist {
            file: "b.zip".into(),
            url: "https://h/b.zip".into(),
            sha256: "bb".into(),
            subdirectory: Some("py".into()),
        };
        let vcs =
            Artifact::Vcs { vcs: "git".into(), url: "https://h/r".into(), commit: "cc".into(), subdirectory: None };
        let directory = Artifact::Directory { path: "/srv/a b".into(), digest: "dd".into() };
        for (locked, digests, expected) in [
            (locked("a", wheel.clone(), Some("pypi")), true, "a==1.0 --hash=sha256:aa".to_owned()),
            (locked("a", wheel.clone(), Some("pypi")), false, "a==1.0".into()),
            (locked("a", wheel, None), true, format!("a @ {file} --hash=sha256:aa")),
            (locked("b", sdist, Some("pypi")), true, "b @ https://h/b.zip#subdirectory=py --hash=sha256:bb".into()),
            (locked("c", vcs, None), false, "c @ git+https://h/r@cc".into()),
            (locked("d", directory, None), false, "d @ file:///srv/a%20b".into()),
        ] {
            assert_eq!(line(&locked, digests), expected);
        }
    }
}
