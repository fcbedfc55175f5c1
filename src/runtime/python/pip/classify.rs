//! From what pip printed, and what its own log has of pages it could not read, to a cause and a sentence.
//!
//! pip reports a refused or unreachable index as a package that does not exist: those come first, as for uv.

use crate::error::InstallerCause;
use crate::runtime::python::classify::{Verdict, build, one_line};

const NO_SPACE: &str = "No space left on device";
const QUOTA: &str = "Disk quota exceeded";
const REFUSED: &[&str] = &[
    "401 Client Error",
    "403 Client Error",
    "401 Error, Credentials",
    "could not read Username",
    "Authentication failed for",
];
const TLS: &[&str] = &["CERTIFICATE_VERIFY_FAILED", "certificate verify failed", "SSL certificate problem"];
const NETWORK: &[&str] = &[
    "NewConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "Max retries exceeded",
    "ProxyError",
    "Read timed out",
    "Connection refused",
    "Connection reset by peer",
    "Temporary failure in name resolution",
    "500 Server Error",
    "502 Server Error",
    "503 Server Error",
    "504 Server Error",
    "429 Client Error",
    "unable to access '",
    "Could not read from remote repository",
];
const BUILD: &[&str] = &[
    "subprocess-exited-with-error",
    "metadata-generation-failed",
    "Failed building wheel",
    "BackendUnavailable",
    "Cannot import 'setuptools",
];

/// Sorts out pip's output.
pub(crate) fn classify(said: &str) -> Verdict {
    let has = |marks: &[&str]| marks.iter().any(|mark| said.contains(mark));
    let error =
        |text: &str| said.lines().find_map(|line| line.trim_start().strip_prefix("ERROR: ")?.strip_prefix(text));
    if said.contains(QUOTA) {
        return Verdict::new(InstallerCause::Quota, "a disk quota is used up");
    }
    if said.contains(NO_SPACE) {
        return Verdict::new(InstallerCause::NoSpace, "no space is left on the device");
    }
    if said.contains("THESE PACKAGES DO NOT MATCH THE HASHES") {
        let what = said.lines().find_map(|line| line.trim().split_once(" from ").filter(|_| line.starts_with("    ")));
        let what = what.map_or("an artifact", |(what, _)| what);
        return Verdict::new(InstallerCause::HashMismatch, format!("the bytes of `{what}` are not the ones expected"));
    }
    if said.contains("Hashes are required in --require-hashes mode") {
        let summary = "the declaration requires a digest for everything, and has none for some packages";
        return Verdict::new(InstallerCause::NoSolution, summary);
    }
    // What a build printed only tells of the build.
    if has(BUILD) {
        return Verdict::new(InstallerCause::SourceBuild, build_summary(said));
    }
    if has(REFUSED) {
        return Verdict::new(InstallerCause::Credentials, format!("{} refused the credentials", place(said)));
    }
    if has(TLS) {
        let summary = format!("the TLS certificate of {} is not trusted", place(said));
        return Verdict::new(InstallerCause::Network, summary);
    }
    if has(NETWORK) {
        return Verdict::new(InstallerCause::Network, format!("cannot reach {}", place(said)));
    }
    if error("Cannot install ").is_some() || said.contains("ResolutionImpossible") {
        let conflict: Vec<&str> = said
            .lines()
            .skip_while(|line| !line.starts_with("The conflict is caused by:"))
            .skip(1)
            .take_while(|line| line.starts_with("    "))
            .map(str::trim)
            .collect();
        let summary = if conflict.is_empty() { "no set of versions fits".into() } else { conflict.join(", and ") };
        return Verdict::new(InstallerCause::NoSolution, summary);
    }
    if let Some(what) = error("No matching distribution found for ") {
        let what = what.split(" (from").next().unwrap_or(what);
        return Verdict::new(InstallerCause::NoSolution, format!("nothing that fits was found for `{what}`"));
    }
    if let Some(what) = error("Could not find a version that satisfies the requirement ") {
        let what = what.split(" (from").next().unwrap_or(what);
        return Verdict::new(InstallerCause::NoSolution, format!("nothing that fits was found for `{what}`"));
    }
    let first = said.lines().find_map(|line| line.trim_start().strip_prefix("ERROR: "));
    let plain = first.or_else(|| said.lines().rev().find(|line| !line.trim().is_empty()));
    Verdict::new(InstallerCause::Other, plain.map_or_else(|| "pip failed without saying why".into(), one_line))
}

