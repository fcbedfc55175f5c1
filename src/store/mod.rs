//! The store.
pub mod runtime;
