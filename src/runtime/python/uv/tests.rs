use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::*;
use crate::cancel::Cancel;
use crate::error::{Error, Kind};
use crate::interpreter::{FileStamp, Interpreter, InterpreterIdentity};
use crate::lock::Locked;
use crate::process::Log;
use crate::runtime::python::tool;
use crate::settings::{CredentialSource, Index, Settings};
use crate::spec::RuntimeKind;

mod real;

const PYLOCK: &str = r#"
lock-version = "1.0"
created-by = "uv"
[[packages]]
name = "six"
version = "1.17.0"
wheels = [{ url = "https://me:tok@files.example/six-1.17.0-py2.py3-none-any.whl?sig=1", hashes = { sha256 = "4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274" } }]
"#;

/// A job's surroundings in a directory of their own.
struct Place {
    dir: tempfile::TempDir,
    settings: Settings,
    preferred: Vec<String>,
    interpreter: Interpreter,
    log: Log,
    cancel: Cancel,
}

impl Place {
    fn new(interpreter: Interpreter) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["scratch", "cache", "tools"] {
            fs::create_dir(dir.path().join(name)).expect("creates");
        }
        let mut settings = Settings::default();
        settings.install.path = vec!["/usr/bin".into(), "/bin".into()];
        let log = Log::create(&dir.path().join("log")).expect("creates");
        Self { dir, settings, preferred: Vec::new(), interpreter, log, cancel: Cancel::new() }
    }

    fn with<T>(&self, work: impl FnOnce(&Job<'_>) -> T) -> T {
        let path = |name| self.dir.path().join(name);
        let hour = std::time::Duration::from_secs(3600);
        work(&Job {
            limits: crate::process::Limits::starting_now(hour, hour),
            settings: &self.settings,
            interpreter: &self.interpreter,
            scratch: &path("scratch"),
            cache: &path("cache"),
            tools: &path("tools"),
            log: &self.log,
            cancel: &self.cancel,
            lease: None,
            progress: &|_| {},
            derived: &crate::store::runtime::NoDerivedFiles,
            preferences: &[],
        })
    }

    /// A uv that is a script. It notes its arguments and environment in `seen`.
    fn fake_uv(&self, script: &str) -> Tool {
        let path = self.dir.path().join("uv");
        let seen = self.dir.path().join("seen");
        let text = format!("#!/bin/sh\n{{ echo \"ARGS $*\"; env; }} >> {}\n{script}\n", seen.display());
        let draft = self.dir.path().join("uv.draft");
        fs::write(&draft, text).expect("writes");
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).expect("chmod");
        // Copied by another process: what this one has open for writing, another test's fork may hold open.
        let copied = Command::new("cp").args([&draft, &path]).status().expect("runs");
        assert!(copied.success());
        Tool { path, version: "0.13.9".into() }
    }

    fn seen(&self) -> String {
        fs::read_to_string(self.dir.path().join("seen")).expect("uv ran")
    }

    fn lock(&self, tool: &Tool, spec: &Spec) -> Result<Lock> {
        let may_build = MayBuild::of(&self.settings.install.allow_source);
        self.with(|job| {
            lock(job, tool, spec, &prefer::pins(&self.preferred), &may_build, &rank).map(|answer| answer.lock)
        })
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(300)
}

/// Enough of a rank for the packages here: uv lists only what fits.
fn rank(file: &str) -> Option<u32> {
    Some(if file.contains("none-any") {
        1
    } else if file.contains("abi3") {
        2
    } else {
        3
    })
}

fn no_interpreter() -> Interpreter {
    Interpreter {
        identity: InterpreterIdentity {
            runtime: RuntimeKind::Python,
            implementation: "cpython".into(),
            version: "3.11.7".into(),
            abi: String::new(),
            platform: String::new(),
            machine: "x86_64".into(),
            libc: "glibc 2.36".into(),
            build_id: String::new(),
        },
        path: PathBuf::from("/opt/python/bin/python3.11"),
        stamp: FileStamp { inode: 0, size: 0, mtime_ns: 0 },
        facts: BTreeMap::new(),
    }
}

fn spec(requirements: &[&str]) -> Spec {
    let requirement = |text: &&str| Requirement { canonical: (*text).into(), install: None };
    Spec { requirements: requirements.iter().map(requirement).collect(), ..Spec::empty(RuntimeKind::Python) }
}

