//! The fuzz targets without a fuzzer: samples as they are, changed samples, arbitrary bytes, and what is too big.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::error::{Error, Kind};

/// What readers treat in a way of their own.
const WORDS: &[&str] = &[
    "\0",
    "\n",
    "\r",
    "\\\n",
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "((((",
    "#",
    ";",
    "@",
    "://",
    "../",
    "/",
    "\u{feff}",
    "\u{2028}",
    "é",
    "-r x\n",
    "-c x\n",
    "--hash=sha256:",
    "${HOME}",
    "file:///",
    "git+",
    "%00",
    "%2e%2e",
    "&a",
    "*a",
    "<<: *a",
    "!!",
    "null",
    "1e999",
    "-1",
    "18446744073709551616",
    "====",
    ",,,",
    "\u{1b}[31m",
];

fn samples(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/samples").join(target);
    let mut paths: Vec<_> = fs::read_dir(&dir).expect("samples").map(|entry| entry.expect("a sample").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a sample")).collect()
}

/// One change of a text.
#[derive(Debug, Clone)]
enum Edit {
    Cut(Index, usize),
    Double(Index, usize),
    Byte(Index, u8),
    Word(Index, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (any::<Index>(), 1..40usize).prop_map(|(at, length)| Edit::Cut(at, length)),
        (any::<Index>(), 1..200usize).prop_map(|(at, length)| Edit::Double(at, length)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Byte(at, byte)),
        (any::<Index>(), 0..WORDS.len()).prop_map(|(at, word)| Edit::Word(at, word)),
    ]
}

fn changed(mut bytes: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits {
        let (Edit::Cut(at, _) | Edit::Double(at, _) | Edit::Byte(at, _) | Edit::Word(at, _)) = edit;
        let at = at.index(bytes.len() + 1);
        match edit {
            Edit::Cut(_, length) => drop(bytes.drain(at..(at + length).min(bytes.len()))),
            Edit::Double(_, length) => {
                let piece = bytes[at..(at + length).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            Edit::Byte(_, byte) if at < bytes.len() => bytes[at] = *byte,
            Edit::Byte(_, byte) => bytes.push(*byte),
            Edit::Word(_, word) => drop(bytes.splice(at..at, WORDS[*word].bytes())),
        }
    }
    bytes
}

#[test]
fn every_sample_is_read_and_reads_back() {
    for (name, target) in TARGETS {
        let samples = samples(name);
        assert!(!samples.is_empty(), "{name}");
        samples.iter().for_each(|sample| target(sample));
    }
    // Samples that no reader takes would show nothing.
    let manifest = samples("manifest").remove(0);
    let path = PathBuf::from(format!("/manifests/{}.json.gz", "a".repeat(32)));
    assert!(!Manifest::decode(&gzip(&manifest[1..]), &path).expect("a manifest").entries.is_empty());
    for binding in samples("binding") {
        BindingFile::decode(&binding, Path::new("binding")).expect("a binding");
    }
    for pin in samples("pin") {
        Kept::decode(&pin, Path::new("pin")).expect("a pin or a link");
    }
    for lock in samples("pylock") {
        assert_eq!(pylock::read(std::str::from_utf8(&lock).expect("text")).expect("a lock").packages.len(), 3);
    }
}

/// What once was found.
#[test]
fn a_byte_order_mark_behind_a_blank_line_is_text() {
    TARGETS.iter().for_each(|(_, target)| target("\n\u{feff}\0".as_bytes()));
}

proptest! {
    #[test]
    fn changed_samples_harm_no_reader(which in any::<Index>(), sample in any::<Index>(), edits in vec(edit(), 1..6)) {
        let (name, target) = TARGETS[which.index(TARGETS.len())];
        let samples = samples(name);
        let bytes = changed(samples[sample.index(samples.len())].clone(), &edits);
        target(&bytes);
    }

    #[test]
    fn one_format_is_no_other(which in any::<Index>(), other in any::<Index>(), edits in vec(edit(), 0..3)) {
        let (_, target) = TARGETS[which.index(TARGETS.len())];
        let (name, _) = TARGETS[other.index(TARGETS.len())];
        target(&changed(samples(name).swap_remove(0), &edits));
    }

    #[test]
    fn bytes_harm_no_reader(bytes in vec(any::<u8>(), 0..300)) {
        TARGETS.iter().for_each(|(_, target)| target(&bytes));
    }

    #[test]
    fn words_harm_no_reader(words in vec(prop_oneof![(0..WORDS.len()).prop_map(|word| WORDS[word].to_owned()), "[a-z0-9.=<>:,\" \n-]{0,6}"], 0..40)) {
        let text = words.concat();
        TARGETS.iter().for_each(|(_, target)| target(text.as_bytes()));
    }
}

/// The error a declaration of this name and content ends with.
fn refused(name: &str, bytes: &[u8]) -> Error {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join(name);
    fs::write(&path, bytes).expect("writes");
    match source::find(&[path], PackOptions::Ignore) {
        Err(error) => error,
        Ok(mut all) => all.swap_remove(0).result.expect_err("refused"),
    }
}

#[test]
fn a_declaration_of_gigabytes_is_refused_and_not_read_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["requirements.txt", "pack.yaml", "pyproject.toml", "pylock.toml", "script.py", "packs.jsonl"] {
        let path = dir.path().join(name);
        // A hole: were it read whole, memory would show it.
        fs::File::create(&path).and_then(|file| file.set_len(4 << 30)).expect("a big file");
        let before = peak_bytes();
        let found = source::find(std::slice::from_ref(&path), PackOptions::Ignore);
        let error = found.map_or_else(|error| error, |mut all| all.swap_remove(0).result.expect_err("refused"));
        assert_eq!(error.kind(), Kind::InvalidSpec, "{name}");
        assert!(error.to_string().contains("MiB"), "{error}");
        assert!(peak_bytes() - before < 400 << 20, "{name}");
        fs::remove_file(&path).expect("removes");
    }
}

/// The most memory this process had, bytes.
fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the process's status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

#[test]
fn a_line_of_a_megabyte_is_refused() {
    let line = "a".repeat(1 << 20);
    for (name, text) in [
        ("requirements.txt", format!("six\n{line}\n")),
        ("pack.yaml", format!("meta:\n  python_dependencies:\n    dependencies: [\"{line}\"]\n")),
        ("pyproject.toml", format!("[project]\nname = 'x'\ndependencies = [\"{line}\"]\n")),
        ("script.py", format!("# /// script\n# dependencies = [\"{line}\"]\n# ///\n")),
        ("packs.jsonl", format!("{{\"pack_ref\": \"x\", \"requirements\": \"{line}\"}}\n")),
    ] {
        let error = refused(name, text.as_bytes());
        assert_eq!(error.kind(), Kind::InvalidSpec, "{name}: {error}");
        assert!(error.to_string().len() < 1_000, "{name}: the message is no line of a megabyte");
    }
}

#[test]
fn deep_nesting_and_aliases_that_explode_are_refused() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..20 {
        let of = format!("*a{}, ", n - 1).repeat(9);
        laughs.push_str(&format!("a{n}: &a{n} [{}]\n", of.trim_end_matches(", ")));
    }
    laughs.push_str("python_versions: *a19\n");
    for (name, text) in [
        ("pack.yaml", format!("ref: {}", deep("[", "]"))),
        ("pack.yaml", laughs),
        ("pyproject.toml", format!("[project]\nname = 'x'\ndependencies = {}\n", deep("[", "]"))),
        ("pylock.toml", format!("lock-version = '1.0'\npackages = {}\n", deep("[", "]"))),
        ("packs.jsonl", format!("{{\"pack_ref\": {}}}\n", deep("[", "]"))),
        ("requirements.txt", format!("x ; {}os_name == 'x'{}\n", "(".repeat(20_000), ")".repeat(20_000))),
    ] {
        let error = refused(name, text.as_bytes());
        assert_eq!(error.kind(), Kind::InvalidSpec, "{name}: {error}");
    }
    for target in [binding, pin, store_json, pip_report, index_page, manifest] {
        target(deep("[", "]").as_bytes());
        target(deep("{\"a\":", "}").as_bytes());
    }
}

#[test]
fn the_stores_own_small_files_are_not_read_whole_when_they_are_big() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("big");
    fs::File::create(&path).and_then(|file| file.set_len(1 << 40)).expect("a big file");
    for error in [
        BindingFile::read(&path).expect_err("refused"),
        Kept::read(&path).map(|_| ()).expect_err("refused"),
        Manifest::read(&path).expect_err("refused"),
    ] {
        assert_eq!(error.kind(), Kind::Corrupt, "{error}");
        assert!(error.to_string().contains("larger than"), "{error}");
    }
}
