//! What `doctor` finds: broken extensions, imports, files, variables, failures; and nothing where all is well.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Wheel, World, python_minor, ran, skipped};

/// The findings of a kind: level, message, hint.
fn of_kind(report: &Value, kind: &str) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = report["findings"].as_array().expect("a list").iter();
    let of_kind = findings.filter(|finding| finding["kind"] == kind);
    of_kind.map(|finding| (text(&finding["level"]), text(&finding["message"]), text(&finding["hint"]))).collect()
}

#[track_caller]
fn one(report: &Value, kind: &str) -> (String, String, String) {
    let mut found = of_kind(report, kind);
    assert_eq!(found.len(), 1, "{kind}: {report:#}");
    found.remove(0)
}

/// A shared object that needs a library which is gone once it was linked; none, loudly, where there is no compiler.
fn extension_without_its_library(dir: &Path) -> Option<Vec<u8>> {
    fs::write(dir.join("gone.c"), "int gone(void) { return 1; }\n").expect("writes");
    fs::write(dir.join("ext.c"), "int gone(void); void *PyInit__native(void) { gone(); return 0; }\n").expect("writes");
    let cc =
        |args: &[&str]| Command::new("cc").args(args).current_dir(dir).status().is_ok_and(|status| status.success());
    let made = cc(&["-shared", "-fPIC", "-Wl,-soname,libenvstore-gone.so.7", "-o", "libenvstore-gone.so", "gone.c"])
        && cc(&["-shared", "-fPIC", "-o", "_native.so", "ext.c", "-L.", "-lenvstore-gone"]);
    if !made {
        skipped("needs a C compiler");
        return None;
    }
    Some(fs::read(dir.join("_native.so")).expect("reads"))
}

#[test]
fn nothing_is_wrong_with_a_healthy_pack() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0").requires("beta").script("alpha = alpha:main"));
    world.wheel(&Wheel::new("beta", "1.0").file("ns/inner/__init__.py", ""));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    let ran = world.run(["doctor", "pack"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.stderr.contains("nothing is wrong"), "{ran:#?}");
    assert!(ran.stdout.contains("what it declares imports: `alpha`\n"), "{ran:#?}");
    let report = world.json(["doctor", "pack"]);
    for kind in ["pack", "files", "interpreter_starts", "import"] {
        assert_eq!(one(&report, kind).0, "ok", "{report:#}");
    }
    world.ok(["ensure", "empty", "--from", &world.pack("empty", "\n").display().to_string()]);
    assert_eq!(world.run(["doctor", "empty"]).code, 0);
    assert_eq!(world.run(["verify", "--full"]).code, 0, "it wrote nothing");
    assert_eq!(world.run(["doctor", "no-such-pack"]).code, 5);
    // Of what is declared everything counts, and of the rest nothing.
    world.ok(["ensure", "both", "--with", "alpha", "--with", "beta"]);
    assert!(one(&world.json(["doctor", "both"]), "import").1.ends_with("`alpha`, `beta`, `ns.inner`"));
}

#[test]
fn an_extension_whose_library_is_gone_is_named_with_the_library() {
    let world = World::new();
    let Some(native) = extension_without_its_library(world.path()) else { return };
    world.wheel(
        &Wheel::new("broken", "1.0").file("broken/_native.so", native).file("broken/use.py", "from . import _native\n"),
    );
    world.wheel(&Wheel::new("user", "1.0").requires("broken").file("user/__init__.py", "import broken.use\n"));
    world.ok(["ensure", "pack", "--with", "user"]);
    let ran = world.run(["doctor", "pack"]);
    assert_eq!(ran.code, 3, "{ran:#?}");
    let report = world.json(["doctor", "pack"]);
    let (level, message, _) = one(&report, "shared_libraries");
    assert_eq!(level, "damage");
    assert!(
        message.contains("`libenvstore-gone.so.7` is not on this host") && message.contains("broken/_native.so"),
        "{message}"
    );
    let (level, message, _) = one(&report, "import");
    assert_eq!(level, "damage");
    assert!(message.starts_with("`user` (user 1.0) does not import: ImportError: libenvstore-gone.so.7"), "{message}");
}

