//! A content-addressed store of immutable runtime environments.
//!
//! Packs declare their dependencies; the store locks each declaration to exact artifacts and keeps one
//! environment a lock. Packs that lock alike share it. A worker asks `pack -> environment -> interpreter`
//! ([`Store::resolve`]) and gets a handle that keeps the environment while it lives.
//!
//! It promises that an environment is never seen half-built, never changed by envstore, never deleted while it is used, and that a
//! failed update keeps the last good one. It is no package manager (uv locks and installs), no
//! sandbox, no daemon, and not for several hosts at once.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use envstore::runtime::python::Python;
//! use envstore::settings::{PackOptions, Settings};
//! use envstore::spec::requirements::Reader;
//! use envstore::{Cancel, Ensure, PackRef, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut settings = Settings::default();
//! settings.install.path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
//! let python = Arc::new(Python::new(&settings));
//! let store = Store::builder("/var/lib/envstore").settings(settings).runtime(python).create(true).open()?;
//!
//! let mut reader = Reader::new(PackOptions::Ignore);
//! reader.text("requirements", "/".as_ref(), "requests==2.32.3\n")?;
//! let (spec, _warnings) = reader.finish()?;
//! let pack = PackRef::new("aws.s3")?;
//! let ready = store.ensure(&pack, &Ensure::new(spec), &Cancel::new())?;
//! println!("{}", ready.handle.interpreter().display());
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "tokio")]
pub mod async_store;
pub mod binding;
pub mod cancel;
#[cfg(feature = "cli")]
pub mod cli;
pub mod clock;
pub mod component;
pub mod credentials;
pub mod digest;
pub mod epoch;
pub mod error;
mod failpoint;
pub mod fs;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod guard;
pub mod index;
pub mod interpreter;
pub mod layout;
pub mod lease;
pub mod lock;
pub mod manifest;
pub mod objects;
pub mod pack;
pub mod pin;
pub mod placeholder;
pub mod process;
pub mod runtime;
pub mod settings;
#[cfg(any(feature = "cli", feature = "worker"))]
pub mod site;
pub mod spec;
pub mod store;
pub mod store_file;
#[cfg(feature = "worker")]
pub mod worker;

pub use cancel::Cancel;
pub use error::{Error, Kind};
pub use pack::PackRef;
pub use store::{Ensure, EnsureError, EnvHandle, Store};
