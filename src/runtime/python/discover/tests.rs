//! Choosing, against real interpreters of this machine and shims made for the purpose.

use std::fs;
use std::process::Command;

use proptest::prelude::*;
use tempfile::TempDir;

use super::testing::{Memory, example, executable, interpreters, script, settings, skipped, survey};
use super::*;

fn versions(set: &str) -> InterpreterRange {
    InterpreterRange::Versions(vec![set.into()])
}

/// A host of its own: a directory on `PATH`, and nothing else but what the system has.
struct Host {
    temp: TempDir,
    settings: Settings,
    memory: Memory,
}

impl Host {
    fn new() -> Self {
        let temp = tempfile::tempdir().expect("a directory");
        let mut settings = Settings::default();
        settings.install.path = vec![temp.path().to_owned()];
        Self { temp, settings, memory: Memory::default() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// A shim that notes each start in `started` and runs an interpreter.
    fn shim(&self, name: &str, interpreter: &Interpreter) -> PathBuf {
        let (log, path) = (self.at("started"), interpreter.path.display());
        script(&self.at(name), &format!("echo {name} >> '{}'\nexec '{path}' \"$@\"", log.display()))
    }

    fn started(&self) -> Vec<String> {
        fs::read_to_string(self.at("started")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn finder(&self) -> Finder {
        Finder::new(&self.settings)
    }

    fn select(&self, range: &InterpreterRange) -> Result<Interpreter> {
        self.finder().select(range, &self.memory)
    }
}

#[test]
fn the_default_is_the_first_usable_python3_on_path() {
    for known in interpreters() {
        let mut host = Host::new();
        for (directory, body) in [("a", "exit 127"), ("b", "echo broken >&2; exit 1")] {
            fs::create_dir(host.at(directory)).expect("created");
            script(&host.at(directory).join("python3"), body);
            host.settings.install.path.insert(0, host.at(directory));
        }
        host.shim("python3", &known);
        assert_eq!(host.select(&InterpreterRange::Any).expect("found"), known);
        assert_eq!(host.select(&versions(">=3.8")).expect("found"), known);
    }
}

#[test]
fn a_busy_host_does_not_move_the_default() {
    let mut host = Host::new();
    let found = interpreters();
    let (Some(known), Some(other)) = (found.first(), found.last()) else { return };
    fs::create_dir(host.at("later")).expect("created");
    host.settings.install.path.push(host.at("later"));
    let shim = host.shim("python3", known);
    host.shim("later/python3", other);
    // A program that is being written cannot be started now (ETXTBSY).
    let writer = fs::File::options().append(true).open(&shim).expect("opened");
    if Command::new(&shim).arg("-V").output().is_ok() {
        return skipped("this kernel starts programs that are being written");
    }
    let finder = host.finder();
    for range in [InterpreterRange::Any, versions(">=3.8"), InterpreterRange::Path(shim)] {
        let error = finder.select(&range, &host.memory).expect_err("cannot be told now");
        assert!(matches!(error, Error::Io { .. }), "{error}");
    }
    drop(writer);
    assert_eq!(finder.select(&InterpreterRange::Any, &host.memory).expect("answers again"), *known);
}

#[test]
fn choosing_the_default_starts_nothing_else() {
    let Some(known) = interpreters().pop() else { return };
    let host = Host::new();
    host.shim("python3", &known);
    host.shim("python3.14", &known);
    host.select(&InterpreterRange::Any).expect("found");
    assert_eq!(host.started(), ["python3"]);
}

#[test]
fn a_shim_is_asked_only_where_its_name_may_fit_and_no_binary_does() {
    let Some(known) = interpreters().pop() else { return };
    let Some((3, minor)) = sources::promised_version(&known.path) else { return };
    let mut host = Host::new();
    for other in 8..=14 {
        host.shim(&format!("python3.{other}"), &known);
    }
    let range = versions(&format!("==3.{minor}.*"));
    assert_eq!(host.select(&range).expect("found").identity.version, known.identity.version);
    // The system may have a binary of that version.
    assert!(host.started().is_empty() || host.started() == [format!("python3.{minor}")], "{:?}", host.started());
    fs::remove_file(host.at("started")).ok();
    host.settings.python.interpreters = vec![known.path.clone()];
    assert_eq!(host.select(&range).expect("found"), known);
    assert!(host.started().is_empty(), "{:?}", host.started());
}

#[test]
fn the_newest_that_fits_is_taken() {
    let mut found = interpreters();
    found.sort_by_key(Rank::of);
    let mut host = Host::new();
    host.settings.python.interpreters = found.iter().map(|known| known.path.clone()).collect();
    for _ in 0..2 {
        for limit in &found {
            // Nothing is on `PATH`, so there is no default but the newest.
            let range = versions(&format!("<={}", limit.identity.version));
            let chosen = host.select(&range).expect("fits");
            assert_eq!(Rank::of(&chosen), Rank::of(limit), "{range}");
        }
        if let Some(newest) = found.last() {
            assert_eq!(Rank::of(&host.select(&InterpreterRange::Any).expect("fits")), Rank::of(newest));
        }
        host.settings.python.interpreters.reverse();
    }
}

#[test]
fn finals_and_ordinary_builds_come_first() {
    let mut free_threaded = example("3.14.0");
    free_threaded.facts.insert("gil_disabled".into(), "1".into());
    let worst_first = [example("3.15.0a1"), free_threaded, example("3.9.18"), example("3.10.2"), example("3.10.11")];
    assert!(worst_first.is_sorted_by_key(Rank::of));
    assert!(Rank::of(&worst_first[3]).expect("has one").covers((3, 10)));
    assert!(!Rank::of(&worst_first[3]).expect("has one").covers((3, 11)));
    assert!(!Rank::of(&worst_first[1]).expect("has one").covers((3, 10)));
}

#[test]
fn no_fit_lists_what_there_is() {
    let Err(error) = Finder::new(&settings()).select(&versions("==4.*"), &Memory::default()) else {
        panic!("there is no Python 4");
    };
    let text = error.to_string();
    assert!(text.starts_with("no interpreter fits `==4.*`"), "{text}");
    for (path, result) in survey() {
        let expected = match result {
            Ok(known) => format!("{} ({})", known.identity.version, path.display()),
            Err(Refusal { version: Some(version), reason, .. }) => {
                format!("{version} ({}): {reason}", path.display())
            }
            Err(refusal) => format!("{}: {refusal}", path.display()),
        };
        assert!(text.contains(&expected), "{expected} not in {text}");
    }
}

#[test]
fn a_remembered_interpreter_is_not_started() {
    let Some(known) = interpreters().pop() else { return };
    let mut host = Host::new();
    host.settings.python.default = Some(known.path.display().to_string());
    let mut remembered = known.clone();
    remembered.identity.version = "3.99.1".into();
    host.memory.remember(&remembered);
    assert_eq!(host.select(&InterpreterRange::Any).expect("found").identity.version, "3.99.1");
    remembered.stamp.mtime_ns += 1;
    host.memory.remember(&remembered);
    assert_eq!(host.select(&InterpreterRange::Any).expect("found"), known);
    assert_eq!(host.memory.recall(&known.path, known.stamp), Some(known));
}

#[test]
fn threads_ask_a_candidate_once() {
    let Some(known) = interpreters().pop() else { return };
    let host = Host::new();
    host.shim("python3", &known);
    let finder = host.finder();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(finder.select(&InterpreterRange::Any, &host.memory).expect("found"), known));
        }
    });
    assert_eq!(host.started(), ["python3"]);
}

