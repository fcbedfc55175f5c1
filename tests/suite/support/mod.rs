//! A world for each test: its own home, store, wheels and configuration; the real binary, uv and interpreters.

mod copy;
mod index_server;
mod library;
mod mount;
mod nobody;
mod noting;
mod project;
#[path = "../../skip/mod.rs"]
mod skip;
mod wheel;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

pub use index_server::IndexServer;
pub use library::{library, spec};
pub use mount::{Image, Mount, Overlay};
pub use nobody::{NOBODY, as_nobody, can_start_python, nobody, nobodys_command, nobodys_world, shared_world};
pub use noting::NotingUv;
pub use project::project;
use serde_json::Value;
pub use skip::skipped;
pub use wheel::Wheel;

/// The binary under test.
pub const ENVSTORE: &str = env!("CARGO_BIN_EXE_envstore");

/// What installs.
pub const INSTALLERS: [&str; 2] = ["uv", "pip"];

/// A world of its own, gone with the test.
pub struct World {
    dir: tempfile::TempDir,
    python: PathBuf,
    /// What stands for the kernel's boot id, once the world was rebooted.
    boot: Option<PathBuf>,
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl World {
    /// A world with an empty wheel directory, offline, whose default interpreter is the newest found.
    pub fn new() -> Self {
        let python = interpreters().first().expect("the tests need a Python 3.8 or newer").path.clone();
        Self::with_python(&python)
    }

    /// The same with another default interpreter.
    pub fn with_python(python: &Path) -> Self {
        let dir = tempfile::Builder::new().prefix("envstore-test-").tempdir().expect("a temporary directory");
        for name in ["home", "wheels", "packs"] {
            fs::create_dir(dir.path().join(name)).expect("a directory");
        }
        let world = Self { dir, python: python.to_owned(), boot: None };
        world.configure("");
        world
    }

    /// The same world with another default interpreter.
    pub fn with_default(mut self, python: &Path) -> Self {
        python.clone_into(&mut self.python);
        self.configure("");
        self
    }

    /// Writes the configuration: offline, wheels from this world's directory, and `more` (TOML) behind it.
    pub fn configure(&self, more: &str) {
        // Whatever is free here, nothing is collected by itself.
        let calm = if more.contains("[gc]") { "" } else { "[gc]\nmin_free = \"0\"\n" };
        let text = format!(
            "[install]\noffline = true\nfind_links = [{:?}]\n{calm}[python]\ndefault = {:?}\n{more}",
            self.wheels(),
            self.python
        );
        fs::write(self.config(), text).expect("the configuration is written");
    }

    /// Adds a line to the `[install]` table of the configuration.
    pub fn install_setting(&self, line: &str) {
        let text = fs::read_to_string(self.config()).expect("a configuration");
        fs::write(self.config(), text.replace("[install]\n", &format!("[install]\n{line}\n"))).expect("writes");
    }

    /// Writes a configuration of the test's own: this world's interpreter, and these texts for `[install]` and beyond.
    pub fn configure_install(&self, install: &str, more: &str) {
        let text = format!("[install]\n{install}\n[python]\ndefault = {:?}\n{more}", self.python);
        fs::write(self.config(), text).expect("the configuration is written");
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    pub fn wheels(&self) -> PathBuf {
        self.dir.path().join("wheels")
    }

    pub fn packs(&self) -> PathBuf {
        self.dir.path().join("packs")
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("config.toml")
    }

    pub fn python(&self) -> &Path {
        &self.python
    }

    /// The minor version of its default interpreter.
    pub fn minor(&self) -> u32 {
        ask(&self.python).expect("it answered before").minor
    }

    /// Makes a wheel that locking finds.
    pub fn wheel(&self, wheel: &Wheel) -> PathBuf {
        wheel.write(&self.wheels())
    }

    /// Writes a pack's `requirements.txt`.
    pub fn pack(&self, name: &str, requirements: impl AsRef<[u8]>) -> PathBuf {
        let dir = self.packs().join(name);
        fs::create_dir_all(&dir).expect("a directory");
        fs::write(dir.join("requirements.txt"), requirements).expect("requirements are written");
        dir
    }

    /// A command in this world: a clean environment, this world's store and configuration.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = match &self.boot {
            None => Command::new(ENVSTORE),
            Some(boot) => under_another_boot(boot),
        };
        command
            .env_clear()
            .env("HOME", self.path().join("home"))
            .env("PATH", format!("{}:/usr/bin:/bin", uv_dir().display()))
            .env("ENVSTORE_STORE", self.store())
            .env("ENVSTORE_CONFIG", self.config())
            .current_dir(self.path())
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// From now on commands find themselves in another boot of the kernel, as after a power cut. Needs root.
    pub fn reboot(&mut self) {
        let boot = self.path().join("boot_id");
        let id = format!("00000000-0000-4000-8000-{:012x}\n", self.path().as_os_str().len());
        fs::write(&boot, id).expect("a boot id");
        self.boot = Some(boot);
    }

    /// The same boot as that of the machine again.
    pub fn reboot_undone(&mut self) {
        self.boot = None;
    }

    /// Loses the index, as a backup without it does. The next command makes it again.
    pub fn lose_index(&self) {
        for file in ["index.db", "index.db-wal", "index.db-shm"] {
            std::fs::remove_file(self.store().join(file)).expect("removes");
        }
    }

    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        ran(self.command(args).output().expect("envstore starts"))
    }

