use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::fs::lock::is_same_inode;

struct World {
    dir: tempfile::TempDir,
    layout: Layout,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(dir.path());
        for name in ["objects", "staging", "envs"] {
            fs::create_dir(layout.dir(name)).expect("makes");
        }
        Self { dir, layout }
    }

    /// A sealed file of an environment that is being made.
    fn file(&self, name: &str, text: &str) -> (PathBuf, Object) {
        let path = self.layout.dir("envs").join(name);
        fs::write(&path, text).expect("writes");
        canonical::seal_file(&read::open(&path).expect("opens"), &path, false).expect("seals");
        let size = text.len() as u64;
        (path, Object { digest: blake3::hash(text.as_bytes()).into(), exec: false, size })
    }

    fn ingest(&self, objects: Objects<'_>, name: &str, text: &str) -> (PathBuf, Object) {
        let (path, object) = self.file(name, text);
        let staged = objects.stage(&path, object, self.dir.path()).expect("stages");
        objects.adopt(&staged).expect("adopts");
        (path, object)
    }

    fn object(&self, object: &Object) -> PathBuf {
        self.layout.object(&object.digest, object.exec)
    }
}

fn meta(path: &Path) -> fs::Metadata {
    fs::symlink_metadata(path).expect("is there")
}

#[test]
fn equal_files_share_one_inode() {
    let world = World::new();
    let objects = Objects::new(&world.layout, LinkMode::Hardlink);
    let (one, object) = world.ingest(objects, "one", "text");
    let (two, _) = world.ingest(objects, "two", "text");
    let (other, _) = world.ingest(objects, "other", "another text");
    assert!(is_same_inode(&meta(&one), &meta(&two)) && !is_same_inode(&meta(&one), &meta(&other)));
    assert!(is_same_inode(&meta(&one), &meta(&world.object(&object))));
    let three = world.layout.dir("envs").join("three");
    assert!(objects.place(&object, &three).expect("places"));
    assert_eq!(meta(&three).nlink(), 4);
}

#[test]
fn a_copy_shares_nothing_and_reads_the_same() {
    let world = World::new();
    let objects = Objects::new(&world.layout, LinkMode::Copy);
    let (one, object) = world.ingest(objects, "one", "text");
    world.ingest(objects, "two", "text");
    let three = world.layout.dir("envs").join("three");
    assert!(objects.place(&object, &three).expect("places"));
    assert_eq!(fs::read(&three).expect("reads"), b"text");
    assert_eq!([&one, &three, &world.object(&object)].map(|path| meta(path).nlink()), [1, 1, 2]);
    assert!(canonical::looks_sealed(&meta(&three), false, 4));
}

#[test]
fn an_object_that_was_written_to_is_not_used_and_is_replaced() {
    let world = World::new();
    let objects = Objects::new(&world.layout, LinkMode::Hardlink);
    let (one, object) = world.ingest(objects, "one", "text");
    fs::set_permissions(&one, fs::Permissions::from_mode(0o644)).expect("chmod");
    fs::write(&one, "tixt").expect("writes in place");
    fs::set_permissions(&one, fs::Permissions::from_mode(0o444)).expect("chmod");
    let two = world.layout.dir("envs").join("two");
    assert!(!objects.place(&object, &two).expect("no error") && !two.exists());
    let (three, _) = world.ingest(objects, "three", "text");
    assert!(is_same_inode(&meta(&three), &meta(&world.object(&object))));
    assert_eq!(fs::read(world.object(&object)).expect("reads"), b"text");
}

#[test]
fn an_inode_that_takes_no_more_links_is_followed_by_another() {
    let world = World::new();
    let objects = Objects::new(&world.layout, LinkMode::Hardlink);
    let (first, object) = world.ingest(objects, "first", "text");
    let links = world.dir.path().join("links");
    fs::create_dir(&links).expect("makes");
    let limit = (0..70_000).find(|n| fs::hard_link(&first, links.join(n.to_string())).is_err());
    let Some(_) = limit else {
        eprintln!("\n########  SKIPPED: this filesystem has no limit of links below 70,000  ########\n");
        return;
    };
    let placed = world.layout.dir("envs").join("placed");
    assert!(objects.place(&object, &placed).expect("rolls over"));
    assert!(!is_same_inode(&meta(&first), &meta(&placed)));
    assert!(is_same_inode(&meta(&placed), &meta(&world.object(&object))));
    let (learnt, _) = world.ingest(objects, "learnt", "text");
    assert!(is_same_inode(&meta(&learnt), &meta(&placed)));
}

#[test]
fn what_nothing_names_is_found_and_removing_counts_what_it_frees() {
    let world = World::new();
    let objects = Objects::new(&world.layout, LinkMode::Hardlink);
    let (_, kept) = world.ingest(objects, "kept", "kept");
    let (linked, in_env) = world.ingest(objects, "linked", "linked");
    let (gone, alone) = world.ingest(objects, "gone", "some bytes");
    fs::remove_file(gone).expect("removes");
    let named = HashSet::from([kept.digest]);
    let (unnamed, unseen) = objects.unnamed(&named);
    assert_eq!((unnamed.len(), unseen.len()), (2, 0));
    let freed: u64 = unnamed.iter().map(|path| objects.remove(path).expect("removes")).sum();
    assert_eq!(freed, 10);
    assert_eq!(objects.remove(&unnamed[0]).expect("a missing one is no error"), 0);
    assert!(world.object(&kept).exists() && !world.object(&in_env).exists() && !world.object(&alone).exists());
    assert_eq!(fs::read(linked).expect("I7: an environment has its own link"), b"linked");
}
