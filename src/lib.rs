//! A content-addressed store of immutable runtime environments.
//!
//! Packs declare their dependencies; the store locks each declaration to exact artifacts and keeps one
//! environment a lock. Packs that lock alike share it. A worker asks `pack -> environment -> interpreter`
//! ([`Store::resolve`]) and gets a handle that keeps the environment while it lives.
//!
//! ```
//! use std::sync::Arc;
//!
//! use envstore::runtime::python::Python;
//! use envstore::settings::{PackOptions, Settings};
//! use envstore::spec::requirements::Reader;
//! use envstore::{Cancel, Ensure, PackRef, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let root = std::env::temp_dir().join(format!("envstore-doc-{}", std::process::id()));
//! let mut settings = Settings::default();
//! settings.install.path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
//! # settings.python.installations.extend(std::env::var_os("HOME").map(|home| std::path::Path::new(&home).join(".pyenv/versions")));
//! let python = Arc::new(Python::new(&settings));
//! let store = Store::builder(&root).settings(settings).runtime(python).create(true).open()?;
//!
//! let mut reader = Reader::new(PackOptions::Ignore);
//! reader.text("requirements", "/".as_ref(), "# requests==2.32.3\n")?;
//! let (spec, _warnings) = reader.finish()?;
//! let pack = PackRef::new("core.http")?;
//! store.ensure(&pack, &Ensure::new(spec), &Cancel::new())?;
//!
//! // For every action from now on, in this process or in another one:
//! let environment = store.resolve(&pack)?;
//! let output = environment.command("-c")?.arg("import sys; print(sys.prefix)").output()?;
//! assert_eq!(String::from_utf8(output.stdout)?.trim(), environment.path().to_str().unwrap_or_default());
//! # store.remove(&pack, false)?;
//! # drop(store);
//! # std::fs::remove_dir_all(root)?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! An environment is never seen half-built, never changed by envstore, never deleted while it is used, and a failed update keeps the last good
//! one ([`EnsureError::last_good`]). It is no package manager (uv or pip locks and installs), no sandbox, no daemon, and not for several hosts at once.
//!
//! # Where to begin
//!
//! | for | there is |
//! |---|---|
//! | opening a store | [`Store::builder`]: settings, credentials, an [`Observer`](store::Observer) |
//! | what a pack declares | [`spec::requirements::Reader`], [`spec::source::find`], [`Spec`](spec::Spec) |
//! | making it so | [`Store::ensure`] with [`Ensure`]: progress, a timeout, and a [`Cancel`] that stops it |
//! | running in it | [`Store::resolve`], [`EnvHandle::command`], [`EnvHandle::lease_to`] |
//! | changing and looking | [`Store::rollback`], [`Store::upgrade`], [`Store::list`], [`Store::why`], [`Store::stats`] … |
//! | keeping it small and sound | [`Store::gc`], [`Store::verify`], [`Store::examine`] |
//! | async callers | `AsyncStore` (feature `tokio`): a future that is dropped cancels its work |
//! | an automation worker | `runtime::DependencyManager` and `worker::PythonRuntime` (feature `worker`) |
//!
//! What the store answers is plain data ([`store::report`]); the command line's JSON is its serialisation. [`Error::kind`] is the JSON's `kind`;
//! [`Error::is_retryable`], [`Error::is_cancelled`] and [`Error::is_not_found`] say what a caller wants to know.
//!
//! # Spans
//!
//! The library uses `tracing`: the spans `ensure` (`pack`), `lock`, `build` (`env`) with `install`, `compile`, `hash`, `objects`, `link`, `sync`,
//! `manifest` and `index` in it, and `collect`, at level `debug`; `resolve` (`pack`), where the index has to be asked, at level `trace`. A
//! resolve that is a hit has none.

#[cfg(feature = "cli")]
mod answers;
#[cfg(feature = "tokio")]
pub mod async_store;
#[doc(hidden)]
pub mod binding;
pub mod cancel;
#[cfg(feature = "cli")]
pub mod cli;
pub mod clock;
#[doc(hidden)]
pub mod component;
pub mod credentials;
pub mod digest;
#[doc(hidden)]
pub mod epoch;
pub mod error;
mod failpoint;
#[doc(hidden)]
pub mod fs;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod guard;
// The rooms that are hidden are none of the library's interface; the tests look into them.
#[doc(hidden)]
pub mod index;
pub mod interpreter;
#[doc(hidden)]
pub mod layout;
mod lease;
pub mod lock;
#[doc(hidden)]
pub mod manifest;
mod objects;
pub mod pack;
pub mod pin;
mod placeholder;
mod process;
pub mod runtime;
pub mod settings;
#[cfg(any(feature = "cli", feature = "worker"))]
pub mod site;
pub mod spec;
pub mod store;
mod store_file;
#[cfg(feature = "worker")]
pub mod worker;

#[cfg(test)]
#[path = "../tests/skip/mod.rs"]
mod skip;

pub use cancel::Cancel;
pub use error::{Error, Kind};
pub use pack::PackRef;
pub use store::{Ensure, EnsureError, EnvHandle, Store};
