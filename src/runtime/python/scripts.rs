//! Console scripts: made by us from `entry_points.txt`, and those that wheels ship, with our first line.
//!
//! Installers have templates of their own; with ours the same wheel gives the same script whoever installed
//! it ([`super::shebang`] says which).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::dist_info::{DistInfo, EntryPoint};
use super::record::Verdicts;
use super::shebang::{head, single_quoted};
use super::skeleton;
use super::tidy::{Node, Tree};
use crate::error::{Error, Result};
use crate::interpreter::Interpreter;

/// Writes the scripts of every entry point over whatever stands there. Returns each one's path with the index
/// of its distribution; notes say which scripts two distributions make (the first by name does) and which
/// lines make none.
///
/// # Errors
/// [`Error::UnsafeArtifact`] for a name that is no file name or belongs to the environment itself.
pub(crate) fn write(
    env_dir: &Path,
    interpreter: &Interpreter,
    tree: &mut Tree,
    dists: &[DistInfo],
    verdicts: &mut Verdicts,
) -> Result<BTreeMap<String, usize>> {
    let reserved = skeleton::names(env_dir, interpreter)?;
    let mut made: BTreeMap<String, usize> = BTreeMap::new();
    for (index, dist) in dists.iter().enumerate() {
        for line in &dist.bad_scripts {
            verdicts.note(index, format!("{}: `{line}` makes no script", dist.label()));
        }
        for script in &dist.scripts {
            let path = format!("bin/{}", script.name);
            let refused = |reason: &str| Error::UnsafeArtifact { artifact: dist.label(), reason: reason.to_owned() };
            if !is_file_name(&script.name) {
                return Err(refused(&format!("its script `{}` has a name that is no file name", script.name)));
            }
            if reserved.contains(&path) {
                return Err(refused(&format!("its script `{path}` belongs to the environment itself")));
            }
            if let Some(first) = made.get(&path).copied() {
                let note = format!("`{path}` is a script of {} and {}", dists[first].label(), dist.label());
                for of in [first, index] {
                    verdicts.note(of, note.clone());
                    verdicts.depends_on_others(of);
                }
                continue;
            }
            match tree.node(&path) {
                None => {}
                Some(Node::Dir) => return Err(refused(&format!("its script `{path}` is a directory"))),
                Some(_) => tree.remove_file(&path)?,
            }
            put(&env_dir.join(&path), &head(env_dir), body(script).as_bytes(), 0o755)?;
            tree.insert_file(&path);
            made.insert(path, index);
        }
    }
    remove_aliases(tree, dists, &made)?;
    Ok(made)
}

/// Gives every script in `bin` that names the environment's Python our first line, and makes everything there
/// executable: pip leaves scripts as the wheel has them, uv does not.
pub(crate) fn normalise(env_dir: &Path, interpreter: &Interpreter, tree: &Tree) -> Result<()> {
    let (ours, reserved) = (head(env_dir), skeleton::names(env_dir, interpreter)?);
    for name in shipped(tree).filter(|name| reserved.iter().all(|reserved| reserved != name)) {
        let path = env_dir.join(name);
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        let (head, body) = match without_head(&bytes, env_dir) {
            Some(body) => (ours.as_str(), body),
            None => ("", bytes.as_slice()),
        };
        let is_final = bytes.starts_with(head.as_bytes()) && bytes.len() == head.len() + body.len();
        let mode = fs::metadata(&path).map_err(Error::io("stat", &path))?.permissions().mode();
        if is_final && mode & 0o111 != 0 {
            continue;
        }
        // Never changed in place: the installer may have linked the file from its cache.
        fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        put(&path, head, body, 0o755)?;
    }
    Ok(())
}

/// Files that stand in `bin` itself.
fn shipped(tree: &Tree) -> impl Iterator<Item = &str> {
    tree.files().filter(|path| path.strip_prefix("bin/").is_some_and(|name| !name.contains('/')))
}

/// pip makes `pip3.11` and `easy_install-3.11` beside what `entry_points.txt` of these two says.
fn remove_aliases(tree: &mut Tree, dists: &[DistInfo], made: &BTreeMap<String, usize>) -> Result<()> {
    for (dist, prefix) in [("pip", "pip"), ("setuptools", "easy_install-")] {
        if dists.iter().all(|installed| installed.name != dist) {
            continue;
        }
        let is_alias = |name: &str| {
            let version = name.strip_prefix("bin/").and_then(|name| name.strip_prefix(prefix));
            version.is_some_and(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
        };
        let aliases: Vec<String> =
            shipped(tree).filter(|name| is_alias(name) && !made.contains_key(*name)).map(str::to_owned).collect();
        aliases.iter().try_for_each(|path| tree.remove_file(path))?;
    }
    Ok(())
}

fn put(path: &Path, head: &str, body: &[u8], mode: u32) -> Result<()> {
    let mut file =
        File::options().write(true).create_new(true).mode(mode).open(path).map_err(Error::io("create", path))?;
    file.write_all(head.as_bytes()).and_then(|()| file.write_all(body)).map_err(Error::io("write", path))
}

pub(crate) fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.len() <= 255 && !name.contains(|c: char| c == '/' || c.is_control())
}