fn heredoc(text: &str) -> String {
    format!("cat <<'END'\n{text}\nEND")
}

#[test]
fn secrets_reach_uv_by_its_environment_only() {
    let mut place = Place::new(no_interpreter());
    let secret = place.dir.path().join("secret");
    fs::write(&secret, "t0ken\n").expect("writes");
    let index = |name: &str, default| Index {
        name: name.into(),
        url: format!("https://{name}.example/simple/"),
        default,
        credentials: Some(CredentialSource::File { path: secret.clone(), username: Some("me".into()) }),
    };
    place.settings.indexes = vec![index("corp-x", true), index("other", false)];
    place.settings.install.find_links = vec!["/srv/a,b".into()];
    place.settings.lock.minimum = vec!["urllib3>=2".into()];
    let tool = place.fake_uv(&format!("echo 'using t0ken' >&2\n{}", heredoc(PYLOCK)));
    let spec = Spec { options: vec!["--pre".into()], seed: vec!["setuptools<82".into()], ..spec(&["six"]) };
    let lock = place.lock(&tool, &spec).expect("locks");

    let seen = place.seen();
    let arguments = seen.lines().find(|line| line.starts_with("ARGS")).expect("noted");
    assert!(!arguments.contains("t0ken") && !arguments.contains("example"), "{arguments}");
    for expected in ["--prerelease=allow", "--no-config", "--system-certs", "--python /opt/python/bin/python3.11"] {
        assert!(arguments.contains(expected), "{expected}: {arguments}");
    }
    for line in [
        "UV_DEFAULT_INDEX=corp-x-0=https://corp-x.example/simple/",
        "UV_INDEX=other-1=https://other.example/simple/",
        "UV_INDEX_CORP_X_0_USERNAME=me",
        "UV_INDEX_CORP_X_0_PASSWORD=t0ken",
        "UV_INDEX_OTHER_1_PASSWORD=t0ken",
        "UV_FIND_LINKS=file:///srv/a%2Cb",
        "PATH=/usr/bin:/bin",
    ] {
        assert!(seen.lines().any(|seen| seen == line), "{line}: {seen}");
    }
    let log = fs::read_to_string(place.dir.path().join("log")).expect("reads");
    assert!(log.contains("using ****") && !log.contains("t0ken"), "{log}");
    let scratch = |name| fs::read_to_string(place.dir.path().join("scratch").join(name)).expect("reads");
    assert_eq!(scratch("requirements.in"), "six\nsetuptools<82\n");
    assert_eq!(scratch("constraints.in"), "urllib3>=2\n");
    let Artifact::Wheel { url, .. } = &lock.packages[0].artifact else { panic!("{lock:?}") };
    assert_eq!(url, "https://files.example/six-1.17.0-py2.py3-none-any.whl");
}

