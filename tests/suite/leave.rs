//! The ways out: an ordinary environment, standard files, and what was said on the way.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::support::{Ran, Wheel, World, ran};

fn world() -> World {
    let world = World::new();
    world.wheel(
        &Wheel::new("alpha", "1.0")
            .requires("beta")
            .script("alpha-say = alpha.say:main")
            .file("alpha/say.py", "import sys, beta\ndef main():\n    print(sys.prefix, beta.version)\n"),
    );
    world.wheel(&Wheel::new("beta", "2.0").file("beta/empty.txt", ""));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    world
}

fn run(program: &Path, arguments: &[&str]) -> Ran {
    ran(Command::new(program).args(arguments).env_clear().env("PATH", "/usr/bin:/bin").output().expect("starts"))
}

fn contents(top: &Path) -> BTreeMap<String, Vec<u8>> {
    walkdir::WalkDir::new(top)
        .into_iter()
        .map(|entry| entry.expect("walks"))
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| (entry.path().display().to_string(), fs::read(entry.path()).expect("reads")))
        .collect()
}

#[test]
fn a_checkout_is_an_ordinary_environment_that_shares_nothing_with_the_store() {
    let world = world();
    // A place whose path no first line of a script can hold.
    let place = world.path().join("my own place").join("x".repeat(120));
    let store = contents(&world.store().join("envs"));
    let out = world.json(["checkout".as_ref(), "pack".as_ref(), place.as_os_str()]);
    assert_eq!((&out["pack"], &out["host_bound"]), (&"pack".into(), &serde_json::json!([])), "{out:#}");
    let python = place.join("bin/python");
    assert_eq!(out["interpreter"], python.display().to_string());
    let told = run(&place.join("bin/alpha-say"), &[]);
    assert_eq!(told.stdout, format!("{} 2.0\n", place.display()), "{told:#?}");
    let shell = format!(". '{}' && alpha-say", place.join("bin/activate").display());
    assert_eq!(run(Path::new("/bin/sh"), &["-c", &shell]).stdout, told.stdout);
    // It may be changed, and a change shows.
    let module = walkdir::WalkDir::new(&place)
        .into_iter()
        .flatten()
        .find(|entry| entry.path().ends_with("beta/__init__.py"))
        .expect("the module")
        .into_path();
    fs::write(&module, "version = '3.0, mine'\n").expect("it is writable");
    assert_eq!(run(&place.join("bin/alpha-say"), &[]).stdout, format!("{} 3.0, mine\n", place.display()));
    assert_eq!(contents(&world.store().join("envs")), store);
    let names_the_store = contents(&place)
        .into_iter()
        .find(|(_, bytes)| memchr::memmem::find(bytes, world.store().as_os_str().as_encoded_bytes()).is_some());
    assert_eq!(names_the_store.map(|(path, _)| path), None);
}

#[test]
fn a_checkout_goes_nowhere_where_something_is() {
    let world = world();
    let occupied = world.path().join("occupied");
    fs::create_dir(&occupied).expect("a directory");
    fs::write(occupied.join("mine"), "x").expect("a file");
    let within = world.store().join("envs/mine");
    let file = world.path().join("config.toml");
    for (place, code) in [(&occupied, 6), (&within, 6), (&file, 1)] {
        let refused = world.run(["checkout".as_ref(), "pack".as_ref(), place.as_os_str()]);
        assert_eq!(refused.code, code, "{refused:#?}");
    }
    assert_eq!(fs::read_dir(&occupied).expect("lists").count(), 1);
    assert!(!within.exists());
    let nobody = world.run(["checkout".as_ref(), "nobody".as_ref(), world.path().join("new").as_os_str()]);
    assert_eq!((nobody.code, world.path().join("new").exists()), (5, false));
}

#[test]
fn what_is_exported_makes_the_same_environments_elsewhere() {
    let world = world();
    world.ok(["ensure", "../odd one", "--with", "beta"]);
    for format in ["pylock", "requirements"] {
        let fleet = world.path().join(format);
        world.ok([
            "export".as_ref(),
            "--all".as_ref(),
            "--to".as_ref(),
            format.as_ref(),
            "-o".as_ref(),
            fleet.as_os_str(),
        ]);
        let elsewhere = world.path().join(format!("store of {format}"));
        let there = |command: &[&str]| {
            let store = ["--store".to_owned(), elsewhere.display().to_string()];
            world.json(store.into_iter().chain(command.iter().map(|word| (*word).to_owned())))
        };
        let report = there(&["sync", &fleet.display().to_string()]);
        assert_eq!(report["summary"]["ready"], 2, "{report:#}");
        for pack in ["pack", "../odd one"] {
            assert_eq!(there(&["resolve", pack])["env"], world.json(["resolve", pack])["env"], "{format}: {pack}");
        }
    }
}

