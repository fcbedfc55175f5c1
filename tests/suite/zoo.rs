//! F12: every way in which a process of an action can go on living, each with its environment removed from under it. Collection takes
//! nothing while any of them lives, and everything once none does.
//!
//! A process is kept by its lease, which it inherits, or, where its parent closed that for it (Python's and Java's ways to
//! start a child), by what it shows in `/proc`: its command, or the variable `ENVSTORE_ENV`. Who shows neither is not protected; the
//! last tests say so.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc::{F_UNLCK, F_WRLCK, flock};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Wheel, World, can_start_python, nobody, ran, shared_world, skipped};

/// What a process of an action does to become the kind it is called; then it stays, until it is told to import a module it has not
/// needed so far.
const STAY: &str = r#"
import multiprocessing, os, signal, subprocess, sys, threading, time

def stay():
    with open(here + "/pid.new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(here + "/pid.new", here + "/pid")
    end = time.monotonic() + 300
    while not os.path.exists(here + "/go"):
        if time.monotonic() > end:
            os._exit(1)
        time.sleep(0.01)
    try:
        import alpha.late
        told = alpha.late.value
    except Exception as error:
        told = repr(error)
    with open(here + "/told.new", "w") as file:
        file.write(told)
    os.rename(here + "/told.new", here + "/told")

def leave():
    while not os.path.exists(here + "/pid"):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)

def itself():
    stay()

def forked():
    leave() if os.fork() else stay()

def daemon():
    if os.fork():
        leave()
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    stay()

def closed():
    os.closerange(3, 65536)
    stay()

def closed_daemon():
    if os.fork():
        leave()
    os.setsid()
    os.chdir("/")
    os.closerange(0, 65536)
    stay()

def start(**how):
    subprocess.Popen([sys.executable, __file__, "itself", here], **how)

def inheriting():
    start(close_fds=False)
    leave()

def threaded():
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    leave()

def shell():
    subprocess.Popen(["/bin/sh", "-c", "python " + __file__ + " itself " + here + " & :"], close_fds=False)
    leave()

def multi(method):
    multiprocessing.get_context(method).Process(target=stay).start()
    leave()

def spawn():
    multi("spawn")

def forkserver():
    multi("forkserver")

def fork():
    multi("fork")

def stranger():
    # Nothing of its environment but a path that somebody told it.
    path = sys.stdin.readline().strip()
    sys.path.insert(0, path)
    stay()

mode, here = sys.argv[1:3]
if __name__ == "__main__":
    globals()[mode]()
"#;

/// What shows that an environment is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Lease,
    Signs,
    Nothing,
}

/// A pack, and the place where its action and this test tell each other how far they are.
struct Zoo {
    world: World,
    here: PathBuf,
    env: PathBuf,
}

impl Zoo {
    fn new() -> Self {
        Self::of(World::new())
    }

    fn of(world: World) -> Self {
        world.wheel(&Wheel::new("alpha", "2.0").file("alpha/late.py", "value = 'late'\n"));
        world.ok(["ensure", "pack", "--with", "alpha==2.0"]);
        world.ok(["gc", "--idle", "0s", "--drop-retained"]);
        let here = world.path().join("here");
        fs::create_dir(&here).expect("a directory");
        fs::set_permissions(&here, fs::Permissions::from_mode(0o777)).expect("chmod");
        fs::write(here.join("stay.py"), STAY).expect("a script");
        let env = world.json(["resolve", "pack"])["path"].as_str().expect("a path").into();
        Self { world, here, env }
    }

    /// The pack's action of a kind.
    fn action(&self, kind: &str) -> Command {
        self.started_by(&["python"], kind)
    }

    /// The same through another program.
    fn started_by(&self, program: &[&str], kind: &str) -> Command {
        let mut command = self.world.command(["exec", "pack", "--"].iter().chain(program));
        command.arg(self.here.join("stay.py")).arg(kind).arg(&self.here);
        command
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(fs::read_to_string(self.here.join("pid")).expect("a pid").parse().expect("a number"))
    }

    /// Waits until the process is what it is to become.
    fn begin(&self, command: &mut Command) -> Child {
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts");
        until("the action is there", || self.here.join("pid").exists());
        child
    }

    /// Removes the pack and collects everything that may be.
    fn collect(&self) -> serde_json::Value {
        if self.world.run(["resolve", "pack"]).code == 0 {
            self.world.ok(["remove", "pack"]);
        }
        self.world.json(["gc", "--idle", "0s", "--drop-retained"])
    }

