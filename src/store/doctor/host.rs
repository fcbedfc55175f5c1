//! What the host gives: a filesystem, room, descriptors, and a look at its processes.

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statfs;
use nix::sys::statvfs::{FsFlags, statvfs};

use super::super::finding::{Finding, Level};
use super::super::{Store, in_use};
use crate::error::{Error, Result};
use crate::fs::link::LinkMode;
use crate::fs::probe;
use crate::index::{Access, envs};

/// A worker holds one descriptor for each environment in use, and its actions' own.
const FEW_DESCRIPTORS: u64 = 1024;
const FEW_INODES: u64 = 50_000;

impl Store {
    pub(super) fn look_at_host(&self, findings: &mut Vec<Finding>) -> Result<()> {
        self.look_at_filesystem(findings)?;
        self.look_at_links(findings)?;
        self.look_at_space(findings)?;
        look_at_limits(findings);
        let unreadable = in_use::scan(&self.0.layout).unreadable;
        if unreadable > 0 {
            let message = format!(
                "processes that cannot be looked into: {unreadable}; of them a collection knows only what holds a lease"
            );
            findings.push(Finding::new("processes", Level::Note, message));
        } else {
            findings.push(Finding::new("processes", Level::Ok, "every process can be looked into"));
        }
        Ok(())
    }

    fn look_at_filesystem(&self, findings: &mut Vec<Finding>) -> Result<()> {
        let root = self.root();
        let stat = statfs::statfs(root).map_err(Error::errno("ask for the filesystem of", root))?;
        let (name, nature) = filesystem(stat.filesystem_type());
        let finding = |level, what: &str| Finding::new("filesystem", level, format!("{name}: {what}"));
        findings.push(match nature {
            Nature::Local => finding(Level::Ok, "a local filesystem"),
            Nature::Network => {
                finding(Level::Warning, "a network filesystem: its locks and syncs are not to be relied upon")
                    .hint("move the store to a local filesystem")
            }
            Nature::Memory => finding(Level::Warning, "in memory: everything is gone after a restart"),
            Nature::Overlay => {
                finding(Level::Note, "what comes from a lower layer can be unbound, and its space is never freed")
            }
            Nature::Unknown => finding(Level::Note, "it cannot be told whether it is local"),
        });
        let mounted = statvfs(root).map_err(Error::errno("ask for the filesystem of", root))?;
        if mounted.flags().contains(FsFlags::ST_NOEXEC) {
            let message =
                "it is mounted noexec: the system starts no program of an environment but the interpreter outside it";
            let hint =
                "mount it without noexec, or move the store; until then start modules (`python -m …`), not scripts";
            findings.push(Finding::new("noexec", Level::Warning, message).hint(hint));
        }
        Ok(())
    }

    fn look_at_links(&self, findings: &mut Vec<Finding>) -> Result<()> {
        let mut copies = 0;
        for env in self.0.index.read("list environments", envs::all)? {
            copies += u64::from(env.link_mode == LinkMode::Copy);
        }
        // A reader cannot try, and has nothing to link.
        if self.0.access == Access::Owner {
            let mode = self.link_mode()?;
            let (level, what) = match mode {
                LinkMode::Reflink => {
                    (Level::Ok, "environments share files by reflinks: a write in place reaches one only")
                }
                LinkMode::Hardlink => (Level::Ok, "environments share files by hard links"),
                LinkMode::Copy => (Level::Warning, "environments hold copies: every file takes its room again"),
            };
            findings.push(Finding::new("link_mode", level, what));
        }
        if copies > 0 {
            let message = format!("{copies} environments hold copies of their files");
            findings.push(Finding::new("copies", Level::Note, message));
        }
        Ok(())
    }

    fn look_at_space(&self, findings: &mut Vec<Finding>) -> Result<()> {
        let space = probe::space(self.root())?;
        let percent = space.free_bytes.saturating_mul(100) / space.total_bytes.max(1);
        let message = format!("{} MB free, {percent} %", space.free_bytes / 1_000_000);
        findings.push(match percent {
            0..5 => Finding::new("space", Level::Warning, message).hint("`envstore gc` frees what nothing keeps"),
            _ => Finding::new("space", Level::Ok, message),
        });
        if let Some(inodes) = space.free_inodes {
            let message = format!("{inodes} inodes free");
            findings.push(match inodes {
                0..FEW_INODES => {
                    Finding::new("inodes", Level::Warning, message).hint("`envstore gc` frees what nothing keeps")
                }
                _ => Finding::new("inodes", Level::Ok, message),
            });
        }
        let cache = fs_extra::dir::get_size(self.0.layout.dir("cache")).unwrap_or(0);
        findings.push(Finding::new("cache", Level::Ok, format!("{} MB that can be fetched again", cache / 1_000_000)));
        Ok(())
    }
}

fn look_at_limits(findings: &mut Vec<Finding>) {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let message = format!("a process may open {soft} files (at most {hard})");
    findings.push(match soft {
        0..FEW_DESCRIPTORS => Finding::new("open_files", Level::Warning, message)
            .hint("raise it for workers: each environment in use takes one (`ulimit -n`, `LimitNOFILE=`)"),
        _ => Finding::new("open_files", Level::Ok, message),
    });
}

enum Nature {
    Local,
    Network,
    Memory,
    Overlay,
    Unknown,
}

/// A filesystem's name and nature, by the number of statfs(2). Only told: whether it will do is tried at creation.
fn filesystem(kind: statfs::FsType) -> (&'static str, Nature) {
    const V9FS: i64 = 0x0102_1997;
    const ZFS: i64 = 0x2fc1_2fc1;
    const SMB2: i64 = 0xfe53_4d42;
    const CIFS: i64 = 0xff53_4d42;
    const CEPH: i64 = 0x00c3_6400;
    const LUSTRE: i64 = 0x0bd0_0bd0;
    const BCACHEFS: i64 = 0xca45_1a4e;
    match kind {
        statfs::EXT4_SUPER_MAGIC => ("ext4", Nature::Local),
        statfs::XFS_SUPER_MAGIC => ("xfs", Nature::Local),
        statfs::BTRFS_SUPER_MAGIC => ("btrfs", Nature::Local),
        statfs::F2FS_SUPER_MAGIC => ("f2fs", Nature::Local),
        statfs::TMPFS_MAGIC => ("tmpfs", Nature::Memory),
        statfs::OVERLAYFS_SUPER_MAGIC => ("overlay", Nature::Overlay),
        statfs::NFS_SUPER_MAGIC => ("nfs", Nature::Network),
        statfs::SMB_SUPER_MAGIC => ("smb", Nature::Network),
        statfs::FUSE_SUPER_MAGIC => ("fuse", Nature::Unknown),
        #[allow(clippy::unnecessary_cast)]
        statfs::FsType(number) => match number as i64 & 0xffff_ffff {
            V9FS => ("9p", Nature::Network),
            ZFS => ("zfs", Nature::Local),
            BCACHEFS => ("bcachefs", Nature::Local),
            SMB2 | CIFS => ("cifs", Nature::Network),
            CEPH => ("ceph", Nature::Network),
            LUSTRE => ("lustre", Nature::Network),
            _ => ("another filesystem", Nature::Unknown),
        },
    }
}