    /// Runs a command under a resource limit, given as an option of prlimit(1).
    pub fn run_limited<S: AsRef<OsStr>>(&self, limit: &str, args: impl IntoIterator<Item = S>) -> Ran {
        let plain = self.command(args);
        let mut command = Command::new("prlimit");
        command.arg(limit).arg(plain.get_program()).args(plain.get_args()).env_clear();
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        ran(command.current_dir(self.path()).output().expect("prlimit starts"))
    }

    /// Runs a command that must succeed and returns its standard output without the last newline.
    #[track_caller]
    pub fn ok<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let ran = self.run(args);
        assert!(ran.code == 0, "exit {}\n{}\n{}", ran.code, ran.stderr, ran.stdout);
        ran.stdout.trim_end_matches('\n').to_owned()
    }

    /// Runs a command with `--format json` and returns its one object, whatever the exit code.
    #[track_caller]
    pub fn json<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Value {
        let ran = ran(self.command(["--format", "json"]).args(args).output().expect("envstore starts"));
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("not one JSON object: {error}\n{ran:#?}"))
    }

    /// Runs Python code in a pack's environment and returns its output.
    #[track_caller]
    pub fn python_in(&self, pack: &str, code: &str) -> String {
        self.ok(["exec", pack, "--", "python", "-c", code])
    }

    /// The names under a directory of the store, sorted.
    pub fn listed(&self, dir: &str) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.store().join(dir))
            .map(|entries| entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
            .unwrap_or_default();
        names.sort();
        names
    }
}

/// The binary in a mount namespace of its own, in which the kernel names another boot.
fn under_another_boot(boot: &Path) -> Command {
    let mut command = Command::new("/usr/bin/unshare");
    let script = "mount --bind \"$0\" /proc/sys/kernel/random/boot_id && exec \"$@\"";
    command.args(["--mount", "/bin/sh", "-c", script]).arg(boot).arg(ENVSTORE);
    command
}

pub fn ran(output: Output) -> Ran {
    use std::os::unix::process::ExitStatusExt;
    Ran {
        code: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// An interpreter on this machine.
#[derive(Debug, Clone)]
pub struct Python {
    pub path: PathBuf,
    pub minor: u32,
}

/// The interpreters the binary finds here, 3.11 first (the version most packs were written for), then newest first.
pub fn interpreters() -> &'static [Python] {
    static FOUND: OnceLock<Vec<Python>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut candidates: Vec<PathBuf> = Vec::new();
        let pyenv = std::env::var_os("PYENV_ROOT")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv")));
        let versions = pyenv.and_then(|root| fs::read_dir(root.join("versions")).ok());
        candidates.extend(versions.into_iter().flatten().flatten().map(|entry| entry.path().join("bin/python3")));
        candidates.extend(["/usr/local/bin/python3", "/usr/bin/python3"].map(PathBuf::from));
        let mut found: Vec<Python> = candidates.iter().filter_map(|path| ask(path)).collect();
        found.sort_by_key(|python| (python.minor != 11, std::cmp::Reverse(python.minor)));
        found.dedup_by_key(|python| python.minor);
        found
    })
}

/// Asks an executable whether it is a Python 3.8 or newer, and where it really stands.
pub fn ask(path: &Path) -> Option<Python> {
    let code = "import sys, os; print(sys.version_info[1], os.path.realpath(sys.executable)) if sys.version_info >= (3, 8) else None";
    let output = Command::new(path).args(["-I", "-c", code]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (minor, path) = text.trim().split_once(' ')?;
    Some(Python { path: path.into(), minor: minor.parse().ok()? })
}

/// The interpreter of a minor version, or a loud word that it is missing.
pub fn python_minor(minor: u32) -> Option<PathBuf> {
    let found = interpreters().iter().find(|python| python.minor == minor).map(|python| python.path.clone());
    if found.is_none() {
        skipped(&format!("needs Python 3.{minor}"));
    }
    found
}

/// The directory of a uv that envstore accepts: from `PATH`, else the one that envstore fetches for itself, once.
pub fn uv_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let store = Path::new(env!("CARGO_TARGET_TMPDIR")).join("uv-store");
        let fetched = fs::read_dir(store.join("tools"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .find(|dir| dir.join("uv").is_file());
        if let Some(dir) = fetched {
            return dir;
        }
        // The smallest thing that needs an installer; with uv on `PATH` nothing is fetched.
        let made = Command::new(ENVSTORE)
            .args([
                "--store".as_ref(),
                store.as_os_str(),
                "ensure".as_ref(),
                "uv".as_ref(),
                "--with".as_ref(),
                "six".as_ref(),
            ])
            .output()
            .expect("envstore starts");
        let fetched =
            fs::read_dir(store.join("tools")).into_iter().flatten().flatten().map(|entry| entry.path()).next();
        fetched.or_else(on_path).unwrap_or_else(|| {
            panic!("the tests need uv, on PATH or from the package index: {}", String::from_utf8_lossy(&made.stderr))
        })
    })
}

fn on_path() -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).find(|dir| dir.join("uv").is_file())
}

/// Runs git in a directory and returns what it prints; a loud word if there is no git.
pub fn git(dir: &Path, arguments: &[&str]) -> Option<String> {
    let settings = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "safe.directory=*"];
    let output = Command::new("git").args(settings).args(arguments).current_dir(dir).output();
    let Ok(output) = output else {
        skipped("needs git");
        return None;
    };
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
