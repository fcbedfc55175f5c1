//! Wheels made on the fly, unpacked as an installer does, finished, looked at.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use super::super::{record, shebang};
use super::*;
use crate::cancel::Cancel;
use crate::digest::DerivedKey;
use crate::error::{Error, InstallerCause, Kind};
use crate::fs::read::{self, Content};
use crate::interpreter::{FileStamp, Interpreter, InterpreterIdentity};
use crate::lock::{Artifact, Locked};
use crate::process::{Limits, Log};
use crate::settings::Settings;
use crate::spec::RuntimeKind;
use crate::store::runtime::{DerivedFiles, NoDerivedFiles, Skeleton};

const PROBE: &str = "import sys, os, sysconfig, importlib.util as u
scheme = 'venv' if 'venv' in sysconfig.get_scheme_names() else 'posix_prefix'
base = {'base': '', 'platbase': '', 'installed_base': '', 'installed_platbase': ''}
dirs = [sysconfig.get_path(n, scheme, base).lstrip('/') for n in ('purelib', 'platlib')]
print('\\n'.join([os.path.realpath(sys.executable), '%d.%d.%d' % sys.version_info[:3], '%d.%d' % sys.version_info[:2],
    *dirs, sys.implementation.cache_tag, u.MAGIC_NUMBER.hex(), sys.base_prefix]))";

/// An interpreter, asked for what the finishing needs.
fn ask(python: &str) -> Option<Interpreter> {
    let out = Command::new(python).args(["-I", "-c", PROBE]).output().ok().filter(|out| out.status.success())?;
    let text = String::from_utf8(out.stdout).ok()?;
    let lines: Vec<&str> = text.lines().collect();
    let [path, version, major_minor, purelib, platlib, cache_tag, magic, base_prefix] = lines[..] else { return None };
    let facts = [
        ("major_minor", major_minor),
        ("purelib", purelib),
        ("platlib", platlib),
        ("cache_tag", cache_tag),
        ("magic", magic),
        ("base_prefix", base_prefix),
        ("gil_disabled", "0"),
    ];
    Some(Interpreter {
        identity: InterpreterIdentity {
            runtime: RuntimeKind::Python,
            implementation: "cpython".into(),
            version: version.into(),
            abi: "test".into(),
            platform: "test".into(),
            machine: "test".into(),
            libc: "test".into(),
            build_id: "test".into(),
        },
        path: path.into(),
        stamp: FileStamp::of(Path::new(path)).expect("it was just run"),
        facts: facts.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
    })
}

/// `python3` of `PATH`, whatever shim it is behind.
fn interpreter() -> Option<Interpreter> {
    let found = ask("python3").or_else(|| ask("/usr/bin/python3"));
    if found.is_none() {
        eprintln!("SKIPPED: no python3 on PATH");
    }
    found
}

/// An environment in the making, and what a distribution's `RECORD` will say.
struct Env {
    dir: PathBuf,
    site: PathBuf,
    interpreter: Interpreter,
    skeleton: Skeleton,
}

impl Env {
    fn new(dir: PathBuf, interpreter: &Interpreter) -> Self {
        fs::create_dir_all(&dir).expect("dir");
        fs::write(dir.join(".lease"), "").expect("lease");
        let skeleton = skeleton::create(&dir, interpreter).expect("skeleton");
        let site = dir.join(interpreter.fact("purelib").expect("fact"));
        Self { dir, site, interpreter: interpreter.clone(), skeleton }
    }

    /// Puts a file below the environment and gives its `RECORD` line.
    fn put(&self, path: &str, text: &str) -> String {
        let full = self.site.join(path);
        fs::create_dir_all(full.parent().expect("parent")).expect("dir");
        fs::write(&full, text).expect("file");
        let digest = data_encoding::BASE64URL_NOPAD.encode(&<sha2::Sha256 as sha2::Digest>::digest(text));
        record::csv_line(path, &format!("sha256={digest}"), Some(text.len() as u64))
    }