#[test]
fn a_virtual_environment_is_its_base() {
    for known in interpreters() {
        let host = Host::new();
        for kind in ["--symlinks", "--copies"] {
            let env = host.at(kind);
            let made = Command::new(&known.path).args(["-m", "venv", "--without-pip", kind]).arg(&env).output();
            if !made.is_ok_and(|output| output.status.success()) {
                skipped(&format!("{} cannot make a venv with {kind}", known.path.display()));
                continue;
            }
            let range = InterpreterRange::Path(env.join("bin/python"));
            assert_eq!(host.select(&range).expect("found"), known, "{kind}");
        }
    }
}

#[test]
fn a_path_is_exactly_that_interpreter() {
    let host = Host::new();
    for known in interpreters() {
        assert_eq!(host.select(&InterpreterRange::Path(known.path.clone())).expect("found"), known);
        let shim = host.shim("mine", &known);
        assert_eq!(host.select(&InterpreterRange::Path(shim)).expect("found"), known);
    }
    let nowhere = script(&host.at("nowhere"), "exit 127");
    for (path, reason) in [(nowhere, "shim"), (host.at("absent"), "No such file"), ("/bin/true".into(), "does not say")]
    {
        let error = host.select(&InterpreterRange::Path(path)).expect_err("is no interpreter");
        assert!(matches!(error, Error::NoInterpreter { .. }));
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn all_names_each_once_and_one_default() {
    let finder = Finder::new(&settings());
    let memory = Memory::default();
    let all = finder.all(&memory);
    let mut paths: Vec<_> = all.iter().filter_map(|found| found.result.as_ref().ok()).map(|i| &i.path).collect();
    let count = paths.len();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), count);
    if let Ok(default) = finder.select(&InterpreterRange::Any, &memory) {
        let marked: Vec<_> = all.iter().filter(|found| found.is_default).collect();
        assert_eq!(marked.len(), 1);
        assert_eq!(marked[0].result, Ok(default));
    }
}

