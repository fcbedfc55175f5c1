//! One run of an installer: its clean environment, the site's credentials, and what becomes of its failure.
//!
//! Nothing secret is an argument, and every secret is hidden in the log before the child starts. Installers' own
//! configuration files and variables have no say.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use url::Url;

use super::classify::{self, Verdict};
use super::{installer, trust};
use crate::credentials::{self, Login};
use crate::error::{Error, InstallerCause, Phase, Result};
use crate::process::{self, Finished, Limits};
use crate::settings::{CredentialSource, Index};
use crate::store::runtime::Job;

/// What a build finds when the caller says nothing.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Runs an installer for one phase of a job.
pub(crate) struct Run<'a, 'j> {
    pub(crate) job: &'a Job<'j>,
    pub(crate) phase: Phase,
    pub(crate) deadline: Instant,
    /// What it is called in the log.
    pub(crate) name: &'static str,
    /// How many of its arguments only bring it to run.
    pub(crate) unshown: usize,
    /// Sorts out what it said.
    pub(crate) classify: fn(&str) -> Verdict,
    /// A file where it notes the pages that it could not read, which its own messages leave out.
    pub(crate) notes: Option<PathBuf>,
}

impl Run<'_, '_> {
    /// Runs a command that `make` makes to a good end. After refused credentials, what may be others by now is asked
    /// for once more.
    pub(crate) fn run(&self, make: impl Fn() -> Result<Command>) -> Result<Finished> {
        let mut first = true;
        loop {
            let command = make()?;
            if first {
                self.job.log.line(&self.shown(&command));
            }
            let what = match self.phase {
                Phase::Lock => "locking",
                _ => "installing",
            };
            let limits = Limits { deadline: self.deadline, silence: self.job.settings.install.silence_timeout };
            let finished = process::run(command, what, self.job.log, limits, self.job.cancel, self.job.lease)?;
            if finished.status.success() {
                return Ok(finished);
            }
            let said = finished.stderr + &self.noted();
            if let Some((artifact, reason)) = classify::unsafe_artifact(&said) {
                let [artifact, reason] = [artifact, reason].map(|text| self.job.log.masked(&text));
                return Err(Error::UnsafeArtifact { artifact, reason });
            }
            let verdict = match (self.classify)(&said) {
                verdict if said.trim().is_empty() => {
                    Verdict { summary: format!("{} ended without a word ({})", self.name, finished.status), ..verdict }
                }
                verdict => verdict,
            };
            if verdict.cause != InstallerCause::Credentials || !first || !self.forget_credentials() {
                return Err(self.refused(verdict));
            }
            self.job.log.line("the credentials were refused: asking for them once more");
            first = false;
        }
    }

