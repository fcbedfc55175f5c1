//! What to do about a failure: one sentence for each kind that has one.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::failure::{Failure, Trouble};
use super::units;
use crate::error::{Error, Kind};
use crate::fs::probe;
use crate::layout::{DIRECTORIES, STORE_JSON};

/// The hint for a failure.
pub fn hint(failure: &Failure) -> Option<String> {
    if let Trouble::Library(error) = &failure.trouble {
        match error.as_ref() {
            Error::NoStore { .. } => {
                return Some(
                    "`envstore ensure` creates a store; --store or ENVSTORE_STORE names one that is elsewhere".into(),
                );
            }
            Error::NoPack(_) => {
                return Some("`envstore list` shows the packs there are; `envstore ensure` makes one".into());
            }
            Error::NoGeneration { pack, .. } => {
                return Some(format!("`envstore history {pack}` shows the generations there are"));
            }
            Error::NoPin(_) => {
                return Some("`envstore why PACK|ENV` lists the pins of an environment".into());
            }
            Error::NoLink(_) => {
                return Some("`envstore why PACK|ENV` lists the links to an environment".into());
            }
            Error::WithinStore { .. } => {
                return Some("nothing but envstore may write in a store: choose a place outside every store".into());
            }
            Error::Sealed { .. } => {
                return Some("`envstore unseal` lets it be changed again, where its files can be written".into());
            }
            Error::InterpreterGone { .. } => {
                return Some("install that very interpreter again, or roll back to another generation".into());
            }
            Error::NoEnv(_) => {
                return Some(
                    "`envstore list --all` shows what there is; `env:` is followed by at least 8 characters of the key"
                        .into(),
                );
            }
            Error::Corrupt { path, .. } if path.ends_with(STORE_JSON) => {
                return Some(
                    "`envstore reindex` sets it aside and writes it again from the store's other files".into(),
                );
            }
            // The message says what to do: no command opens the store before that.
            Error::Corrupt { path, .. }
                if DIRECTORIES.iter().any(|(name, _)| path.ends_with(name)) && !is_directory(path) =>
            {
                return None;
            }
            Error::Corrupt { .. } => {
                let again = failure.pack.as_ref().map(|pack| {
                    format!("`envstore ensure {pack}` makes again what is gone, `envstore verify {pack} --repair` what is damaged; ")
                });
                return Some(again.unwrap_or_default() + "`envstore doctor` looks for more damage");
            }
            Error::MovedStore { path, named } if path == named => {
                return Some(format!("`envstore --store {} relocate` goes on with it", path.display()));
            }
            Error::MovedStore { path, named } => {
                return Some(format!(
                    "`envstore --store {} relocate` makes its environments again for the new place, without network; or move or mount it back to `{}`",
                    path.display(),
                    named.display()
                ));
            }
            Error::MovedOrCopied { path, .. } => {
                let run = format!("envstore --store {} relocate", path.display());
                return Some(format!(
                    "`{run} --copy` if both go on being used, `{run} --moved` if this one takes the other's place"
                ));
            }
            Error::LostStoreFile { path } => {
                return Some(format!(
                    "restore `store.json` from a backup, or let `envstore --store {} reindex` write it again from the other files",
                    path.display()
                ));
            }
            Error::FailedBefore { .. } => {
                return Some("change the declaration, or wait for ten minutes".into());
            }
            _ => {}
        }
    }
    let general = of_kind(failure.kind()).map(str::to_owned);
    match (failure.kind(), &failure.trouble) {
        (Kind::NoSpace, Trouble::Library(error)) => {
            full(error).or_else(|| error.is_quota().then(|| QUOTA.into())).or(general)
        }
        _ => general,
    }
}

/// What to do where a quota is used up and nothing is known of its filesystem.
const QUOTA: &str = "raise the quota; `envstore gc` frees what nothing keeps";