    /// Installs a distribution of these files; more lines go to its `RECORD` as they are.
    fn install(&self, name: &str, files: &[(&str, &str)], more: &str) {
        let info = format!("{name}-1.0.dist-info");
        let mut record: String = files.iter().map(|(path, text)| self.put(path, text)).collect();
        record +=
            &self.put(&format!("{info}/METADATA"), &format!("Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"));
        if let Some((_, text)) = files.iter().find(|(path, _)| *path == "scripts") {
            record += &self.put(&format!("{info}/entry_points.txt"), text);
        }
        record += more;
        record += &format!("{info}/RECORD,,\n");
        fs::write(self.site.join(info).join("RECORD"), record).expect("record");
    }

    fn finish(&self, locked: &[&str]) -> Result<Installed> {
        self.finish_with(locked, Wrong::Refused)
    }

    fn finish_with(&self, locked: &[&str], wrong: Wrong) -> Result<Installed> {
        self.finish_knowing(locked, wrong, &NoDerivedFiles)
    }

    fn finish_knowing(&self, locked: &[&str], wrong: Wrong, derived: &dyn DerivedFiles) -> Result<Installed> {
        let scratch = tempfile::tempdir().expect("dir");
        let (settings, log, cancel) = (Settings::default(), Log::memory(), Cancel::new());
        let job = Job {
            limits: Limits::starting_now(Duration::from_secs(120), Duration::from_secs(120)),
            settings: &settings,
            interpreter: &self.interpreter,
            scratch: scratch.path(),
            cache: scratch.path(),
            tools: scratch.path(),
            log: &log,
            cancel: &cancel,
            lease: None,
            progress: &|_| {},
            derived,
            preferences: &[],
        };
        let package = |name: &&str| Locked {
            name: (*name).into(),
            version: "1.0".into(),
            artifact: Artifact::Wheel { file: "x.whl".into(), url: "file:///x".into(), sha256: String::new() },
            index: None,
        };
        let lock = Lock::new(locked.iter().map(package).collect());
        finish(&job, &lock, &self.dir, wrong)
    }

    fn python(&self, code: &str) -> Output {
        Command::new(self.dir.join("bin/python")).args(["-c", code]).output().expect("runs")
    }

    /// Every path with what it holds, places replaced, sorted.
    fn content(&self, done: &Installed) -> Vec<(String, String)> {
        let neutral = |text: String| {
            let bytes = self.skeleton.local_placeholders.neutral(text.as_bytes());
            bytes.map_or(text, |bytes| String::from_utf8(bytes).expect("text"))
        };
        let mut all = Vec::new();
        for entry in walkdir::WalkDir::new(&self.dir).min_depth(1).sort_by_file_name() {
            let entry = entry.expect("entry");
            let name = entry.path().strip_prefix(&self.dir).expect("inside").display().to_string();
            if derived(done).contains(&name) || name == ".lease" {
                continue;
            }
            let text = if entry.file_type().is_dir() {
                "dir".into()
            } else if entry.file_type().is_symlink() {
                fs::read_link(entry.path()).expect("link").display().to_string()
            } else {
                let mode = entry.metadata().expect("metadata").mode() & 0o111;
                format!("{mode:o} {}", String::from_utf8_lossy(&fs::read(entry.path()).expect("file")))
            };
            all.push((name, neutral(text)));
        }
        all
    }
}

/// The paths of derived files.
fn derived(done: &Installed) -> Vec<String> {
    done.derived.iter().map(|made| made.path.clone()).collect()
}

/// What is noted, of distributions and of the environment, sorted.
fn notes(done: &Installed) -> Vec<String> {
    let of_dists = done.distributions.iter().flat_map(|dist| &dist.notes);
    let mut all: Vec<_> = done.notes.iter().chain(of_dists).cloned().collect();
    all.sort();
    all.dedup();
    all
}

fn uncompiled(done: &Installed) -> Vec<&String> {
    done.distributions.iter().flat_map(|dist| &dist.uncompiled).collect()
}

