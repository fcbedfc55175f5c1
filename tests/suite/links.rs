//! Links that follow packs.

use std::fs;
use std::path::Path;

use crate::support::{Wheel, World, ran};

fn linked() -> World {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.wheel(&Wheel::new("alpha", "2.0"));
    world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
    world.ok(["link", "pack", "venv"]);
    world
}

/// The version that a runner with a path of its own finds behind the link.
#[track_caller]
fn version(world: &World) -> String {
    let python = world.path().join("venv/bin/python");
    let done = ran(std::process::Command::new(python)
        .args(["-c", "import alpha; print(alpha.version)"])
        .output()
        .expect("starts"));
    assert_eq!(done.code, 0, "{done:#?}");
    done.stdout.trim().to_owned()
}

fn resolved(world: &World) -> String {
    world.json(["resolve", "pack"])["path"].as_str().expect("a path").to_owned()
}

#[test]
fn a_link_follows_every_change_of_its_pack() {
    let world = linked();
    assert_eq!(version(&world), "1.0");
    world.ok(["ensure", "pack", "--with", "alpha==2.0"]);
    assert_eq!(version(&world), "2.0");
    world.ok(["rollback", "pack"]);
    assert_eq!(version(&world), "1.0");
    world.ok(["ensure", "other", "--with", "alpha==1.0"]);
    world.ok(["ensure", "other", "--rebuild"]);
    assert_eq!(fs::read_link(world.path().join("venv")).expect("a link"), Path::new(&resolved(&world)));
    world.lose_index();
    world.ok(["ensure", "pack", "--with", "alpha"]);
    assert_eq!(version(&world), "2.0", "an index made anew has it");
    world.ok(["unlink", "venv"]);
    assert!(fs::symlink_metadata(world.path().join("venv")).is_err() && world.listed("pins").is_empty());
    assert_eq!(world.run(["unlink", "venv"]).code, 5);
}

#[test]
fn a_link_keeps_what_it_leads_to_also_when_its_pack_is_gone() {
    let world = linked();
    world.ok(["remove", "pack"]);
    world.configure("[gc]\nretain_generations = 0\nretain_for = \"0s\"\n");
    world.ok(["gc", "--idle", "0s", "--drop-retained"]);
    assert_eq!(version(&world), "1.0");
    let found = world.json(["who-uses", "alpha<2"]);
    assert_eq!(found["matches"][0]["role"], "linked", "{found:#}");
    let key = found["matches"][0]["env"].as_str().expect("a key").to_owned();
    assert_eq!(world.json(["why", &format!("env:{key}")])["roots"][0]["kind"], "link");
    world.ok(["unlink", "venv"]);
    world.ok(["gc", "--idle", "0s", "--drop-retained"]);
    assert!(world.listed("envs").is_empty());
}

#[test]
fn a_link_that_was_left_behind_is_pointed_anew_before_anything_is_collected() {
    let world = linked();
    let old = fs::read_link(world.path().join("venv")).expect("a link");
    world.ok(["ensure", "pack", "--with", "alpha==2.0"]);
    // As a process leaves it that was killed after the commit.
    fs::remove_file(world.path().join("venv")).expect("removes");
    std::os::unix::fs::symlink(&old, world.path().join("venv")).expect("links");
    world.configure("[gc]\nretain_generations = 0\nretain_for = \"0s\"\n");
    world.ok(["gc", "--idle", "0s", "--drop-retained"]);
    assert_eq!(version(&world), "2.0");
}

#[test]
fn nothing_but_a_link_is_ever_replaced() {
    let world = linked();
    fs::create_dir(world.path().join("real")).expect("a directory");
    let refused = world.run(["link", "pack", "real"]);
    assert_eq!(refused.code, 6, "{refused:#?}");
    fs::remove_file(world.path().join("venv")).expect("removes");
    fs::create_dir(world.path().join("venv")).expect("a directory");
    world.ok(["ensure", "pack", "--with", "alpha==2.0"]);
    world.ok(["unlink", "venv"]);
    assert!(world.path().join("venv").is_dir() && world.path().join("real").is_dir());
}

/// A tree of packs, each with its files, under the world's directory for them.
fn tree(world: &World, packs: &[(&str, &[(&str, &str)])]) -> String {
    for (pack, files) in packs {
        let dir = world.packs().join(pack);
        fs::create_dir_all(&dir).expect("a directory");
        for (name, text) in *files {
            fs::write(dir.join(name), text).expect("writes");
        }
    }
    world.packs().display().to_string()
}

