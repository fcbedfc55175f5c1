//! How pip is called: its own words in its environment, its logins in a netrc that is on no disk.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl;
use url::Url;

use super::classify;
use super::options::Options;
use super::tool::Tool;
use crate::credentials::{self, Login};
use crate::error::{Error, InstallerCause, Phase, Result};
use crate::runtime::python::classify::Verdict;
use crate::runtime::python::installer;
use crate::runtime::python::run::Run;
use crate::runtime::python::trust;
use crate::store::runtime::Job;

/// Runs pip for one phase of a job.
pub(super) struct Invocation<'a, 'j> {
    run: Run<'a, 'j>,
    tool: &'a Tool,
    /// Open while pip runs: its children find it through our process.
    netrc: RefCell<Option<File>>,
}

impl<'a, 'j> Invocation<'a, 'j> {
    pub(super) fn new(job: &'a Job<'j>, tool: &'a Tool, phase: Phase) -> Self {
        let run = Run {
            job,
            phase,
            deadline: job.limits.deadline,
            name: "pip",
            unshown: 6,
            classify: classify::classify,
            notes: Some(job.scratch.join("pip.log")),
        };
        Self { run, tool, netrc: RefCell::new(None) }
    }

    /// Runs pip by an environment's Python, which it then installs into, and returns what it said.
    pub(super) fn run(&self, python: &Path, arguments: &[OsString], options: &Options) -> Result<String> {
        let result = self.run.run(|| self.command(python, arguments, options));
        self.netrc.take();
        result.map(|finished| finished.stderr)
    }

    /// An error of this phase.
    pub(super) fn refused(&self, verdict: Verdict) -> Error {
        self.run.refused(verdict)
    }

    /// An error of this phase that has no better cause.
    pub(super) fn other(&self, summary: String) -> Error {
        self.run.other(summary)
    }

    /// Offline, what was found nowhere may be elsewhere: the declaration is not to blame.
    pub(super) fn told_offline(&self, error: Error) -> Error {
        match error {
            Error::Installer { phase, cause: InstallerCause::NoSolution, summary, tail, log }
                if self.run.job.settings.install.offline
                    && tail.iter().any(|line| line.contains("(from versions: none)")) =>
            {
                let summary = format!("{summary}, and working offline");
                Error::Installer { phase, cause: InstallerCause::Offline, summary, tail, log }
            }
            error => error,
        }
    }

    /// Offline, refuses lines that name another place than this host: pip has no word that keeps it from going there.
    pub(super) fn refuse_remote(&self, lines: impl Iterator<Item = String>) -> Result<()> {
        if !self.run.job.settings.install.offline {
            return Ok(());
        }
        for line in lines {
            let Some((before, _)) = line.split_once("://") else { continue };
            if !before.ends_with("file") {
                let name = line.split([' ', '@']).next().unwrap_or_default();
                let summary = format!("`{name}` is named by a URL, and pip has no cache of it to work offline from");
                return Err(self.refused(Verdict::new(InstallerCause::Offline, summary)));
            }
        }
        Ok(())
    }

    fn command(&self, python: &Path, arguments: &[OsString], options: &Options) -> Result<Command> {
        let job = self.run.job;
        let install = &job.settings.install;
        // What pip tells belongs in the log, line by line as it comes, and its standard output is no result.
        let mut command = self.run.command(Path::new("/bin/sh"))?;
        command.args(["-c", "exec \"$@\" >&2", "sh"]).arg(python).arg("-I").arg(&self.tool.runner).args(arguments);
        for (name, value) in [
            ("PIP_CONFIG_FILE", "/dev/null"),
            ("PIP_NO_INPUT", "1"),
            ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
            ("PIP_NO_PYTHON_VERSION_WARNING", "1"),
            ("PIP_ROOT_USER_ACTION", "ignore"),
            ("PIP_PROGRESS_BAR", "off"),
            ("PIP_NO_COLOR", "1"),
            ("PIP_RETRIES", "2"),
        ] {
            command.env(name, value);
        }
        command.env("PIP_CACHE_DIR", job.cache.join("pip").join(&self.tool.version));
        if let Some(notes) = &self.run.notes {
            command.env("PIP_LOG", notes);
        }
        // pip brings roots of its own: it gets the host's.
        let roots = job.scratch.join("roots.pem");
        if !roots.exists() {
            fs::write(&roots, trust::pem(install.ca_bundle.as_deref())?).map_err(Error::io("write", &roots))?;
        }
        command.env("PIP_CERT", &roots);
        if let Some(file) = installer::write_build_constraints(job)? {
            if self.tool.limits_builds() {
                command.arg("--build-constraint").arg(file);
            } else {
                // It limits what is installed too: older pips know no other way.
                command.env("PIP_CONSTRAINT", file);
            }
        }
        self.indexes(&mut command, options)?;
        let links = self.run.find_links(&options.find_links);
        let is_local = |link: &&String| !link.contains("://") || link.starts_with("file:");
        let links: Vec<&str> =
            links.iter().filter(|link| !install.offline || is_local(link)).map(String::as_str).collect();
        if !links.is_empty() {
            command.env("PIP_FIND_LINKS", links.join(" "));
        }
        Ok(command)
    }

