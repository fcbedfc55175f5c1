//! Points at which tests make a process fail: killed, stopped, or with an error, at any step.
//!
//! Only builds of the command line with debug assertions have them; elsewhere [`reached`] is nothing. The command line arms one by
//! `ENVSTORE_FAILPOINT=ACTION@N`, the N-th point that the process reaches, counted from 1 over all its threads, and lists them by
//! `ENVSTORE_FAILPOINT_TRACE=FILE`, a name a line. The points stand where something becomes durable, visible or gone: in `fs`, `index`, `lease`, `guard`,
//! `objects` and `process`, so that whatever is built on these is covered without saying so.
//!
//! | action | what happens |
//! |---|---|
//! | `kill` | SIGKILL: what a crash leaves |
//! | `stop` | SIGSTOP: others go on, then whoever stopped it decides |
//! | `error` | the step fails, and whoever asked for it cleans up |

use crate::error::Result;

/// A step is about to be done, or was done. The name says which.
///
/// # Errors
/// When a test asked for one here.
#[inline]
pub fn reached(point: &'static str) -> Result<()> {
    #[cfg(all(debug_assertions, feature = "cli"))]
    return armed::reached(point);
    #[cfg(not(all(debug_assertions, feature = "cli")))]
    {
        let _ = point;
        Ok(())
    }
}

/// Arms points, as the variables say. The first call counts.
#[cfg(all(debug_assertions, feature = "cli"))]
pub use armed::arm;

#[cfg(all(debug_assertions, feature = "cli"))]
mod armed {
    use std::fs::File;
    use std::io::Write;
    use std::path::Path;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use nix::sys::signal::{Signal, raise};

    use crate::error::{Error, Result};

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Action {
        Kill,
        Stop,
        Error,
    }

    #[derive(Debug)]
    struct Armed {
        action: Option<(Action, u64)>,
        trace: Option<File>,
        count: AtomicU64,
    }

    static ARMED: OnceLock<Armed> = OnceLock::new();

    /// Arms what `action` says (`kill@17`), and lists every point in the file `trace`. What cannot be read arms nothing.
    pub fn arm(action: Option<&str>, trace: Option<&Path>) {
        let action = action.and_then(parse);
        let trace = trace.and_then(|path| File::options().create(true).append(true).open(path).ok());
        if action.is_some() || trace.is_some() {
            let _ = ARMED.set(Armed { action, trace, count: AtomicU64::new(0) });
        }
    }

    fn parse(text: &str) -> Option<(Action, u64)> {
        let (action, nth) = text.split_once('@')?;
        let action = match action {
            "kill" => Action::Kill,
            "stop" => Action::Stop,
            "error" => Action::Error,
            _ => return None,
        };
        Some((action, nth.parse().ok()?))
    }

    pub(super) fn reached(point: &'static str) -> Result<()> {
        let Some(armed) = ARMED.get() else { return Ok(()) };
        let nth = armed.count.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some(mut trace) = armed.trace.as_ref() {
            // One write: threads do not mix their lines.
            let _ = trace.write_all(format!("{point}\n").as_bytes());
        }
        match armed.action {
            Some((action, wanted)) if wanted == nth => act(action, point),
            _ => Ok(()),
        }
    }

    fn act(action: Action, point: &'static str) -> Result<()> {
        let signal = match action {
            Action::Kill => Signal::SIGKILL,
            Action::Stop => Signal::SIGSTOP,
            Action::Error => {
                let source = std::io::Error::other("a test asked for this");
                return Err(Error::Io { op: "pass", path: point.into(), source });
            }
        };
        raise(signal).map_err(|errno| Error::errno("signal", point)(errno))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn an_action_and_a_number() {
            assert_eq!(parse("kill@17"), Some((Action::Kill, 17)));
            assert_eq!(parse("error@1"), Some((Action::Error, 1)));
            for text in ["", "kill", "kill@", "kill@x", "harm@1"] {
                assert_eq!(parse(text), None, "{text}");
            }
        }
    }
}