fn refusal(result: Result<Installed>) -> String {
    let error = result.expect_err("refused");
    assert_eq!(error.kind(), Kind::UnsafeArtifact, "{error:?}");
    error.to_string()
}

/// A directory for environments and an interpreter; leaves the test when there is none.
macro_rules! setting {
    ($interpreter:ident, $top:ident) => {
        let Some($interpreter) = interpreter() else { return };
        let $top = tempfile::tempdir().expect("dir");
    };
}

const ENTRY: &str = "[console_scripts]\ntool = pkg.main:run [fast]\n";
const MAIN: &str = "def run():\n    print('ran', __file__)\n    return 3\n";

#[test]
fn the_empty_env_is_the_skeleton_and_runs() {
    setting!(python, top);
    let env = Env::new(top.path().join("e"), &python);
    let before = env.content(&Installed::default());
    let done = env.finish(&[]).expect("finished");
    assert!(done.distributions.is_empty());
    assert_eq!(derived(&done), Vec::<String>::new());
    assert_eq!(env.content(&Installed::default()), before);
    let out = env.python("import sys; print(sys.prefix != sys.base_prefix, sys.prefix)");
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), format!("True {}", env.dir.display()));
}

#[test]
fn an_env_does_not_depend_on_the_installer_or_the_place() {
    setting!(python, top);
    let files = [("scripts", ENTRY), ("pkg/__init__.py", ""), ("pkg/main.py", MAIN), ("pkg,odd.py", "x = 1\n")];
    let one = Env::new(top.path().join("one"), &python);
    one.install("pkg", &files, "../../../bin/tool,sha256=x,1\npkg-1.0.dist-info/INSTALLER,,\n");
    fs::write(one.dir.join("bin/tool"), "#!whatever\n").expect("script");
    one.put("../../../bin/shipped", &format!("#!{}/bin/python3 -E\nprint(1)\n", one.dir.display()));

    let two = Env::new(top.path().join("far/away/two"), &python);
    let back: Vec<_> = files.iter().rev().copied().collect();
    two.install("pkg", &back, "pkg/__pycache__/main.cpython-311.pyc,,\n");
    two.put("../../../bin/shipped", &format!("#!{}/bin/python\nprint(1)\n", two.dir.display()));
    for env in [&one, &two] {
        env.put("../../../bin/plain", "#!/bin/sh\n");
    }
    for script in ["shipped", "plain"] {
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(two.dir.join("bin").join(script), executable).expect("mode");
    }
    for mark in ["INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"] {
        two.put(&format!("pkg-1.0.dist-info/{mark}"), "uv");
    }
    for mark in [".lock", "CACHEDIR.TAG", ".gitignore"] {
        fs::write(two.dir.join(mark), "").expect("mark");
    }
    two.put("_virtualenv.pth", "import _virtualenv");
    two.put("pkg/__pycache__/main.cpython-311.pyc", "stale");
    fs::create_dir_all(two.dir.join("include/empty")).expect("dir");

    let (first, second) = (one.finish(&["pkg"]).expect("finished"), two.finish(&["pkg"]).expect("finished"));
    assert_eq!(one.content(&first), two.content(&second));
    assert_eq!(first.derived, second.derived);
    assert_eq!(first.derived.len(), 3);
    let record = fs::read_to_string(one.site.join("pkg-1.0.dist-info/RECORD")).expect("record");
    assert!(record.starts_with("../../../bin/tool,,\n\"pkg,odd.py\",sha256="), "{record}");
}

