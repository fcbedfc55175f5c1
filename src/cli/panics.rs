//! Panics: mistakes in envstore that are reported like any failure.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps what a panic says for [`caught`] instead of printing it. A backtrace is printed where `RUST_BACKTRACE` asks.
pub fn remember() {
    set_hook(Box::new(|info| {
        let place = info.location().map(|at| format!(" at {}:{}", at.file(), at.line())).unwrap_or_default();
        let message = format!("{}{place}", info.payload_as_str().unwrap_or("a panic without a message"));
        let backtrace = std::backtrace::Backtrace::capture();
        if backtrace.status() == std::backtrace::BacktraceStatus::Captured {
            super::output::stderr(&backtrace.to_string());
        }
        LAST.with_borrow_mut(|last| *last = Some(message));
    }));
}

/// Runs something; a panic becomes its message.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| LAST.with_borrow_mut(Option::take).unwrap_or_else(|| "a panic without a message".into()))
}
