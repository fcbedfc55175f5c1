//! How uv is called: its arguments, and its indexes and logins in its environment.

use std::ffi::OsString;
use std::process::Command;
use std::time::Instant;

use super::options::Options;
use crate::error::{Error, Phase, Result};
use crate::process::Finished;
use crate::runtime::python::classify::{self, Verdict};
use crate::runtime::python::run::Run;
use crate::runtime::python::tool::Tool;
use crate::store::runtime::Job;

/// Runs uv for one phase of a job.
pub(super) struct Invocation<'a, 'j> {
    run: Run<'a, 'j>,
    tool: &'a Tool,
}

impl<'a, 'j> Invocation<'a, 'j> {
    pub(super) fn new(job: &'a Job<'j>, tool: &'a Tool, phase: Phase, deadline: Instant) -> Self {
        let classify = classify::classify;
        Self { run: Run { job, phase, deadline, name: "uv", unshown: 0, classify, notes: None }, tool }
    }

    /// Runs uv with these arguments.
    pub(super) fn run(&self, arguments: &[OsString], options: &Options) -> Result<Finished> {
        self.run.run(|| self.command(arguments, options))
    }

    /// An error of this phase.
    pub(super) fn refused(&self, verdict: Verdict) -> Error {
        self.run.refused(verdict)
    }

    /// An error of this phase that has no better cause.
    pub(super) fn other(&self, summary: String) -> Error {
        self.run.other(summary)
    }

    fn command(&self, arguments: &[OsString], options: &Options) -> Result<Command> {
        let job = self.run.job;
        let mut command = self.run.command(&self.tool.path)?;
        command.args(arguments);
        command.args(["--no-config", "--system-certs", "--no-progress", "--color", "never", "--cache-dir"]);
        command.arg(job.cache.join("uv").join(&self.tool.version));
        if job.settings.install.offline {
            command.arg("--offline");
        }
        // Two wheels that claim one path come out the same each time only when installed one after the other.
        command.env("UV_CONCURRENT_INSTALLS", "1");
        // As variables: not every command of uv knows the options.
        command.env("UV_PYTHON_DOWNLOADS", "never").env("UV_KEYRING_PROVIDER", "disabled");
        self.indexes(&mut command, options)?;
        // The variable holds a list separated by commas.
        let links: Vec<_> =
            self.run.find_links(&options.find_links).iter().map(|link| link.replace(',', "%2C")).collect();
        if !links.is_empty() {
            command.env("UV_FIND_LINKS", links.join(","));
        }
        Ok(command)
    }

    /// Names the indexes to uv, and their logins. The names are ours: uv derives variables from them, so each is
    /// made of what a variable may hold and bears its position.
    fn indexes(&self, command: &mut Command, options: &Options) -> Result<()> {
        let mut default = None;
        let mut others = Vec::new();
        for (n, index) in self.run.job.settings.indexes.iter().enumerate() {
            let url = self.run.index_url(index)?;
            let name = uv_name(&index.name, n);
            if let Some(login) = self.run.login(index)? {
                let variable = name.to_ascii_uppercase().replace('-', "_");
                command.env(format!("UV_INDEX_{variable}_USERNAME"), login.username);
                command.env(format!("UV_INDEX_{variable}_PASSWORD"), login.password);
            }
            let entry = format!("{name}={url}");
            if index.default && default.is_none() { default = Some(entry) } else { others.push(entry) }
        }
        if let Some(url) = &options.index {
            // As with pip: it takes the default's place, the others stay.
            default = Some(self.run.option_url(url)?.into());
        }
        for url in &options.extra_indexes {
            others.push(self.run.option_url(url)?.into());
        }
        if let Some(default) = default {
            command.env("UV_DEFAULT_INDEX", default);
        }
        if !others.is_empty() {
            command.env("UV_INDEX", others.join(" "));
        }
        Ok(())
    }
}

/// A name that uv takes for an index: letters, digits and dashes, ending in the index's position.
fn uv_name(name: &str, position: usize) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let plain = plain.trim_matches('-');
    if plain.is_empty() { format!("index-{position}") } else { format!("{plain}-{position}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_names_are_safe_and_distinct() {
        assert_eq!(uv_name("corp", 0), "corp-0");
        assert_eq!(uv_name("Corp.x y=é", 1), "corp-x-y-1");
        assert_eq!(uv_name("", 2), "index-2");
        assert_ne!(uv_name("a.b", 0), uv_name("a-b", 1));
    }
}