#[test]
fn scripts_and_modules_run_and_write_nothing() {
    setting!(python, top);
    let env = Env::new(top.path().join("with space"), &python);
    env.install("pkg", &[("scripts", ENTRY), ("pkg/__init__.py", ""), ("pkg/main.py", MAIN)], "");
    let done = env.finish(&["pkg"]).expect("finished");
    let before = env.content(&done);
    let out = Command::new(env.dir.join("bin/tool")).output().expect("runs");
    assert_eq!(out.status.code(), Some(3), "{out:?}");
    let told = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(told.trim(), format!("ran {}", env.site.join("pkg/main.py").display()));
    // A changed source goes unnoticed: the bytecode is what runs, under its true name.
    fs::write(env.site.join("pkg/main.py"), "raise SystemExit(9)").expect("changed");
    let out = env.python("import pkg.main; print(pkg.main.run.__code__.co_filename)");
    let told = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(told.trim(), env.site.join("pkg/main.py").display().to_string(), "{out:?}");
    fs::write(env.site.join("pkg/main.py"), MAIN).expect("restored");
    assert_eq!(env.content(&done), before);
}

#[test]
fn sources_that_do_not_compile_are_listed() {
    setting!(python, top);
    let env = Env::new(top.path().join("e"), &python);
    let deep = format!("x = {}1{}\n", "(".repeat(5000), ")".repeat(5000));
    let files = [
        ("good.py", "assert True\n"),
        ("py2.py", "print 'x'\n"),
        ("nul.py", "x = 1\0\n"),
        ("coded.py", "# coding: no-such\n"),
        ("warns.py", "x = '\\d' is 1\n"),
        ("deep.py", &deep),
    ];
    env.install("pkg", &files, "");
    let done = env.finish(&["pkg"]).expect("finished");
    let names: Vec<_> = uncompiled(&done).into_iter().filter_map(|path| path.rsplit('/').next()).collect();
    assert_eq!(names, ["coded.py", "deep.py", "nul.py", "py2.py"]);
    assert_eq!(done.derived.len(), 2);
}

#[test]
fn a_source_that_crashes_the_compiler_is_left_out() {
    setting!(python, top);
    let mut crashing = python;
    crashing.path = top.path().join("python");
    let script = "#!/bin/sh\nfor list; do :; done\n[ -s \"$list\" ] || { printf SE; exit; }\nprintf S\nkill -SEGV $$\n";
    fs::write(&crashing.path, script).expect("script");
    fs::set_permissions(&crashing.path, fs::Permissions::from_mode(0o755)).expect("mode");
    crashing.path = fs::canonicalize(&crashing.path).expect("path");
    let env = Env::new(top.path().join("e"), &crashing);
    env.install("pkg", &[("a.py", "")], "");
    let done = env.finish(&["pkg"]).expect("finished");
    assert_eq!(uncompiled(&done).len(), 1);
    assert_eq!(done.derived.len(), 0);
}

