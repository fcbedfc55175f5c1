//! The store's promises under kills, failing steps and power cuts, at every point there is.
//!
//! A point is where something becomes durable, visible or gone (`src/failpoint.rs`). The normal tests try each point by its first or
//! its last occurrence. `ENVSTORE_CAMPAIGN=full cargo test --test suite campaign` tries every one of every scenario, which takes hours;
//! `ENVSTORE_CAMPAIGN=build,gc` every one of these two, and no other. `interleave` among the names is every step of
//! `interleave.rs`, `races` makes the races ten minutes long, `random` tries a hundred other sequences of random operations.

mod cancelled;
mod failpoints;
mod interleave;
mod powercut;
mod races;
mod random;
mod scenario;
mod syscalls;

/// How much of a scenario is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// One occurrence of each kind of point.
    Sample,
    Everything,
    Nothing,
}

fn extent(name: &str) -> Extent {
    let Ok(wanted) = std::env::var("ENVSTORE_CAMPAIGN") else { return Extent::Sample };
    if wanted == "full" || wanted.split(',').any(|wanted| wanted == name) {
        Extent::Everything
    } else {
        Extent::Nothing
    }
}

/// What a part of the campaign tried, and what did not hold. All is tried before it fails.
struct Tally {
    of: String,
    tried: usize,
    violations: Vec<String>,
}

impl Tally {
    fn new(of: &str) -> Self {
        Self { of: of.to_owned(), tried: 0, violations: Vec::new() }
    }

    /// Disturbs, and looks at what is left.
    fn try_one(&mut self, what: &str, disturb: impl FnOnce()) {
        self.tried += 1;
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(disturb)).is_err() {
            self.violations.push(what.to_owned());
        }
    }

    fn end(self) {
        eprintln!("{}: {} tried, {} violations", self.of, self.tried, self.violations.len());
        assert!(self.violations.is_empty(), "{}: {:#?}", self.of, self.violations);
    }
}
