//! One run of uv: its environment, its indexes, its credentials, and what becomes of its failure.
//!
//! Nothing secret is an argument: indexes, find-links and logins go through the environment of the child, and every
//! secret is hidden in the log before the child starts. uv's own configuration files and variables have no say.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use url::Url;

use super::options::Options;
use crate::credentials;
use crate::error::{Error, InstallerCause, Phase, Result};
use crate::process::{self, Limits};
use crate::runtime::python::classify::{self, Verdict};
use crate::runtime::python::tool::Tool;
use crate::runtime::python::trust;
use crate::settings::CredentialSource;
use crate::store::runtime::Job;

/// What a build finds when the caller says nothing.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Runs uv for one phase of a job.
pub(super) struct Invocation<'a, 'j> {
    job: &'a Job<'j>,
    tool: &'a Tool,
    phase: Phase,
    deadline: Instant,
}

impl<'a, 'j> Invocation<'a, 'j> {
    pub(super) fn new(job: &'a Job<'j>, tool: &'a Tool, phase: Phase, deadline: Instant) -> Self {
        Self { job, tool, phase, deadline }
    }

    /// Runs uv with these arguments and returns its standard output. After refused credentials, what commands
    /// said is asked for once more.
    pub(super) fn run(&self, arguments: &[OsString], options: &Options) -> Result<Vec<u8>> {
        let mut first = true;
        loop {
            let command = self.command(arguments, options)?;
            if first {
                self.job.log.line(&shown(&command));
            }
            let what = match self.phase {
                Phase::Lock => "locking",
                _ => "installing",
            };
            let limits = Limits { deadline: self.deadline, silence: self.job.settings.install.silence_timeout };
            let finished = process::run(command, what, self.job.log, limits, self.job.cancel, self.job.lease)?;
            if finished.status.success() {
                return Ok(finished.stdout);
            }
            let verdict = match classify::classify(&finished.stderr) {
                verdict if finished.stderr.trim().is_empty() => {
                    Verdict { summary: format!("uv ended without a word ({})", finished.status), ..verdict }
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

    /// An error of this phase.
    pub(super) fn refused(&self, verdict: Verdict) -> Error {
        Error::Installer {
            phase: self.phase,
            cause: verdict.cause,
            summary: self.job.log.masked(&verdict.summary),
            tail: self.job.log.tail(),
            log: self.job.log.path().map(Path::to_owned),
        }
    }

    /// An error of this phase that has no better cause.
    pub(super) fn other(&self, summary: String) -> Error {
        self.refused(Verdict::new(InstallerCause::Other, summary))
    }

    /// Whether any login comes from a command, whose next answer may be another.
    fn forget_credentials(&self) -> bool {
        let sources = self.job.settings.indexes.iter().filter_map(|index| index.credentials.as_ref());
        let commands: Vec<_> = sources.filter(|source| matches!(source, CredentialSource::Command { .. })).collect();
        commands.iter().for_each(|source| credentials::forget(source));
        !commands.is_empty()
    }

    fn command(&self, arguments: &[OsString], options: &Options) -> Result<Command> {
        let job = self.job;
        let install = &job.settings.install;
        let mut command = Command::new(&self.tool.path);
        command.args(arguments).current_dir(job.scratch).env_clear();
        command.args(["--no-config", "--system-certs", "--no-progress", "--color", "never", "--cache-dir"]);
        command.arg(job.cache.join("uv").join(&self.tool.version));
        if install.offline {
            command.arg("--offline");
        }
        for (name, value) in passed() {
            if let Some(url) = value.to_str().and_then(|value| Url::parse(value).ok()) {
                self.hide(&url);
            }
            command.env(name, value);
        }
        let path = std::env::join_paths(&install.path).ok().filter(|path| !path.is_empty());
        command.env("PATH", path.unwrap_or_else(|| DEFAULT_PATH.into()));
        command.env("TMPDIR", job.scratch).env("LANG", "C.UTF-8").env("LC_ALL", "C.UTF-8");
        // Two wheels that claim one path come out the same each time only when installed one after the other.
        command.env("UV_CONCURRENT_INSTALLS", "1");
        // As variables: not every command of uv knows the options.
        command.env("UV_PYTHON_DOWNLOADS", "never").env("UV_KEYRING_PROVIDER", "disabled");
        // git has no one to ask.
        command.env("GIT_TERMINAL_PROMPT", "0");
        if let Some(bundle) = &install.ca_bundle {
            let file = job.scratch.join("ca.pem");
            std::fs::write(&file, trust::combined_pem(bundle)?).map_err(Error::io("write", &file))?;
            command.env_remove("SSL_CERT_DIR").env("SSL_CERT_FILE", &file).env("GIT_SSL_CAINFO", &file);
        }
        self.indexes(&mut command, options)?;
        self.find_links(&mut command, options);
        Ok(command)
    }

    /// Names the indexes to uv, and their logins. The names are ours: uv derives variables from them, so each is
    /// made of what a variable may hold and bears its position.
    fn indexes(&self, command: &mut Command, options: &Options) -> Result<()> {
        let mut default = None;
        let mut others = Vec::new();
        for (n, index) in self.job.settings.indexes.iter().enumerate() {
            let url = Url::parse(&index.url).map_err(|error| Error::InvalidConfig {
                origin: format!("index `{}`", index.name),
                reason: format!("its URL cannot be read: {error}"),
            })?;
            self.hide(&url);
            let name = uv_name(&index.name, n);
            if let Some(source) = &index.credentials {
                if let CredentialSource::File { path, .. } = source
                    && credentials::is_exposed(path)
                {
                    self.job.log.line(&format!("warning: everybody can read the secret in {}", path.display()));
                }
                if let Some(login) = credentials::fetch(source, index, self.phase, self.job.cancel)? {
                    self.job.log.hide(&login.password);
                    let variable = name.to_ascii_uppercase().replace('-', "_");
                    command.env(format!("UV_INDEX_{variable}_USERNAME"), login.username);
                    command.env(format!("UV_INDEX_{variable}_PASSWORD"), login.password);
                }
            }
            let entry = format!("{name}={url}");
            if index.default && default.is_none() { default = Some(entry) } else { others.push(entry) }
        }
        let named = |text: &str| {
            let url = Url::parse(text).map_err(|error| {
                self.other(format!("an index option of the declaration has no usable URL: {error}"))
            })?;
            self.hide(&url);
            Ok::<String, Error>(url.into())
        };
        if let Some(url) = &options.index {
            // As with pip: it takes the default's place, the others stay.
            default = Some(named(url)?);
        }
        for url in &options.extra_indexes {
            others.push(named(url)?);
        }
        if let Some(default) = default {
            command.env("UV_DEFAULT_INDEX", default);
        }
        if !others.is_empty() {
            command.env("UV_INDEX", others.join(" "));
        }
        Ok(())
    }

    fn find_links(&self, command: &mut Command, options: &Options) {
        let links = self.job.settings.install.find_links.iter().chain(&options.find_links);
        // The variable holds a list separated by commas.
        let links: Vec<String> = links
            .map(|link| {
                let url = Url::parse(link).ok().or_else(|| Url::from_file_path(PathBuf::from(link)).ok());
                if let Some(url) = &url {
                    self.hide(url);
                }
                url.map_or_else(|| link.clone(), String::from).replace(',', "%2C")
            })
            .collect();
        if !links.is_empty() {
            command.env("UV_FIND_LINKS", links.join(","));
        }
    }

    fn hide(&self, url: &Url) {
        if let Some(password) = url.password() {
            self.job.log.hide(password);
            if let Ok(decoded) = percent_encoding::percent_decode_str(password).decode_utf8() {
                self.job.log.hide(&decoded);
            }
        }
    }
}

/// A name that uv takes for an index: letters, digits and dashes, ending in the index's position.
fn uv_name(name: &str, position: usize) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let plain = plain.trim_matches('-');
    if plain.is_empty() { format!("index-{position}") } else { format!("{plain}-{position}") }
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

/// The command as a log shows it: arguments only, which hold no secret.
fn shown(command: &Command) -> String {
    let mut line = String::from("$ uv");
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
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

    #[test]
    fn index_names_are_safe_and_distinct() {
        assert_eq!(uv_name("corp", 0), "corp-0");
        assert_eq!(uv_name("Corp.x y=é", 1), "corp-x-y-1");
        assert_eq!(uv_name("", 2), "index-2");
        assert_ne!(uv_name("a.b", 0), uv_name("a-b", 1));
    }
}
