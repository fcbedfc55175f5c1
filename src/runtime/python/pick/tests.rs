use super::*;
use crate::settings::AllowSource;
use crate::spec::{Requirement, RuntimeKind};

fn sha(digit: char) -> String {
    String::from(digit).repeat(64)
}

/// `name digit` pairs become files with that digest.
fn file(name: &str, digit: char) -> String {
    format!("{{ url = \"https://h/{name}\", hashes = {{ sha256 = \"{}\" }} }}", sha(digit))
}

fn one(fields: &str) -> Pylock {
    let text = format!("lock-version = \"1.0\"\n[[packages]]\nname = \"x\"\nversion = \"1\"\n{fields}\n");
    pylock::parse(&text).expect("a lock")
}

fn spec(requirements: &[&str], options: &[&str]) -> Spec {
    let requirement = |text: &&str| Requirement { canonical: (*text).into(), install: None };
    Spec {
        requirements: requirements.iter().map(requirement).collect(),
        options: options.iter().map(|option| (*option).into()).collect(),
        ..Spec::empty(RuntimeKind::Python)
    }
}

fn try_pick(pylock: &Pylock, spec: &Spec, allow_source: AllowSource) -> Result<Lock, Verdict> {
    let rank = |file: &str| {
        let tag = [("cp311", 3), ("abi3", 2), ("none-any", 1)].iter().find(|(tag, _)| file.contains(tag))?.1;
        let build = file.split('-').nth(2).and_then(|part| part.parse::<u32>().ok());
        Some((tag, build))
    };
    let directory = |_: &Path| Ok(sha('d'));
    let index = |_: &Package, url: &str| url.starts_with("https://h/").then(|| "corp".to_owned());
    let asks = Asks { rank: &rank, directory: &directory, index: &index };
    pick(pylock, &Rules::of(spec, MayBuild::of(&allow_source))?, Path::new("/base"), &asks)
}

/// The last part of the URL of what is picked, or the cause of there being nothing.
fn picked(fields: &str, requirements: &[&str], options: &[&str]) -> Result<String, InstallerCause> {
    let lock =
        try_pick(&one(fields), &spec(requirements, options), AllowSource::All).map_err(|verdict| verdict.cause)?;
    match &lock.packages[0].artifact {
        Artifact::Wheel { file, .. } | Artifact::Sdist { file, .. } => Ok(file.clone()),
        other => panic!("{other:?}"),
    }
}

fn all() -> String {
    let wheels = [
        file("x-1-cp37-abi3-linux_x86_64.whl", 'a'),
        file("x-1-cp27-cp27-linux_x86_64.whl", 'b'),
        file("x-1-cp311-cp311-linux_x86_64.whl", 'c'),
        file("x-1-py3-none-any.whl", 'e'),
    ];
    format!("wheels = [{}]\nsdist = {}", wheels.join(", "), file("x-1.tar.gz", 'f'))
}

#[test]
fn the_best_ranked_wheel_wins_wherever_it_is_listed() {
    assert_eq!(picked(&all(), &["x"], &[]).as_deref(), Ok("x-1-cp311-cp311-linux_x86_64.whl"));
}

#[test]
fn the_higher_build_tag_wins_then_the_first_listed() {
    let builds = ["x-1-py3-none-any.whl", "x-1-10-py3-none-any.whl", "x-1-9-py3-none-any.whl"];
    let wheels = |digits: &str, names: &[&str]| {
        let files: Vec<String> = names.iter().zip(digits.chars()).map(|(name, digit)| file(name, digit)).collect();
        format!("wheels = [{}]", files.join(", "))
    };
    assert_eq!(picked(&wheels("abc", &builds), &["x"], &[]).as_deref(), Ok("x-1-10-py3-none-any.whl"));
    let twice = ["x-1-py3-none-any.whl"; 2];
    let lock = try_pick(&one(&wheels("ba", &twice)), &spec(&["x"], &[]), AllowSource::All).expect("picks");
    assert!(matches!(&lock.packages[0].artifact, Artifact::Wheel { sha256, .. } if *sha256 == sha('b')));
}

