//! [`Answers`]: what commands that ask once were answered, for the commands that ask the same after them.
//!
//! A page is the answers for the packs of one slot (`epoch`). It is valid while four things are as they were before the index was queried: the
//! slot's counter, the epoch file, the boot, and the last write to `index.db` or its log. A page's checksum is computed over these and the answers.
//! A reader computes it with the values of its own time, so a page that is outdated, torn or of another store has a wrong checksum and is ignored.
//!
//! # Locking
//! None. A page is replaced by one write; of two writers at once one is forgotten, or both, and their packs are asked for again.
//!
//! # Durability
//! None: another boot believes nothing of it. What fails here fails nobody.
//!
//! # Performance
//! A look is two `stat`s, one opening and one read of 4 KiB.

use std::fs::{File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::PathBuf;

use nix::fcntl::OFlag;
use nix::sys::resource::{Resource, getrlimit};
use serde::{Deserialize, Serialize};

use crate::digest::{Canonical, EnvKey};
use crate::epoch::Slot;
use crate::fs::read;
use crate::interpreter::FileStamp;
use crate::layout::{EnvName, Layout};
use crate::pack::PackRef;
use crate::store::report::Cause;

/// Of each page's bytes the first are its checksum, the next two the length of its text.
const PAGE: usize = 4096;
const CHECKSUM: usize = 32;
const TEXT: usize = CHECKSUM + 2;
const ROOM: usize = PAGE - TEXT;

/// What a pack is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The pack.
    pub pack: PackRef,
    /// The environment's directory.
    pub name: EnvName,
    /// Its key.
    pub env: EnvKey,
    /// The binding's generation.
    pub generation: u64,
    /// Why that was written.
    pub cause: Cause,
    /// Whether it answers another declaration than the last one given.
    pub stale: bool,
    /// The real path of the interpreter's executable.
    pub interpreter: PathBuf,
    /// That executable when the environment was made.
    pub stamp: FileStamp,
}

/// The answers of a store, as its index stood when this was made.
#[derive(Debug)]
pub struct Answers {
    path: PathBuf,
    /// What every page holds for.
    holds_for: Canonical,
}

impl Answers {
    /// To be made before the index is asked. None: there is no index.
    ///
    /// `incarnation` is that of the epoch's file. What is committed changes the database or its log, so that an answer from before a commit is not
    /// believed even if counters came back from a backup.
    pub fn of(layout: &Layout, store_id: &str, boot: &str, incarnation: u64) -> Option<Self> {
        let [index, log, _] = layout.index_files();
        let index = FileStamp::of(&index).ok()?;
        // A missing log is like an empty one.
        let log = FileStamp::of(&log).ok();
        let mut holds_for = Canonical::new("envstore/answers/v2");
        holds_for.field(store_id).field(boot).field(incarnation.to_le_bytes());
        for stamp in [Some(index), log] {
            let FileStamp { inode, size, mtime_ns } = stamp.unwrap_or(FileStamp { inode: 0, size: 0, mtime_ns: 0 });
            holds_for.field(inode.to_le_bytes()).field(size.to_le_bytes()).field(mtime_ns.to_le_bytes());
        }
        Some(Self { path: layout.answers(), holds_for })
    }

