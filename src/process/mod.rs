//! Running installers: own process group, clean environment, bounded in time, every line into a log.
//!
//! A child is killed with us (`PR_SET_PDEATHSIG`, prctl(2)): the signal fires when the *thread* that started
//! it ends, so [`run`] starts and waits on one thread. Its group gets TERM, then KILL, when the work is
//! cancelled or runs out of time.

pub(crate) mod child;
mod log;

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

pub use log::Log;

use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::failpoint::reached;

/// How long a child's group has between TERM and KILL.
const GRACE: Duration = Duration::from_secs(2);
/// How often cancellation and limits are looked at while a child is silent.
const TICK: Duration = Duration::from_millis(50);
/// How much of a child's standard output is kept; more is an error of the child's.
const STDOUT_LIMIT: usize = 64 << 20;

/// When to give up.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The end of the whole piece of work.
    pub deadline: Instant,
    /// How long a child may say nothing.
    pub silence: Duration,
}

impl Limits {
    /// Limits that begin now.
    pub fn starting_now(total: Duration, silence: Duration) -> Self {
        Self { deadline: Instant::now() + total, silence }
    }
}

/// How a child ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its standard output, not logged.
    pub stdout: Vec<u8>,
    /// Its standard error, which also went to the log, secrets masked.
    pub stderr: String,
}

enum Chunk {
    Out(Vec<u8>),
    Err(Vec<u8>),
}

/// Runs a command to its end. Its standard error goes line by line into the log; its standard input is empty.
///
/// `what` completes "gave up …" and "interrupted while …", e.g. `locking`. A lease given is inherited by
/// the child and whatever it starts.
pub fn run(
    mut command: Command,
    what: &str,
    log: &Log,
    limits: Limits,
    cancel: &Cancel,
    lease: Option<BorrowedFd<'_>>,
) -> Result<Finished> {
    cancel.check(what)?;
    reached("process: before it starts")?;
    let started = Instant::now();
    let program = command.get_program().to_owned();
    command.stdin(empty_input()?).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    child::prepare(&mut command, lease);
    let mut child = spawn(&mut command).map_err(Error::io("run", &program))?;
    let (sender, chunks) = sync_channel(64);
    let mut readers = Vec::with_capacity(2);
    let mut output = Output { stdout: Vec::new(), stderr: log::Lines::new(log) };
    let collected = read_output(&mut child, sender, &mut readers)
        .map_err(Error::io("start a thread that reads the output of", &program))
        .and_then(|()| collect(&chunks, &mut child, &mut output, what, started, limits, cancel));
    if collected.is_err() {
        stop(&mut child);
    }
    drop(chunks);
    let status = child.wait().map_err(Error::io("wait for", &program))?;
    reached("process: ended")?;
    // Whatever a build left running in its group ends with it.
    let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
    for reader in readers {
        let _ = reader.join();
    }
    collected?;
    Ok(Finished { status, stdout: output.stdout, stderr: output.stderr.finish() })
}

/// An empty standard input. Opened here and not by [`Command::spawn`], whose error would name the program as missing if `/dev/null` is.
fn empty_input() -> Result<Stdio> {
    const EMPTY: &str = "/dev/null";
    Ok(File::open(EMPTY).map_err(Error::io("open", EMPTY))?.into())
}

