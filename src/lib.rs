//! A content-addressed store of immutable runtime environments.
pub mod cancel;
#[cfg(feature = "cli")]
pub mod cli;
pub mod clock;
pub mod digest;
pub mod error;
pub mod fs;
pub mod index;
pub mod interpreter;
pub mod lock;
pub mod pack;
pub mod process;
pub mod runtime;
pub mod settings;
pub mod spec;
pub mod store;