    /// What was answered for a pack when its counter was this.
    pub fn get(&self, pack: &PackRef, slot: Slot, counter: u64) -> Option<Answer> {
        let text = self.read(slot, counter)?;
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).find(|answer: &Answer| answer.pack == *pack)
    }

    /// Keeps an answer of the index for who asks next. The counter was taken before the index was asked, and is even.
    pub fn keep(&self, answer: &Answer, slot: Slot, counter: u64) {
        let mut page = [0; PAGE];
        let Ok(line) = serde_json::to_string(answer) else { return };
        let mut text = self.read(slot, counter).unwrap_or_default();
        // Whoever is left out asks the index and comes back.
        if text.len() + line.len() >= ROOM {
            text.clear();
        }
        text.push_str(&line);
        text.push('\n');
        let Some(room) = page.get_mut(TEXT..TEXT + text.len()) else { return };
        room.copy_from_slice(text.as_bytes());
        let length = u16::try_from(text.len()).unwrap_or(0);
        page[CHECKSUM..TEXT].copy_from_slice(&length.to_le_bytes());
        page[..CHECKSUM].copy_from_slice(&self.checksum(slot, counter, text.as_bytes()));
        if !may_grow_to(offset(slot) + PAGE as u64) {
            return;
        }
        if let Err(error) = self.file().and_then(|file| file.write_all_at(&page, offset(slot))) {
            tracing::debug!(%error, "an answer is not kept");
        }
    }

    /// The text of a page that holds.
    fn read(&self, slot: Slot, counter: u64) -> Option<String> {
        let mut page = [0; PAGE];
        read::open(&self.path).ok()?.read_exact_at(&mut page, offset(slot)).ok()?;
        let length = u16::from_le_bytes([page[CHECKSUM], page[CHECKSUM + 1]]);
        let text = page[TEXT..].get(..length.into())?;
        let holds = self.checksum(slot, counter, text) == page[..CHECKSUM];
        holds.then(|| String::from_utf8(text.to_vec()).ok())?
    }

    fn checksum(&self, slot: Slot, counter: u64, text: &[u8]) -> [u8; CHECKSUM] {
        let mut holds_for = self.holds_for.clone();
        holds_for.count(slot.number()).field(counter.to_le_bytes()).field(text);
        *blake3::hash(holds_for.bytes()).as_bytes()
    }

    /// The file, to be written. A symbolic link is not followed (I9), and nothing but a regular file is written to or waited for.
    fn file(&self) -> std::io::Result<File> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        match File::options().write(true).custom_flags(flags.bits()).open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let file = File::options().write(true).create_new(true).mode(0o644).open(&self.path)?;
                // Whatever the umask: readers of another uid ask too. By root it is made for the store's owner.
                file.set_permissions(Permissions::from_mode(0o644))?;
                if let Some(owner) = self.path.parent().and_then(|root| root.metadata().ok()) {
                    let _ = fchown(&file, Some(owner.uid()), None);
                }
                Ok(file)
            }
            Ok(file) if !file.metadata()?.is_file() => Err(std::io::Error::other("it is not a regular file")),
            opened => opened,
        }
    }
}

/// Whether a file of that size is within this process's limits: who writes beyond is ended (setrlimit(2)).
fn may_grow_to(size: u64) -> bool {
    getrlimit(Resource::RLIMIT_FSIZE).is_ok_and(|(soft, _)| size <= soft)
}

