use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::digest::SpecDigest;

const IGNORE: PackOptions = PackOptions::Ignore;

fn reader_of(text: &str) -> Result<Reader> {
    let mut reader = Reader::new(IGNORE);
    reader.text("a text", Path::new("/nowhere"), text)?;
    Ok(reader)
}

fn spec(text: &str) -> Spec {
    reader_of(text).and_then(Reader::finish).unwrap_or_else(|error| panic!("{text:?}: {error}")).0
}

fn error(text: &str) -> String {
    match reader_of(text) {
        Ok(_) => panic!("{text:?} was accepted"),
        Err(error) => error.to_string(),
    }
}

fn canonical(spec: &Spec) -> Vec<&str> {
    spec.requirements.iter().map(|r| r.canonical.as_str()).collect()
}

/// Writes files, and returns their directory with symlinks resolved.
fn files(files: &[(&str, &[u8])]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let root = fs::canonicalize(dir.path()).expect("a real path");
    for (name, content) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, content).expect("a file");
    }
    (dir, root)
}

fn read(path: &Path, options: PackOptions) -> Result<(Spec, Vec<String>)> {
    let mut reader = Reader::new(options);
    reader.file(path)?;
    reader.finish()
}

/// A changed digest is a change of format.
#[test]
fn golden_spec_digests() {
    let sha = "a".repeat(64);
    for (text, digest) in [
        ("", "s7qlb75vkp7nzj77ex2qfg4sxlvu3s4u6yvo65fjewt4snx2bktq"),
        ("requests", "4k7rcspauasunaeq6spa4tq2lztjmv6stk4dwomnytk342ysnfua"),
        ("requests>=2.31,<3\nurllib3<2", "uzwdrgbylfo5gbw3nnthya2vuta57j62ebdymugnd6rka4xb2xza"),
        ("foo[a,b]==1.0 ; python_version < '3.9'", "3mmjdyxen3rctdgwwnkme2d5r66oxyldzsypa7wahls5t6lcvlkq"),
        ("git+https://h/o/r.git@v1#egg=Foo", "k5ihhrjovatx5efgzce7rz4kqhwq7eykhf7wep2ppqxadwxqey2q"),
        (&format!("foo==1 --hash=sha256:{sha}"), "7gnblcunnbdmqinhmtvthrnxe3xkpukmjtkbuduovrktzp6nbedq"),
        ("--pre\n--no-binary=lxml\nlxml", "yb76636suamygvgfmpqeztgpggeqsgfyrfaefxcqd2lpxbrs7jfa"),
    ] {
        assert_eq!(spec(text).digest().to_string(), digest, "{text:?}");
    }
    let mut reader = Reader::new(IGNORE);
    reader.requirement("--with", Path::new("/"), "requests").expect("a requirement").no_deps();
    reader.interpreter(InterpreterRange::parse(">=3.9,<3.12").expect("a range"));
    let (spec, _) = reader.finish().expect("a spec");
    assert_eq!(spec.digest().to_string(), "4q34wpdyps6fcfy7lage6pikm265drsp7sphdsxmyz4rpflqybuq");
}

#[test]
fn how_it_is_written_never_matters() {
    let digest: SpecDigest = spec("Flask-Login>=1,<2\nruamel.yaml==1.0rc1\n").digest();
    for text in [
        "ruamel.yaml==1.0rc1\nFlask-Login>=1,<2",
        "ruamel_yaml == 1.0.RC1\r\n# ümlaut\r\nflask.login <2 , >=1 # why\r\n",
        "\u{feff}FLASK--LOGIN (>=1,<2)\rRuamel-Yaml ==1.0rc1",
        "flask-login \\\n  >=1, \\\n  <2\nruamel-yaml==1.0rc1\nruamel-yaml==1.0rc1",
    ] {
        assert_eq!(spec(text).digest(), digest, "{text:?}");
    }
    for text in [
        "flask-login>=1,<2\nruamel.yaml==1.0",
        "flask-login>=1\nruamel.yaml==1.0rc1",
        "flask-login>=1,<2",
        "--pre\nflask-login>=1,<2\nruamel.yaml==1.0rc1",
    ] {
        assert_ne!(spec(text).digest(), digest, "{text:?}");
    }
}

