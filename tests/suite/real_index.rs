//! Against the real package index. Runs where it can be reached, and says loudly where not.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use crate::support::{ENVSTORE, interpreters, ran, skipped};

fn reachable() -> bool {
    static REACHABLE: OnceLock<bool> = OnceLock::new();
    *REACHABLE.get_or_init(|| {
        // Asked the way envstore itself asks: by locking one small thing.
        let dir = tempfile::tempdir().expect("a directory");
        let status = envstore(dir.path(), &["ensure", "probe", "--with", "six"]).output().expect("envstore starts");
        if !status.status.success() {
            skipped("the package index cannot be reached");
        }
        status.status.success()
    })
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
