//! The peers, installed for this, and how each makes an environment of pinned requirements.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::turns::run;

/// Who makes environments. The names stand in the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Envstore,
    Uv,
    Pip,
    Pex,
}

impl Peer {
    pub const ALL: [Self; 4] = [Self::Envstore, Self::Uv, Self::Pip, Self::Pex];

    pub fn name(self) -> &'static str {
        match self {
            Self::Envstore => "envstore",
            Self::Uv => "uv venv + uv pip sync",
            Self::Pip => "python -m venv + pip install",
            Self::Pex => "pex --venv",
        }
    }
}

/// Where the peers are, and where they may write.
#[derive(Debug)]
pub struct Tools {
    pub dir: PathBuf,
    pub python: PathBuf,
    pub versions: Vec<String>,
    bin: PathBuf,
}

/// Writes a program in one piece, so that the kernel keeps it in large folios. As a linker or an unpacker writes it, in pieces, a start maps it page
/// by page: 0.3 to 0.6 ms more for one of 13 MB.
fn write_whole(from: &Path, to: &Path) {
    let program = fs::read(from).expect("reads");
    let written = to.with_extension("new");
    fs::write(&written, program).expect("writes");
    fs::set_permissions(&written, fs::Permissions::from_mode(0o755)).expect("sets the mode");
    fs::rename(&written, to).expect("renames");
}

impl Tools {
    /// Installs the peers into a virtual environment of their own, unless they are there.
    pub fn install(dir: &Path) -> Self {
        let python = std::env::var_os("ENVSTORE_BENCH_PYTHON").unwrap_or_else(|| "python3".into());
        let real = said(Command::new(&python).args(["-c", "import os, sys; print(os.path.realpath(sys.executable))"]));
        let tools = dir.join("tools");
        if !tools.join("bin/pex").exists() {
            run(Command::new(&real).args(["-m", "venv"]).arg(&tools));
            run(Command::new(tools.join("bin/pip")).args(["install", "-q", "uv", "pex"]));
        }
        write_whole(Path::new(env!("CARGO_BIN_EXE_envstore")), &tools.join("bin/envstore"));
        write_whole(&tools.join("bin/uv"), &tools.join("bin/uv"));
        let mut found = Self { dir: dir.to_owned(), python: real.into(), versions: Vec::new(), bin: tools.join("bin") };
        found.versions = vec![
            said(Command::new(found.bin.join("envstore")).arg("--version")),
            said(Command::new(found.bin.join("uv")).arg("--version")),
            format!("pip {}", said(&mut found.base("-c", "import pip; print(pip.__version__)"))),
            format!("pex {}", said(Command::new(found.bin.join("pex")).arg("--version"))),
            said(&mut found.base("-c", "import platform as p; print(p.python_implementation(), p.python_version())")),
        ];
        found
    }

    fn base(&self, first: &str, second: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.args([first, second]);
        command
    }

    /// A clean directory below the scratch one.
    pub fn scratch(&self, name: &str) -> PathBuf {
        let dir = self.dir.join(name);
        discard(&dir);
        fs::create_dir_all(&dir).expect("creates");
        dir
    }

    /// `envstore` on the store of a home, which has a configuration of its own and uses the same uv.
    pub fn envstore(&self, home: &Path, args: &[&str]) -> Command {
        let config = home.join("config.toml");
        if !config.exists() {
            fs::write(&config, format!("[python]\ndefault = {:?}\n", self.python)).expect("writes");
        }
        let mut command = Command::new(self.bin.join("envstore"));
        let path = std::env::join_paths([self.bin.as_path(), Path::new("/usr/bin"), Path::new("/bin")]);
        command.env("PATH", path.expect("a PATH")).arg("--store").arg(home.join("store"));
        command.arg("--config").arg(config).args(args);
        command
    }

    /// `uv` with the cache of a home.
    pub fn uv(&self, home: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(self.bin.join("uv"));
        command.args(["--no-config", "--system-certs", "-q", "--cache-dir"]).arg(home.join("cache")).args(args);
        command
    }

    /// `pex` with the cache of a home.
    pub fn pex(&self, home: &Path) -> Command {
        let mut command = Command::new(self.bin.join("pex"));
        command.arg("--pex-root").arg(home.join("cache")).arg("--python").arg(&self.python);
        // Or what it makes looks for an interpreter on `PATH`, and finds whatever stands there.
        command.arg("--python-shebang").arg(&self.python);
        command
    }

    /// Pins a requirements file, of wheels alone, with a cache of its own. Whether that is possible.
    pub fn try_lock(&self, declared: &Path, locked: &Path) -> bool {
        let home = self.dir.join("locking");
        let mut compile = self.uv(&home, &["pip", "compile", "--only-binary", ":all:", "--no-header", "--python"]);
        compile.arg(&self.python).arg(declared).arg("-o").arg(locked);
        compile.output().is_ok_and(|done| done.status.success())
    }

    /// Pins a requirements file that can be pinned.
    pub fn lock(&self, declared: &Path, locked: &Path) {
        assert!(self.try_lock(declared, locked), "{} cannot be locked", declared.display());
    }

    /// What makes the environment `name` of a requirements file, in order.
    pub fn make(&self, peer: Peer, home: &Path, name: &str, requirements: &Path) -> Vec<Command> {
        let venv = home.join(name);
        match peer {
            Peer::Envstore => {
                let mut ensure = self.envstore(home, &["ensure", name, "-r"]);
                ensure.arg(requirements);
                vec![ensure]
            }
            Peer::Uv => {
                let mut create = self.uv(home, &["venv", "--python"]);
                create.arg(&self.python).arg(&venv);
                let mut sync = self.uv(home, &["pip", "sync", "--compile-bytecode", "--python"]);
                sync.arg(&venv).arg(requirements);
                vec![create, sync]
            }
            Peer::Pip => {
                let mut create = Command::new(&self.python);
                create.args(["-m", "venv"]).arg(&venv);
                let mut install = Command::new(venv.join("bin/pip"));
                install.args(["install", "-q", "--disable-pip-version-check", "--cache-dir"]).arg(home.join("cache"));
                install.arg("-r").arg(requirements);
                vec![create, install]
            }
            Peer::Pex => {
                let file = home.join(format!("{name}.pex"));
                let mut build = self.pex(home);
                build.arg("--venv").arg("-r").arg(requirements).arg("-o").arg(&file);
                // It makes its virtual environment when it is first run.
                let mut first = Command::new(&file);
                first.env("PEX_ROOT", home.join("cache")).args(["-c", "pass"]);
                vec![build, first]
            }
        }
    }
}

/// What a command prints, without the line's end.
pub fn said(command: &mut Command) -> String {
    let done = command.output().expect("starts");
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

/// Removes a directory, also one with a store in it.
pub fn discard(dir: &Path) {
    if dir.exists() {
        run(Command::new("chmod").args(["-R", "u+w"]).arg(dir));
        fs::remove_dir_all(dir).expect("removes");
    }
}