#[test]
fn files_read_files_relative_to_themselves() {
    let (_dir, root) = files(&[
        ("requirements.txt", b"-r sub/base.txt\n-c limits.txt\n--pre\nb"),
        ("sub/base.txt", b"a\n-r more.txt"),
        ("sub/more.txt", b"c --hash=sha256:0000000000000000000000000000000000000000000000000000000000000000"),
        ("limits.txt", b"urllib3<2\n-r sub/limits.txt\n"),
        ("sub/limits.txt", b"idna<3"),
    ]);
    let (spec, warnings) = read(&root.join("requirements.txt"), IGNORE).expect("a spec");
    assert_eq!(canonical(&spec), ["a", "b", &format!("c --hash=sha256:{}", "0".repeat(64))]);
    assert_eq!(spec.constraints.iter().map(|r| r.canonical.as_str()).collect::<Vec<_>>(), ["idna<3", "urllib3<2"]);
    assert_eq!(spec.options, ["--pre"]);
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn files_that_name_each_other_end() {
    let (_dir, root) = files(&[
        ("a.txt", b"x\n-r b.txt"),
        ("b.txt", b"\n\n-c ./a.txt"),
        ("twice.txt", b"-r c.txt\n-r c.txt"),
        ("c.txt", b"c"),
    ]);
    let error = read(&root.join("a.txt"), IGNORE).expect_err("a cycle").to_string();
    assert!(error.contains("b.txt, line 3") && error.contains("names itself"), "{error}");
    assert_eq!(canonical(&read(&root.join("twice.txt"), IGNORE).expect("no cycle").0), ["c"]);

    let chain: Vec<_> = (0..40).map(|i| (format!("{i}.txt"), format!("-r {}.txt", i + 1))).collect();
    let (_dir, root) = files(&chain.iter().map(|(n, t)| (n.as_str(), t.as_bytes())).collect::<Vec<_>>());
    let error = read(&root.join("0.txt"), IGNORE).expect_err("too deep").to_string();
    assert!(error.contains("31.txt, line 1") && error.contains("32 deep"), "{error}");

    // Each file names the next twice: 2^20 readings if nothing counted them.
    let chain: Vec<_> = (0..20).map(|i| (format!("{i}.txt"), format!("-r {0}.txt\n-r {0}.txt", i + 1))).collect();
    let mut all: Vec<_> = chain.iter().map(|(n, t)| (n.as_str(), t.as_bytes())).collect();
    all.push(("20.txt", b"x"));
    let (_dir, root) = files(&all);
    let error = read(&root.join("0.txt"), IGNORE).expect_err("too many").to_string();
    assert!(error.contains("1000 files"), "{error}");
}

#[test]
fn local_files_count_by_content_wherever_they_stand() {
    let wheel = "foo_bar-1.0-py3-none-any.whl";
    let sha = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let (_a, a) = files(&[(wheel, b"hello"), ("r.txt", b"./foo_bar-1.0-py3-none-any.whl[Extra] ; os_name == 'posix'")]);
    let (_b, b) = files(&[
        (&format!("wheels/{wheel}"), b"hello"),
        ("r.txt", format!("wheels/{wheel}[extra] ; os_name == 'posix'").as_bytes()),
    ]);
    let ((of_a, _), (of_b, _)) =
        (read(&a.join("r.txt"), IGNORE).expect("a"), read(&b.join("r.txt"), IGNORE).expect("b"));
    assert_eq!(canonical(&of_a), [format!("foo-bar[extra] @ sha256:{sha} ; os_name == 'posix'")]);
    assert_eq!(of_a.digest(), of_b.digest());
    assert_eq!(
        of_b.requirements[0].line(),
        format!("foo-bar[extra] @ file://{}/wheels/{wheel} ; os_name == 'posix'", b.display())
    );

    fs::write(a.join(wheel), "changed").expect("a file");
    assert_ne!(read(&a.join("r.txt"), IGNORE).expect("a").0.digest(), of_b.digest());

    // The line for the installer, read again, is the same requirement.
    for text in [
        format!("file://{}/wheels/{wheel}", b.display()),
        format!("Foo.Bar @ file://localhost{}/wheels/{wheel}#sha256={sha}", b.display()),
        format!("{}/wheels/../wheels/{wheel}", b.display()),
        "file:wheels/foo_bar-1.0-py3-none-any.whl".into(),
        "foo-bar@./wheels/foo_bar-1.0-py3-none-any.whl".into(),
    ] {
        let mut reader = Reader::new(IGNORE);
        reader.requirement("--with", &b, &text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let (spec, _) = reader.finish().expect("a spec");
        assert_eq!(canonical(&spec), [format!("foo-bar @ sha256:{sha}")], "{text}");
        let mut again = Reader::new(IGNORE);
        again.requirement("--with", Path::new("/"), spec.requirements[0].line()).expect("the line again");
        assert_eq!(again.finish().expect("a spec").0, spec);
    }
    let mut reader = Reader::new(IGNORE);
    let error = reader
        .requirement("--with", &b, &format!("./wheels/{wheel}#sha256={}", "0".repeat(64)))
        .expect_err("another digest");
    assert!(error.to_string().contains("has the SHA-256 2cf24"), "{error}");
}

#[test]
fn the_name_of_a_source_archive_is_a_guess() {
    let (_dir, root) = files(&[("repo-1.0.tar.gz", b"hello"), ("master.zip", b"hello")]);
    let sha = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let at = format!("file://{}", root.display());
    for (text, canonical, install) in [
        ("./repo-1.0.tar.gz[X]", format!("repo[x] @ sha256:{sha}"), format!("{at}/repo-1.0.tar.gz[x]")),
        ("Name[x] @ ./repo-1.0.tar.gz", format!("name[x] @ sha256:{sha}"), format!("name[x] @ {at}/repo-1.0.tar.gz")),
        ("repo-1.0.tar.gz#egg=Name", format!("name @ sha256:{sha}"), format!("name @ {at}/repo-1.0.tar.gz")),
        (
            "./master.zip#subdirectory=a/b",
            format!("sha256:{sha}#subdirectory=a/b"),
            format!("{at}/master.zip#subdirectory=a/b"),
        ),
    ] {
        let mut reader = Reader::new(IGNORE);
        reader.requirement("--with", &root, text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let (spec, _) = reader.finish().expect("a spec");
        assert_eq!(
            (spec.requirements[0].canonical.as_str(), spec.requirements[0].line()),
            (canonical.as_str(), install.as_str())
        );
    }
}

#[test]
fn local_directories_count_by_content() {
    let (_dir, root) = files(&[
        ("pkg/setup.py", b"x"),
        ("requirements.txt", b"./pkg[]\n.#egg=Other&subdirectory=pkg"),
        ("empty/readme", b""),
    ]);
    let (spec, _) = read(&root.join("requirements.txt"), IGNORE).expect("a spec");
    let digest = super::super::content::directory_digest(&root.join("pkg")).expect("a digest");
    assert_eq!(canonical(&spec), [format!("dir:{digest}"), format!("other @ dir:{digest}")]);
    assert_eq!(spec.requirements[0].line(), format!("file://{}/pkg", root.display()));
    fs::write(root.join("pkg/setup.py"), "y").expect("a file");
    assert_ne!(read(&root.join("requirements.txt"), IGNORE).expect("a spec").0.digest(), spec.digest());

    let mut reader = Reader::new(IGNORE);
    let error = reader.requirement("--with", &root, "./empty").expect_err("no project").to_string();
    assert!(error.contains("neither `pyproject.toml` nor `setup.py`"), "{error}");
}

#[test]
fn sources_are_for_the_configuration_to_choose() {
    let (_dir, root) = files(&[(
        "requirements.txt",
        b"-i https://${TOKEN}@h/simple\n--extra-index-url=https://h/extra\n-f wheels\n--trusted-host h\n--no-index\n--prefer-binary\na",
    )]);
    let path = root.join("requirements.txt");
    let (spec, warnings) = read(&path, IGNORE).expect("a spec");
    assert_eq!(spec.options, [""; 0]);
    assert_eq!(warnings.len(), 6);
    assert!(warnings[0].contains("requirements.txt, line 1: `--index-url` is ignored"), "{}", warnings[0]);
    assert!(!warnings.concat().contains("TOKEN"), "{warnings:?}");

    let error = read(&path, PackOptions::Allow).expect_err("a variable").to_string();
    assert!(error.contains("line 1") && error.contains("`${TOKEN}`"), "{error}");
    fs::write(&path, "-i https://user:s3cret@h/simple").expect("a file");
    let error = read(&path, PackOptions::Allow).expect_err("a secret").to_string();
    assert!(error.contains("[[index]]") && !error.contains("s3cret"), "{error}");
    fs::write(&path, "--no-index\n-f wheels\n--pre\n--extra-index-url https://h/extra --pre\n").expect("a file");
    let (spec, warnings) = read(&path, PackOptions::Allow).expect("a spec");
    let find_links = format!("--find-links={}/wheels", root.display());
    assert_eq!(spec.options, ["--no-index", &find_links, "--pre", "--extra-index-url=https://h/extra"]);
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn choices_are_kept_in_order() {
    let spec = spec("--no-binary Foo_Bar,a\n--only-binary=:all:\n--require-hashes\n--no-binary=:none:,b");
    assert_eq!(
        spec.options,
        [
            "--no-binary=a",
            "--no-binary=foo-bar",
            "--only-binary=:all:",
            "--require-hashes",
            "--no-binary=:none:",
            "--no-binary=b"
        ]
    );
}

#[test]
fn editable_urls_are_the_same_requirement() {
    let (spec, warnings) = reader_of("-e git+https://h/o/r@v1#egg=Foo").expect("a reader").finish().expect("a spec");
    assert_eq!(canonical(&spec), ["foo @ git+https://h/o/r@v1"]);
    assert_eq!(warnings, ["a text, line 1: `-e` is left out: environments never change"]);
    let error = error("a\n-e ./lib");
    assert!(
        error.contains("line 2") && error.contains("Write `./lib` without `-e`") && error.contains("wheel"),
        "{error}"
    );
}

#[test]
fn errors_name_the_line_and_never_the_secret() {
    for (text, line, because) in [
        ("a\nb c", "line 2", "`b c`"),
        ("a\n\n--use-feature=x", "line 3", "`--use-feature`"),
        ("a --config-settings x=y", "line 1", "`--config-settings`"),
        ("a\n../../serving/weather-data", "line 2", "/nowhere/../../serving/weather-data"),
        ("a\n-r gone.txt", "line 2", "gone.txt"),
        ("-r .", "line 1", "cannot read"),
        ("-c https://h/upper-constraints.txt", "line 1", "save it beside"),
        ("https://user:s3cret@h/x.whl", "line 1", "[[index]]"),
        ("https://user:s3c/ret@h/x.whl", "line 1", "no URL"),
        ("a @ git+https://s3cret@h/x", "line 1", "credentials"),
        ("git+https://${S3CRET}@h/x", "line 1", "`${S3CRET}`"),
        ("https://h/x.zip?X-Amz-Signature=s3cret", "line 1", "its query holds a secret"),
        ("git+https://h/x\\ \nb", "line 1", "backslash"),
        ("git+https://h/x\\#egg=x\nb", "line 1", "backslash"),
        ("a\0b", "line 1", "NUL"),
    ] {
        let error = error(text);
        assert!(error.contains(line) && error.contains(because), "{text:?}: {error}");
        assert!(!error.contains("s3c"), "{error}");
    }
    let mut reader = Reader::new(IGNORE);
    for line in ["", "# c", "--pre", "-r x.txt", "a\nb"] {
        let error = reader.requirement("--with", Path::new("/"), line).expect_err(line);
        assert!(error.to_string().contains("--with: "), "{error}");
    }
}

#[test]
fn constraints_need_names() {
    let (_dir, root) = files(&[("c.txt", b"a<2\ngit+https://h/o/r")]);
    let error = Reader::new(IGNORE).constraint_file(&root.join("c.txt")).expect_err("no name").to_string();
    assert!(error.contains("line 2") && error.contains("needs a name"), "{error}");
}

#[test]
fn pipes_are_for_people_not_for_packs() {
    let (_dir, root) = files(&[("r.txt", b"-r pipe")]);
    nix::unistd::mkfifo(&root.join("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let error = read(&root.join("r.txt"), IGNORE).expect_err("a pipe").to_string();
    assert!(error.contains("is not a file"), "{error}");
    let path = root.join("pipe");
    let writer = std::thread::spawn(move || fs::write(path, "a"));
    assert_eq!(canonical(&read(&root.join("pipe"), IGNORE).expect("a spec").0), ["a"]);
    writer.join().expect("the writer").expect("written");
}

#[test]
fn a_huge_file_is_never_read_whole() {
    let mut reader = Reader::new(IGNORE);
    let error = reader.file(Path::new("/dev/zero")).expect_err("endless").to_string();
    assert!(error.contains("/dev/zero") && error.contains("8 MiB"), "{error}");
}

#[test]
fn a_declaration_can_be_added_to() {
    let (spec, warnings) = reader_of("a\n--prefer-binary").expect("a reader").finish().expect("a spec");
    let pack = crate::pack::PackRef::new("p").expect("a ref");
    let mut reader = Reader::new(IGNORE);
    reader.declaration(Declaration { pack, spec, origin: None, warnings });
    reader.requirement("--with", Path::new("/"), "b").expect("a requirement");
    let (spec, warnings) = reader.finish().expect("a spec");
    assert_eq!(canonical(&spec), ["a", "b"]);
    assert_eq!(warnings.len(), 1);
}

proptest! {
    #[test]
    fn order_and_line_ends_never_matter(
        mut names in prop::collection::vec("[a-z]{1,3}(==[0-9]\\.[0-9])?", 0..8),
        seed in any::<u64>(),
        end in prop_oneof![Just("\n"), Just("\r\n"), Just("\r"), Just(" # c\n"), Just("\n\n  \n")],
    ) {
        let digest = spec(&names.join("\n")).digest();
        if !names.is_empty() {
            let by = seed as usize % names.len();
            names.rotate_left(by);
            names.swap(0, by);
            names.push(names[0].clone());
        }
        prop_assert_eq!(spec(&names.join(end)).digest(), digest);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "([-a1.\\[\\]@#;:/+%='\"<>~!(), \\\\]{0,30}\n){0,5}") {
        let mut reader = Reader::new(PackOptions::Allow);
        let _ = reader.text("bytes", Path::new("/nowhere"), &bytes);
        let _ = reader.text("text", Path::new("/nowhere"), &text);
        if let Ok((spec, _)) = reader.finish() {
            let lines: Vec<_> = spec.requirements.iter().map(|r| r.line()).collect();
            let again = Reader::new(IGNORE).text("again", Path::new("/nowhere"), lines.join("\n")).map(|_| ());
            prop_assert!(again.is_ok(), "{:?}", again);
        }
    }
}