#[test]
fn the_default_may_be_a_version_or_a_path() {
    for known in interpreters() {
        let mut host = Host::new();
        host.settings.python.interpreters = vec![known.path.clone()];
        for default in [known.path.display().to_string(), known.identity.version.clone()] {
            host.settings.python.default = Some(default);
            let chosen = host.select(&InterpreterRange::Any).expect("found");
            assert_eq!(chosen.identity.version, known.identity.version);
            assert!(host.finder().all(&host.memory).iter().any(|found| found.is_default));
        }
    }
}

#[test]
fn a_default_that_is_missing_is_told_to_those_it_is_for() {
    let mut host = Host::new();
    for default in ["3.99", "/absent/python3", "three"] {
        host.settings.python.default = Some(default.into());
        let error = host.select(&InterpreterRange::Any).expect_err("is missing");
        assert!(matches!(error, Error::InvalidConfig { .. }), "{error}");
        assert!(error.to_string().contains(default), "{error}");
        if let Some(known) = interpreters().pop() {
            host.settings.python.interpreters = vec![known.path.clone()];
            let exact = versions(&format!("=={}", known.identity.version));
            assert_eq!(host.select(&exact).expect("fits").identity.version, known.identity.version);
        }
    }
}

#[test]
fn a_replaced_interpreter_is_asked_again_in_the_same_process() {
    let host = Host::new();
    let found = interpreters();
    let (Some(one), Some(two)) = (found.first(), found.last()) else { return };
    let copy = |from: &Interpreter| executable(&host.at("python3"), &fs::read(&from.path).expect("readable"));
    let finder = host.finder();
    let path = InterpreterRange::Path(copy(one));
    let first = finder.select(&path, &host.memory);
    copy(two);
    let second = finder.select(&path, &host.memory);
    if let (Ok(first), Ok(second)) = (first, second) {
        assert_eq!(first.identity.version, one.identity.version);
        assert_eq!(second.identity.version, two.identity.version);
    } else {
        skipped("the interpreters of this machine do not run from another place");
    }
}

#[test]
fn ranges_accept_any_of_their_sets() {
    let range = InterpreterRange::Versions(vec!["==2.*".into(), ">=3.8,<3.12".into(), "nonsense".into()]);
    for (version, fits) in [("3.8.0", true), ("3.11.7", true), ("3.12.0", false), ("2.7.18", true), ("x", false)] {
        assert_eq!(range.accepts(version), fits, "{version}");
    }
}

proptest! {
    #[test]
    fn a_name_never_hides_what_a_range_accepts(
        operator in prop::sample::select(vec![">=", "<", "<=", ">", "==", "!=", "~="]),
        bound in prop::collection::vec(prop::sample::select(vec![3u8, 8, 9, 10, 11]), 2..4),
        minor in 8u8..13,
        patch in 0u8..12,
        pre in prop::sample::select(vec!["", "a1", "rc2"]),
    ) {
        let bound: Vec<_> = bound.iter().map(u8::to_string).collect();
        let range = versions(&format!("{operator}3.{}", bound.join(".")));
        if range.accepts(&format!("3.{minor}.{patch}{pre}")) {
            let name = format!("/usr/bin/python3.{minor}");
            prop_assert!(may_fit(&range, Path::new(&name)), "{range} hides {name}");
        }
    }
}
