//! [`classify`]: from what uv printed to a cause that callers act on and a sentence for people.
//!
//! Read in this order: a full disk and a wrong hash speak for themselves wherever they stand; what a build
//! backend printed only tells of the build (its `403` is not the index's); then credentials before network
//! before "no solution", because uv reports a refused or unreachable index as a package that does not exist.
//! The sentences are uv's own where they are good.

use crate::error::InstallerCause;

pub(crate) mod build;

/// Why uv gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// What callers act on.
    pub cause: InstallerCause,
    /// One sentence.
    pub summary: String,
}

impl Verdict {
    /// A verdict.
    pub(crate) fn new(cause: InstallerCause, summary: impl Into<String>) -> Self {
        Self { cause, summary: summary.into() }
    }
}

/// A summary is a sentence, not a log.
const SUMMARY_LIMIT: usize = 600;

const NO_SPACE: &[&str] = &["No space left on device", "(os error 28)"];
const QUOTA: &[&str] = &["Disk quota exceeded", "(os error 122)"];
/// Of uv, then of pip.
const UNSAFE: &[&str] = &[
    "Archive contains unacceptable filename",
    "Script path must resolve to a file within the scripts directory",
    "Scripts must not use the reserved name",
    "ZIP file uses conflicting ",
    "would be installed outside the scripts directory",
    "trying to install outside the target directory",
];
const CREDENTIALS: &[&str] = &[
    "401 Unauthorized",
    "403 Forbidden",
    "lack of valid authentication credentials",
    "fatal: Authentication failed for",
    "could not read Username for",
    "terminal prompts disabled",
    "Permission denied (publickey",
];
const OFFLINE: &[&str] = &["the network was disabled", "Network connectivity is disabled"];
const TLS: &[&str] = &["invalid peer certificate", "server certificate verification failed", "SSL certificate problem"];
const NETWORK: &[&str] = &[
    "error sending request for url",
    "client error (Connect)",
    "dns error",
    "Could not resolve host",
    "Connection refused",
    "Connection reset",
    "Failed to connect to",
    "unable to access '",
    "operation timed out",
    "connection closed before message completed",
    "HTTP status server error",
    "429 Too Many Requests",
    "request or response body error",
    "Could not read from remote repository",
];

/// The artifact that uv or pip refused for what it would do to its surroundings, with the reason; none if it failed for another.
pub(crate) fn unsafe_artifact(said: &str) -> Option<(String, String)> {
    let line = said.lines().find(|line| UNSAFE.iter().any(|mark| line.contains(mark)))?;
    let artifact = after(said, "Failed to extract archive: ", "\n")
        .or_else(|| after(said, "Failed to download `", "`"))
        .or_else(|| after(said, "Failed to install: ", " ("))
        .or_else(|| after(said, "For req: ", ". "))
        .unwrap_or("an artifact");
    let reason = line.trim().trim_start_matches("cause: ").trim_start_matches("ERROR: ");
    let reason = lower_first(&one_line(reason)).replace(char::is_control, "\u{fffd}");
    Some((artifact.trim().to_owned(), reason))
}

/// Sorts out uv's standard error.
pub(crate) fn classify(stderr: &str) -> Verdict {
    let mut verdict = sort_out(stderr);
    if verdict.summary.len() > SUMMARY_LIMIT {
        let cut = (0..=SUMMARY_LIMIT).rev().find(|at| verdict.summary.is_char_boundary(*at)).unwrap_or(0);
        verdict.summary.truncate(cut);
        verdict.summary.push('…');
    }
    verdict
}

