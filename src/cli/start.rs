//! What the standard library's runtime does before `main`, as far as the command needs it, and how the command becomes another program.
//!
//! `main.rs` does without that runtime: at each start it reads the process's memory map to place a guard below the stack, where the kernel has one
//! already. A stack that overflows ends the process by SIGSEGV and with no word.

use std::os::fd::{BorrowedFd, IntoRawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{SigHandler, Signal, signal};
use rustix::fs::{Mode, OFlags, open};
use rustix::{io, stdio};

/// Becomes a program, in the command's only thread; returns why it did not. What the command says of variables is done to this process's own:
/// [`CommandExt::exec`] would copy each, sort them and copy them once more.
pub fn become_program(command: &Command) -> std::io::Error {
    for (name, value) in command.get_envs() {
        // SAFETY: no other thread runs that could read variables meanwhile.
        #[allow(unsafe_code)]
        unsafe {
            match value {
                Some(value) => std::env::set_var(name, value),
                None => std::env::remove_var(name),
            }
        }
    }
    Command::new(command.get_program()).args(command.get_args()).exec()
}

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
