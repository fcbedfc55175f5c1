//! One contract for both installers: the same lock, the same key, the same bytes, the same failures.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::support::{INSTALLERS, Wheel, World, git, interpreters, project};

/// A world without network for one installer, with wheels that show what installers do differently.
fn world(installer: &str, python: &std::path::Path) -> World {
    let world = World::with_python(python);
    configure(&world, installer, "");
    world.wheel(
        &Wheel::new("alpha", "1.0")
            .requires("beta")
            .requires("gamma ; extra == 'more'")
            .provides_extra("more")
            .script("alpha-say = alpha:main"),
    );
    world.wheel(&Wheel::new("alpha", "1.5rc1"));
    world.wheel(&Wheel::new("beta", "2.0").file("beta/data.txt", "built once\n"));
    world.wheel(
        &Wheel::new("beta", "2.0")
            .build("7")
            .bare_mode(0o555)
            .file("beta/__main__.py", "print(1)\n")
            .file("beta/tool", "#!/bin/sh\necho tool\n")
            .file("beta/data.txt", "built again\n")
            .file("beta-2.0.data/scripts/beta-run", "#!python\nimport beta\nprint(beta.version)\n")
            .file("beta-2.0.data/scripts/beta-sh", "#!/bin/sh\necho beta\n")
            .file("beta-2.0.data/data/share/beta/x.txt", "x\n")
            .file("beta-2.0.data/headers/beta.h", "#define BETA\n")
            .file("beta-2.0.data/purelib/beta_more.py", "more = 1\n"),
    );
    world.wheel(&Wheel::new("gamma", "0.9"));
    world.wheel(&Wheel::new("gamma", "1.1"));
    world.wheel(&Wheel::new("gamma", "1.2").tag("py2-none-any"));
    world
}

fn configure(world: &World, installer: &str, more: &str) {
    let install = format!("installer = {installer:?}\noffline = true\nfind_links = [{:?}]\n", world.wheels());
    world.configure_install(&install, more);
}

/// What must not depend on the installer. The places of files differ from world to world.
fn outcome(world: &World, pack: &str) -> Value {
    let shown = world.json(["show", pack]);
    let lock = world.ok(["export", pack]).replace(&world.path().display().to_string(), "@");
    serde_json::json!({
        "env": shown["env"], "tree": shown["tree_digest"], "distributions": shown["distributions"],
        "notes": shown["notes"], "lock": lock,
    })
}

#[test]
fn wheels_become_the_same_environment_by_either_on_every_interpreter() {
    for (n, python) in interpreters().iter().enumerate() {
        let mut seen: BTreeMap<&str, Vec<(String, Value)>> = BTreeMap::new();
        for installer in INSTALLERS {
            let world = world(installer, &python.path);
            fs::write(world.path().join("limits.txt"), "gamma<1\n").expect("writes");
            let all = [
                ("plain", &["--with", "alpha"][..]),
                ("extra", &["--with", "Alpha[more]"]),
                ("marker", &["--with", "gamma ; python_version < '3'", "--with", "beta"]),
                ("limited", &["--with", "gamma", "-c", "limits.txt"]),
                ("alone", &["--with", "alpha", "--no-deps"]),
                ("exact", &["--with", "alpha===1.0", "--with", "gamma!=1.1"]),
                ("early", &["--with", "alpha>=1.5rc1"]),
            ];
            // What differs between Pythons shows in one.
            for (pack, arguments) in &all[..if n == 0 { all.len() } else { 1 }] {
                world.ok(["ensure", pack].iter().chain(*arguments));
                seen.entry(installer).or_default().push(((*pack).into(), outcome(&world, pack)));
            }
            assert!(world.json(["show", "plain"])["installer"].as_str().expect("text").starts_with(installer));
            assert_eq!(world.ok(["exec", "plain", "--", "beta-run"]), "2.0");
            assert_eq!(world.ok(["exec", "plain", "--", "beta-sh"]), "beta");
            let tool = "import beta, os, subprocess; tool = os.path.join(os.path.dirname(beta.__file__), 'tool'); \
                        print(subprocess.check_output([tool], text=True), os.access(beta.__file__, os.X_OK))";
            assert_eq!(world.python_in("plain", tool).split_whitespace().collect::<Vec<_>>(), ["tool", "False"]);
            let data = world.python_in(
                "plain",
                "import beta, os; print(open(os.path.join(os.path.dirname(beta.__file__), 'data.txt')).read())",
            );
            assert_eq!(data.trim(), "built again", "the higher build tag");
        }
        for (uv, pip) in seen["uv"].iter().zip(&seen["pip"]) {
            assert_eq!(uv, pip, "{}", python.path.display());
        }
    }
}