/// What stands behind the links of a directory: `name: alpha's version, or none`.
fn behind(world: &World, dir: &str) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(world.path().join(dir)).expect("lists").flatten().collect();
    names.sort_by_key(fs::DirEntry::file_name);
    let code = "import importlib.util as u\nprint(__import__('alpha').version if u.find_spec('alpha') else 'none')";
    let told = names.iter().map(|entry| {
        let done = ran(std::process::Command::new(entry.path().join("bin/python"))
            .args(["-c", code])
            .output()
            .expect("starts"));
        format!("{}: {}", entry.file_name().to_string_lossy(), done.stdout.trim())
    });
    told.collect()
}

#[test]
fn a_stackstorm_tree_moves_in_with_its_versions_and_its_paths() {
    let world = World::new();
    for version in ["1.0", "2.0"] {
        world.wheel(&Wheel::new("alpha", version));
    }
    let minor = world.minor();
    let packs = tree(
        &world,
        &[
            (
                "alerts",
                &[
                    (
                        "pack.yaml",
                        "ref: alerts\nname: Alerts\nversion: 1.0.0\npython_versions:\n  - \"3\"\nauthor: x\n",
                    ),
                    ("requirements.txt", "# what it needs\nalpha\n"),
                    ("config.schema.yaml", "{}\n"),
                ],
            ),
            ("plain", &[("pack.yaml", "name: plain\ndescription: no dependencies\n")]),
        ],
    );
    // As the runner kept them.
    let venv =
        world.path().join("virtualenvs/alerts/lib").join(format!("python3.{minor}/site-packages/alpha-1.0.dist-info"));
    fs::create_dir_all(&venv).expect("a directory");
    fs::write(venv.join("METADATA"), "Metadata-Version: 2.1\nName: alpha\nVersion: 1.0\n").expect("writes");
    fs::write(world.path().join("virtualenvs/alerts/pyvenv.cfg"), "home = /usr/bin\n").expect("writes");

    // Nothing that somebody made is replaced; the pack has its environment all the same.
    let refused = world.json(["sync", &packs, "--links", "virtualenvs"]);
    assert_eq!((&refused["packs"][0]["status"], &refused["packs"][1]["status"]), (&"failed".into(), &"ready".into()));
    assert_eq!(refused["packs"][0]["error"]["kind"], "not_permitted", "{refused:#}");
    assert!(refused["packs"][0]["env"].is_string(), "{refused:#}");
    world.ok(["remove", "alerts"]);
    world.ok(["unlink", "virtualenvs/plain"]);

    fs::rename(world.path().join("virtualenvs"), world.path().join("virtualenvs.old")).expect("renames");
    let sync = ["sync", &packs, "--like", "virtualenvs.old", "--links", "virtualenvs"];
    assert_eq!(world.run(["sync", &packs, "--links", "virtualenvs", "--check"]).code, 1);
    let moved = world.json(sync);
    assert_eq!(moved["summary"]["ready"], 2, "{moved:#}");
    assert_eq!(moved["packs"][0]["link"], world.path().join("virtualenvs/alerts").display().to_string());
    assert_eq!(behind(&world, "virtualenvs"), ["alerts: 1.0", "plain: none"]);
    world.ok(["sync", &packs, "--links", "virtualenvs", "--check"]);

    // Again: nothing is done, and no event tells of it.
    let events = world.json(["events"])["events"].as_array().map(Vec::len);
    world.ok(sync);
    assert_eq!(world.json(["events"])["events"].as_array().map(Vec::len), events);
    // An upgrade shows behind the path the runner knows; a pack that leaves takes its link along.
    world.ok(["upgrade", "alerts"]);
    assert_eq!(behind(&world, "virtualenvs"), ["alerts: 2.0", "plain: none"]);
    fs::remove_dir_all(world.packs().join("alerts")).expect("removes");
    world.ok(["sync", &packs, "--links", "virtualenvs", "--remove-missing", "--yes"]);
    assert_eq!(behind(&world, "virtualenvs"), ["plain: none"]);
}

#[test]
fn an_attune_directory_moves_in_as_it_is() {
    let world = World::new();
    for version in ["1.0", "2.0"] {
        world.wheel(&Wheel::new("alpha", version));
    }
    let minor = world.minor();
    let meta = format!(
        "ref: core\nlabel: Core\nmeta:\n  python_dependencies:\n    min_version: \"3.{minor}\"\n    max_version: \"3.{minor}\"\n    dependencies:\n      - Alpha<2\n"
    );
    let text = "ref: text\nmeta:\n  python_dependencies:\n    requirements_file_content: |\n      # pinned\n      alpha==1.0\n";
    let packs = tree(&world, &[("core", &[("pack.yaml", &meta)]), ("text", &[("pack.yaml", text)])]);
    let synced = world.json(["sync", &packs, "--links", "envs"]);
    assert_eq!(synced["summary"]["ready"], 2, "{synced:#}");
    assert_eq!(synced["summary"]["environments"], 1, "{synced:#}");
    assert_eq!(behind(&world, "envs"), ["core: 1.0", "text: 1.0"]);
}
