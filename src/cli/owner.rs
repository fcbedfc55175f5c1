//! Root on a store of another user: what is written below the root is written by its owner.
//!
//! A file that root made could be neither replaced nor deleted by the owner, so `remove`, `gc` and `ensure` of the owner would fail. Before
//! such a store is opened for writing, this process therefore gives up root for good: supplementary groups, then the group, then the user. What only root
//! can read is read before that: the configuration, declarations and the logins of indexes. Commands that only read keep root's rights; the library
//! opens the store for them as it does for any other user than the owner. Commands that also write outside the store are refused: the paths they are given are
//! root's, and the owner may have no right to them.

use std::ffi::{CString, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{self, Gid, Uid, User};

use super::effect::Effect;
use super::failure::Failure;
use crate::cancel::Cancel;
use crate::credentials;
use crate::error::{Error, Result};
use crate::settings::Settings;

/// The home of an owner without an account: a directory that builds cannot write to.
const NO_HOME: &str = "/";

/// The user a store belongs to, and with which groups and home that user runs.
#[derive(Debug)]
struct Owner {
    uid: Uid,
    gid: Gid,
    /// The name of the account; none for a uid without one, as containers have.
    name: Option<String>,
    home: PathBuf,
}

/// Makes this process fit to open the store at `root` for a command. Returns the settings to open it with.
///
/// # Errors
/// [`Error::NotPermitted`] for a command that root must not run on this store, and where the kernel does not let this process become the owner.
pub fn prepare(effect: Effect, root: &Path, settings: Settings) -> Result<Settings, Failure> {
    if effect == Effect::Reads || !unistd::geteuid().is_root() {
        return Ok(settings);
    }
    let Some(owner) = Owner::of(root).map_err(Failure::from)? else { return Ok(settings) };
    if effect == Effect::WritesOutside {
        let reason = format!(
            "`{}` belongs to {}, and only that user writes to it; this command also writes elsewhere, where that user may lack permission",
            root.display(),
            owner.shown()
        );
        let refused = Error::NotPermitted { what: "write outside another user's store".into(), reason };
        return Err(Failure::from(refused).hint(format!("`{}`", owner.command_line(std::env::args_os()))));
    }
    let mut settings = settings;
    if effect == Effect::Builds {
        settings.indexes.iter_mut().try_for_each(|index| credentials::read_ahead(index, &Cancel::new()))?;
        settings.install.home = Some(owner.home.clone());
    }
    owner.become_it(root)?;
    Ok(settings)
}

impl Owner {
    /// The owner of the directory `root`; none where it is root, or where nothing is there yet.
    fn of(root: &Path) -> Result<Option<Self>> {
        let meta = match fs::metadata(root) {
            Ok(meta) if meta.uid() == 0 => return Ok(None),
            Ok(meta) => meta,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("stat", root)(error)),
        };
        let uid = Uid::from_raw(meta.uid());
        let account = User::from_uid(uid).map_err(Error::errno("look up the owner of", root))?;
        Ok(Some(match account {
            Some(account) => Self { uid, gid: account.gid, name: Some(account.name), home: account.dir },
            None => Self { uid, gid: Gid::from_raw(meta.gid()), name: None, home: NO_HOME.into() },
        }))
    }

    fn shown(&self) -> String {
        match &self.name {
            Some(name) => format!("user `{name}`"),
            None => format!("uid {}, which has no account", self.uid),
        }
    }

    /// Gives up root for good.
    fn become_it(&self, root: &Path) -> Result<()> {
        // The groups first: only root may change them.
        let become_owner = || -> nix::Result<()> {
            match self.name.as_deref().and_then(|name| CString::new(name).ok()) {
                Some(name) => unistd::initgroups(&name, self.gid)?,
                None => unistd::setgroups(&[self.gid])?,
            }
            unistd::setresgid(self.gid, self.gid, self.gid)?;
            unistd::setresuid(self.uid, self.uid, self.uid)
        };
        let refused = |reason: String| Error::NotPermitted {
            what: format!("write to `{}` as its owner, {}", root.display(), self.shown()),
            reason,
        };
        become_owner().map_err(|errno| refused(format!("this process cannot become that user ({})", errno.desc())))?;
        // With `CAP_SETUID` left over this would succeed, and whatever the installer runs could do the same.
        match unistd::seteuid(Uid::from_raw(0)) {
            Err(Errno::EPERM) => Ok(()),
            _ => Err(refused("this process could become root again".into())),
        }
    }

    /// The command line that runs the same command as the owner.
    fn command_line(&self, args: impl Iterator<Item = OsString>) -> String {
        let runs = match &self.name {
            Some(name) => format!("runuser -u {name} --"),
            None => format!("setpriv --reuid={} --regid={} --clear-groups", self.uid, self.gid),
        };
        args.skip(1).fold(format!("{runs} envstore"), |line, arg| format!("{line} {}", quoted(&arg.to_string_lossy())))
    }
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: Option<&str>) -> Owner {
        Owner {
            uid: Uid::from_raw(1234),
            gid: Gid::from_raw(5678),
            name: name.map(str::to_owned),
            home: NO_HOME.into(),
        }
    }

    #[test]
    fn the_command_line_is_for_the_owner_and_quoted_for_a_shell() {
        let args = || ["/usr/bin/envstore", "link", "a b", "/srv/it's"].into_iter().map(OsString::from);
        let line = owner(Some("web")).command_line(args());
        assert_eq!(line, r"runuser -u web -- envstore link 'a b' '/srv/it'\''s'");
        let line = owner(None).command_line(args().take(2));
        assert_eq!(line, "setpriv --reuid=1234 --regid=5678 --clear-groups envstore link");
    }

    #[test]
    fn a_store_of_this_user_or_of_nobody_yet_needs_no_change() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(Owner::of(&dir.path().join("none")).expect("looks").is_none());
        if unistd::geteuid().is_root() {
            assert!(Owner::of(dir.path()).expect("looks").is_none());
        }
    }
}
