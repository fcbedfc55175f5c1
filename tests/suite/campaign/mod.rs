//! The store's promises under kills, failing steps and power cuts, at every point there is.
//!
//! A point is where something becomes durable, visible or gone (`src/failpoint.rs`). The normal tests try each point by its first or
//! its last occurrence; `ENVSTORE_CAMPAIGN=full cargo test --test suite campaign` tries every one.

mod failpoints;
mod powercut;
mod races;
mod scenario;
mod syscalls;

/// Whether everything is tried, and not a part of it.
fn is_full() -> bool {
    std::env::var_os("ENVSTORE_CAMPAIGN").is_some_and(|value| value == "full")
}
