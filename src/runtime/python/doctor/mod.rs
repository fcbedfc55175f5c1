//! Looking at an environment that stands: it starts, its libraries load, what was declared imports.
//!
//! Everything is asked of those who decide it: the interpreter, the dynamic loader, Python's own import.

mod imports;
mod libraries;
mod modules;
mod system_packages;

use crate::error::{Error, Result};
use crate::store::finding::{Finding, Level};
use crate::store::runtime::Exam;

/// How many files or modules one sentence names.
const NAMED: usize = 3;

/// Everything that is found out about an environment.
pub(crate) fn examine(exam: &Exam<'_>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    if imports::starts(exam, &mut findings)? {
        libraries::look(exam, &mut findings)?;
        imports::look(exam, &mut findings)?;
    }
    Ok(findings)
}

/// A finding for what could not be looked at; being stopped ends it all.
fn not_looked_at(kind: &str, error: Error) -> Result<Finding> {
    if error.is_cancelled() {
        return Err(error);
    }
    let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
    Ok(Finding::new(kind, Level::Damage, format!("{error}{source}")))
}

/// The first few of a list, and how many more there are.
fn few<T: AsRef<str>>(names: &[T]) -> String {
    let mut text: Vec<String> = names.iter().take(NAMED).map(|name| format!("`{}`", name.as_ref())).collect();
    if names.len() > NAMED {
        text.push(format!("{} more", names.len() - NAMED));
    }
    text.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut() {
        assert_eq!(few(&["a"]), "`a`");
        assert_eq!(few(&["a", "b", "c", "d", "e"]), "`a`, `b`, `c`, 2 more");
    }
}
