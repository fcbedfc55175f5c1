//! The store.
pub mod report;
pub mod runtime;
