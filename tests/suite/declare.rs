//! Everything people declare with, from the file to the environment.

use std::fs;
use std::path::Path;
use std::process::Command;

use sha2::Digest;

use crate::support::{Wheel, World, git, project};

fn file(world: &World, path: &str, text: &str) -> String {
    let path = world.path().join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    fs::write(&path, text).expect("a file");
    path.display().to_string()
}

fn wheels(world: &World) {
    for (name, version) in [("alpha", "1.0"), ("alpha", "2.0"), ("alpha", "3.0rc1"), ("beta", "1.0"), ("gamma", "1.5")]
    {
        world.wheel(&Wheel::new(name, version));
    }
}

#[test]
fn a_project_a_script_and_requirements_that_mean_the_same_share_an_environment() {
    let world = World::new();
    wheels(&world);
    let project = file(
        &world,
        "packs/project/pyproject.toml",
        "[project]\nname = 'project'\nrequires-python = '>=3.8'\ndependencies = ['Alpha<2']\n\
         [project.optional-dependencies]\nmore = ['beta']\n",
    );
    file(
        &world,
        "packs/script.py",
        "# /// script\n# dependencies = ['alpha<2']\n# ///\nimport alpha\nprint(alpha.version)\n",
    );
    world.pack("plain", "alpha<2\n");
    let report = world.json(["sync", "packs"]);
    assert_eq!((&report["summary"]["ready"], &report["summary"]["environments"]), (&3.into(), &1.into()), "{report:#}");
    let script = world.packs().join("script.py").display().to_string();
    assert_eq!(world.ok(["exec", "script", "--", "python", &script]), "1.0");
    let more = world.json(["ensure", "project", "--from", &project, "--extra", "more"]);
    assert_eq!(more["changes"], serde_json::json!([{"name": "beta", "from": null, "to": "1.0"}]), "{more:#}");
    let wrong = world.json(["ensure", "project", "--from", &project, "--extra", "less"]);
    assert_eq!(wrong["error"]["kind"], "invalid_spec", "{wrong:#}");
}

#[test]
fn a_lock_is_installed_as_it_is_and_the_index_is_not_asked() {
    let world = World::new();
    wheels(&world);
    world.ok(["ensure", "asked", "--with", "alpha<2", "--with", "beta"]);
    let env = world.json(["show", "asked"]);
    let locks = world.listed("locks");
    let lock = fs::read_to_string(world.store().join("locks").join(&locks[0])).expect("the lock");
    file(&world, "packs/locked/pylock.toml", &lock);
    // Nothing there to choose from, and nothing else is looked at.
    let elsewhere = World::new();
    file(&elsewhere, "packs/locked/pylock.toml", &lock);
    file(&elsewhere, "packs/locked/requirements.txt", "no-such-thing\n");
    let report = elsewhere.json(["sync", "packs"]);
    assert_eq!(report["packs"][0]["outcome"], "built", "{report:#}");
    let locked = elsewhere.json(["show", "locked"]);
    assert_eq!((&locked["env"], &locked["tree_digest"]), (&env["env"], &env["tree_digest"]));
    let log =
        elsewhere.listed("logs").into_iter().map(|name| fs::read_to_string(elsewhere.store().join("logs").join(name)));
    assert!(!log.map(|log| log.expect("reads")).any(|log| log.contains("pip compile")), "no installer chose");
    assert_eq!(world.json(["sync", "packs"])["packs"][0]["outcome"], "shared");
    assert_eq!(world.json(["sync", "packs"])["packs"][0]["outcome"], "hit");
    // Held to its digests.
    let third = World::new();
    third.wheel(&Wheel::new("alpha", "1.0").file("alpha/other.py", "changed = True\n"));
    third.wheel(&Wheel::new("beta", "1.0"));
    let there = lock.replace(&world.wheels().display().to_string(), &third.wheels().display().to_string());
    let path = file(&third, "other/pylock.toml", &there);
    let failed = third.json(["ensure", "other", "--from", &path]);
    assert_eq!(failed["error"]["kind"], "hash_mismatch", "{failed:#}");
}

