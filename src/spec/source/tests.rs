use std::os::unix::fs::symlink;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const IGNORE: PackOptions = PackOptions::Ignore;

fn tree(files: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let root = fs::canonicalize(dir.path()).expect("a real path").join("root");
    fs::create_dir(&root).expect("a directory");
    for (name, content) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, content).expect("a file");
    }
    (dir, root)
}

fn found(path: &Path) -> Vec<Found> {
    find(&[path.to_owned()], IGNORE).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `name: requirements; range`, or `name: error`.
fn told(found: &Found) -> String {
    match &found.result {
        Ok(declaration) => {
            let lines: Vec<_> = declaration.spec.requirements.iter().map(|r| r.canonical.as_str()).collect();
            format!("{}: {}; {}", found.name, lines.join(" "), declaration.spec.interpreter)
        }
        Err(error) => format!("{}: {error}", found.name),
    }
}

fn list(rows: &str) -> Vec<String> {
    let (_dir, root) = tree(&[("packs.jsonl", rows)]);
    found(&root.join("packs.jsonl"))
        .iter()
        .map(|found| told(found).replace(&root.display().to_string(), "ROOT"))
        .collect()
}

#[test]
fn a_directory_of_packs_is_read_in_order() {
    let (_dir, root) = tree(&[
        ("b/pack.yaml", "ref: zeta\nname: Zeta\npython_versions: ['3', 2]"),
        ("b/requirements.txt", "B>=1\n-r more/base.txt"),
        ("b/more/base.txt", "c"),
        ("a/requirements.txt", "a"),
        ("c/pack.yaml", "name: plain\nversion: 1.0.0"),
        ("docs/readme.md", ""),
        (".hidden/requirements.txt", "x"),
        ("notes.txt", "x"),
    ]);
    let all = found(&root);
    assert_eq!(all.iter().map(told).collect::<Vec<_>>(), ["a: a; any", "zeta: b>=1 c; ==2.* or ==3.*", "plain: ; any"]);
    assert_eq!(all[1].origin, root.join("b"));
    let declaration = all[1].result.as_ref().expect("a declaration");
    assert_eq!(declaration.origin.as_deref(), Some(root.as_path()));
    assert_eq!(found(&root.join("./")).len(), 3);
}

#[test]
fn attune_packs_say_it_in_their_meta() {
    let (_dir, root) = tree(&[
        (
            "pack.yaml",
            "ref: core\nmeta:\n  other: [1]\n  python_dependencies:\n    min_version: 3.8\n    max_version: 3.10\n    \
             dependencies:\n      - Requests>=2\n      - ./x.zip\n    requirements_file_content: |\n      # none\n      six\n",
        ),
        ("requirements.txt", "ignored"),
        ("x.zip", "x"),
    ]);
    let told = told(&found(&root)[0]);
    assert!(told.starts_with("core: requests>=2 sha256:") && told.ends_with(" six; >=3.8,<3.11"), "{told}");
}

#[test]
fn each_kind_of_single_path_is_one_pack() {
    let (_dir, root) =
        tree(&[("pack.yaml", "ref: one"), ("requirements.txt", "a"), ("aws.txt", "b"), ("plain", "c"), ("x.toml", "")]);
    for (path, name, lines) in [
        ("", "one", "a"),
        ("pack.yaml", "one", "a"),
        ("requirements.txt", "root", "a"),
        ("aws.txt", "aws", "b"),
        ("plain", "plain", "c"),
    ] {
        let path = root.join(path);
        assert_eq!(told(&found(&path)[0]), format!("{name}: {lines}; any"), "{}", path.display());
        assert_eq!(read(&path, IGNORE, &[]).expect("a declaration").pack.as_str(), name);
    }
    let error = find(&[root.join("x.toml")], IGNORE).expect_err("no pack").to_string();
    assert!(error.contains("looked for `pack.yaml`, `pylock.toml`"), "{error}");
    assert_eq!(find(&[root.join("gone")], IGNORE).expect_err("nothing").kind(), crate::error::Kind::Io);
}

#[test]
fn one_pack_that_is_wrong_spoils_no_other() {
    let (_dir, root) = tree(&[
        ("a/pack.yaml", "ref: [1, 2"),
        ("b/requirements.txt", "b\n-e ."),
        ("c/requirements.txt", "c"),
        ("d/pack.yaml", "ref: \"x\\ny\""),
        ("e/pack.yaml", "python_versions: 3"),
        ("f/pack.yaml", ""),
        ("g/pack.yaml", "python_versions: [three]"),
    ]);
    symlink("/gone/by/now", root.join("h")).expect("a link");
    let all = found(&root);
    let told: Vec<_> = all.iter().map(told).collect();
    assert_eq!(told.len(), 8);
    for (index, expected) in [
        (0, "a: cannot read the declaration "),
        (1, "requirements.txt, line 2: `-e .`"),
        (2, "c: c; any"),
        (3, "control character"),
        (4, "e/pack.yaml, line 1: "),
        (5, "f: ; any"),
        (6, "g/pack.yaml: `three` is neither"),
        (7, "h: cannot read"),
    ] {
        assert!(told[index].contains(expected), "{}", told[index]);
    }
    assert_eq!(all[3].pack, None);
    assert_eq!(all[3].name, format!("`{}`", root.join("d").display()));
    assert_eq!(read(&root, IGNORE, &[]).expect_err("several").to_string().matches("holds 8 packs").count(), 1);
}

#[test]
fn linked_packs_are_followed_and_keep_the_path_that_names_them() {
    let (_dir, root) =
        tree(&[("real/a/requirements.txt", "a\n-r ../base.txt"), ("real/base.txt", "b"), ("packs/none", "")]);
    symlink(root.join("real/a"), root.join("packs/linked")).expect("a link");
    symlink(root.join("packs"), root.join("current")).expect("a link");
    let all = found(&root.join("current"));
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].name, "linked");
    assert_eq!(all[0].origin, root.join("current/linked"));
    // `..` in a file is the one the system sees: of the directory behind the link.
    assert_eq!(told(&all[0]), "linked: a b; any");
}