#[test]
fn source_is_for_those_who_ask_or_have_no_wheel() {
    let sdist = Ok("x-1.tar.gz");
    let none_fits = format!("wheels = [{}]\nsdist = {}", file("x-1-cp27-cp27-any.whl", 'a'), file("x-1.tar.gz", 'b'));
    assert_eq!(picked(&none_fits, &["x"], &[]).as_deref(), sdist);
    assert_eq!(picked(&none_fits, &["x"], &["--only-binary=:all:"]), Err(InstallerCause::NoSolution));
    for options in [&["--no-binary=X"][..], &["--no-binary=:all:"], &["--no-binary=y,x"]] {
        assert_eq!(picked(&all(), &["x"], options).as_deref(), sdist, "{options:?}");
    }
    for options in [&["--no-binary=y"][..], &["--no-binary=:all:", "--no-binary=:none:"]] {
        assert_ne!(picked(&all(), &["x"], options).as_deref(), sdist, "{options:?}");
    }
    let refused =
        try_pick(&one(&format!("sdist = {}", file("x-1.tar.gz", 'b'))), &spec(&["x"], &[]), AllowSource::None);
    assert_eq!(refused.map_err(|verdict| verdict.cause), Err(InstallerCause::NoSolution));
}

#[test]
fn a_declared_digest_decides_and_is_enforced() {
    let hash = |digit| format!("x==1 --hash=sha256:{}", sha(digit));
    assert_eq!(picked(&all(), &[&hash('e')], &[]).as_deref(), Ok("x-1-py3-none-any.whl"));
    assert_eq!(picked(&all(), &[&hash('f')], &[]).as_deref(), Ok("x-1.tar.gz"));
    assert_eq!(picked(&all(), &[&hash('0')], &[]), Err(InstallerCause::HashMismatch));
    assert_eq!(picked(&all(), &["x==1 --hash=sha512:00"], &[]), Err(InstallerCause::Other));
    assert_eq!(picked(&all(), &["x"], &["--require-hashes"]), Err(InstallerCause::NoSolution));
    assert_eq!(picked(&all(), &["y", &hash('e')], &["--require-hashes"]).as_deref(), Ok("x-1-py3-none-any.whl"));
    let archive = format!("archive = {}", file("x-1-py3-none-any.whl", 'a'));
    for (line, good) in [
        (format!("x @ https://h/x-1-py3-none-any.whl#sha256={}", sha('a')), true),
        (format!("x @ https://h/x-1-py3-none-any.whl#sha256={}", sha('b')), false),
        (format!("x @ https://h/x-1-py3-none-any.whl#egg=x&sha256={}", sha('b')), false),
        (format!("x @ sha256:{}", sha('a')), true),
        (format!("x @ sha256:{}", sha('b')), false),
        ("x @ https://h/x.zip#egg=x".into(), true),
    ] {
        let expected = if good { Ok("x-1-py3-none-any.whl".into()) } else { Err(InstallerCause::HashMismatch) };
        assert_eq!(picked(&archive, &[&line], &[]), expected, "{line}");
    }
}

#[test]
fn nothing_is_locked_without_a_digest_or_a_commit() {
    for fields in [
        "wheels = [{ url = \"https://h/x-1-py3-none-any.whl\" }]",
        "vcs = { type = \"git\", url = \"https://h/r\", commit-id = \"abc\" }",
        "directory = { path = \"d\", editable = true }",
    ] {
        assert_eq!(picked(fields, &["x"], &[]), Err(InstallerCause::Other), "{fields}");
    }
}

#[test]
fn repositories_and_directories_are_absolute() {
    let get =
        |fields: &str| try_pick(&one(fields), &spec(&["x"], &[]), AllowSource::All).expect("picks").packages.remove(0);
    let directory = get("directory = { path = \"d\" }");
    assert_eq!(directory.artifact, Artifact::Directory { path: "/base/d".into(), digest: sha('d') });
    let commit = "c".repeat(40);
    let vcs = get(&format!("vcs = {{ type = \"git\", url = \"https://t@h/r\", commit-id = \"{commit}\" }}"));
    assert_eq!((vcs.index, vcs.artifact.is_source()), (None, true));
    let wheel = get(&format!("wheels = [{}]", file("x-1-py3-none-any.whl", 'a')));
    assert_eq!(wheel.index.as_deref(), Some("corp"));
    let named = get(&format!("archive = {}", file("x-1-py3-none-any.whl", 'a')));
    assert_eq!(named.index, None);
}

#[test]
fn a_package_locked_twice_is_refused() {
    let wheel = file("x-1-py3-none-any.whl", 'a');
    let fields = format!("wheels = [{wheel}]\n[[packages]]\nname = \"X\"\nversion = \"2\"\nwheels = [{wheel}]");
    assert!(try_pick(&one(&fields), &spec(&["x"], &[]), AllowSource::All).is_err());
}
