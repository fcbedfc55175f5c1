use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;
use url::Url;

use super::*;
use crate::interpreter::{FileStamp, InterpreterIdentity};
use crate::spec::RuntimeKind;

fn interpreter(version: &str) -> Interpreter {
    Interpreter {
        identity: InterpreterIdentity {
            runtime: RuntimeKind::Python,
            implementation: "cpython".into(),
            version: version.into(),
            abi: "cpython-311-x86_64-linux-gnu".into(),
            platform: "linux-x86_64".into(),
            machine: "x86_64".into(),
            libc: "glibc 2.36".into(),
            build_id: "00".into(),
        },
        path: PathBuf::from("/usr/bin/python3.11"),
        stamp: FileStamp { inode: 1, size: 1, mtime_ns: 1 },
        facts: BTreeMap::new(),
    }
}

fn locked(name: &str, version: &str, artifact: Artifact) -> Locked {
    Locked { name: name.into(), version: version.into(), artifact, index: None }
}

fn sha(digit: char) -> String {
    String::from(digit).repeat(64)
}

fn example() -> Lock {
    let wheel = Artifact::Wheel {
        file: "six-1.17.0-py2.py3-none-any.whl".into(),
        url: "https://host/w/six-1.17.0-py2.py3-none-any.whl".into(),
        sha256: sha('a'),
    };
    let sdist = |file: &str, subdirectory: Option<&str>| Artifact::Sdist {
        file: file.into(),
        url: format!("https://host/s/{file}"),
        sha256: sha('b'),
        subdirectory: subdirectory.map(Into::into),
    };
    let vcs = Artifact::Vcs {
        vcs: "git".into(),
        url: "ssh://git@host/x.git".into(),
        commit: "c".repeat(40),
        subdirectory: Some("py".into()),
    };
    let directory = Artifact::Directory { path: "/srv/a \"b\"".into(), digest: sha('d') };
    Lock::new(vec![
        Locked { index: Some("corp".into()), ..locked("six", "1.17.0", wheel) },
        locked("ruamel-yaml", "0.19.1", sdist("ruamel.yaml-0.19.1.tar.gz", None)),
        locked("main", "1", sdist("main.zip", None)),
        locked("mono", "2", sdist("mono-2.tar.gz", Some("py"))),
        locked("repo", "3", vcs),
        locked("local", "", directory),
    ])
}