    /// The process is kept by what it should be, goes on, and what it used is taken once it ended.
    fn keeps(&self, kind: &str, by: By) {
        assert_eq!(is_locked(&self.env.join(".lease")), by == By::Lease, "{kind}: {by:?}");
        let done = self.collect();
        let is_kept = by != By::Nothing;
        assert_eq!(self.env.exists(), is_kept, "{kind}: {done:#}");
        assert_eq!(done["kept"]["leased"], u64::from(is_kept), "{kind}: {done:#}");
    }

    fn end(&self, kind: &str, told: &str) {
        fs::write(self.here.join("go"), "").expect("a word");
        until("the action ends", || self.here.join("told").exists());
        let said = fs::read_to_string(self.here.join("told")).expect("a word");
        assert!(said.contains(told), "{kind}: {said}");
        until("nobody is left", || !is_anybody_left(self.world.path()));
        // Whoever ends lets go of its descriptors a moment after it shows nothing any more.
        until("it is taken in the end", || {
            self.collect();
            !self.env.exists()
        });
        assert_eq!((self.world.listed("envs"), self.world.listed("trash")), (vec![], vec![]), "{kind}");
    }
}

/// One kind from beginning to end. `is_left`: who began it is dead by then.
fn lives(zoo: &Zoo, kind: &str, command: &mut Command, by: By, is_left: bool) {
    let mut child = zoo.begin(command);
    if is_left {
        child.wait().expect("it leaves");
    }
    zoo.keeps(kind, by);
    zoo.end(kind, "late");
    child.wait().expect("ends");
}

/// Whether anybody holds a lock on a file. Takes none: a child that another test starts at this moment would have it too.
fn is_locked(path: &Path) -> bool {
    let file = fs::File::options().read(true).write(true).open(path).expect("opens");
    let mut lock = flock { l_type: F_WRLCK as i16, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
    fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock)).expect("can be asked");
    lock.l_type != F_UNLCK as i16
}

/// Whether a process that has something of a world in its command or its environment is there.
fn is_anybody_left(world: &Path) -> bool {
    let finder = memchr::memmem::Finder::new(world.as_os_str().as_encoded_bytes());
    fs::read_dir("/proc").expect("procfs").flatten().any(|process| {
        let shows = |name: &str| fs::read(process.path().join(name)).is_ok_and(|text| finder.find(&text).is_some());
        shows("cmdline") || shows("environ")
    })
}

/// Waits until something holds, which it must before long.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A test for each kind of process that an action of Python's own becomes or leaves.
macro_rules! kinds {
    ($($name:ident: $kind:literal, $by:expr, $is_left:literal;)*) => { $(
        #[test]
        fn $name() {
            let zoo = Zoo::new();
            lives(&zoo, $kind, &mut zoo.action($kind), $by, $is_left);
        }
    )* };
}

kinds! {
    the_action_itself_keeps_its_env: "itself", By::Lease, false;
    a_forked_child_whose_parent_died_keeps_it: "forked", By::Lease, true;
    a_daemon_keeps_it: "daemon", By::Lease, true;
    one_that_closed_every_descriptor_is_seen: "closed", By::Signs, false;
    a_daemon_that_closed_every_descriptor_is_seen: "closed_daemon", By::Signs, true;
    a_subprocess_that_inherits_descriptors_keeps_it: "inheriting", By::Lease, true;
    a_subprocess_of_a_thread_without_descriptors_is_seen: "threaded", By::Signs, true;
    a_background_job_of_a_shell_keeps_it: "shell", By::Lease, true;
    a_spawned_child_of_multiprocessing_is_seen: "spawn", By::Signs, true;
    a_child_of_multiprocessings_fork_server_is_seen: "forkserver", By::Signs, true;
    a_forked_child_of_multiprocessing_keeps_it: "fork", By::Lease, true;
}

#[test]
fn a_stopped_process_keeps_it() {
    let zoo = Zoo::new();
    let mut child = zoo.begin(&mut zoo.action("itself"));
    kill(zoo.pid(), Signal::SIGSTOP).expect("stops");
    until("it is stopped", || {
        fs::read_to_string(format!("/proc/{}/stat", zoo.pid())).is_ok_and(|stat| stat.contains(") T"))
    });
    zoo.keeps("stopped", By::Lease);
    kill(zoo.pid(), Signal::SIGCONT).expect("goes on");
    zoo.end("stopped", "late");
    child.wait().expect("ends");
}