#[test]
fn an_export_goes_to_standard_output_a_file_or_the_object() {
    let world = world();
    let text = world.ok(["export", "pack", "--to", "requirements"]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].starts_with("# Locked for Python 3."), "{text}");
    assert!(lines[1].starts_with("alpha @ file:///") && lines[1].contains(" --hash=sha256:"), "{text}");
    let file = world.path().join("r.txt");
    world.ok(["export".as_ref(), "pack".as_ref(), "--to=requirements".as_ref(), "-o".as_ref(), file.as_os_str()]);
    assert_eq!(fs::read_to_string(&file).expect("written").trim_end(), text);
    let object = world.json(["export", "pack"]);
    assert_eq!((&object["format"], &object["generation"]), (&"pylock".into(), &1.into()), "{object:#}");
    assert_eq!(object["text"].as_str().map(str::trim_end), Some(&*world.ok(["export", "pack"])));
    assert_eq!(world.run(["export", "nobody"]).code, 5);
}

#[test]
fn logs_are_of_the_last_declaration_or_of_whoever_built_it() {
    let world = world();
    assert!(world.ok(["logs", "pack"]).contains("pip sync"));
    world.ok(["ensure", "sharer", "--with", "alpha==1.0", "--with", "beta"]);
    assert!(world.ok(["logs", "sharer"]).contains("pip compile"));
    assert_eq!(world.run(["ensure", "pack", "--with", "nothing-of-the-kind"]).code, 1);
    let log = world.json(["logs", "pack"]);
    assert!(log["text"].as_str().expect("a text").contains("nothing-of-the-kind"), "{log:#}");
    assert!(Path::new(log["log"].as_str().expect("a path")).is_file());
    world.ok(["ensure", "empty", "-r", "/dev/null"]);
    fs::remove_dir_all(world.store().join("logs"))
        .and_then(|()| fs::create_dir(world.store().join("logs")))
        .expect("gone");
    let none = world.run(["logs", "pack"]);
    assert_eq!(none.code, 5, "{none:#?}");
    assert!(none.stderr.contains("no log of pack `pack`"), "{}", none.stderr);
    assert_eq!(world.run(["logs", "nobody"]).code, 5);
}

#[test]
fn a_bill_of_materials_names_every_artifact_and_is_the_same_each_time() {
    use cyclonedx_bom::prelude::{Bom, Validate};
    let world = world();
    let wheel = fs::read(world.wheels().join("alpha-1.0-py3-none-any.whl")).expect("the wheel");
    let text = world.ok(["export", "pack", "--to", "cyclonedx"]) + "\n";
    assert_eq!(world.ok(["export", "pack", "--to", "cyclonedx"]) + "\n", text);
    let checked = Bom::parse_from_json_v1_5(text.as_bytes()).expect("parses").validate();
    assert!(checked.passed(), "{checked:?}");

    let bill: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let resolved = world.json(["resolve", "pack"]);
    let subject = &bill["metadata"]["component"];
    assert_eq!((&subject["name"], &subject["version"]), (&"pack".into(), &"1".into()));
    let properties = subject["properties"].as_array().expect("a list");
    assert!(properties.iter().any(|p| p["name"] == "envstore:env" && p["value"] == resolved["env"]), "{bill:#}");
    let components = bill["components"].as_array().expect("a list");
    let named = |name: &str| components.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("{bill:#}"));
    assert_eq!(components.len(), 3);
    assert_eq!(named("cpython")["type"], "platform");
    let alpha = named("alpha");
    assert_eq!(alpha["purl"], "pkg:pypi/alpha@1.0");
    assert_eq!(
        alpha["hashes"],
        serde_json::json!([{ "alg": "SHA-256", "content": HEXLOWER.encode(&Sha256::digest(wheel)) }])
    );
    let source = alpha["externalReferences"][0]["url"].as_str().expect("a URL");
    assert!(source.starts_with("file://") && source.ends_with("alpha-1.0-py3-none-any.whl"), "{source}");

    // Another pack with that environment has a bill of its own; all of them go where they are told to.
    world.ok(["ensure", "a/b", "--with", "alpha==1.0"]);
    world.ok(["export", "--all", "--to", "cyclonedx", "-o", "bills"]);
    let of = |dir: &str| fs::read_to_string(world.path().join("bills").join(dir).join("bom.cdx.json")).expect("a bill");
    assert_eq!(of("pack"), text);
    let other: serde_json::Value = serde_json::from_str(&of("a%2Fb")).expect("JSON");
    assert_ne!(other["serialNumber"], bill["serialNumber"]);
    assert_eq!(other["components"], bill["components"]);
}
