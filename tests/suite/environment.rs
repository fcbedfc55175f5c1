//! What an environment is like: read-only, compiled, an ordinary venv.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::support::{ENVSTORE, Wheel, World};

fn files(top: &Path) -> BTreeMap<PathBuf, (u32, i64, u64)> {
    walkdir::WalkDir::new(top)
        .min_depth(1)
        .into_iter()
        .map(|entry| entry.expect("walks"))
        .filter(|entry| entry.file_name() != ".lease")
        .map(|entry| {
            let meta = fs::symlink_metadata(entry.path()).expect("stat");
            (entry.path().to_owned(), (meta.mode(), meta.mtime(), meta.len()))
        })
        .collect()
}

fn world() -> (World, PathBuf) {
    let world = World::new();
    world.wheel(
        &Wheel::new("alpha", "1.0")
            .file("alpha/broken.py", "def boom():\n    raise ValueError('on purpose')\n")
            .script("alpha-say = alpha.say:main")
            .file("alpha/say.py", "import sys\ndef main():\n    print('said', sys.argv[1:])\n"),
    );
    world.ok(["ensure", "pack", "--with", "alpha"]);
    let path = world.json(["resolve", "pack"])["path"].as_str().expect("a path").into();
    (world, path)
}

#[test]
fn everything_below_the_top_is_read_only_and_dated() {
    let (_world, env) = world();
    for (path, (mode, mtime, _)) in files(&env) {
        let kind = mode & 0o170_000;
        let expected = match kind {
            0o040_000 => &[0o555][..],
            0o120_000 => &[0o777],
            _ => &[0o444, 0o555],
        };
        assert!(expected.contains(&(mode & 0o7777)), "{}: {mode:o}", path.display());
        assert_eq!(mtime, 315_619_200, "{}", path.display());
    }
}

#[test]
fn importing_compiles_nothing_and_changes_nothing() {
    let (world, env) = world();
    let before = files(&env);
    // Without the variable that forbids it: what is there must be valid.
    let python = env.join("bin/python");
    let output = std::process::Command::new(&python)
        .args(["-v", "-c", "import alpha, alpha.broken, alpha.say"])
        .env_clear()
        .output()
        .expect("python starts");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    let matched: Vec<_> = log.lines().filter(|l| l.contains("matches") && l.contains("alpha")).collect();
    assert!(matched.len() >= 3, "the compiled files are used: {log}");
    assert!(!log.lines().any(|l| l.contains("wrote") && l.contains("alpha")), "{log}");
    assert_eq!(files(&env), before);
    drop(world);
}

#[test]
fn tracebacks_show_true_paths() {
    let (world, env) = world();
    let ran = world.run(["exec", "pack", "--", "python", "-c", "import alpha.broken; alpha.broken.boom()"]);
    let file =
        walkdir::WalkDir::new(&env).into_iter().flatten().find(|e| e.file_name() == "broken.py").expect("is there");
    assert!(ran.stderr.contains(&format!("File \"{}\", line 2, in boom", file.path().display())), "{}", ran.stderr);
    assert!(ran.stderr.contains("raise ValueError('on purpose')"), "the source line is shown: {}", ran.stderr);
}

#[test]
fn console_scripts_run_and_pip_is_absent_with_a_clear_word() {
    let (world, _env) = world();
    assert_eq!(world.ok(["exec", "pack", "--", "alpha-say", "hello"]), "said ['hello']");
    let ran = world.run(["exec", "pack", "--", "python", "-m", "pip"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("No module named pip"), "{}", ran.stderr);
}

#[test]
fn exec_sets_the_environment_up_and_hides_the_callers_python_variables() {
    let (world, env) = world();
    let code = "import os, sys; print(sys.prefix, os.environ['VIRTUAL_ENV'], os.environ['ENVSTORE_ENV'], os.environ.get('PYTHONPATH'), sys.dont_write_bytecode)";
    let output = world.command(["exec", "pack", "--", "python", "-c", code]).env("PYTHONPATH", "/nowhere").output();
    let stdout = String::from_utf8(output.expect("runs").stdout).expect("UTF-8");
    let path = env.display();
    assert_eq!(stdout.trim(), format!("{path} {path} {path} None True"));
}

#[test]
fn closed_standard_descriptors_lead_nowhere_and_a_broken_pipe_is_no_signal() {
    let (world, _) = world();
    let action = "(readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2; grep SigIgn /proc/$$/status) > said";
    let closed = format!("exec '{ENVSTORE}' exec pack -- sh -c '{action}' <&- >&- 2>&-");
    world.ok(["exec", "pack", "--", "sh", "-c", &closed]);
    let said = fs::read_to_string(world.path().join("said")).expect("reads");
    let [input, output, error, ignored] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
    assert_eq!([input, output, error], ["/dev/null"; 3]);
    let ignored = ignored.strip_prefix("SigIgn:\t").and_then(|signals| u64::from_str_radix(signals, 16).ok());
    assert_eq!(ignored.map(|signals| signals >> (13 - 1) & 1), Some(0), "SIGPIPE ends an action: {said}");

    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let status = world.command(["list"]).stdout(writer).status().expect("starts");
    assert_eq!(status.code(), Some(0), "{status}");
}

#[test]
fn the_same_lock_gives_the_same_tree_in_two_stores() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0").script("alpha-say = alpha:main").requires("beta"));
    world.wheel(&Wheel::new("beta", "2.0"));
    let elsewhere = world.path().join("a/deeper/place/for/another/store");
    world.ok(["ensure", "pack", "--with", "alpha"]);
    world.ok([
        "--store".as_ref(),
        elsewhere.as_os_str(),
        "ensure".as_ref(),
        "pack".as_ref(),
        "--with".as_ref(),
        "alpha".as_ref(),
    ]);
    let one = world.json(["show", "pack"]);
    let two = world.json(["--store".as_ref(), elsewhere.as_os_str(), "show".as_ref(), "pack".as_ref()]);
    assert_eq!(one["env"], two["env"]);
    assert_eq!(one["tree_digest"], two["tree_digest"]);
    assert_ne!(one["path"], two["path"]);
}

#[test]
fn a_long_root_with_a_space_still_runs_its_scripts() {
    let world = World::new();
    world.wheel(
        &Wheel::new("alpha", "1.0")
            .script("alpha-say = alpha.say:main")
            .file("alpha/say.py", "def main():\n    print('said')\n"),
    );
    let root = world.path().join("a place with spaces").join("x".repeat(120));
    let store = ["--store", &root.to_string_lossy()].map(str::to_owned);
    let with = |args: &[&str]| store.iter().cloned().chain(args.iter().map(|s| (*s).to_owned())).collect::<Vec<_>>();
    world.ok(with(&["ensure", "pack", "--with", "alpha"]));
    assert_eq!(world.ok(with(&["exec", "pack", "--", "alpha-say"])), "said");
}