#[test]
fn a_library_that_the_package_brings_itself_is_not_missed() {
    let world = World::new();
    let Some(native) = extension_without_its_library(world.path()) else { return };
    let library = fs::read(world.path().join("libenvstore-gone.so")).expect("reads");
    let load = "import ctypes, os\nctypes.CDLL(os.path.join(os.path.dirname(__file__), '..', 'whole.libs', 'libenvstore-gone.so.7'), ctypes.RTLD_GLOBAL)\nctypes.CDLL(os.path.join(os.path.dirname(__file__), '_native.so'))\n";
    world.wheel(
        &Wheel::new("whole", "1.0")
            .file("whole/_native.so", native)
            .file("whole.libs/libenvstore-gone.so.7", library)
            .file("whole/load.py", load),
    );
    world.wheel(&Wheel::new("user", "1.0").requires("whole").file("user/__init__.py", "import whole.load\n"));
    world.ok(["ensure", "pack", "--with", "user"]);
    let ran = world.run(["doctor", "pack"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
}

#[test]
fn each_module_that_does_not_import_is_named_also_when_it_takes_the_interpreter_along() {
    let world = World::new();
    world.wheel(
        &Wheel::new("a-raises", "1.0")
            .file("a_raises/__init__.py", "print('noise')\nraise ValueError('first\\nlast line')\n"),
    );
    world.wheel(&Wheel::new("b-kills", "1.0").file("b_kills/__init__.py", "import os\nos.kill(os.getpid(), 9)\n"));
    world.wheel(&Wheel::new("c-lacks", "1.0").file("c_lacks/__init__.py", "import pkg_resources_of_old.x\n"));
    world.wheel(&Wheel::new("d-exits", "1.0").file("d_exits/__init__.py", "import sys\nsys.exit(4)\n"));
    world.wheel(&Wheel::new("e-works", "1.0"));
    let with = ["a-raises", "b-kills", "c-lacks", "d-exits", "e-works"].map(|name| ["--with", name]);
    world.ok(["ensure", "pack"].into_iter().chain(with.iter().flatten().copied()));
    assert_eq!(world.run(["doctor", "pack"]).code, 3);
    let found = of_kind(&world.json(["doctor", "pack"]), "import");
    let messages: Vec<&str> = found.iter().map(|(_, message, _)| message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "`a_raises` (a-raises 1.0) does not import: last line",
            "`b_kills` (b-kills 1.0) does not import: it kills the interpreter (signal: 9 (SIGKILL))",
            "`c_lacks` (c-lacks 1.0) does not import: ModuleNotFoundError: No module named 'pkg_resources_of_old'",
            "`d_exits` (d-exits 1.0) does not import: SystemExit: 4",
        ]
    );
    assert!(found[2].2.contains("used and not declared"), "{found:?}");
}

#[test]
fn changed_files_are_told() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0").file("alpha/data.txt", "0123456789"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    let env = world.json(["resolve", "pack"])["path"].as_str().expect("a path").to_owned();
    let data = walkdir::WalkDir::new(&env).into_iter().flatten().find(|entry| entry.path().ends_with("alpha/data.txt"));
    let data = data.expect("the file").into_path();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o644)).expect("chmod");
    fs::write(&data, "012").expect("writes");
    let ran = world.run(["doctor", "pack"]);
    assert_eq!(ran.code, 3, "{ran:#?}");
    let (level, message, hint) = one(&world.json(["doctor", "pack"]), "file_damaged");
    assert_eq!(level, "damage");
    assert!(message.contains("alpha/data.txt` has 3 bytes instead of 10"), "{message}");
    assert!(hint.contains("verify pack --repair"), "{hint}");
    world.ok(["verify", "pack", "--repair"]);
    assert_eq!(world.run(["doctor", "pack"]).code, 0);
}