#[test]
fn markers_of_a_lock_decide_and_one_for_others_says_so() {
    let world = World::new();
    wheels(&world);
    let sha = |name: &str| {
        use sha2::Digest;
        data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(fs::read(world.wheels().join(name)).expect("a wheel")))
    };
    let wheel = |name: &str, version: &str, marker: &str| {
        let file = format!("{name}-{version}-py3-none-any.whl");
        format!(
            "[[packages]]\nname='{name}'\nversion='{version}'\nmarker=\"{marker}\"\nwheels=[{{path='wheels/{file}', hashes={{sha256='{}'}}}}]\n",
            sha(&file)
        )
    };
    let head = "lock-version='1.0'\ncreated-by='x'\n";
    let text = [
        head.to_owned(),
        "default-groups=['base']\n".into(),
        wheel("alpha", "1.0", "sys_platform == 'linux' and python_version >= '3.8'"),
        wheel("alpha", "2.0", "sys_platform == 'win32'"),
        wheel("beta", "1.0", "'dev' in dependency_groups"),
        wheel("gamma", "1.5", "'base' in dependency_groups"),
    ]
    .concat();
    let path = file(&world, "pylock.toml", &text);
    world.ok(["ensure", "p", "--from", &path]);
    let names: Vec<_> = world.json(["show", "p"])["distributions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|d| format!("{}={}", d["name"].as_str().expect("text"), d["version"].as_str().expect("text")))
        .collect();
    assert_eq!(names, ["alpha=1.0", "gamma=1.5"]);
    let path = file(
        &world,
        "pylock.toml",
        &format!("{head}environments=[\"sys_platform == 'win32'\"]\n{}", wheel("beta", "1.0", "os_name=='posix'")),
    );
    let failed = world.json(["ensure", "q", "--from", &path]);
    assert_eq!(failed["error"]["kind"], "no_solution", "{failed:#}");
    assert!(failed["error"]["message"].as_str().expect("text").contains("win32"), "{failed:#}");
}

#[test]
fn lines_that_pip_accepts_become_what_pip_would_install() {
    let world = World::new();
    wheels(&world);
    let version = |pack: &str| world.python_in(pack, "import alpha; print(alpha.version)");
    fs::write(world.path().join("limits.txt"), "alpha<2\n").expect("writes");
    for (pack, text, expected) in [
        ("plain", "alpha", "2.0"),
        ("arbitrary", "alpha===1.0", "1.0"),
        ("wildcard", "alpha==1.*", "1.0"),
        ("pre", "--pre\nalpha", "3.0rc1"),
        ("named-pre", "alpha>=3.0rc1", "3.0rc1"),
        ("twice", "alpha<3\nalpha==1.0\nALPHA", "1.0"),
        ("mac", "alpha==1.0\rbeta\r", "1.0"),
        ("comment", "# caf\u{e9}\n\u{a0}\nalpha==1.0 # na\u{ef}ve", "1.0"),
        ("marker", "alpha==2.0 ; python_version < '3'\nalpha==1.0 ; python_version >= '3'", "1.0"),
        ("constrained", "-c ../../limits.txt\nalpha", "1.0"),
    ] {
        world.pack(pack, text);
        let dir = world.packs().join(pack).display().to_string();
        world.ok(["ensure", pack, "--from", &dir]);
        assert_eq!(version(pack), expected, "{pack}");
    }
    world.pack("conflict", "alpha==1.0\nalpha==2.0\n");
    let dir = world.packs().join("conflict").display().to_string();
    assert_eq!(world.json(["ensure", "conflict", "--from", &dir])["error"]["kind"], "no_solution");
}

