//! Against the real package index. Runs where it can be reached, and says loudly where not.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use crate::support::{ENVSTORE, interpreters, ran, skipped};

fn reachable() -> bool {
    static REACHABLE: OnceLock<bool> = OnceLock::new();
    let is_reachable = *REACHABLE.get_or_init(|| {
        // Asked the way envstore itself asks: by locking one small thing.
        let dir = tempfile::tempdir().expect("a directory");
        let status = envstore(dir.path(), &["ensure", "probe", "--with", "six"]).output().expect("envstore starts");
        status.status.success()
    });
    if !is_reachable {
        skipped("the package index cannot be reached");
    }
    is_reachable
}

fn envstore(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(ENVSTORE);
    let python = format!("[python]\ndefault = {:?}\n", interpreters()[0].path);
    std::fs::write(dir.join("config.toml"), python).expect("a configuration");
    command.arg("--store").arg(dir.join("store")).arg("--config").arg(dir.join("config.toml")).args(args);
    command
}

#[test]
fn the_example_packs_become_shared_environments() {
    if !reachable() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let packs = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/packs");
    let synced = ran(envstore(dir.path(), &["--format", "json", "sync", packs]).output().expect("runs"));
    assert_eq!(synced.code, 0, "{synced:#?}");
    let report: serde_json::Value = serde_json::from_str(&synced.stdout).expect("JSON");
    assert_eq!(report["summary"]["packs"], 12, "{report:#}");
    let env = |pack: &str| {
        let packs = report["packs"].as_array().expect("packs");
        packs.iter().find(|row| row["pack"] == pack).unwrap_or_else(|| panic!("{pack}"))["env"].clone()
    };
    assert_eq!(env("weather"), env("tides"));
    assert_eq!(env("clock"), env("bell"));
    let imports = [
        ("weather", "requests, yaml"),
        ("numbers", "lxml.etree"),
        ("press", "socks"),
        ("feeds", "feedparser"),
        ("gateway.http", "httpx"),
    ];
    for (pack, modules) in imports {
        let code = format!("import {modules}");
        let ran = ran(envstore(dir.path(), &["exec", pack, "--", "python", "-c", &code]).output().expect("runs"));
        assert_eq!(ran.code, 0, "{pack}: {ran:#?}");
    }
    let again = ran(envstore(dir.path(), &["--format", "json", "--offline", "sync", packs]).output().expect("runs"));
    let again: serde_json::Value = serde_json::from_str(&again.stdout).expect("JSON");
    for row in again["packs"].as_array().expect("packs") {
        assert_eq!(row["outcome"], "hit", "{row:#}");
    }
}

#[test]
fn a_package_that_does_not_exist_is_named() {
    if !reachable() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let requirement = "envstore-no-such-package-anywhere==1.0";
    let ran = ran(envstore(dir.path(), &["ensure", "pack", "--with", requirement]).output().expect("runs"));
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stderr.contains("envstore-no-such-package-anywhere"), "{}", ran.stderr);
}

/// A Python like another one, but for what is installed in it.
fn bare(python: &Path, dir: &Path) -> Option<std::path::PathBuf> {
    let version = python.file_name()?.to_str()?.to_owned();
    let library = python.parent()?.parent()?.join("lib").join(&version);
    let (bin, lib) = (dir.join("bin"), dir.join("lib").join(&version));
    std::fs::create_dir_all(&bin).and_then(|()| std::fs::create_dir_all(lib.join("site-packages"))).ok()?;
    std::fs::copy(python, bin.join(&version)).ok()?;
    std::os::unix::fs::symlink(&version, bin.join("python3")).ok()?;
    for entry in std::fs::read_dir(&library).ok()?.flatten().filter(|entry| entry.file_name() != "site-packages") {
        std::os::unix::fs::symlink(entry.path(), lib.join(entry.file_name())).ok()?;
    }
    let python = bin.join("python3");
    let output =
        Command::new(&python).args(["-I", "-c", "import sys, ssl; print(sys.prefix)"]).env_clear().output().ok()?;
    let prefix = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && Path::new(&prefix) == dir.canonicalize().ok()?).then_some(python)
}

#[test]
fn a_pip_is_fetched_for_an_interpreter_without_one_and_makes_what_uv_makes() {
    if !reachable() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let Some(python) = bare(&interpreters()[0].path, &dir.path().join("python")) else {
        skipped("no Python here can be copied");
        return;
    };
    let shown = ["uv", "pip"].map(|installer| {
        let config = dir.path().join(format!("{installer}.toml"));
        let text = format!("[install]\ninstaller = {installer:?}\n[python]\ndefault = {python:?}\n");
        std::fs::write(&config, text).expect("a configuration");
        let run = |args: &[&str]| {
            let mut command = Command::new(ENVSTORE);
            command.arg("--store").arg(dir.path().join(installer)).arg("--config").arg(&config);
            ran(command.args(["--format", "json"]).args(args).output().expect("runs"))
        };
        let made = run(&["ensure", "pack", "--with", "requests[socks]", "--with", "pyyaml"]);
        assert_eq!(made.code, 0, "{made:#?}");
        let shown: serde_json::Value = serde_json::from_str(&run(&["show", "pack"]).stdout).expect("JSON");
        assert!(shown["installer"].as_str().expect("text").starts_with(installer), "{shown:#}");
        (shown["env"].clone(), shown["tree_digest"].clone(), shown["distributions"].clone())
    });
    assert_eq!(shown[0], shown[1]);
    let tools = std::fs::read_dir(dir.path().join("pip/tools")).expect("tools");
    let tools: Vec<_> = tools.flatten().map(|entry| entry.file_name().into_string().expect("text")).collect();
    assert_eq!(tools, ["pip-25.0.1"]);
}