#[test]
fn the_environment_is_clean() {
    let place = Place::new(no_interpreter());
    let tool = place.fake_uv(&heredoc(PYLOCK));
    place.lock(&tool, &spec(&["six"])).expect("locks");
    // What the shell itself adds counts for nothing.
    let known = [
        "PATH",
        "TMPDIR",
        "LANG",
        "LC_ALL",
        "UV_CONCURRENT_INSTALLS",
        "UV_PYTHON_DOWNLOADS",
        "UV_KEYRING_PROVIDER",
        "GIT_TERMINAL_PROMPT",
        "PWD",
        "SHLVL",
        "_",
        "OLDPWD",
    ];
    let hosts = ["HOME", "NETRC", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"];
    for line in place.seen().lines().filter(|line| !line.starts_with("ARGS")) {
        let name = line.split('=').next().unwrap_or_default();
        let is_proxy = name.to_ascii_lowercase().ends_with("_proxy");
        assert!(known.contains(&name) || hosts.contains(&name) || is_proxy, "{line}");
    }
}

#[test]
fn refused_credentials_are_asked_for_once_more() {
    let mut place = Place::new(no_interpreter());
    let count = place.dir.path().join("count");
    let argv = vec!["/bin/sh".into(), "-c".into(), format!("echo x >> {0}; wc -l < {0}", count.display())];
    let credentials = CredentialSource::Command { argv, username: None, ttl: Some(Duration::from_secs(3600)) };
    let url = "https://corp.example/simple/".into();
    place.settings.indexes = vec![Index { name: "corp".into(), url, default: true, credentials: Some(credentials) }];
    let refusal = include_str!("../classify/outputs/unauthorized.txt");
    let refuse = format!(
        "{} >&2; exit 1",
        heredoc(refusal).replace("<<'END'", "<<'END' >&2").replace("\nEND", "\nEND\nexit 1\n:")
    );
    let tool =
        place.fake_uv(&format!("if [ \"$UV_INDEX_CORP_0_PASSWORD\" = 1 ]; then\n{refuse}\nfi\n{}", heredoc(PYLOCK)));
    place.lock(&tool, &spec(&["six"])).expect("the second login is taken");
    assert_eq!(place.seen().matches("ARGS").count(), 2);

    let tool = place.fake_uv(&refuse);
    let error = place.lock(&tool, &spec(&["six"])).expect_err("never let in");
    assert_eq!((error.kind(), place.seen().matches("ARGS").count()), (Kind::Credentials, 4));
}

#[test]
fn failures_bear_phase_cause_tail_and_log() {
    let place = Place::new(no_interpreter());
    let tool = place.fake_uv("echo 'error: No solution found when resolving dependencies' >&2; exit 1");
    let error = place.lock(&tool, &spec(&["six"])).expect_err("fails");
    let Error::Installer { phase: Phase::Lock, cause: InstallerCause::NoSolution, tail, log, .. } = error else {
        panic!("{error:?}")
    };
    assert!(tail.last().is_some_and(|line| line.starts_with("error: No solution")), "{tail:?}");
    assert_eq!(log, Some(place.dir.path().join("log")));
    for (script, said) in
        [("exit 7", "without a word"), ("echo nonsense", "answered no lock"), ("kill -9 $$", "signal: 9")]
    {
        let error = place.lock(&place.fake_uv(script), &spec(&["six"])).expect_err("fails");
        assert_eq!(error.kind(), Kind::Installer);
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn nothing_to_do_starts_nothing() {
    let place = Place::new(no_interpreter());
    let tool = place.fake_uv("exit 1");
    assert_eq!(place.lock(&tool, &spec(&[])).expect("locks"), Lock::default());
    place.with(|job| install(job, &tool, &Lock::default(), Path::new("/nonexistent"), soon())).expect("installs");
    assert!(!place.dir.path().join("seen").exists());
    let odd = Requirement { canonical: "six\n--index-url https://x".into(), install: None };
    let spec = Spec { requirements: vec![odd], ..spec(&[]) };
    assert_eq!(place.lock(&tool, &spec).expect_err("two lines").kind(), Kind::InvalidSpec);
}

#[test]
fn digests_are_required_where_all_are_files_and_directories_are_copied() {
    let place = Place::new(no_interpreter());
    let tool = place.fake_uv("cp pylock.env.toml last");
    let url = "https://h/six-1.0-py3-none-any.whl".into();
    let wheel = Artifact::Wheel { file: "six-1.0-py3-none-any.whl".into(), url, sha256: "a".repeat(64) };
    let locked = |name: &str, artifact| Locked { name: name.into(), version: "1.0".into(), artifact, index: None };
    let go = |lock: &Lock| place.with(|job| install(job, &tool, lock, Path::new("/env"), soon()));
    go(&Lock::new(vec![locked("six", wheel.clone())])).expect("installs");
    assert!(place.seen().contains("--require-hashes") && place.seen().contains("--python /env/bin/python"));

    fs::remove_file(place.dir.path().join("seen")).expect("removes");
    let project = place.dir.path().join("project");
    fs::create_dir(&project).expect("creates");
    fs::write(project.join("setup.py"), "x").expect("writes");
    let path = project.to_str().expect("UTF-8").to_owned();
    let digest = source_dir::digest(&project).expect("digests");
    let lock = Lock::new(vec![locked("six", wheel), locked("p", Artifact::Directory { path, digest })]);
    go(&lock).expect("installs");
    assert!(!place.seen().contains("--require-hashes"));
    let last = fs::read_to_string(place.dir.path().join("scratch/last")).expect("reads");
    assert!(!last.contains("/project\"") && last.contains("/scratch/source-0"), "{last}");

    fs::remove_dir_all(place.dir.path().join("scratch/source-0")).expect("removes");
    fs::write(project.join("setup.py"), "y").expect("writes");
    assert_eq!(go(&lock).expect_err("has changed").kind(), Kind::HashMismatch);
}