#[test]
fn variables_of_the_caller_are_warned_of_and_do_not_reach_the_imports() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    fs::create_dir(world.path().join("shadow")).expect("a directory");
    fs::write(world.path().join("shadow/alpha.py"), "raise SystemExit(1)\n").expect("writes");
    let done =
        world.command(["--format", "json", "doctor", "pack"]).env("PYTHONPATH", world.path().join("shadow")).output();
    let done = ran(done.expect("starts"));
    assert_eq!(done.code, 0, "{done:#?}");
    let report: Value = serde_json::from_str(&done.stdout).expect("an object");
    let (level, message, hint) = one(&report, "variable");
    assert_eq!(level, "warning");
    assert!(message.starts_with("PYTHONPATH is set here") && hint.contains("exec"), "{message} {hint}");
    assert_eq!(one(&report, "import").0, "ok");
}

#[test]
fn the_last_failure_is_told_with_its_log_until_it_is_mended() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    assert_eq!(world.run(["ensure", "pack", "--with", "alpha>=2"]).code, 1);
    let report = world.json(["doctor", "pack"]);
    let (level, message, hint) = one(&report, "last_failure");
    assert_eq!(level, "warning");
    assert!(message.contains("cannot lock the declaration"), "{message}");
    let log = hint.split('`').nth(1).expect("a path");
    assert!(fs::read_to_string(log).expect("the log").contains("alpha"), "{hint}");
    assert_eq!(one(&report, "stale").0, "warning");
    world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
    assert_eq!(of_kind(&world.json(["doctor", "pack"]), "last_failure"), []);

    // One that never had an environment has something to tell, too.
    assert_eq!(world.run(["ensure", "never", "--with", "no-such-thing"]).code, 1);
    let never = world.json(["doctor", "never"]);
    assert_eq!((one(&never, "no_environment").0, one(&never, "last_failure").0), ("damage".into(), "warning".into()));
}

#[test]
fn a_pack_whose_interpreter_is_gone_is_told_by_both() {
    let Some(python) = python_minor(11) else { return };
    let world = World::with_python(&python);
    world.wheel(&Wheel::new("alpha", "1.0"));
    // A prefix of its own, so that it can be taken away.
    let moved = world.path().join("python");
    let prefix = python.parent().and_then(Path::parent).expect("a prefix");
    fs::create_dir_all(moved.join("bin")).expect("a directory");
    fs::copy(&python, moved.join("bin/python3.11")).expect("copies");
    std::os::unix::fs::symlink(prefix.join("lib"), moved.join("lib")).expect("links");
    let ensured = world.run([
        "ensure",
        "pack",
        "--with",
        "alpha",
        "--python",
        &moved.join("bin/python3.11").display().to_string(),
    ]);
    if ensured.code != 0 {
        return skipped("an interpreter cannot be copied here");
    }
    assert_eq!(world.run(["doctor"]).code, 0);
    fs::remove_file(moved.join("bin/python3.11")).expect("removes");
    let host = world.run(["doctor"]);
    assert_eq!(host.code, 3, "{host:#?}");
    let (_, message, _) = one(&world.json(["doctor"]), "interpreter_missing");
    assert!(message.contains("python3.11` is gone; packs: pack"), "{message}");
    assert_eq!(one(&world.json(["doctor", "pack"]), "interpreter_missing").0, "damage");
}

#[test]
fn the_host_and_the_store_are_looked_at() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    let report = world.json(["doctor"]);
    for kind in ["access", "filesystem", "link_mode", "space", "open_files", "index", "installer", "packs", "cache"] {
        one(&report, kind);
    }
    assert_eq!(of_kind(&report, "below_minimum"), []);
    let done = world.run_limited("--nofile=128:256", ["--format", "json", "doctor"]);
    let limited: Value = serde_json::from_str(&done.stdout).expect("an object");
    let (level, message, _) = one(&limited, "open_files");
    assert_eq!((level.as_str(), message.as_str()), ("warning", "a process may open 128 files (at most 256)"));

    world.configure("[lock]\nminimum = [\"alpha>=1.5\"]\n");
    let (level, message, hint) = one(&world.json(["doctor"]), "below_minimum");
    assert_eq!((level.as_str(), message.as_str()), ("warning", "alpha 1.0 is below `lock.minimum`; packs: pack"));
    assert!(hint.contains("-P alpha"));
    assert_eq!(world.run(["doctor"]).code, 0, "a warning is no damage");
}
