//! What a child does between fork and exec. The only place with code that runs there.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};

use crate::lease::{LOWEST_INHERITED, Lease};

/// Makes the child die with the thread that starts it, run at nice 10 and umask 022, and inherit a lease but no other descriptor
/// beside its standard ones, whatever the process that uses the library left open.
pub(super) fn prepare(command: &mut Command, lease: Option<BorrowedFd<'_>>) {
    let parent = nix::unistd::getpid();
    let lease = lease.map(|fd| fd.as_raw_fd());
    // SAFETY: the closure makes only async-signal-safe calls (prctl, getppid, setpriority, umask, close_range, fcntl) and touches
    // no memory but its own copies. The lease's descriptor outlives `spawn`, which its borrower waits for.
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            if nix::unistd::getppid() != parent {
                return Err(io::ErrorKind::Interrupted.into());
            }
            // Failing to be nice is no reason to fail.
            let _ = libc::setpriority(libc::PRIO_PROCESS, 0, 10);
            umask(Mode::from_bits_truncate(0o022));
            close_on_exec();
            if let Some(fd) = lease {
                fcntl(BorrowedFd::borrow_raw(fd), FcntlArg::F_SETFD(FdFlag::empty()))?;
            }
            Ok(())
        });
    }
}

/// Makes the child inherit a lease of its own. The command keeps it until it is dropped.
pub(crate) fn inherit(command: &mut Command, lease: Lease) {
    // SAFETY: fcntl is async-signal-safe; the closure owns the descriptor it duplicates, and nothing else is touched.
    unsafe {
        // Unlike the lease's own descriptor the duplicate has no CLOEXEC.
        command.pre_exec(move || Ok(fcntl(lease.as_fd(), FcntlArg::F_DUPFD(LOWEST_INHERITED)).map(drop)?));
    }
}

/// Makes the child inherit no descriptor beside its standard ones, whatever the process that uses the library left open. What is prepared
/// after this is inherited.
#[cfg(feature = "worker")]
pub(crate) fn close_others(command: &mut Command) {
    // SAFETY: close_range is a system call that is async-signal-safe, and no memory is touched.
    unsafe {
        command.pre_exec(|| {
            close_on_exec();
            Ok(())
        });
    }
}

/// Closed by exec, not here: spawning itself needs a descriptor. Kernels before 5.11 cannot, and then what is open stays.
fn close_on_exec() {
    // SAFETY: the call changes only flags of descriptors.
    let _ = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}