#[test]
fn what_node_left_keeps_it() {
    if Command::new("node").arg("--version").output().is_err() {
        return skipped("needs node");
    }
    let zoo = Zoo::new();
    // Node closes what its children would inherit from the lowest number up, and stops at the first that is free: below ours.
    let code =
        "require('child_process').spawn('python', process.argv.slice(1), {detached: true, stdio: 'ignore'}).unref()";
    lives(&zoo, "node", &mut zoo.started_by(&["node", "-e", code], "itself"), By::Lease, true);
}

#[test]
fn what_java_left_is_seen() {
    if !Command::new("java")
        .arg("--list-modules")
        .output()
        .is_ok_and(|modules| memchr::memmem::find(&modules.stdout, b"jdk.compiler").is_some())
    {
        return skipped("needs a Java with its compiler");
    }
    let zoo = Zoo::new();
    let source = zoo.here.join("Start.java");
    let code = "class Start { public static void main(String[] a) throws Exception {\n\
                new ProcessBuilder(\"python\", a[0], a[1], a[2]).inheritIO().start(); } }";
    fs::write(&source, code).expect("a source");
    let source = source.display().to_string();
    lives(&zoo, "java", &mut zoo.started_by(&["java", &source], "itself"), By::Signs, true);
}

#[test]
fn a_process_in_another_mount_namespace_keeps_it() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("another mount namespace needs root");
    }
    let zoo = Zoo::new();
    let unshare = ["unshare", "--mount", "python"];
    lives(&zoo, "mounts", &mut zoo.started_by(&unshare, "itself"), By::Lease, false);
    let zoo = Zoo::new();
    lives(&zoo, "mounts, closed", &mut zoo.started_by(&unshare, "closed"), By::Signs, false);
}

#[test]
fn a_process_in_a_container_keeps_it() {
    let bubble = ["bwrap", "--dev-bind", "/", "/", "--unshare-all", "--proc", "/proc"];
    let tried = Command::new(bubble[0]).args(&bubble[1..]).arg("true").output();
    if !tried.is_ok_and(|output| output.status.success()) {
        return skipped("needs bubblewrap, and to be allowed to use it");
    }
    let bubble = [&bubble[..], &["python"]].concat();
    for (kind, by) in [("itself", By::Lease), ("daemon", By::Lease)] {
        let zoo = Zoo::new();
        lives(&zoo, kind, &mut zoo.started_by(&bubble, kind), by, false);
    }
}

#[test]
fn a_process_of_another_user_keeps_it() {
    for (kind, by) in [("itself", By::Lease), ("daemon", By::Lease), ("closed", By::Signs)] {
        let world = shared_world();
        if !can_start_python(&world) {
            return skipped("another user cannot start the interpreter");
        }
        let zoo = Zoo::of(world);
        let Some(mut command) = nobody(&zoo.action(kind)) else { return };
        lives(&zoo, kind, &mut command, by, kind == "daemon");
    }
}

// Who is not protected.

#[test]
fn a_process_that_was_only_told_the_path_is_not_protected() {
    let zoo = Zoo::new();
    let mut command = Command::new(zoo.world.python());
    command.arg(zoo.here.join("stay.py")).arg("stranger").arg(&zoo.here).stdin(Stdio::piped());
    let mut child = command.env_clear().spawn().expect("starts");
    let site = zoo.env.join(format!("lib/python3.{}/site-packages\n", zoo.world.minor()));
    let mut input = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut input, site.as_os_str().as_encoded_bytes()).expect("writes");
    until("it is there", || zoo.here.join("pid").exists());
    zoo.keeps("stranger", By::Nothing);
    zoo.end("stranger", "No module named");
    child.wait().expect("ends");
}

#[test]
fn signs_are_not_seen_from_another_pid_namespace_and_a_lease_is() {
    if !nix::unistd::geteuid().is_root() {
        return skipped("another pid namespace needs root");
    }
    for (kind, is_kept) in [("itself", true), ("closed", false)] {
        let zoo = Zoo::new();
        let mut child = zoo.begin(&mut zoo.action(kind));
        zoo.world.ok(["remove", "pack", "--keep-history"]);
        let gc = zoo.world.command(["gc", "--idle", "0s", "--drop-retained"]);
        let mut elsewhere = Command::new("unshare");
        elsewhere.args(["--pid", "--fork", "--mount-proc"]).arg(gc.get_program()).args(gc.get_args()).env_clear();
        elsewhere.envs(gc.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let done = ran(elsewhere.output().expect("starts"));
        assert_eq!(done.code, 0, "{done:#?}");
        assert_eq!(zoo.env.exists(), is_kept, "{kind}: {done:#?}");
        zoo.end(kind, if is_kept { "late" } else { "No module named" });
        child.wait().expect("ends");
    }
}