/// Knows one derived file.
struct Knows(DerivedKey, &'static str);

impl DerivedFiles for Knows {
    fn place(&self, key: &DerivedKey, target: &Path) -> Option<Content> {
        if *key != self.0 {
            return None;
        }
        fs::create_dir_all(target.parent()?).ok()?;
        fs::write(target, self.1).ok()?;
        read::content(&read::open(target).ok()?, target, None, |_| ()).ok()
    }
}

#[test]
fn bytecode_that_is_known_is_not_compiled_again() {
    setting!(python, top);
    let install = |name: &str| {
        let env = Env::new(top.path().join(name), &python);
        env.install("pkg", &[("a.py", "a = 1\n"), ("b.py", "b = 1\n")], "");
        env
    };
    let first = install("one").finish(&["pkg"]).expect("finished");
    let known = first.derived.iter().find(|made| made.path.contains("/a.")).expect("compiled").clone();
    let env = install("two");
    let again = env.finish_knowing(&["pkg"], Wrong::Refused, &Knows(known.key, "what is known")).expect("finished");
    assert_eq!(first.derived, again.derived, "the keys depend on source, path and magic alone");
    assert_eq!(fs::read_to_string(env.dir.join(&known.path)).expect("placed"), "what is known");
    assert!(again.known[&known.path].is_sealed);
    let other = again.derived.iter().find(|made| made.path.contains("/b.")).expect("compiled");
    assert!(fs::read(env.dir.join(&other.path)).expect("compiled").len() > 16);
}

#[test]
fn bytecode_that_a_wheel_ships_is_its_own() {
    setting!(python, top);
    let env = Env::new(top.path().join("e"), &python);
    let shipped = format!("__pycache__/a.{}.pyc", python.fact("cache_tag").expect("fact"));
    env.install("pkg", &[("a.py", ""), (shipped.as_str(), "foreign")], "");
    let done = env.finish(&["pkg"]).expect("finished");
    assert_eq!(derived(&done), Vec::<String>::new());
    assert_eq!(fs::read_to_string(env.site.join(&shipped)).expect("kept"), "foreign");
    let record = fs::read_to_string(env.site.join("pkg-1.0.dist-info/RECORD")).expect("record");
    assert!(record.contains(&shipped), "{record}");
}

#[test]
fn marks_in_bundled_distributions_are_the_packages_own() {
    setting!(python, top);
    let env = Env::new(top.path().join("e"), &python);
    env.install("pkg", &[("pkg/_vendor/x-1.dist-info/INSTALLER", "uv")], "");
    env.finish(&["pkg"]).expect("finished");
    assert!(env.site.join("pkg/_vendor/x-1.dist-info/INSTALLER").exists());
}

#[test]
fn a_record_that_leaves_the_env_is_refused() {
    setting!(python, top);
    let env = Env::new(top.path().join("e"), &python);
    env.install("pkg", &[], "../../../../outside.txt,sha256=x,1\n");
    assert!(refusal(env.finish(&["pkg"])).contains("`../../../../outside.txt`"));
}

#[test]
fn an_artifact_cannot_replace_the_skeleton() {
    setting!(python, top);
    for (number, path) in ["pyvenv.cfg", "bin/activate", "bin/python"].into_iter().enumerate() {
        let env = Env::new(top.path().join(number.to_string()), &python);
        fs::remove_file(env.dir.join(path)).expect("there");
        env.install("pkg", &[(&format!("../../../{path}"), "mine")], "");
        let said = refusal(env.finish(&["pkg"]));
        assert!(said.contains(path) && said.contains("pkg 1.0"), "{said}");
    }
    let env = Env::new(top.path().join("entry"), &python);
    env.install("pkg", &[("scripts", "[console_scripts]\npython3 = pkg:main\n")], "");
    assert!(refusal(env.finish(&["pkg"])).contains("`bin/python3`"));
    let env = Env::new(top.path().join("slash"), &python);
    env.install("pkg", &[("scripts", "[gui_scripts]\n../x = pkg:main\n")], "");
    assert!(refusal(env.finish(&["pkg"])).contains("no file name"));
}

#[test]
fn links_out_of_the_env_and_pipes_are_refused() {
    setting!(python, top);
    for (number, target) in ["/etc/passwd", "../../../../x", "in/../../../../../../etc"].into_iter().enumerate() {
        let env = Env::new(top.path().join(number.to_string()), &python);
        symlink(target, env.site.join("link")).expect("link");
        assert!(refusal(env.finish(&[])).contains("link out of"), "{target}");
    }
    let env = Env::new(top.path().join("through"), &python);
    // Inside by name, outside in truth: `up` leads two directories up.
    symlink("..", env.site.join("up")).expect("link");
    symlink("up/../../../..", env.site.join("out")).expect("link");
    assert!(refusal(env.finish(&[])).contains("link out of"));
    let env = Env::new(top.path().join("inside"), &python);
    symlink("../..", env.site.join("link")).expect("link");
    env.finish(&[]).expect("a link inside is legal");
    let env = Env::new(top.path().join("pipe"), &python);
    nix::unistd::mkfifo(&env.site.join("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("pipe");
    assert!(refusal(env.finish(&[])).contains("neither a file"));
}

#[test]
fn bytes_that_no_record_says_are_an_error_and_oddities_are_noted() {
    setting!(python, top);
    let env = Env::new(top.path().join("e"), &python);
    env.install("a", &[("shared.py", "x = 1\n")], "gone.py,sha256=x,1\n");
    env.install("b", &[("shared.py", "x = 2\n")], "");
    env.put("stray.txt", "");
    let done = env.finish(&["a", "b"]).expect("finished");
    let site = python.fact("purelib").expect("fact");
    let wanted = [
        format!("`{site}/shared.py` is claimed by a 1.0 and b 1.0"),
        format!("`{site}/stray.txt` is in no RECORD"),
        format!("a 1.0: RECORD names `{site}/gone.py`, which is missing"),
    ];
    assert_eq!(notes(&done), wanted);
    assert!(done.distributions.iter().all(|dist| !dist.is_shareable), "strays may be anybody's");

    let env = Env::new(top.path().join("poisoned"), &python);
    env.install("a", &[("x.py", "x = 1\n")], "");
    env.put("x.py", "x = 2\n");
    let error = env.finish(&["a"]).expect_err("poisoned");
    assert!(matches!(error, Error::Installer { cause: InstallerCause::HashMismatch, .. }), "{error:?}");
    let done = env.finish_with(&["a"], Wrong::Noted).expect("noted");
    assert_eq!(notes(&done), [format!("`{site}/x.py` of a 1.0 has not the bytes its RECORD says")]);
}

#[test]
fn a_distribution_is_shareable_when_its_files_depend_on_no_other() {
    setting!(python, top);
    let env = Env::new(top.path().join("e"), &python);
    env.install("a", &[("scripts", ENTRY), ("same/__init__.py", "x\n"), ("pkg/main.py", MAIN)], "");
    env.install("b", &[("same/__init__.py", "x\n"), ("differs.py", "b\n")], "");
    env.install("c", &[("differs.py", "c\n")], "");
    let done = env.finish(&["a", "b", "c"]).expect("finished");
    let of = |name: &str| done.distributions.iter().find(|dist| dist.distribution.name == name).expect("is there");
    assert_eq!(["a", "b", "c"].map(|name| of(name).is_shareable), [true, false, false]);
    let (site, tag) = (python.fact("purelib").expect("fact"), python.fact("cache_tag").expect("fact"));
    let mut wanted = vec!["bin/tool".to_owned()];
    for name in [
        "a-1.0.dist-info/METADATA",
        "a-1.0.dist-info/RECORD",
        "a-1.0.dist-info/entry_points.txt",
        &format!("pkg/__pycache__/main.{tag}.pyc"),
        "pkg/main.py",
        &format!("same/__pycache__/__init__.{tag}.pyc"),
        "same/__init__.py",
    ] {
        wanted.push(format!("{site}/{name}"));
    }
    let mut found = of("a").paths.clone();
    found.retain(|path| !path.ends_with("/scripts"));
    wanted.sort();
    assert_eq!(found, wanted);
}

#[test]
fn an_interpreter_that_does_not_run_is_an_error() {
    setting!(python, top);
    let mut broken = python;
    broken.path = fs::canonicalize("/bin/false").expect("there");
    let env = Env::new(top.path().join("e"), &broken);
    let error = env.finish(&[]).expect_err("does not run");
    assert!(error.to_string().contains("does not run in the environment"), "{error}");
}

#[test]
fn activating_sets_and_leaving_restores() {
    setting!(python, top);
    let dir = top.path().canonicalize().expect("path").join("it's here");
    let env = Env::new(dir, &python);
    let script = format!(
        "PATH=/usr/bin:/bin; . '{}/bin/activate'; echo \"$VIRTUAL_ENV\"; command -v python; deactivate; \
         echo \"$PATH ${{VIRTUAL_ENV-none}}\"",
        shebang::single_quoted(&env.dir.display().to_string())
    );
    let wanted = format!("{0}\n{0}/bin/python\n/usr/bin:/bin none\n", env.dir.display());
    for shell in ["sh", "dash", "bash", "zsh", "ksh"] {
        let Ok(out) = Command::new(shell).args(["-u", "-c", &script]).output() else {
            eprintln!("SKIPPED: no {shell}");
            continue;
        };
        assert_eq!(String::from_utf8_lossy(&out.stdout), wanted, "{shell}: {out:?}");
    }
}
