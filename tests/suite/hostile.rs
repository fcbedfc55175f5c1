//! Hostile artifacts and names: refused with a reason, nothing outside the store touched, nothing half-made left (F14).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::support::{INSTALLERS, Wheel, World};

const FILE: u16 = 0o100_644;

fn world(installer: &str) -> World {
    let world = World::new();
    world.install_setting(&format!("installer = {installer:?}"));
    world
}

/// Everything in a world but its store, with its bytes.
fn surroundings(world: &World) -> BTreeMap<String, Vec<u8>> {
    let entries = walkdir::WalkDir::new(world.path()).into_iter().filter_entry(|entry| entry.path() != world.store());
    let told = |path: &Path, is_file: bool| if is_file { fs::read(path).expect("a file") } else { Vec::new() };
    entries
        .map(|entry| entry.expect("an entry"))
        // What the installers keep in their user's home is theirs.
        .filter(|entry| !entry.path().starts_with(world.path().join("home")))
        .map(|entry| (entry.path().display().to_string(), told(entry.path(), entry.file_type().is_file())))
        .collect()
}

/// A wheel that must not become an environment, and words of the message.
fn refused(wheel: &Wheel, words: &[&str]) {
    for installer in INSTALLERS {
        let world = world(installer);
        world.wheel(wheel);
        let before = surroundings(&world);
        let told = world.json(["ensure", "pack", "--with", "evil"]);
        let error = &told["error"];
        assert_eq!(error["kind"], "unsafe_artifact", "{installer}: {told:#}");
        let message = error["message"].as_str().expect("a message");
        for word in words {
            assert!(message.contains(word), "{installer}: {message} does not say {word}");
        }
        assert!(!message.contains(char::is_control), "{message:?}");
        assert_eq!(surroundings(&world), before, "{installer}");
        for dir in ["envs", "staging", "trash", "manifests", "quarantine"] {
            assert!(world.listed(dir).is_empty(), "{installer}: {dir}: {:?}", world.listed(dir));
        }
        assert_eq!(world.run(["resolve", "pack"]).code, 5);
        // The store is as good as before.
        world.wheel(&Wheel::new("good", "1.0"));
        world.ok(["ensure", "other", "--with", "good"]);
    }
}

fn evil() -> Wheel {
    Wheel::new("evil", "1.0")
}

#[test]
fn members_that_lead_out_are_refused() {
    for name in ["../../../../../out.txt", "/tmp/out.txt", "evil/../../out.txt", "evil-1.0.data/data/../../../out.txt"]
    {
        refused(&evil().hidden(name, "x", FILE), &["evil-1.0-py3-none-any.whl", name, "leads out"]);
        refused(&evil().file(name, "x"), &["evil-1.0-py3-none-any.whl", name]);
    }
}

#[test]
fn members_that_are_no_files_are_refused() {
    refused(&evil().hidden("evil/link", "/etc/passwd", 0o120_777), &["evil/link", "link out", "/etc/passwd"]);
    refused(&evil().hidden("evil/link", "../../../x", 0o120_777), &["evil/link", "link out"]);
    for device in [0o020_666, 0o060_666, 0o010_666, 0o140_666] {
        refused(&evil().hidden("evil/null", "", device), &["evil/null", "neither"]);
    }
}

#[test]
fn members_with_names_that_hide_something_are_refused() {
    // uv refuses these itself, and shows such a character as `\u{fffd}`.
    for name in ["evil/a\nb.py", "evil/\u{1b}[31m.py"] {
        refused(&evil().hidden(name, "x", FILE), &["evil-1.0-py3-none-any.whl", "evil/"]);
    }
}

#[test]
fn scripts_that_lead_out_or_replace_the_skeleton_are_refused() {
    for name in ["../../../../out", "/tmp/out", "../lib/x", ".."] {
        refused(&evil().script(&format!("{name} = evil:main")), &["evil", name]);
    }
}

#[test]
fn a_wheel_that_replaces_the_skeleton_is_refused() {
    refused(&evil().file("evil-1.0.data/data/pyvenv.cfg", "home = /tmp\n"), &["evil 1.0", "pyvenv.cfg"]);
    refused(&evil().file("evil-1.0.data/scripts/activate", "#!/bin/sh\n"), &["evil 1.0", "bin/activate"]);
}

#[test]
fn a_member_that_claims_gigabytes_is_refused() {
    for installer in INSTALLERS {
        let world = world(installer);
        let path = world.wheel(&evil().hidden("evil/big.bin", "small", FILE));
        let mut bytes = fs::read(&path).expect("the wheel");
        let entries: Vec<_> = memchr::memmem::find_iter(&bytes, b"PK\x01\x02").collect();
        let last = entries[entries.len() - 1];
        bytes[last + 24..last + 28].copy_from_slice(&(2u32 << 30).to_le_bytes());
        fs::write(&path, bytes).expect("writes");
        let told = world.json(["ensure", "pack", "--with", "evil"]);
        assert_eq!(told["error"]["kind"], "unsafe_artifact", "{installer}: {told:#}");
        let message = told["error"]["message"].as_str().expect("a message");
        assert!(message.contains("evil/big.bin"), "{message}");
        assert!(world.listed("envs").is_empty());
    }
}

