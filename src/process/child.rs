//! What a child does between fork and exec. The only place with code that runs there.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::Signal;

/// Makes the child die with the thread that starts it, run at nice 10, and inherit a lease.
pub(super) fn prepare(command: &mut Command, lease: Option<BorrowedFd<'_>>) {
    let parent = nix::unistd::getpid();
    let lease = lease.map(|fd| fd.as_raw_fd());
    // SAFETY: the closure makes only async-signal-safe calls (prctl, getppid, setpriority, fcntl) and touches
    // no memory but its own copies. The lease's descriptor outlives `spawn`, which its borrower waits for.
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            if nix::unistd::getppid() != parent {
                return Err(io::ErrorKind::Interrupted.into());
            }
            // Failing to be nice is no reason to fail.
            let _ = nix::libc::setpriority(nix::libc::PRIO_PROCESS, 0, 10);
            if let Some(fd) = lease {
                fcntl(BorrowedFd::borrow_raw(fd), FcntlArg::F_SETFD(FdFlag::empty()))?;
            }
            Ok(())
        });
    }
}