#[test]
fn what_a_file_names_counts_by_its_content() {
    let world = World::new();
    wheels(&world);
    world.pack("p", "-r more/base.txt\n");
    file(&world, "packs/p/more/base.txt", "-c limits.txt\nalpha\n");
    file(&world, "packs/p/more/limits.txt", "alpha<2\n");
    assert_eq!(world.json(["sync", "packs"])["packs"][0]["outcome"], "built");
    file(&world, "packs/p/more/limits.txt", "# the same\r\nAlpha < 2");
    assert_eq!(world.json(["sync", "packs"])["packs"][0]["outcome"], "hit");
    file(&world, "packs/p/more/limits.txt", "alpha<3\n");
    assert_eq!(world.json(["sync", "packs"])["packs"][0]["outcome"], "built");
    assert_eq!(world.python_in("p", "import alpha; print(alpha.version)"), "2.0");
    // A local wheel: the same name, other bytes.
    let local = world.path().join("local");
    fs::create_dir(&local).expect("a directory");
    let wheel = Wheel::new("delta", "1.0").write(&local).display().to_string();
    let first = world.json(["ensure", "d", "--with", &wheel]);
    assert_eq!(world.json(["ensure", "d", "--with", &wheel])["outcome"], "hit");
    Wheel::new("delta", "1.0").file("delta/new.py", "").write(&local);
    let second = world.json(["ensure", "d", "--with", &wheel]);
    assert_eq!(second["outcome"], "built", "{second:#}");
    assert_ne!(first["env"], second["env"]);
}

#[test]
fn digests_in_a_file_are_required_of_everything() {
    let world = World::new();
    wheels(&world);
    let digest = |name: &str| {
        use sha2::Digest;
        data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(fs::read(world.wheels().join(name)).expect("a wheel")))
    };
    let one = digest("alpha-1.0-py3-none-any.whl");
    let two = digest("beta-1.0-py3-none-any.whl");
    let kind = |text: &str| {
        world.pack("p", text);
        let dir = world.packs().join("p").display().to_string();
        world.json(["ensure", "p", "--from", &dir])["error"]["kind"].clone()
    };
    assert_eq!(
        kind(&format!("alpha==1.0 --hash=sha256:{one}\nbeta==1.0 --hash=sha256:{two}\n")),
        serde_json::Value::Null
    );
    assert_eq!(kind(&format!("alpha==1.0 --hash=sha256:{two}\n")), "hash_mismatch");
    assert_eq!(kind(&format!("alpha==1.0 --hash=sha256:{one}\nbeta==1.0\n")), "no_solution");
}

#[test]
fn a_directory_is_built_from_its_content_and_an_editable_one_refused() {
    let world = World::new();
    let dir = world.path().join("src");
    project(&dir, "1.0");
    world.pack("p", "../../src\n");
    let first = world.json(["sync", "packs"]);
    assert_eq!(first["packs"][0]["outcome"], "built", "{first:#}");
    assert_eq!(world.python_in("p", "import local; print(local.version)"), "1.0");
    assert_eq!(world.json(["sync", "packs"])["packs"][0]["outcome"], "hit");
    project(&dir, "2.0");
    assert_eq!(world.json(["sync", "packs"])["packs"][0]["outcome"], "built");
    assert_eq!(world.python_in("p", "import local; print(local.version)"), "2.0");
    assert_eq!(world.json(["show", "p"])["distributions"][0]["from_source"], true);
    world.pack("p", "-e ../../src\n");
    let refused = world.json(["sync", "packs"]);
    assert_eq!(refused["packs"][0]["status"], "failed", "{refused:#}");
    assert!(refused["packs"][0]["error"]["message"].as_str().expect("text").contains("without `-e`"), "{refused:#}");
}