/// One sentence on a failed build: pip names what it built only by what it said before.
fn build_summary(said: &str) -> String {
    let failed = said.lines().find_map(|line| line.split_once("Failed building wheel for ").map(|(_, name)| name));
    let before = said.split("subprocess-exited-with-error").next().unwrap_or(said);
    let last = before.lines().rev().find_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("Collecting ").or_else(|| line.strip_prefix("Processing "))
    });
    let subject = failed.or(last).map(|name| name.split(" (from").next().unwrap_or(name).trim());
    let subject = subject.map_or_else(|| "a source distribution".into(), |name| format!("`{name}`"));
    let output = said.split("[end of output]").next().unwrap_or(said);
    format!("{subject} did not build: {}", build::reason(output))
}

/// The host or repository that a failure is about, quoted.
fn place(said: &str) -> String {
    for (lead, ends) in
        [("Could not fetch URL ", ": "), ("for url: ", " "), ("unable to access '", "'"), ("Looking in indexes: ", ",")]
    {
        let Some((_, rest)) = said.split_once(lead) else { continue };
        let line = rest.lines().next().unwrap_or_default();
        let url = line.split(ends).next().unwrap_or(line).trim();
        if !url.is_empty() && url.len() < 500 {
            return format!("`{url}`");
        }
    }
    "the host".into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use InstallerCause::{Credentials, HashMismatch, Network, NoSolution, NoSpace, Other, Quota, SourceBuild};

    /// What pip 23.0.1 and 24.2 printed when each was provoked.
    #[test]
    fn what_pip_printed_becomes_a_cause_and_a_sentence() {
        for (said, cause, summary) in [
            (
                "Looking in indexes: http://h/simple/\nERROR: Could not find a version that satisfies the requirement six (from versions: none)\nERROR: No matching distribution found for six\n2026-11-24T11:40:48,281 Could not fetch URL http://h/simple/six/: 401 Client Error: Unauthorized for url: http://h/simple/six/ - skipping",
                Credentials,
                "`http://h/simple/six/` refused the credentials",
            ),
            (
                "Looking in indexes: http://h:1/simple/\nWARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('<x>: Failed to establish a new connection: [Errno 111] Connection refused')': /simple/six/\nERROR: No matching distribution found for six",
                Network,
                "cannot reach `http://h:1/simple/`",
            ),
            (
                "ERROR: Ignored the following yanked versions: 1.25\nERROR: Could not find a version that satisfies the requirement urllib3>=3 (from versions: 0.3)\nERROR: No matching distribution found for urllib3>=3",
                NoSolution,
                "nothing that fits was found for `urllib3>=3`",
            ),
            (
                "ERROR: Cannot install requests==2.31.0 and urllib3==1.20 because these package versions have conflicting dependencies.\n\nThe conflict is caused by:\n    The user requested urllib3==1.20\n    requests 2.31.0 depends on urllib3<3 and >=1.21.1\n\nTo fix this you could try to:\nERROR: ResolutionImpossible: for help visit",
                NoSolution,
                "The user requested urllib3==1.20, and requests 2.31.0 depends on urllib3<3 and >=1.21.1",
            ),
            (
                "Collecting six==1.16.0 (from -r h.txt (line 1))\nERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you\n    six==1.16.0 from https://h/six-1.16.0-py2.py3-none-any.whl (from -r h.txt (line 1)):\n        Expected sha256 00\n",
                HashMismatch,
                "the bytes of `six==1.16.0` are not the ones expected",
            ),
            (
                "ERROR: Hashes are required in --require-hashes mode, but they are missing from some requirements.",
                NoSolution,
                "the declaration requires a digest for everything, and has none for some packages",
            ),
            (
                "Collecting hdr==1.0\n  error: subprocess-exited-with-error\n  \n  × Building wheel\n  ╰─> [9 lines of output]\n      x.c:1:10: fatal error: lber.h: No such file or directory\n      [end of output]\n  \n  note: This error\n  ERROR: Failed building wheel for hdr\nERROR: Could not build wheels for hdr",
                SourceBuild,
                "`hdr` did not build: the header `lber.h` is missing (Debian: `apt-get install libldap2-dev`)",
            ),
            (
                "Collecting old==1 (from -r x (line 1))\n  error: subprocess-exited-with-error\n  ╰─> [1 lines of output]\n      SyntaxError: Missing parentheses in call to 'print'. Did you mean print(...)?\n      [end of output]\nerror: metadata-generation-failed",
                SourceBuild,
                "`old==1` did not build: its build script is written for Python 2",
            ),
            (
                "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
                NoSpace,
                "no space is left on the device",
            ),
            (
                "ERROR: Could not install packages due to an OSError: [Errno 122] Disk quota exceeded: '/s/x'",
                Quota,
                "a disk quota is used up",
            ),
            ("ERROR: Invalid requirement: 'x y'", Other, "Invalid requirement: 'x y'"),
            ("", Other, "pip failed without saying why"),
        ] {
            assert_eq!(classify(said), Verdict::new(cause, summary), "{said}");
        }
    }
}
