//! What the store asks of the filesystem: durable writes, locks, walks and removals that follow no symlink.
//!
//! `fs` knows no digest's meaning and no name on disk.

pub mod durable;
pub mod lock;
pub mod probe;
pub mod remove;
pub mod scan;
