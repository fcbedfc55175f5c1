//! [`Effect`]: what a command does to the store. It decides with whose rights root runs the command ([`super::owner`]).

use super::args::{Command, Config};

/// What a command does to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It writes nothing below the store's root.
    Reads,
    /// It writes below the root, and starts no installer.
    Writes,
    /// It writes below the root, and an installer may run for it.
    Builds,
    /// It also writes where the caller says, outside the root.
    WritesOutside,
}

impl Effect {
    /// The effect of a command. A dry run that rehearses its change in the index counts as writing.
    pub fn of(command: &Command) -> Self {
        match command {
            Command::Resolve(_)
            | Command::Exec(_)
            | Command::List(_)
            | Command::Show(_)
            | Command::History(_)
            | Command::Diff(_)
            | Command::Why(_)
            | Command::Events(_)
            | Command::WhoUses(_)
            | Command::Logs(_)
            | Command::Du(_)
            | Command::Doctor(_)
            | Command::Config(Config::Show)
            | Command::Completions(_) => Self::Reads,
            Command::Export(args) if args.output.is_none() => Self::Reads,
            Command::Verify(args) if !args.repair => Self::Reads,
            Command::Sync(args) if args.dry_run || args.check => Self::Reads,
            Command::Sync(args) if args.links.is_some() => Self::WritesOutside,
            Command::Export(_) | Command::Link(_) | Command::Unlink(_) | Command::Checkout(_) => Self::WritesOutside,
            Command::Ensure(_) | Command::Sync(_) | Command::Upgrade(_) | Command::Rollback(_) | Command::Verify(_) => {
                Self::Builds
            }
            Command::Pin(_)
            | Command::Unpin(_)
            | Command::Remove(_)
            | Command::Gc(_)
            | Command::Reindex
            | Command::Migrate
            | Command::Relocate(_)
            | Command::Seal
            | Command::Unseal => Self::Writes,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn options_decide_whether_a_command_reads_writes_or_writes_outside() {
        for (line, effect) in [
            ("resolve p", Effect::Reads),
            ("doctor --repair", Effect::Reads),
            ("verify", Effect::Reads),
            ("verify --repair", Effect::Builds),
            ("export p", Effect::Reads),
            ("export p -o file", Effect::WritesOutside),
            ("export --all -o dir", Effect::WritesOutside),
            ("sync dir", Effect::Builds),
            ("sync dir --check", Effect::Reads),
            ("sync dir --links there", Effect::WritesOutside),
            ("sync dir --links there --dry-run", Effect::Reads),
            ("gc --dry-run", Effect::Writes),
            ("ensure p", Effect::Builds),
        ] {
            let words = std::iter::once("envstore").chain(line.split(' '));
            assert_eq!(Effect::of(&super::super::args::Cli::parse_from(words).command), effect, "{line}");
        }
    }
}
