//! The languages: each implements [`crate::store::runtime::Runtime`].
pub mod python;
