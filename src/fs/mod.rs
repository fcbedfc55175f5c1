//! What the store asks of the filesystem: durable writes, locks, links, walks and removals that follow no symlink.
//!
//! `fs` knows no digest's meaning and no name on disk.

pub mod canonical;
pub mod durable;
pub mod link;
pub mod lock;
pub mod nofollow;
pub mod parallel;
pub mod probe;
pub mod read;
pub mod remove;
pub mod reserve;
pub mod scan;
pub mod size;
pub mod temporary;
