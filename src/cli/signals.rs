//! Ctrl-C and SIGTERM: the first one stops the work and lets it tidy up, the second one ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::exit;
use crate::cancel::Cancel;
use crate::error::{Error, Result};

/// The signals that stop the work.
#[derive(Debug, Clone, Default)]
pub struct Signals {
    cancel: Cancel,
    last: Arc<AtomicUsize>,
}

impl Signals {
    /// Takes over SIGINT and SIGTERM.
    pub fn watch() -> Result<Self> {
        let signals = Self::default();
        for (signal, code) in [(SIGINT, exit::INTERRUPTED), (SIGTERM, exit::TERMINATED)] {
            let register = || {
                // The order counts: the flag that ends the process is not yet set when the first signal looks.
                flag::register_conditional_shutdown(signal, code.into(), signals.cancel.flag())?;
                flag::register_usize(signal, Arc::clone(&signals.last), code.into())?;
                flag::register(signal, signals.cancel.flag())
            };
            register().map_err(Error::io("watch signals of", "this process"))?;
        }
        Ok(signals)
    }

    /// The flag that the work looks at.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// The exit code for interrupted work.
    pub fn exit_code(&self) -> u8 {
        u8::try_from(self.last.load(Ordering::SeqCst)).ok().filter(|code| *code != 0).unwrap_or(exit::INTERRUPTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sigterm_sets_the_flag_and_its_own_exit_code() {
        let signals = Signals::watch().expect("handlers");
        assert!(!signals.cancel().is_cancelled());
        assert_eq!(signals.exit_code(), exit::INTERRUPTED);
        signal_hook::low_level::raise(SIGTERM).expect("raises");
        assert!(signals.cancel().is_cancelled());
        assert_eq!(signals.exit_code(), exit::TERMINATED);
    }
}