    /// Names the indexes, and hands their logins over. Not in the URLs: pip writes those into its children's arguments.
    fn indexes(&self, command: &mut Command, options: &Options) -> Result<()> {
        let job = self.run.job;
        if job.settings.install.offline {
            command.env("PIP_NO_INDEX", "1");
            return Ok(());
        }
        let mut default = None;
        let mut others = Vec::new();
        let mut logins = Vec::new();
        for index in &job.settings.indexes {
            let url = self.run.index_url(index)?;
            if let Some(login) = self.run.login(index)? {
                logins.push((url.clone(), login));
            }
            if index.default && default.is_none() { default = Some(url) } else { others.push(url) }
        }
        if let Some(url) = &options.index {
            default = Some(self.run.option_url(url)?);
        }
        for url in &options.extra_indexes {
            others.push(self.run.option_url(url)?);
        }
        // Without TLS the site's own word is enough: pip would pass over the index and find nothing. (It tells a URL's
        // default port from that port written out.)
        let plain = default.iter().chain(&others).filter(|url| url.scheme() == "http");
        let authority = |url: &Url| {
            let host = url.host_str()?;
            Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
        };
        let plain: Vec<_> = plain.filter_map(authority).collect();
        if !plain.is_empty() {
            command.env("PIP_TRUSTED_HOST", plain.join(" "));
        }
        if let Some(default) = default {
            command.env("PIP_INDEX_URL", default.as_str());
        }
        if !others.is_empty() {
            command.env("PIP_EXTRA_INDEX_URL", others.iter().map(Url::as_str).collect::<Vec<_>>().join(" "));
        }
        if !logins.is_empty() {
            let (file, path) = self.netrc(&logins)?;
            command.env("NETRC", path);
            self.netrc.replace(Some(file));
        }
        Ok(())
    }

    /// A netrc in memory, and the path by which pip reads it: what the user's own says, and these logins, the last of a host counting. It is a
    /// file in the build's own directory where the kernel lets no other process read this one's descriptors, as after giving up root (proc(5)).
    fn netrc(&self, logins: &[(Url, Login)]) -> Result<(File, PathBuf)> {
        let failed = |error: nix::errno::Errno| self.other(format!("no memory for the credentials: {error}"));
        let (mut file, path) = if prctl::get_dumpable().unwrap_or(false) {
            let file = File::from(memfd_create(c"netrc", MFdFlags::MFD_CLOEXEC).map_err(failed)?);
            let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
            (file, path)
        } else {
            let path = self.run.job.scratch.join("netrc");
            let options = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path);
            (options.map_err(Error::io("create", &path))?, path)
        };
        let mut text = credentials::users_netrc(self.run.job.settings.install.home.as_deref()).unwrap_or_default();
        for (url, login) in logins {
            text.push_str(&entry(url, login).map_err(|reason| self.other(reason))?);
        }
        file.write_all(text.as_bytes()).map_err(Error::io("write", "the credentials for pip"))?;
        Ok((file, path))
    }
}

/// A login as netrc has it, in words that every Python reads alike.
fn entry(url: &Url, login: &Login) -> Result<String, String> {
    let host = url.host_str().unwrap_or_default();
    let is_plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && !"\"\\'#".contains(c));
    if !is_plain(&login.username) || !is_plain(&login.password) {
        return Err(format!(
            "the credentials for `{host}` hold characters that pip cannot be handed (quotes, spaces, `#`, `\\`)"
        ));
    }
    Ok(format!("\nmachine {host}\nlogin {}\npassword {}\n", login.username, login.password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_that_a_netrc_cannot_hold_is_refused_without_being_told() {
        let url = Url::parse("https://host:8443/simple/").expect("a URL");
        let login = |password: &str| Login { username: "me".into(), password: password.into() };
        assert_eq!(entry(&url, &login("a:b=c")).expect("plain"), "\nmachine host\nlogin me\npassword a:b=c\n");
        for odd in ["a b", "a\"b", "a#b", "a\\b", ""] {
            let error = entry(&url, &login(odd)).expect_err("odd");
            assert!(error.contains("`host`") && (odd.is_empty() || !error.contains(odd)), "{error}");
        }
    }
}