    /// What stands in its notes about pages, secrets masked; then they are empty again.
    fn noted(&self) -> String {
        let Some(notes) = &self.notes else { return String::new() };
        let text = std::fs::read(notes).unwrap_or_default();
        let _ = std::fs::remove_file(notes);
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("Could not fetch URL ")).collect();
        self.job.log.masked(&lines.join("\n"))
    }

    /// An error of this phase.
    pub(crate) fn refused(&self, verdict: Verdict) -> Error {
        installer::refused(self.job, self.phase, verdict)
    }

    /// An error of this phase that has no better cause.
    pub(crate) fn other(&self, summary: String) -> Error {
        self.refused(Verdict::new(InstallerCause::Other, summary))
    }

    /// A command with the environment that every installer gets, and no arguments.
    pub(crate) fn command(&self, program: &Path) -> Result<Command> {
        let job = self.job;
        let mut command = Command::new(program);
        command.current_dir(job.scratch).env_clear();
        for (name, value) in passed() {
            if let Some(url) = value.to_str().and_then(|value| Url::parse(value).ok()) {
                self.hide(&url);
            }
            command.env(name, value);
        }
        if let Some(home) = &job.settings.install.home {
            command.env("HOME", home).env_remove("NETRC");
        }
        let path = std::env::join_paths(&job.settings.install.path).ok().filter(|path| !path.is_empty());
        command.env("PATH", path.unwrap_or_else(|| DEFAULT_PATH.into()));
        command.env("TMPDIR", job.scratch).env("LANG", "C.UTF-8").env("LC_ALL", "C.UTF-8");
        // git has no one to ask.
        command.env("GIT_TERMINAL_PROMPT", "0");
        if let Some(bundle) = &job.settings.install.ca_bundle {
            let file = job.scratch.join("ca.pem");
            std::fs::write(&file, trust::combined_pem(bundle)?).map_err(Error::io("write", &file))?;
            command.env_remove("SSL_CERT_DIR").env("SSL_CERT_FILE", &file).env("GIT_SSL_CAINFO", &file);
        }
        Ok(command)
    }

    /// An index's URL, whose secret is hidden in the log from here on.
    pub(crate) fn index_url(&self, index: &Index) -> Result<Url> {
        let url = Url::parse(&index.url).map_err(|error| Error::InvalidConfig {
            origin: format!("index `{}`", index.name),
            reason: format!("its URL cannot be read: {error}"),
        })?;
        self.hide(&url);
        Ok(url)
    }

    /// The URL of an index option in a declaration.
    pub(crate) fn option_url(&self, text: &str) -> Result<Url> {
        let url = Url::parse(text)
            .map_err(|error| self.other(format!("an index option of the declaration has no usable URL: {error}")))?;
        self.hide(&url);
        Ok(url)
    }

    /// An index's login, hidden in the log from here on; none where the installer finds it by itself.
    pub(crate) fn login(&self, index: &Index) -> Result<Option<Login>> {
        let Some(source) = &index.credentials else { return Ok(None) };
        if let CredentialSource::File { path, .. } = source
            && credentials::is_exposed(path)
        {
            self.job.log.line(&format!("warning: everybody can read the secret in {}", path.display()));
        }
        let login = credentials::fetch(source, index, self.phase, self.job.cancel)?;
        if let Some(login) = &login {
            self.job.log.hide(&login.password);
        }
        Ok(login)
    }

    /// The places of `find_links` as URLs where they can be, which hold no white space.
    pub(crate) fn find_links(&self, more: &[String]) -> Vec<String> {
        let links = self.job.settings.install.find_links.iter().chain(more);
        links
            .map(|link| {
                let url = Url::parse(link).ok().or_else(|| Url::from_file_path(Path::new(link)).ok());
                if let Some(url) = &url {
                    self.hide(url);
                }
                url.map_or_else(|| link.clone(), String::from)
            })
            .collect()
    }

    /// Whether any login comes from a command or a file, which may hold another by now.
    fn forget_credentials(&self) -> bool {
        let sources = self.job.settings.indexes.iter().filter_map(|index| index.credentials.as_ref());
        let changing = |source: &&CredentialSource| {
            matches!(
                source,
                CredentialSource::Command { .. } | CredentialSource::File { .. } | CredentialSource::Callback(_)
            )
        };
        let changing: Vec<_> = sources.filter(changing).collect();
        changing.iter().for_each(|source| credentials::forget(source));
        !changing.is_empty()
    }

    fn hide(&self, url: &Url) {
        if let Some(password) = url.password() {
            self.job.log.hide(password);
            if let Ok(decoded) = percent_encoding::percent_decode_str(password).decode_utf8() {
                self.job.log.hide(&decoded);
            }
        }
    }

    /// The command as a log shows it: arguments only, which hold no secret.
    fn shown(&self, command: &Command) -> String {
        let mut line = format!("$ {}", self.name);
        for argument in command.get_args().skip(self.unshown) {
            line.push(' ');
            line.push_str(&argument.to_string_lossy());
        }
        line
    }
}

/// What passes from the calling process's environment, as `HOME`, proxies and certificates are the host's, not the
/// store's. Besides credentials the only place where the library reads the environment.
fn passed() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(passes))
}

fn passes(name: &str) -> bool {
    const HOST: &[&str] = &["HOME", "NETRC", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"];
    const PROXIES: &[&str] = &["http_proxy", "https_proxy", "all_proxy", "no_proxy"];
    let is_one_case = name.chars().all(|c| !c.is_lowercase()) || name.chars().all(|c| !c.is_uppercase());
    HOST.contains(&name) || is_one_case && PROXIES.contains(&name.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hosts_own_variables_pass() {
        for name in ["HOME", "NETRC", "SSL_CERT_FILE", "SSL_CERT_DIR", "https_proxy", "HTTPS_PROXY", "no_proxy"] {
            assert!(passes(name), "{name}");
        }
        for name in
            ["PIP_INDEX_URL", "UV_INDEX_URL", "UV_CACHE_DIR", "PYTHONPATH", "Http_Proxy", "CFLAGS", "PATH", "home"]
        {
            assert!(!passes(name), "{name}");
        }
    }
}
