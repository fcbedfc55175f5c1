//! Moving in: the versions of an environment that was made by hand are kept where the declaration allows them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{INSTALLERS, Wheel, World, skipped};

/// A virtual environment as people make it, with these wheels; none, loudly, where Python cannot make one.
fn by_hand(world: &World, name: &str, wheels: &[PathBuf]) -> Option<PathBuf> {
    let venv = world.path().join("venvs").join(name);
    let done = |command: &mut Command| command.env_clear().output().is_ok_and(|output| output.status.success());
    if !done(Command::new(world.python()).args(["-m", "venv"]).arg(&venv)) {
        skipped("the default Python cannot make virtual environments");
        return None;
    }
    let mut pip = Command::new(venv.join("bin/python"));
    pip.args(["-m", "pip", "install", "--no-index", "--no-deps", "--quiet"]).args(wheels);
    assert!(done(&mut pip), "pip installs into {}", venv.display());
    Some(venv)
}

#[test]
fn the_versions_of_an_environment_made_by_hand_stay_where_they_may() {
    for installer in INSTALLERS {
        let world = World::new();
        world.configure_install(&format!("installer = {installer:?}\noffline = true\nfind_links = [\"wheels\"]\n"), "");
        for version in ["1.0", "1.5", "2.0"] {
            world.wheel(&Wheel::new("beta", version));
            world.wheel(&Wheel::new("gamma", version));
        }
        let old = [
            world.wheel(&Wheel::new("alpha", "1.0").requires("beta").requires("gamma")),
            world.wheels().join("beta-1.0-py3-none-any.whl"),
            world.wheels().join("gamma-1.5-py3-none-any.whl"),
        ];
        world.wheel(&Wheel::new("alpha", "2.0").requires("beta").requires("gamma").requires("delta"));
        world.wheel(&Wheel::new("delta", "1.0"));
        let Some(venv) = by_hand(&world, "moved", &old) else { return };
        let versions = |pack: &str| -> Vec<String> {
            let shown = world.json(["show", pack]);
            let all = shown["distributions"].as_array().expect("a list");
            let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
            all.iter().map(|d| format!("{} {}", text(&d["name"]), text(&d["version"]))).collect()
        };

        // The same declaration in two packs: one moves in, the other does not.
        world.ok(["ensure", "fresh", "--with", "alpha"]);
        let venv = venv.display().to_string();
        let moved = world.json(["ensure", "moved", "--with", "alpha", "--like", &venv]);
        assert_eq!(versions("moved"), ["alpha 1.0", "beta 1.0", "gamma 1.5"], "{installer}: {moved:#}");
        assert_eq!(moved["like"], serde_json::json!({ "stayed": 3, "changes": [] }));
        assert_eq!(versions("fresh"), ["alpha 2.0", "beta 2.0", "delta 1.0", "gamma 2.0"]);
        assert_eq!(world.json(["ensure", "moved", "--with", "alpha"])["outcome"], "hit", "{installer}: it stays");
        let other = world.json(["ensure", "third", "--with", "alpha"]);
        assert_eq!(other["env"], world.json(["resolve", "fresh"])["env"], "{installer}: others are not drawn along");
        world.lose_index();
        assert_eq!(world.json(["ensure", "fourth", "--with", "alpha"])["env"], other["env"], "{installer}: reindexed");

        // A whole directory of them, as `sync` finds it. pip keeps all or none: its limits have to fit.
        let allows = if installer == "uv" { "alpha\nbeta>1\n" } else { "alpha\n" };
        world.pack("moved", allows);
        world.pack("without", "alpha\n");
        let venvs = world.path().join("venvs").display().to_string();
        let packs = world.packs().display().to_string();
        let synced = world.json(["sync", &packs, "--like", &venvs]);
        let row = |pack: &str| synced["packs"].as_array().and_then(|rows| rows.iter().find(|row| row["pack"] == pack));
        assert!(row("without").is_some_and(|row| row["like"].is_null()), "{synced:#}");
        if installer == "uv" {
            assert_eq!(
                row("moved").map(|row| row["like"].clone()),
                Some(serde_json::json!({
                    "stayed": 2,
                    "changes": [{ "name": "beta", "from": "1.0", "to": "2.0" }],
                })),
                "{synced:#}"
            );
        }
        assert_eq!(world.run(["ensure", "none", "--with", "alpha", "--like", &packs]).code, 1);
        assert_eq!(world.run(["sync", &packs, "--like", "no-such-directory"]).code, 2);
        fs::remove_dir_all(world.path().join("venvs")).expect("removes");
        assert_eq!(world.json(["ensure", "moved"])["outcome"], "hit", "{installer}: nothing of it is needed");
    }
}