#[test]
fn aliases_cannot_explode() {
    let mut text = String::from("a: &a [x, x, x, x, x, x, x, x, x, x]\n");
    for (from, to) in "abcdefghi".chars().zip("bcdefghij".chars()) {
        text.push_str(&format!("{to}: &{to} [{}]\n", vec![format!("*{from}"); 10].join(", ")));
    }
    text.push_str("ref: bomb\npython_versions: *j\n");
    let deep = format!("ref: deep\nmeta: {}{}", "[".repeat(100_000), "]".repeat(100_000));
    let (_dir, root) = tree(&[("bomb/pack.yaml", &text), ("deep/pack.yaml", &deep), ("fine/requirements.txt", "")]);
    let all = found(&root);
    assert_eq!(all.iter().map(|f| f.result.is_ok()).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn a_list_has_a_pack_a_line() {
    let rows = concat!(
        "\u{feff}{\"pack_ref\": \"a\", \"version\": 1, \"requirements\": \"B\\nA # c\", \"runtime\": \"python\"}\r\n",
        "\n",
        "  {\"pack_ref\": \"b\", \"dependencies\": [\"X\"], \"requirements\": \"y\", \"python_versions\": [\"3\", 2]}\n",
        "{\"pack_ref\": \"c\", \"requirements\": \"\", \"min_version\": \"3.8\", \"max_version\": \"3.10\", \"python_versions\": null}",
    );
    assert_eq!(list(rows), ["a: a b; any", "b: x y; ==2.* or ==3.*", "c: ; >=3.8,<3.11"]);
}

#[test]
fn a_bad_row_names_line_and_field() {
    let rows = [
        "{",
        "[]",
        "{\"requirements\": \"a\"}",
        "{\"pack_ref\": \"\", \"requirements\": \"a\"}",
        "{\"pack_ref\": [], \"requirements\": \"a\"}",
        "{\"pack_ref\": \"n\", \"requirements\": \"a\", \"runtime\": \"node\"}",
        "{\"pack_ref\": \"o\", \"dependencies\": \"a\"}",
        "{\"pack_ref\": \"p\", \"dependencies\": [\"a\", {}]}",
        "{\"pack_ref\": \"q\"}",
        "{\"pack_ref\": \"r\", \"requirements\": \"a\\n\\nb c\"}",
        "{\"pack_ref\": \"s\", \"requirements\": \"\", \"python_versions\": [3.10]}",
        "{\"pack_ref\": \"t\", \"requirements\": \"\", \"python_versions\": [\"2\"], \"min_version\": \"3\"}",
        "{\"pack_ref\": \"u\", \"dependencies\": [\"./gone.whl\"]}",
        "{\"pack_ref\": \"v\", \"requirements\": \"v\"}",
    ];
    let told = list(&rows.join("\n"));
    assert_eq!(told.len(), rows.len());
    let expected = [
        ("`ROOT/packs.jsonl`, line 1: ", "no JSON object"),
        ("`ROOT/packs.jsonl`, line 2: ", "no JSON object"),
        ("`ROOT/packs.jsonl`, line 3: ", "`pack_ref` is not there"),
        ("`ROOT/packs.jsonl`, line 4: ", "empty"),
        ("`ROOT/packs.jsonl`, line 5: ", "`pack_ref`"),
        ("n: ", "line 6: the field `runtime` is `node`"),
        ("o: ", "line 7: the field `dependencies` is no list"),
        ("p: ", "line 8: the field `dependencies`"),
        ("q: ", "line 9: neither the field `requirements` nor"),
        ("r: ", "packs.jsonl, line 10, `requirements`, line 3: `b c`"),
        ("s: ", "line 11: the field `python_versions` holds the number 3.1"),
        ("t: ", "line 12: no version is within"),
        ("u: ", "line 13, `dependencies`: `./gone.whl`: cannot read `ROOT/./gone.whl`"),
        ("v: ", "v; any"),
    ];
    for (told, (name, because)) in told.iter().zip(expected) {
        assert!(told.starts_with(name) && told.contains(because), "{told}");
    }
}

#[test]
fn a_ref_declared_twice_is_one_error_that_names_both_places() {
    let (_dir, root) = tree(&[
        ("packs/a/pack.yaml", "ref: same"),
        ("packs/b/requirements.txt", "b"),
        (
            "list.jsonl",
            "{\"pack_ref\": \"x\", \"requirements\": \"\"}\n{\"pack_ref\": \"same\", \"requirements\": \"\"}",
        ),
    ]);
    let paths = [root.join("packs"), root.join("list.jsonl"), root.join("packs/")];
    let all = find(&paths, IGNORE).expect("packs");
    assert_eq!(all.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["same", "b", "x"]);
    let error = all[0].result.as_ref().expect_err("twice").to_string();
    assert!(
        error.contains(&format!(
            "`{}` and `{}`, line 2",
            root.join("packs/a").display(),
            root.join("list.jsonl").display()
        )),
        "{error}"
    );
    assert!(all[1].result.is_ok() && all[2].result.is_ok());
}

proptest! {
    #[test]
    fn no_list_and_no_pack_file_panics(text in "\\PC{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let (_dir, root) = tree(&[("p/requirements.txt", "")]);
        fs::write(root.join("p/pack.yaml"), &text).expect("a file");
        fs::write(root.join("q.jsonl"), &bytes).expect("a file");
        prop_assert_eq!(find(std::slice::from_ref(&root), IGNORE).expect("a pack").len(), 1);
        let _ = find(&[root.join("q.jsonl")], IGNORE);
    }
}

const PROJECT: &str = r#"
[project]
name = "My.Pack"
requires-python = ">=3.9"
dependencies = ["requests[socks]>=2", "Six ; python_version<'3'"]
[project.optional-dependencies]
s3 = ["boto3"]
Http_Client = ["httpx", "h2"]
all = ["my-pack[s3,http-client]", "rich"]
[tool.uv.sources]
boto3 = { url = "https://elsewhere.example/boto3.whl" }
"#;

#[test]
fn a_project_declares_its_dependencies_and_the_extras_wanted() {
    let (_dir, root) = tree(&[("pyproject.toml", PROJECT)]);
    let lines = |extras: &[&str]| {
        let extras: Vec<String> = extras.iter().map(|extra| (*extra).to_owned()).collect();
        let declaration = read(&root, IGNORE, &extras)?;
        assert_eq!(declaration.pack.as_str(), "My.Pack");
        assert_eq!(declaration.spec.interpreter.to_string(), ">=3.9");
        assert!(declaration.warnings.iter().any(|w| w.contains("tool.uv.sources")), "{:?}", declaration.warnings);
        Ok::<_, Error>(declaration.spec.requirements.into_iter().map(|r| r.canonical).collect::<Vec<_>>().join(" | "))
    };
    let plain = "requests[socks]>=2 | six ; python_full_version < '3'";
    assert_eq!(lines(&[]).expect("plain"), plain);
    assert_eq!(lines(&["S3"]).expect("one"), format!("boto3 | {plain}"));
    assert_eq!(
        lines(&["all"]).expect("one that names others"),
        format!("boto3 | h2 | httpx | requests[socks]>=2 | rich | {}", &plain[21..])
    );
    let error = lines(&["s4"]).expect_err("there is none").to_string();
    assert!(error.contains("no extra `s4`") && error.contains("`s3`"), "{error}");
    assert_eq!(told(&found(&root.join("pyproject.toml"))[0]), format!("My.Pack: {}; >=3.9", plain.replace(" | ", " ")));
}

#[test]
fn a_project_says_its_extras_itself_or_why_it_cannot_be_read() {
    let cases = [
        (
            "[project]\nname='a'\n[project.optional-dependencies]\nx=['six']\n[tool.envstore]\nextras=['X']",
            "a: six; any",
        ),
        ("[project]\nname='a'\ndynamic=['dependencies']", "are dynamic"),
        ("[project]\nname='a'\ndependencies=['six', '-r x.txt']", "`project.dependencies`"),
        ("[project]\nname='a'\n\nrequires-python = 3", "line 4"),
        ("[project]\nname='a'\nrequires-python='>3,<2'", "no version"),
        ("[project]\nname='a'\n[tool.envstore]\nextra=['x']", "unknown field `extra`"),
        ("[project\n", "line 1"),
    ];
    for (text, expected) in cases {
        let (_dir, root) = tree(&[("pyproject.toml", text)]);
        let told = told(&found(&root)[0]);
        assert!(told.contains(expected), "{text}: {told}");
    }
    let (_dir, root) = tree(&[("pyproject.toml", "[tool.black]\n"), ("a/requirements.txt", "six")]);
    let [one] = &*found(&root) else { panic!("the file for tools makes no pack") };
    assert_eq!(told(one), "a: six; any");
    let error = find(&[root.join("pyproject.toml")], IGNORE).map(|found| told(&found[0])).expect("one");
    assert!(error.contains("no table `[project]`"), "{error}");
    let error = read(&root.join("a/requirements.txt"), IGNORE, &["x".into()]).expect_err("has no extras");
    assert!(error.to_string().contains("extras"), "{error}");
}

#[test]
fn a_script_declares_its_dependencies_in_its_comments() {
    let script = "#!/usr/bin/env python\n# /// script\n# requires-python = \">=3.11\"\n# dependencies = [\n#   \"httpx\", # a\n#\n#   \"rich<14\",\n# ]\n# ///\nprint(1)\n";
    let (_dir, root) = tree(&[
        ("fetch.py", script),
        ("plain.py", "print(1)\n"),
        ("bad.py", "\u{0}# /// script\n"),
        ("a/requirements.txt", "six\n"),
    ]);
    let told_all: Vec<_> = found(&root).iter().map(told).collect();
    assert_eq!(told_all, ["a: six; any", "fetch: httpx rich<14; >=3.11"]);
    for (text, expected) in [
        ("print(1)", "without metadata"),
        ("# /// script\n# dependencies = []\n", "without metadata"),
        ("# /// script\n# dependencies = [\n# ///\n", "line 2"),
        ("# /// script\n# ///\n\n# /// script\n# ///\n", "several blocks"),
        ("# /// script\r\n# dependencies = ['six']\r\n# ///\r\n", "x: six; any"),
        ("# /// script\n# dependencies = ['six ==']\n# ///\n", "`dependencies`"),
    ] {
        let (_dir, root) = tree(&[("x.py", text)]);
        let told = told(&found(&root.join("x.py"))[0]);
        assert!(told.contains(expected), "{text}: {told}");
    }
}

fn pylock(packages: &str) -> String {
    format!("lock-version = '1.0'\ncreated-by = 'x'\nrequires-python = '>=3.9'\n{packages}")
}

#[test]
fn a_lock_is_taken_as_it_is_however_it_is_written() {
    let sha = "a".repeat(64);
    let one = pylock(&format!(
        "[[packages]]\nname='B'\nversion='1.0'\nmarker=\"python_version>='3.8'\"\nwheels=[{{url='https://h/b-1.0-py3-none-any.whl', size=3, hashes={{sha256='{sha}', md5='0'}}}}]\n\
         [[packages]]\nname='a'\nversion='v2'\ndependencies=[{{name='b'}}]\nsdist={{url='https://h/a-2.tar.gz', hashes={{sha256='{}'}}}}\n[packages.tool.x]\ny=1\n",
        sha.to_uppercase()
    ));
    let two = pylock(&format!(
        "[[packages]]\nname='a'\nversion='2'\n[packages.sdist]\nname='a-2.tar.gz'\nurl='https://h/a-2.tar.gz'\nhashes={{sha256='{sha}'}}\n\
         [[packages]]\nname='never'\nmarker=\"python_version<'3' and python_version>'3'\"\narchive={{url='https://h/n.zip', hashes={{sha256='{sha}'}}}}\n\
         [[packages]]\nname='b'\nversion='1.0'\nmarker='python_full_version >= \"3.8\"'\nwheels=[{{name='b-1.0-py3-none-any.whl', url='https://h/b-1.0-py3-none-any.whl', hashes={{sha256='{sha}'}}}}]\n"
    ));
    let (_dir, root) = tree(&[("one/pylock.toml", &one), ("two/pylock.x.toml", &two), ("two/requirements.txt", "six")]);
    let first = read(&root.join("one"), IGNORE, &[]).expect("a lock");
    let second = read(&root.join("two/pylock.x.toml"), IGNORE, &[]).expect("a lock");
    assert_eq!((first.pack.as_str(), second.pack.as_str()), ("one", "x"));
    assert_eq!(first.spec.digest(), second.spec.digest());
    assert_eq!(first.spec.interpreter.to_string(), ">=3.9");
    assert!(first.spec.requirements.is_empty() && !first.spec.is_empty());
    // Kept as JSON it is the same.
    let again: crate::spec::Spec =
        serde_json::from_str(&serde_json::to_string(&first.spec).expect("JSON")).expect("read");
    assert_eq!(again, first.spec);
    assert_eq!(first.spec.digest().to_string(), GOLDEN_LOCK);
}

/// A changed digest is a change of format.
const GOLDEN_LOCK: &str = "j5yyxxb46nscb25ldd5i4zwamx47lajce4kgntc6zpevmlrqmqmq";

#[test]
fn a_lock_that_cannot_be_held_to_says_why() {
    let sha = "a".repeat(64);
    for (packages, expected) in [
        ("[[packages]]\nname='a'\n".to_owned(), "`a`: nothing says where"),
        (
            "[[packages]]\nname='a'\nwheels=[{url='https://h/a-1-py3-none-any.whl', hashes={sha512='00'}}]".into(),
            "no sha256",
        ),
        (
            format!("[[packages]]\nname='a'\narchive={{url='https://u:s3cret@h/a.zip', hashes={{sha256='{sha}'}}}}"),
            "credentials",
        ),
        ("[[packages]]\nname='a'\nvcs={type='git', url='https://h/a', commit-id='abc'}".into(), "no full commit"),
        ("[[packages]]\nname='a'\ndirectory={path='.', editable=true}".into(), "editable"),
        ("[[packages]]\nname='a'\ndirectory={path='gone'}".into(), "gone"),
        (
            format!("[[packages]]\nname='a'\nmarker='nonsense'\narchive={{path='a.zip', hashes={{sha256='{sha}'}}}}"),
            "marker",
        ),
        (
            format!(
                "[[packages]]\nname='a'\narchive={{path='a.zip', hashes={{sha256='{sha}'}}}}\ndirectory={{path='.'}}"
            ),
            "several places",
        ),
        ("packages = 3".into(), "line 4: invalid type"),
    ] {
        let (_dir, root) = tree(&[("pylock.toml", &pylock(&packages))]);
        let told = told(&found(&root)[0]);
        assert!(told.contains(expected) && !told.contains("s3cret"), "{packages}: {told}");
    }
    let (_dir, root) = tree(&[("pylock.toml", "lock-version = '2.0'")]);
    assert!(told(&found(&root)[0]).contains("`2.0` is not known"));
}