/// What follows the lines that start the environment's Python, however an installer wrote them; none for
/// a file that starts something else.
fn without_head<'a>(bytes: &'a [u8], env_dir: &Path) -> Option<&'a [u8]> {
    let (first, rest) = cut_line(bytes)?;
    let python = env_dir.join("bin/python");
    let python = python.to_str()?;
    if first == "#!/bin/sh" {
        let (exec, rest) = cut_line(rest)?;
        let (end, rest) = cut_line(rest)?;
        return (exec.starts_with("'''exec'") && exec.contains(python) && end == "' '''").then_some(rest);
    }
    let after = first.strip_prefix("#!")?.trim_start().strip_prefix(python)?;
    // `python3`, `python3.11`, and options behind.
    let name = after.split_whitespace().next().filter(|_| !after.starts_with(char::is_whitespace)).unwrap_or("");
    name.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b't' || b == b'w').then_some(rest)
}

/// A file that names the environment at `from` as it is in a copy at `to`. What is no text stays as it is: it may hold
/// lengths.
pub(crate) fn moved(bytes: Vec<u8>, from: &Path, to: &Path) -> Vec<u8> {
    let (old, new) = (from.to_string_lossy(), to.to_string_lossy());
    let (begin, body) = match without_head(&bytes, from) {
        Some(body) => (head(to), body),
        None => (String::new(), bytes.as_slice()),
    };
    match std::str::from_utf8(body) {
        Ok(text) if !text.contains('\0') => {
            let quoted = text.replace(&single_quoted(&old), &single_quoted(&new));
            format!("{begin}{}", quoted.replace(&*old, &new)).into_bytes()
        }
        _ => [begin.as_bytes(), body].concat(),
    }
}

/// The first line without its end, and what follows.
fn cut_line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().take(8 << 10).position(|b| *b == b'\n')?;
    let line = std::str::from_utf8(&bytes[..end]).ok()?;
    Some((line.trim_end_matches('\r'), &bytes[end + 1..]))
}

fn body(script: &EntryPoint) -> String {
    let EntryPoint { module, function, .. } = script;
    let import = function.split('.').next().unwrap_or(function);
    format!(
        "# -*- coding: utf-8 -*-\nimport sys\n\nfrom {module} import {import}\n\nif __name__ == \"__main__\":\n    \
         sys.exit({function}())\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_these_bytes() {
        let script = EntryPoint { name: "x".into(), module: "a.b".into(), function: "Main.run".into() };
        let wanted = "# -*- coding: utf-8 -*-\nimport sys\n\nfrom a.b import Main\n\n\
                      if __name__ == \"__main__\":\n    sys.exit(Main.run())\n";
        assert_eq!(body(&script), wanted);
    }

    #[test]
    fn every_installers_head_is_known() {
        let env = Path::new("/e");
        for head in [
            "#!/e/bin/python\n",
            "#!/e/bin/python3.11\n",
            "#! /e/bin/python3 -E\r\n",
            "#!/e/bin/python -I\n",
            "#!/bin/sh\n'''exec' '/e/bin/python' \"$0\" \"$@\"\n' '''\n",
            "#!/bin/sh\n'''exec' \"/e/bin/python\" \"$0\" \"$@\"\n' '''\n",
        ] {
            let script = format!("{head}print(1)\n");
            assert_eq!(without_head(script.as_bytes(), env), Some(&b"print(1)\n"[..]), "{head}");
        }
        for other in [
            "#!/usr/bin/env python\n",
            "#!/bin/sh\necho\n",
            "#!/e/bin/python-config\n",
            "",
            "\x7fELF\n",
            "#!/e/bin/x\n",
        ] {
            assert_eq!(without_head(other.as_bytes(), env), None, "{other}");
        }
    }

    #[test]
    fn names_that_are_no_file_names_are_known() {
        for bad in ["", ".", "..", "a/b", "../python", "a\0", "a\nb"] {
            assert!(!is_file_name(bad), "{bad:?}");
        }
        assert!(is_file_name("x-y.z"));
    }
}