#[test]
fn the_written_text_is_golden() {
    insta::assert_snapshot!(write(&example(), &interpreter("3.11.7")), @r#"
    lock-version = "1.0"
    created-by = "envstore"
    requires-python = "==3.11.*"

    [[packages]]
    name = "local"
    directory = { path = '/srv/a "b"' }
    [packages.tool.envstore]
    digest = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"

    [[packages]]
    name = "main"
    version = "1"
    archive = { name = "main.zip", url = "https://host/s/main.zip", hashes = { sha256 = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" } }

    [[packages]]
    name = "mono"
    version = "2"
    archive = { name = "mono-2.tar.gz", url = "https://host/s/mono-2.tar.gz", subdirectory = "py", hashes = { sha256 = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" } }

    [[packages]]
    name = "repo"
    version = "3"
    vcs = { type = "git", url = "ssh://git@host/x.git", commit-id = "cccccccccccccccccccccccccccccccccccccccc", subdirectory = "py" }

    [[packages]]
    name = "ruamel-yaml"
    version = "0.19.1"
    sdist = { name = "ruamel.yaml-0.19.1.tar.gz", url = "https://host/s/ruamel.yaml-0.19.1.tar.gz", hashes = { sha256 = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" } }

    [[packages]]
    name = "six"
    version = "1.17.0"
    wheels = [{ name = "six-1.17.0-py2.py3-none-any.whl", url = "https://host/w/six-1.17.0-py2.py3-none-any.whl", hashes = { sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" } }]
    [packages.tool.envstore]
    index = "corp"
    "#);
}

#[test]
fn written_then_read_is_the_same_lock() {
    assert_eq!(read(&write(&example(), &interpreter("3.11.7"))), Ok(example()));
    assert_eq!(read(&write(&Lock::default(), &interpreter("3.11.7"))), Ok(Lock::default()));
}

#[test]
fn neither_order_nor_patch_level_changes_the_bytes() {
    let mut reversed = example();
    reversed.packages.reverse();
    assert_eq!(write(&reversed, &interpreter("3.11.2")), write(&example(), &interpreter("3.11.7")));
    assert_ne!(write(&example(), &interpreter("3.12.1")), write(&example(), &interpreter("3.11.7")));
}

#[test]
fn a_lock_that_leaves_a_choice_or_names_no_bytes_is_refused() {
    let file = |n: &str| format!("{{ url = \"https://h/{n}.whl\", hashes = {{ sha256 = \"{}\" }} }}", sha('a'));
    for (fields, reason) in [
        (format!("wheels = [{}, {}]", file("a"), file("b")), "exactly one"),
        (format!("wheels = [{}]\nsdist = {}", file("a"), file("b")), "exactly one"),
        (String::new(), "exactly one"),
        ("wheels = [{ url = \"https://h/a.whl\", hashes = { md5 = \"00\" } }]".into(), "sha256"),
        ("wheels = [{ url = \"https://h/a.whl\", hashes = { sha256 = \"00\" } }]".into(), "sha256"),
        ("vcs = { type = \"git\", url = \"https://h/r\", commit-id = \"main\" }".into(), "full commit"),
        ("directory = { path = \"/x\" }".into(), "without a digest"),
    ] {
        let error = read(&format!("lock-version = \"1.0\"\n[[packages]]\nname = \"x\"\n{fields}\n"));
        let error = error.expect_err(&fields).to_string();
        assert!(error.contains("`x`") && error.contains(reason), "{fields}: {error}");
    }
    assert!(read("lock-version = \"2.0\"").is_err());
    assert!(read("packages = 1").is_err());
}

#[test]
fn urls_are_kept_without_secrets() {
    for (given, kept) in [
        ("https://me:pw@host/a%2Bb.whl?token=x#sha256=y", Some("https://host/a%2Bb.whl")),
        ("https://tok@host/x", Some("https://host/x")),
        ("ssh://git:pw@host/x.git", Some("ssh://git@host/x.git")),
        ("file:///srv/a%20b/c.whl", Some("file:///srv/a%20b/c.whl")),
        ("data:text/plain,x", None),
        ("no url", None),
    ] {
        assert_eq!(canonical_url(given).as_deref(), kept, "{given}");
    }
}

#[test]
fn files_say_where_and_what_they_are() {
    let file = |url: Option<&str>, path: Option<&str>| File {
        url: url.map(Into::into),
        path: path.map(Into::into),
        ..File::default()
    };
    let base = Path::new("/base");
    let remote = file(Some("https://host/a/x-1%2Blocal-py3-none-any.whl?sig=1"), None);
    assert_eq!(remote.file_name().as_deref(), Some("x-1+local-py3-none-any.whl"));
    let local = file(None, Some("w/a b%20.whl"));
    assert_eq!(local.file_name().as_deref(), Some("a b%20.whl"));
    assert_eq!(local.url(base).as_deref(), Some("file:///base/w/a%20b%2520.whl"));
    assert_eq!(file(None, Some("/w/x.whl")).url(base).as_deref(), Some("file:///w/x.whl"));
    assert_eq!(file(Some("https://host/a/"), None).file_name(), None);
    assert_eq!(file(None, None).url(base), None);
}

prop_compose! {
    fn a_package()(name in "[a-z][a-z0-9-]{0,8}", version in "[0-9.+a-z]{0,6}", kind in 0..4, text in "\\PC{1,20}", digest in "[0-9a-f]{64}", index in proptest::option::of("\\PC{1,9}")) -> Locked {
        let url = Url::parse("https://host/").expect("a url").join(&percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC).to_string()).expect("joins").to_string();
        let file = format!("{text}.zip");
        let artifact = match kind {
            0 => Artifact::Wheel { file: format!("{text}.whl"), url, sha256: digest },
            1 => Artifact::Sdist { file, url, sha256: digest, subdirectory: index.clone() },
            2 => Artifact::Vcs { vcs: "git".into(), url, commit: digest[..40].into(), subdirectory: None },
            _ => Artifact::Directory { path: text, digest },
        };
        Locked { name, version, artifact, index }
    }
}

proptest! {
    #[test]
    fn every_lock_survives_being_written(packages in proptest::collection::vec(a_package(), 0..5)) {
        let lock = Lock::new(packages);
        prop_assert_eq!(read(&write(&lock, &interpreter("3.12.1"))), Ok(lock));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
        let _ = read(&text);
        let _ = canonical_url(&text);
    }
}