/// Starts a command. An executable just written is busy while another thread's fork still holds the descriptor it
/// was written through (execve(2), `ETXTBSY`): a matter of milliseconds.
fn spawn(command: &mut Command) -> std::io::Result<Child> {
    let until = Instant::now() + GRACE;
    loop {
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

struct Output<'a> {
    stdout: Vec<u8>,
    stderr: log::Lines<'a>,
}

/// Takes what the child says until both its pipes are closed, or it ended and left them to a stray.
fn collect(
    chunks: &Receiver<Chunk>,
    child: &mut Child,
    output: &mut Output<'_>,
    what: &str,
    started: Instant,
    limits: Limits,
    cancel: &Cancel,
) -> Result<()> {
    let mut heard = Instant::now();
    let mut ended: Option<Instant> = None;
    loop {
        match chunks.recv_timeout(TICK) {
            Ok(Chunk::Out(bytes)) => {
                if output.stdout.len() + bytes.len() > STDOUT_LIMIT {
                    return Err(Error::Timeout { what: format!("{what}: endless output"), after: started.elapsed() });
                }
                output.stdout.extend(bytes);
                heard = Instant::now();
            }
            Ok(Chunk::Err(bytes)) => {
                output.stderr.push(&bytes);
                heard = Instant::now();
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {
                let now = Instant::now();
                if ended.is_none() && matches!(child.try_wait(), Ok(Some(_))) {
                    ended = Some(now);
                }
                if ended.is_some_and(|at| now - at > GRACE) {
                    return Ok(());
                }
            }
        }
        cancel.check(what)?;
        if Instant::now() > limits.deadline || heard.elapsed() > limits.silence {
            return Err(Error::Timeout { what: what.into(), after: started.elapsed() });
        }
    }
}

/// TERM to the group, then KILL.
fn stop(child: &mut Child) {
    let group = Pid::from_raw(child.id().cast_signed());
    let _ = killpg(group, Signal::SIGTERM);
    let until = Instant::now() + GRACE;
    while Instant::now() < until && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = killpg(group, Signal::SIGKILL);
}

/// Starts a thread for each of the child's pipes. Those that were started are in `readers`, also after an error.
fn read_output(
    child: &mut Child,
    sender: SyncSender<Chunk>,
    readers: &mut Vec<std::thread::JoinHandle<()>>,
) -> std::io::Result<()> {
    if let Some(pipe) = child.stdout.take() {
        readers.push(pump(pipe, sender.clone(), Chunk::Out)?);
    }
    if let Some(pipe) = child.stderr.take() {
        readers.push(pump(pipe, sender, Chunk::Err)?);
    }
    Ok(())
}

fn pump(
    mut pipe: impl Read + Send + 'static,
    sender: SyncSender<Chunk>,
    wrap: fn(Vec<u8>) -> Chunk,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().spawn(move || {
        let mut buffer = [0; 16 << 10];
        while let Ok(n) = pipe.read(&mut buffer) {
            if n == 0 || sender.send(wrap(buffer[..n].to_vec())).is_err() {
                break;
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    fn limits(total_ms: u64, silence_ms: u64) -> Limits {
        Limits::starting_now(Duration::from_millis(total_ms), Duration::from_millis(silence_ms))
    }

    /// Whether a process runs: one that ended and waits for its parent does not.
    fn is_alive(pid: i32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        stat.is_ok_and(|stat| !stat.contains(") Z") && !stat.contains(") X"))
    }

    #[test]
    fn output_is_split_and_logged() {
        let log = Log::memory();
        log.hide("s3cret");
        let script = "echo data; echo pw s3cret https://me:tok@host/x >&2; exit 3";
        let done = run(shell(script), "testing", &log, limits(60_000, 60_000), &Cancel::new(), None).expect("runs");
        assert_eq!(done.status.code(), Some(3));
        assert_eq!(done.stdout, b"data\n");
        assert_eq!(log.tail(), ["pw **** https://****@host/x"]);
        assert!(!done.stderr.contains("s3cret"));
    }

    #[test]
    fn a_silent_child_is_stopped() {
        let error = run(shell("sleep 60"), "testing", &Log::memory(), limits(60_000, 100), &Cancel::new(), None);
        assert!(matches!(error, Err(Error::Timeout { .. })), "{error:?}");
    }

    #[test]
    fn a_cancelled_child_is_stopped_with_its_children() {
        let cancel = Cancel::new();
        let log = Log::memory();
        std::thread::scope(|scope| {
            let work = scope.spawn(|| {
                run(shell("sleep 60 & echo $! >&2; wait"), "testing", &log, limits(60_000, 60_000), &cancel, None)
            });
            while log.tail().is_empty() {
                std::thread::yield_now();
            }
            cancel.cancel();
            let result = work.join().expect("no panic");
            assert!(matches!(result, Err(Error::Interrupted { .. })), "{result:?}");
        });
        let pid: i32 = log.tail()[0].parse().expect("a pid");
        // A killed process closes its files a moment before it is gone.
        let until = Instant::now() + Duration::from_secs(30);
        while is_alive(pid) {
            assert!(Instant::now() < until, "the grandchild lives on");
            std::thread::yield_now();
        }
    }

    #[test]
    fn an_executable_that_is_still_open_for_writing_is_tried_again() {
        use std::io::Write;
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tool");
        std::fs::copy("/bin/true", &path).expect("copies");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        let mut held = std::fs::File::options().append(true).open(&path).expect("opens");
        held.write_all(b"\0").expect("writes");
        assert_eq!(Command::new(&path).spawn().expect_err("busy").kind(), ErrorKind::ExecutableFileBusy);
        std::thread::scope(|scope| {
            let log = Log::memory();
            let work = scope.spawn({
                let path = path.clone();
                move || run(Command::new(path), "testing", &log, limits(60_000, 60_000), &Cancel::new(), None)
            });
            std::thread::yield_now();
            drop(held);
            assert!(work.join().expect("no panic").expect("runs").status.success());
        });
    }

    #[test]
    fn what_a_child_left_running_in_its_group_ends_with_it() {
        let script = "sleep 600 >/dev/null 2>&1 & echo $!";
        let done = run(shell(script), "testing", &Log::memory(), limits(60_000, 60_000), &Cancel::new(), None);
        let pid = String::from_utf8(done.expect("runs").stdout).expect("text");
        let pid: i32 = pid.trim().parse().expect("a pid");
        let until = Instant::now() + Duration::from_secs(30);
        while is_alive(pid) {
            assert!(Instant::now() < until, "what the child left runs on");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_stray_that_keeps_the_pipes_does_not_hang_us() {
        let done =
            run(shell("sleep 30 & exit 0"), "testing", &Log::memory(), limits(60_000, 60_000), &Cancel::new(), None);
        assert!(done.expect("ends").status.success());
    }
}