#[test]
fn a_branch_is_locked_to_a_commit_until_an_upgrade() {
    let world = World::new();
    let repository = world.path().join("repository");
    project(&repository, "1.0");
    let Some(commit) = git(&repository, &["init", "-q", "-b", "main"]).and_then(|_| commit(&repository)) else {
        return;
    };
    let line = format!("local @ git+file://{}@main", repository.display());
    world.ok(["ensure", "p", "--with", &line]);
    assert_eq!(world.python_in("p", "import local; print(local.version)"), "1.0");
    let lock = |world: &World| {
        let all: Vec<String> = world
            .listed("locks")
            .iter()
            .map(|name| fs::read_to_string(world.store().join("locks").join(name)).expect("a lock"))
            .collect();
        all.join("\n")
    };
    assert!(lock(&world).contains(&commit), "{}", lock(&world));
    project(&repository, "2.0");
    let second = self::commit(&repository).expect("git works");
    assert_eq!(world.json(["ensure", "p", "--with", &line])["outcome"], "hit");
    assert_eq!(world.python_in("p", "import local; print(local.version)"), "1.0");
    // Not offline: a repository is fetched from, be it on the same disk.
    let upgraded = world.json(["ensure", "p", "--upgrade"]);
    assert_eq!(upgraded["changes"][0]["to"], "2.0", "{upgraded:#}");
    assert!(lock(&world).contains(&second));
    let editable = world.run(["ensure", "q", &format!("--with=-e git+file://{}@main#egg=local", repository.display())]);
    assert_eq!(editable.code, 0, "{editable:#?}");
    assert!(editable.stderr.contains("`-e` is left out"), "{}", editable.stderr);
}

fn commit(repository: &Path) -> Option<String> {
    git(repository, &["add", "."])?;
    git(repository, &["commit", "-q", "-m", "x"])?;
    git(repository, &["rev-parse", "HEAD"])
}

#[test]
fn nothing_of_a_declaration_reaches_a_shell() {
    let world = World::new();
    wheels(&world);
    for text in ["alpha; touch gone", "alpha\n$(touch gone)", "alpha --global-option='; touch gone'", "`touch gone`"] {
        world.pack("p", text);
        assert_eq!(world.json(["sync", "packs"])["summary"]["failed"], 1, "{text}");
    }
    assert!(Command::new("find").arg(world.path()).args(["-name", "gone"]).output().expect("find").stdout.is_empty());
}

#[test]
fn what_old_packs_expect_comes_beside_what_they_declare() {
    let world = World::new();
    for (name, version) in [("alpha", "1.0"), ("old-tools", "1.0"), ("old-tools", "2.0")] {
        world.wheel(&Wheel::new(name, version));
    }
    let has = |pack: &str| {
        let shown = world.json(["show", pack]);
        let all = shown["distributions"].as_array().expect("distributions").clone();
        let text = |d: &serde_json::Value, field: &str| d[field].as_str().unwrap_or_default().to_owned();
        all.iter().map(|d| format!("{}=={}", text(d, "name"), text(d, "version"))).collect::<Vec<_>>()
    };
    world.ok(["ensure", "flag", "--with", "alpha", "--seed", "Old_Tools<2"]);
    assert_eq!(has("flag"), ["alpha==1.0", "old-tools==1.0"]);
    // The declaration that is on record has it, so that asking again is a hit.
    assert_eq!(world.json(["ensure", "flag"])["outcome"], "hit");

    world.install_setting("seed = [\"old-tools<2\"]");
    world.pack("plain", "alpha\n");
    world.pack("empty", "");
    world.pack("newer", "old-tools>=2\n");
    let wheel = fs::read(world.wheels().join("alpha-1.0-py3-none-any.whl")).expect("reads");
    let digest = data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(wheel));
    world.pack("complete", format!("alpha==1.0 --hash=sha256:{digest}\n"));
    world.ok(["sync".as_ref(), world.packs().as_os_str()]);
    assert_eq!(has("plain"), ["alpha==1.0", "old-tools==1.0"]);
    assert_eq!(has("empty"), ["old-tools==1.0"]);
    assert_eq!(has("newer"), ["old-tools==2.0"]);
    assert_eq!(has("complete"), ["alpha==1.0"]);
    // However it was asked for, it is the same environment.
    let env = |pack: &str| world.json(["resolve", pack])["env"].clone();
    assert_eq!(env("flag"), env("plain"));
}
