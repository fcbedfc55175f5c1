//! `migrate`: a store of an earlier format becomes one of this release's.
//!
//! Opening changes no format, so that a release works beside the previous one on one store; this does, one format at a time. Each step may be
//! killed and begun again: `store.json` says the new format once all of it is done.

use super::report::Migrated;
use super::{Store, reindex};
use crate::error::{Error, Result};
use crate::fs::durable;
use crate::layout::FORMAT;
use crate::store_file::StoreFile;

/// What makes of a store of one format one of the next. The caller holds `guards/index` exclusive.
type Step = fn(&Store) -> Result<()>;

/// By the format each begins with. There is none before the first.
const STEPS: &[(u32, Step)] = &[];

impl Store {
    /// Brings the store to the newest format this release knows. Nothing is done to one that has it.
    ///
    /// # Errors
    /// [`Error::NotPermitted`] where this process may not write, and there is something to do.
    pub fn migrate(&self) -> Result<Migrated> {
        self.migrate_by(STEPS, FORMAT)
    }

    fn migrate_by(&self, steps: &[(u32, Step)], newest: u32) -> Result<Migrated> {
        let layout = &self.0.layout;
        let read = || StoreFile::read(layout)?.ok_or_else(|| Error::NoStore { path: self.root().to_owned() });
        let mut store = read()?;
        let from = store.format;
        if from < newest {
            self.require_owner("migrate the store")?;
            let _index = reindex::exclusive(layout)?;
            // Another process may have done it meanwhile.
            store = read()?;
            let begun_with = store.format;
            for (_, step) in steps.iter().filter(|(begins_with, _)| *begins_with >= begun_with) {
                step(self)?;
                durable::sync_filesystem(self.root())?;
                store.format += 1;
                store.write(layout)?;
            }
        }
        Ok(Migrated { path: self.root().to_owned(), from, to: store.format })
    }
}

// With the points at which it can be killed.
#[cfg(all(test, debug_assertions, feature = "cli"))]
mod tests {
    use std::fs;
    use std::os::unix::process::ExitStatusExt;
    use std::path::Path;
    use std::process::{Command, ExitStatus};

    use super::*;
    use crate::layout::Layout;
    use crate::store::verify::Verify;

    #[test]
    fn there_is_a_step_from_every_earlier_format() {
        let from: Vec<u32> = STEPS.iter().map(|(from, _)| *from).collect();
        assert_eq!(from, (1..FORMAT).collect::<Vec<_>>());
    }

    /// A step to a format that is not there yet: a file more for each pack, and then nothing of what was before it.
    fn step(store: &Store) -> Result<()> {
        let layout = &store.0.layout;
        for pack in store.list()? {
            let name = layout.dir("locks").join(format!("step-{}", pack.pack));
            durable::write(&layout.dir("staging"), &name, pack.env.to_string().as_bytes(), 0o444)?;
        }
        Ok(())
    }

    /// The variables by which the test that is a process of its own knows what to do.
    const ROOT: &str = "ENVSTORE_TEST_MIGRATE";
    const POINT: &str = "ENVSTORE_TEST_POINT";
    const TRACE: &str = "ENVSTORE_TEST_TRACE";

    #[test]
    fn migrates_in_a_process_of_its_own() {
        let Some(root) = std::env::var_os(ROOT) else { return };
        crate::failpoint::arm(std::env::var(POINT).ok().as_deref(), std::env::var_os(TRACE).as_ref().map(Path::new));
        let store = Store::builder(root).open().expect("opens");
        let done = store.migrate_by(&[(FORMAT, step)], FORMAT + 1);
        assert_eq!(done.map(|done| (done.from, done.to)).ok(), Some((FORMAT, FORMAT + 1)));
    }

    fn migrate(root: &Path, point: &str, trace: &Path) -> ExitStatus {
        let mut command = Command::new(std::env::current_exe().expect("the tests"));
        command.args(["--exact", "store::migrate::tests::migrates_in_a_process_of_its_own"]);
        command.env(ROOT, root).env(POINT, point).env(TRACE, trace).output().expect("starts").status
    }

    /// The store that every release must read, unpacked.
    fn unpack(into: &Path) {
        let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-1.tar.gz");
        let done = Command::new("tar").args(["-xzpf", archive, "--no-same-owner", "-C"]).arg(into).status();
        assert!(done.expect("tar runs").success());
    }

    /// Nothing is wrong with what was unpacked, but that it was made elsewhere.
    fn is_whole(found: &crate::store::report::Verified) -> bool {
        found.environments == 3 && found.findings.iter().all(|finding| finding.kind == "moved_store")
    }

    #[test]
    fn killed_or_failing_at_every_point_a_store_is_of_the_old_format_or_wholly_of_the_new_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let trace = dir.path().join("points");
        unpack(dir.path());
        assert!(migrate(&dir.path().join("store"), "", &trace).success());
        let points = fs::read_to_string(&trace).expect("points").lines().count();
        assert!(points > 8, "{points}");
        for (action, nth) in ["kill", "error"].iter().flat_map(|action| (1..=points).map(move |nth| (action, nth))) {
            let what = format!("{action} at {nth} of {points}");
            let dir = tempfile::tempdir().expect("a directory");
            let (root, trace) = (dir.path().join("store"), dir.path().join("points"));
            let layout = Layout::new(&root);
            unpack(dir.path());
            let ended = migrate(&root, &format!("{action}@{nth}"), &trace);
            assert_eq!(ended.signal(), (*action == "kill").then_some(9), "{what}");
            let text = fs::read_to_string(layout.store_json()).expect("store.json");
            let is_new = text.contains(&format!("\"format\": {}", FORMAT + 1));
            assert!(is_new || text.contains(&format!("\"format\": {FORMAT}")), "{what}: {text}");
            if !is_new {
                // Nothing that this release knows was harmed, and it can be begun again.
                let store = Store::builder(&root).open().expect("opens");
                let verified = store.verify(&Verify { full: true, ..Verify::default() }, &crate::Cancel::new());
                assert!(verified.is_ok_and(|found| is_whole(&found)), "{what}");
                drop(store);
                assert!(migrate(&root, "", &trace).success(), "{what}");
            }
            let error = Store::builder(&root).open().expect_err("a newer format");
            assert!(matches!(error, Error::UnsupportedFormat { found, .. } if found == FORMAT + 1), "{what}: {error}");
            for pack in ["one", "moved"] {
                assert!(layout.dir("locks").join(format!("step-{pack}")).exists(), "{what}: {pack}");
            }
        }
    }
}