fn sort_out(stderr: &str) -> Verdict {
    let has = |marks: &[&str]| marks.iter().any(|mark| stderr.contains(mark));
    if has(QUOTA) {
        return Verdict::new(InstallerCause::Quota, "a disk quota is used up");
    }
    if has(NO_SPACE) {
        return Verdict::new(InstallerCause::NoSpace, "no space is left on the device");
    }
    if let Some(artifact) = after(stderr, "Hash mismatch for `", "`") {
        let summary = format!("the bytes of `{artifact}` are not the ones expected");
        return Verdict::new(InstallerCause::HashMismatch, summary);
    }
    if stderr.contains("The build backend returned an error") {
        return Verdict::new(InstallerCause::SourceBuild, build::summary(stderr));
    }
    if has(CREDENTIALS) {
        return Verdict::new(InstallerCause::Credentials, format!("{} refused the credentials", place(stderr)));
    }
    if has(OFFLINE) {
        let what = after(stderr, "Because ", " was not found in the cache")
            .or_else(|| after(stderr, "Failed to download `", "`"))
            .or_else(|| after(stderr, "Failed to download and build `", "`"));
        let what = what.map_or_else(|| "something".into(), |name| format!("`{name}`"));
        return Verdict::new(InstallerCause::Offline, format!("{what} is not in the cache, and working offline"));
    }
    if has(TLS) {
        let summary = format!("the TLS certificate of {} is not trusted", place(stderr));
        return Verdict::new(InstallerCause::Network, summary);
    }
    if has(NETWORK) {
        let git = stderr.lines().find_map(|line| line.split_once("unable to access '")?.1.split_once("': "));
        let why = git.map(|(_, why)| why.to_owned()).or_else(|| causes(stderr).pop()).unwrap_or_default();
        return Verdict::new(InstallerCause::Network, format!("cannot reach {}: {}", place(stderr), one_line(&why)));
    }
    if let Some(package) = after(stderr, "Wheels are required for `", "`")
        .or_else(|| after(stderr, "Package `", "` can't be installed because it is marked as `--no-build`"))
    {
        let summary = format!("`{package}` has no wheel that fits, and building from source is not allowed here");
        return Verdict::new(InstallerCause::NoSolution, summary);
    }
    if stderr.contains("No solution found") {
        let why = causes(stderr).into_iter().next().unwrap_or_else(|| "no set of versions fits".into());
        let why = one_line(&why);
        let why =
            why.trim_end_matches('.').trim_end_matches(", we can conclude that your requirements are unsatisfiable");
        return Verdict::new(InstallerCause::NoSolution, lower_first(why));
    }
    if let Some(url) =
        after(stderr, "(404 Not Found) for url (", ")").or_else(|| after(stderr, "(410 Gone) for url (", ")"))
    {
        return Verdict::new(InstallerCause::Other, format!("there is nothing at `{url}` any more"));
    }
    if let Some(subject) = build::subject(stderr) {
        let why = causes(stderr).pop().map(|why| format!(": {}", one_line(&why))).unwrap_or_default();
        return Verdict::new(InstallerCause::SourceBuild, format!("`{subject}` did not build{why}"));
    }
    Verdict::new(InstallerCause::Other, plain(stderr))
}

/// uv's `error:` line with its deepest cause.
fn plain(stderr: &str) -> String {
    let error = stderr.lines().find_map(|line| line.strip_prefix("error: "));
    match (error, causes(stderr).pop()) {
        (Some(error), Some(cause)) => format!("{}: {}", lower_first(error), one_line(&cause)),
        (Some(error), None) => lower_first(error),
        (None, _) => stderr
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .map_or_else(|| "uv failed without saying why".into(), |line| line.trim().to_owned()),
    }
}

/// The texts behind `cause:`, outermost first, each with the lines indented below it.
fn causes(stderr: &str) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    let mut open = false;
    for line in stderr.lines() {
        if let Some(text) = line.trim_start().strip_prefix("cause: ") {
            causes.push(text.to_owned());
            open = true;
        } else if open && line.starts_with("    ") {
            if let Some(cause) = causes.last_mut() {
                cause.push('\n');
                cause.push_str(line.trim());
            }
        } else {
            open = false;
        }
    }
    causes
}

/// The host or repository that a failure is about, quoted.
fn place(stderr: &str) -> String {
    const LEADS: &[(&str, &str)] = &[
        ("An index URL (", ")"),
        ("unable to access '", "'"),
        ("Authentication failed for '", "'"),
        ("could not read Username for '", "'"),
        ("Failed to fetch: ", "\n"),
        ("for url (", ")"),
    ];
    let url = LEADS.iter().find_map(|(lead, end)| after(stderr, lead, end));
    url.map_or_else(|| "the host".into(), |url| format!("`{}`", url.trim_matches('`')))
}

/// What stands between two marks.
fn after<'a>(text: &'a str, lead: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(lead)?;
    let (found, _) = rest.split_once(end)?;
    (!found.is_empty() && found.len() < 500 && !found.contains('\n')).then(|| found.trim())
}

pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Lower case at the start, as it follows a colon; names in capitals keep theirs.
fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