#[test]
fn what_is_allowed_is_recorded_and_runs_only_in_the_environment() {
    for installer in INSTALLERS {
        let world = world(installer);
        let (pth, site) = (world.path().join("pth-ran"), world.path().join("site-ran"));
        let touch = |path: &Path| format!("import os; open({:?}, 'w').close()\n", path.display().to_string());
        world.wheel(
            &evil()
                .file("evil.pth", touch(&pth))
                .file("sitecustomize.py", touch(&site))
                .file("evil/A.py", "case = 'upper'\n")
                .file("evil/a.py", "case = 'lower'\n"),
        );
        world.ok(["ensure", "pack", "--with", "evil"]);
        assert!(!pth.exists() && !site.exists(), "{installer}: nothing of a wheel runs while it is installed");
        let python = world.ok(["resolve", "pack"]);
        let record = Path::new(&python).ancestors().nth(2).expect("the environment").to_owned();
        let records: Vec<_> = walkdir::WalkDir::new(record)
            .into_iter()
            .flatten()
            .filter(|entry| entry.file_name() == "RECORD")
            .map(|entry| fs::read_to_string(entry.path()).expect("a RECORD"))
            .collect();
        assert!(["evil.pth,", "sitecustomize.py,"].iter().all(|name| records[0].contains(name)), "{}", records[0]);
        assert_eq!(world.python_in("pack", "import evil.A, evil.a; print(evil.A.case, evil.a.case)"), "upper lower");
        assert!(pth.exists() && site.exists());
    }
}

#[test]
fn a_wheel_that_claims_anothers_files_never_becomes_shared() {
    for installer in INSTALLERS {
        let world = world(installer);
        world.wheel(&Wheel::new("good", "1.0"));
        world.wheel(&evil().file("good/__init__.py", "version = 'evil'\n"));
        world.ok(["ensure", "pack", "--with", "evil", "--with", "good"]);
        let notes = world.json(["show", "pack"])["notes"].to_string();
        assert!(notes.contains("is claimed by evil 1.0 and good 1.0"), "{installer}: {notes}");
        world.ok(["ensure", "alone", "--with", "good"]);
        assert_eq!(world.python_in("alone", "import good; print(good.version)"), "1.0", "{installer}");
    }
}

#[test]
fn pack_refs_are_names_and_nothing_else() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    let before = surroundings(&world);
    let longest = "x".repeat(255);
    let odd = [
        "../../../out",
        "/etc/passwd",
        "..",
        "a'; DROP TABLE packs; --",
        "\"; rm -rf ~",
        "$(touch out)",
        "`touch out`",
        "a|b&c>d",
        "%00",
        "*",
        "\u{202e}kcap",
        "pаck",
        "@envstore",
        longest.as_str(),
    ];
    for name in odd {
        world.ok(["ensure", "--with", "alpha", "--", name]);
        assert!(
            world.ok(["exec", name, "--", "python", "-c", "import alpha; print(alpha.version)"]).contains("1.0"),
            "{name}"
        );
        world.ok(["why", "--", name]);
        world.ok(["history", "--", name]);
    }
    let listed = world.json(["list"]);
    assert_eq!(listed["packs"].as_array().expect("packs").len(), odd.len());
    let too_long = "x".repeat(256);
    for name in ["", " ", "a\nb", "a\tb", "\u{1b}[2J", "@envstore/uv", too_long.as_str()] {
        assert_eq!(world.run(["ensure", "--with", "alpha", "--", name]).code, 2, "{name:?}");
    }
    for name in odd {
        world.ok(["remove", "--", name]);
    }
    assert_eq!(surroundings(&world), before);
}

#[test]
fn requirement_lines_reach_no_shell_and_no_option() {
    for installer in INSTALLERS {
        let world = world(installer);
        let before = surroundings(&world);
        for line in [
            "alpha; touch out",
            "$(touch out)",
            "`touch out`",
            "alpha --target=/tmp/out",
            "--target=.",
            "alpha\0",
            "alpha @ file:///etc/passwd",
            "../../../etc/passwd",
            "alpha'; DROP TABLE packs; --",
            "-e .",
            "alpha\n--index-url=http://127.0.0.1:9/",
            "alpha --global-option=x",
        ] {
            let file = world.path().join("packs/lines.txt");
            fs::write(&file, line).expect("writes");
            let told = world.json(["ensure".as_ref(), "pack".as_ref(), "-r".as_ref(), file.as_os_str()]);
            assert!(told["error"]["kind"].is_string(), "{line}: {told:#}");
            fs::remove_file(&file).expect("removes");
        }
        assert_eq!(surroundings(&world), before, "{installer}");
    }
}