#[test]
fn sources_become_the_same_key_by_either() {
    let python = &interpreters()[0].path;
    let mut seen = Vec::new();
    // One place for both: a directory's path is no part of a key, but a commit is.
    let shared = World::new();
    let sources = shared.path().join("sources");
    project(&sources, "1.0");
    if git(&sources, &["init", "-q", "-b", "main"]).is_none() {
        return;
    }
    git(&sources, &["add", "."]);
    git(&sources, &["commit", "-q", "-m", "x"]);
    for installer in INSTALLERS {
        let world = world(installer, python);
        let directory = sources.display().to_string();
        world.ok(["ensure", "directory", "--with", &directory]);
        world.ok(["ensure", "commit", "--with", &format!("local @ git+file://{directory}@main")]);
        for pack in ["directory", "commit"] {
            assert_eq!(world.python_in(pack, "import local; print(local.version)"), "1.0", "{installer}: {pack}");
            let shown = world.json(["show", pack]);
            assert_eq!(shown["distributions"][0]["from_source"], true, "{shown:#}");
            seen.push((pack, shown["env"].clone(), world.ok(["export", pack])));
        }
    }
    assert_eq!(seen[..2], seen[2..]);
}

#[test]
fn failures_have_the_same_kind_by_either() {
    let python = &interpreters()[0].path;
    let mut seen = Vec::new();
    for installer in INSTALLERS {
        let world = world(installer, python);
        let digest = "0".repeat(64);
        let kinds: Vec<(&str, Value)> = [
            ("unknown", "no-such-thing\n".to_owned()),
            ("version", "alpha==9\n".into()),
            ("conflict", "alpha==1.0\nbeta<2\n".into()),
            ("digest", format!("gamma==1.1 --hash=sha256:{digest}\n")),
            ("half", format!("beta==2.0\ngamma==1.1 --hash=sha256:{digest}\n")),
            ("tag", "gamma==1.2\n".into()),
            ("remote", "x @ https://h.invalid/x-1.0-py3-none-any.whl\n".into()),
        ]
        .into_iter()
        .map(|(pack, text)| {
            let dir = world.pack(pack, text).display().to_string();
            (pack, world.json(["ensure", pack, "--from", &dir])["error"]["kind"].clone())
        })
        .collect();
        assert_eq!(kinds.iter().find(|(pack, _)| *pack == "remote").map(|(_, kind)| kind), Some(&"offline".into()));
        assert!(kinds.iter().all(|(_, kind)| kind.is_string()), "{installer}: {kinds:?}");
        assert_eq!(world.listed("envs"), Vec::<String>::new());
        seen.push(kinds);
    }
    // Of a pinned package without its digest among others both say no, each at its own step.
    let without =
        |kinds: &[(&'static str, Value)]| kinds.iter().filter(|(pack, _)| *pack != "half").cloned().collect::<Vec<_>>();
    assert_eq!(without(&seen[0]), without(&seen[1]));
}

#[test]
fn preferences_and_minimums_bind_either() {
    let python = &interpreters()[0].path;
    for installer in INSTALLERS {
        let world = world(installer, python);
        let version = |pack: &str, name: &str| {
            world.json(["show", pack])["distributions"]
                .as_array()
                .and_then(|all| all.iter().find(|d| d["name"] == name))
                .map(|d| d["version"].clone())
        };
        fs::write(world.path().join("known.txt"), "gamma==0.9\nalpha==1.5rc1\n").expect("writes");
        configure(&world, installer, &format!("[lock]\nprefer = {:?}\n", world.path().join("known.txt")));
        world.ok(["ensure", "preferred", "--with", "gamma", "--with", "alpha"]);
        assert_eq!(version("preferred", "gamma"), Some("0.9".into()), "{installer}");
        assert_eq!(version("preferred", "alpha"), Some("1.0".into()), "{installer}: no pre-release unasked");
        world.ok(["ensure", "newer", "--with", "gamma>1"]);
        assert_eq!(version("newer", "gamma"), Some("1.1".into()), "{installer}: the declaration wins");
        configure(&world, installer, "[lock]\nminimum = [\"gamma>=1\"]\n");
        assert_eq!(world.json(["ensure", "floor", "--with", "gamma<1"])["error"]["kind"], "no_solution", "{installer}");
        world.ok(["ensure", "floor", "--with", "gamma<2"]);
        assert_eq!(version("floor", "gamma"), Some("1.1".into()), "{installer}");
    }
}

#[test]
fn an_environment_made_by_one_is_shared_by_the_other() {
    let python = &interpreters()[0].path;
    let world = world("pip", python);
    assert_eq!(world.json(["ensure", "a", "--with", "alpha"])["outcome"], "built");
    configure(&world, "uv", "");
    assert_eq!(world.json(["ensure", "a", "--with", "alpha"])["outcome"], "hit");
    assert_eq!(world.json(["ensure", "b", "--with", "alpha==1.0"])["outcome"], "shared");
}
