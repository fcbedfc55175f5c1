//! What an installer and the build backends it starts see of us, and what becomes of them when we are killed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{INSTALLERS, World, project};

/// A world and a project whose backend tells what it sees, a line each time it is loaded.
fn world(installer: &str) -> (World, PathBuf) {
    let world = World::new();
    world.install_setting(&format!("installer = {installer:?}"));
    let dir = world.path().join("local");
    project(&dir, "1.0");
    let backend = fs::read_to_string(dir.join("backend.py")).expect("the backend");
    let spy = SPY
        .replace("REPORT", &format!("{:?}", report(&world).display().to_string()))
        .replace("STORE", &format!("{:?}", world.store().display().to_string()))
        .replace("BLOCK", &format!("{:?}", world.path().join("block").display().to_string()));
    fs::write(dir.join("backend.py"), spy + &backend).expect("writes");
    (world, dir)
}

fn report(world: &World) -> PathBuf {
    world.path().join("report.jsonl")
}

const SPY: &str = r#"
def spy():
    import glob, json, os, time
    def mode(path):
        return oct(os.stat(path).st_mode & 0o7777)
    mask = os.umask(0o022)
    os.umask(mask)
    fds = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            fds[fd] = os.readlink("/proc/self/fd/" + fd)
        except OSError:
            pass  # the one that lists
    tmp = os.path.realpath(os.environ["TMPDIR"])
    seen = {
        "environ": dict(os.environ), "fds": fds, "umask": mask, "group": os.getpgid(0), "pid": os.getpid(), "parent": os.getppid(),
        "nice": os.nice(0), "private": [mode(path) for path in glob.glob(STORE + "/envs/*")] + [mode(tmp), mode(os.path.dirname(tmp))],
    }
    with open(REPORT, "a") as file:
        file.write(json.dumps(seen) + "\n")
    while os.path.exists(BLOCK):
        time.sleep(0.01)
spy()
"#;

fn seen(world: &World) -> Vec<Value> {
    let text = fs::read_to_string(report(world)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn a_build_sees_nothing_of_its_caller() {
    for installer in INSTALLERS {
        let (world, dir) = world(installer);
        let inner = world.command(["ensure", "pack", "--with", &dir.display().to_string()]);
        // A caller with a loose umask, open descriptors, a standard input and variables of its own.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "umask 0; exec 7</etc/passwd 9>\"$0.left-open\"; exec \"$@\""]).arg(world.path().join("x"));
        command.arg(inner.get_program()).args(inner.get_args()).env_clear();
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        for name in ["AWS_SECRET_ACCESS_KEY", "PIP_INDEX_URL", "UV_INDEX_URL", "PYTHONPATH", "CFLAGS", "SSH_AUTH_SOCK"]
        {
            command.env(name, "/of-the-caller");
        }
        let input = fs::File::open("/etc/passwd").expect("a file");
        let output = command.current_dir(world.path()).stdin(Stdio::from(input)).output().expect("starts");
        assert!(output.status.success(), "{installer}: {output:?}");
        let all = seen(&world);
        assert!(!all.is_empty(), "{installer}: the backend ran");
        for seen in all {
            let environ = seen["environ"].to_string();
            assert!(!environ.contains("of-the-caller") && !environ.contains("ENVSTORE"), "{installer}: {environ}");
            for (fd, target) in seen["fds"].as_object().expect("descriptors") {
                let target = target.as_str().expect("a target");
                let is_ours = target.ends_with("/.lease") || target.starts_with("/proc/");
                let is_standard = ["0", "1", "2"].contains(&fd.as_str());
                assert!(
                    is_standard || is_ours || target.starts_with("pipe:"),
                    "{installer}: descriptor {fd} is {target}"
                );
                assert!(!target.contains("passwd") && !target.contains("left-open"), "{installer}: {fd} is {target}");
            }
            assert_eq!(seen["umask"], 0o022, "{installer}");
            assert_eq!(seen["nice"], 10, "{installer}");
            let private = seen["private"].as_array().expect("modes");
            assert!(private.iter().all(|mode| mode == "0o700"), "{installer}: {private:?}");
        }
        let python = world.ok(["resolve", "pack"]);
        let env = Path::new(&python).ancestors().nth(2).expect("the environment");
        assert_eq!(fs::metadata(env).expect("stat").permissions().mode() & 0o7777, 0o755, "open when published");
    }
}

fn is_alive(pid: u64) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z") && !stat.contains(") X"))
}

/// Waits until something holds, which it must before long.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn an_installer_dies_with_us_and_the_next_build_goes_on() {
    for installer in INSTALLERS {
        let (world, dir) = world(installer);
        fs::write(world.path().join("block"), "").expect("writes");
        let with = dir.display().to_string();
        let mut command = world.command(["ensure", "pack", "--with", &with]);
        let mut builder = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
        until("the backend starts", || !seen(&world).is_empty());
        let told = seen(&world).remove(0);
        let [pid, parent, group] = ["pid", "parent", "group"].map(|name| told[name].as_u64().expect("a number"));
        assert_ne!(group, u64::from(builder.id()), "{installer}: a group of its own");
        assert!(is_alive(parent) && parent != u64::from(builder.id()), "{installer}");
        builder.kill().expect("kills");
        builder.wait().expect("waits");
        until("the installer dies with us", || !is_alive(parent));
        // What the installer had started nobody waits for any more; it ends by itself, or its machine's owner ends it.
        fs::remove_file(world.path().join("block")).expect("removes");
        until("the backend ends", || !is_alive(pid));
        world.ok(["ensure", "pack", "--with", &with]);
        assert_eq!(world.python_in("pack", "import local; print(local.version)"), "1.0", "{installer}");
        world.ok(["gc", "--idle", "0s"]);
        assert!(world.listed("staging").is_empty() && world.listed("trash").is_empty(), "{installer}");
    }
}
