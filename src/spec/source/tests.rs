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
        assert_eq!(read(&path, IGNORE).expect("a declaration").pack.as_str(), name);
    }
    let error = find(&[root.join("x.toml")], IGNORE).expect_err("no pack").to_string();
    assert!(error.contains("looked for `pack.yaml` or `requirements.txt`"), "{error}");
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
    assert_eq!(read(&root, IGNORE).expect_err("several").to_string().matches("holds 8 packs").count(), 1);
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