fn offset(slot: Slot) -> u64 {
    (slot.number() * PAGE) as u64
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;

    const BOOT: &str = "boot";

    fn layout() -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(dir.path());
        fs::write(layout.index_db(), "an index").expect("writes");
        (dir, layout)
    }

    fn answers(layout: &Layout) -> Answers {
        Answers::of(layout, "id", BOOT, 1).expect("an index")
    }

    fn answer(pack: &str) -> Answer {
        let key: EnvKey = blake3::hash(pack.as_bytes()).into();
        Answer {
            pack: PackRef::new(pack).expect("a ref"),
            name: EnvName::new(&key, 3),
            env: key,
            generation: 7,
            cause: Cause::Rollback,
            stale: true,
            interpreter: "/opt/python/bin/python3.11".into(),
            stamp: FileStamp { inode: u64::MAX, size: 1, mtime_ns: -1 },
        }
    }

    fn slot(answer: &Answer) -> Slot {
        Slot::of(answer.pack.as_str())
    }

    fn keep(answers: &Answers, answer: &Answer, counter: u64) {
        answers.keep(answer, slot(answer), counter);
    }

    fn get(answers: &Answers, answer: &Answer, counter: u64) -> Option<Answer> {
        answers.get(&answer.pack, slot(answer), counter)
    }

    #[test]
    fn an_answer_holds_under_its_counter_and_under_no_other() {
        let (_dir, layout) = layout();
        let answer = answer("pack");
        assert_eq!(get(&answers(&layout), &answer, 4), None);
        keep(&answers(&layout), &answer, 4);
        assert_eq!(get(&answers(&layout), &answer, 4).as_ref(), Some(&answer));
        assert_eq!(get(&answers(&layout), &answer, 6), None);
        assert_eq!(get(&answers(&layout), &answer, 2), None);
        assert_eq!(fs::metadata(layout.answers()).expect("a file").permissions().mode() & 0o777, 0o644);
    }

    #[test]
    fn by_root_the_file_is_made_for_the_stores_owner() {
        let (dir, layout) = layout();
        let owner = if nix::unistd::geteuid().is_root() { 4711 } else { nix::unistd::getuid().as_raw() };
        std::os::unix::fs::chown(dir.path(), Some(owner), None).expect("given away");
        keep(&answers(&layout), &answer("pack"), 4);
        assert_eq!(fs::metadata(layout.answers()).expect("a file").uid(), owner);
    }

    #[test]
    fn a_link_in_its_place_leads_nowhere() {
        let (dir, layout) = layout();
        let other = dir.path().join("other");
        fs::write(&other, "somebody's").expect("writes");
        std::os::unix::fs::symlink(&other, layout.answers()).expect("links");
        keep(&answers(&layout), &answer("pack"), 4);
        assert_eq!(fs::read(&other).expect("reads"), b"somebody's");
        assert_eq!(get(&answers(&layout), &answer("pack"), 4), None);
    }

    #[test]
    fn what_is_no_file_in_its_place_stops_nobody() {
        let (_dir, layout) = layout();
        let there = layout.answers();
        for what in ["a directory", "a fifo", "damage", "nothing"] {
            match what {
                "a directory" => fs::create_dir(&there).expect("a directory"),
                "a fifo" => nix::unistd::mkfifo(&there, nix::sys::stat::Mode::S_IRWXU).expect("a fifo"),
                "damage" => fs::write(&there, "damage").expect("writes"),
                _ => {}
            }
            assert_eq!(get(&answers(&layout), &answer("pack"), 4), None, "{what}");
            keep(&answers(&layout), &answer("pack"), 4);
            let is_kept = get(&answers(&layout), &answer("pack"), 4).is_some();
            assert_eq!(is_kept, ["damage", "nothing"].contains(&what), "{what}");
            let _ = fs::remove_dir(&there);
            let _ = fs::remove_file(&there);
        }
    }

    #[test]
    fn it_is_nothing_to_another_boot_store_epoch_or_index() {
        let (_dir, layout) = layout();
        let answer = answer("pack");
        keep(&answers(&layout), &answer, 4);
        for (id, boot, incarnation) in [("id", "another", 1), ("another", BOOT, 1), ("i", "dboot", 1), ("id", BOOT, 2)]
        {
            let others = Answers::of(&layout, id, boot, incarnation).expect("an index");
            assert_eq!(get(&others, &answer, 4), None, "{id} {boot} {incarnation}");
        }
        // A commit that nothing moved into the database yet.
        let log = &layout.index_files()[1];
        fs::write(log, "a commit").expect("writes");
        assert_eq!(get(&answers(&layout), &answer, 4), None);
        fs::remove_file(log).expect("removes");
        assert!(get(&answers(&layout), &answer, 4).is_some());
        // As many bytes, in the same file.
        let index = File::options().write(true).open(layout.index_db()).expect("opens");
        index.set_modified(SystemTime::now() + Duration::from_secs(1)).expect("another time");
        assert_eq!(get(&answers(&layout), &answer, 4), None);
        fs::remove_file(layout.index_db()).expect("removes");
        assert!(Answers::of(&layout, "id", BOOT, 1).is_none());
    }

    #[test]
    fn packs_of_one_slot_share_a_page_until_it_is_full() {
        let (_dir, layout) = layout();
        let answers = answers(&layout);
        let one = slot(&answer("0"));
        let all: Vec<Answer> = (0..40_000).map(|n| answer(&n.to_string())).filter(|a| slot(a) == one).collect();
        assert!(all.len() > 20, "{}", all.len());
        let known = || all.iter().filter(|answer| get(&answers, answer, 0).is_some()).count();
        let mut most = 0;
        for (nth, answer) in all.iter().enumerate() {
            keep(&answers, answer, 0);
            assert_eq!(get(&answers, answer, 0).as_ref(), Some(answer), "the last one is always there");
            most = most.max(known());
            assert!(known() == nth + 1 || nth >= 8, "{nth}: {}", known());
        }
        assert!((8..16).contains(&most), "{most}");
        // Their slot's counter moved: the page is begun again.
        keep(&answers, &all[0], 2);
        assert_eq!(all.iter().filter(|answer| get(&answers, answer, 2).is_some()).count(), 1);
        assert_eq!(fs::metadata(layout.answers()).expect("a file").len() % PAGE as u64, 0);
    }

    #[test]
    fn a_page_with_any_byte_changed_is_none() {
        let (_dir, layout) = layout();
        let answer = answer("pack");
        keep(&answers(&layout), &answer, 4);
        let text = serde_json::to_string(&answer).expect("a text").len() + 1;
        let file = File::options().read(true).write(true).open(layout.answers()).expect("opens");
        for at in 0..TEXT + text {
            let at = offset(slot(&answer)) + at as u64;
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).expect("reads");
            file.write_all_at(&[byte[0] ^ 0x80], at).expect("writes");
            assert_eq!(get(&answers(&layout), &answer, 4), None, "{at}");
            file.write_all_at(&byte, at).expect("writes");
        }
        assert!(get(&answers(&layout), &answer, 4).is_some());
    }

    #[test]
    fn what_does_not_fit_is_not_kept_and_costs_no_other() {
        let (_dir, layout) = layout();
        let answers = answers(&layout);
        let mut far = answer("pack");
        far.interpreter = format!("/{}", "p".repeat(PAGE)).into();
        keep(&answers, &far, 4);
        assert!(!layout.answers().exists());
        keep(&answers, &answer("pack"), 4);
        keep(&answers, &far, 4);
        assert_eq!(get(&answers, &far, 4), Some(answer("pack")));
    }
}
