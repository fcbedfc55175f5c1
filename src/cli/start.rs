//! What the standard library's runtime does before `main`, as far as the command needs it.
//!
//! `main.rs` does without that runtime: at each start it reads the process's memory map to place a guard below the stack, where the kernel has one
//! already. A stack that overflows ends the process by SIGSEGV and with no word.

use std::os::fd::{BorrowedFd, IntoRawFd};

use nix::sys::signal::{SigHandler, Signal, signal};
use rustix::fs::{Mode, OFlags, open};
use rustix::{io, stdio};

/// Closed standard descriptors lead to `/dev/null`, so that no file of the store gets their numbers and what is said with it. Where nobody reads
/// what is written, that is an error and no signal; what is started gets the signal as ever (`std::process`).
pub fn prepare() {
    [stdio::stdin(), stdio::stdout(), stdio::stderr()].into_iter().for_each(keep_open);
    // SAFETY: what is ignored runs no code.
    #[allow(unsafe_code)]
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) };
}

/// The lowest number that is free is the one that is missing, as they are looked at in order.
fn keep_open(descriptor: BorrowedFd<'_>) {
    if io::fcntl_getfd(descriptor) == Err(io::Errno::BADF)
        && let Ok(null) = open("/dev/null", OFlags::RDWR, Mode::empty())
    {
        let _ = null.into_raw_fd();
    }
}
