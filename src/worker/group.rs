//! [`Group`]: an action's process group.

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// The process group that an action leads. Its number is not given to anybody else while a process of it lives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group(Pid);

impl Group {
    /// The group of a process that was started as a leader.
    pub fn led_by(pid: u32) -> Self {
        Self(Pid::from_raw(pid.cast_signed()))
    }

    /// Asks every process of it to end.
    pub fn terminate(self) {
        let _ = killpg(self.0, Signal::SIGTERM);
    }

    /// Ends every process of it.
    pub fn kill(self) {
        let _ = killpg(self.0, Signal::SIGKILL);
    }

    /// Whether a process of it is left.
    pub fn is_left(self) -> bool {
        // Not permitted (a process of another user): it is there.
        killpg(self.0, None) != Err(Errno::ESRCH)
    }
}