/// Which filesystem is full, or has a quota that is used up, and what frees room on it.
fn full(error: &Error) -> Option<String> {
    let path = match error {
        Error::NoSpace { path, .. } | Error::Io { path, .. } => path.as_path(),
        _ => error.log_path()?,
    };
    let place = path.ancestors().find(|place| place.exists())?;
    let device = |place: &Path| std::fs::metadata(place).ok().map(|meta| meta.dev());
    let mounted_at = place.ancestors().take_while(|above| device(above) == device(place)).last()?;
    let space = probe::space(mounted_at).ok()?;
    if error.is_quota() {
        return Some(format!(
            "a quota (of user {}, their group, a project or a subvolume) on the filesystem at `{}` is used up, whatever is free there ({}); \
             raise it, or `envstore gc` frees what nothing keeps, with --drop-retained also what only rollbacks need; `envstore du` says what \
             takes the room",
            nix::unistd::geteuid(),
            mounted_at.display(),
            units::bytes(space.free_bytes),
        ));
    }
    let inodes = space.free_inodes.map(|inodes| format!(" and {inodes} inodes")).unwrap_or_default();
    Some(format!(
        "the filesystem at `{}` has {} of {} free now{inodes}; `envstore gc` frees what nothing keeps, with --drop-retained also what only \
         rollbacks need; `envstore du` says what takes the room",
        mounted_at.display(),
        units::bytes(space.free_bytes),
        units::bytes(space.total_bytes),
    ))
}

fn is_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_dir())
}

/// The hint for a kind.
fn of_kind(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Usage => Some("`envstore help` explains the commands"),
        Kind::InvalidSpec => Some("mend the declaration at the place named, then run the command again"),
        Kind::InvalidConfig => Some("`envstore help config show` has an example with every section"),
        Kind::NoInterpreter => Some(
            "install an interpreter that fits, or name where there is one: `[python] interpreters` or `installations`",
        ),
        Kind::NoSolution => Some("loosen a requirement, or ask for another interpreter with --python"),
        Kind::HashMismatch => Some(
            "an artifact is not the one its digest names; ask whoever publishes it or runs the index before changing the digest",
        ),
        Kind::Network => Some("check the connection, proxy and index; behind a site's own CA set `install.ca_bundle`"),
        Kind::Credentials => Some("check `credentials` of the `[[index]]` in the configuration"),
        Kind::Offline => Some("run it once without --offline (ENVSTORE_OFFLINE, `install.offline`)"),
        Kind::SourceBuild => {
            Some("the log has the build's whole output; a version with a wheel for this interpreter needs no build")
        }
        Kind::Installer => Some("the log has the installer's whole output; `envstore doctor` looks at the installer"),
        Kind::UnsafeArtifact => Some("pin another version of that artifact, and tell who publishes it"),
        Kind::Timeout => Some("try again, or raise `install.timeout` or `install.silence_timeout`"),
        Kind::Busy => Some("try again in a moment; `install.timeout` is how long a process waits for another"),
        Kind::Interrupted => None,
        Kind::NotFound => Some("`envstore list` shows what there is"),
        Kind::NotPermitted => Some(
            "a store is written by the user who owns it, without --read-only (ENVSTORE_READ_ONLY); others can resolve, exec, list and show",
        ),
        Kind::MovedStore => Some("`envstore relocate` makes its environments again for the new place"),
        Kind::UnsupportedFilesystem => {
            Some("choose a directory on a local filesystem such as ext4, xfs or btrfs with --store")
        }
        Kind::UnsupportedFormat => Some("use a newer release of envstore"),
        Kind::Corrupt => Some("`envstore doctor` looks for more; `envstore reindex` makes a damaged index anew"),
        Kind::NoSpace => Some("`envstore gc` frees what nothing keeps"),
        Kind::Io => None,
        Kind::Index => Some("try again; if it stays, `envstore doctor`, then `envstore reindex`"),
        Kind::Bug => Some("this is a mistake in envstore: please report the message and the command"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::exit::EVERY_KIND;
    use super::*;

    #[test]
    fn commands_named_in_hints_exist() {
        use clap::CommandFactory;
        let command = super::super::args::Cli::command();
        for (kind, _) in EVERY_KIND {
            let text = of_kind(kind).unwrap_or_default();
            for (_, rest) in text.match_indices("`envstore ").map(|(at, what)| (at, &text[at + what.len()..])) {
                let name: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
                assert!(name == "help" || command.find_subcommand(&name).is_some(), "{kind:?}: {name}");
            }
        }
    }
}
