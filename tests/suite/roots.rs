//! What keeps an environment, and what two of them have apart.

use serde_json::{Value, json};

use crate::support::{Wheel, World, interpreters};

fn two_versions() -> World {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.wheel(&Wheel::new("alpha", "2.0"));
    world.wheel(&Wheel::new("beta", "1.0"));
    world.ok(["ensure", "one", "--with", "alpha==1.0"]);
    world
}

fn names(why: &Value, kind: &str) -> Vec<String> {
    let roots = why["roots"].as_array().unwrap_or_else(|| panic!("{why:#}"));
    let of = roots.iter().filter(|root| root["kind"] == kind);
    of.map(|root| root["name"].as_str().expect("a name").to_owned()).collect()
}

fn collect(world: &World) -> Value {
    world.configure("[gc]\nretain_generations = 0\nretain_for = \"0s\"\n");
    world.json(["gc", "--idle", "0s", "--drop-retained", "--max-size", "1"])
}

#[test]
fn why_names_every_root_and_what_would_be_free() {
    let world = two_versions();
    world.ok(["ensure", "two", "--with", "alpha<2"]);
    world.ok(["pin", "release", "one", "--until", "2999-12-31"]);
    let mut child = world
        .command(["exec", "one", "--", "python", "-c", "import sys; print('up', flush=True); sys.stdin.read()"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("a pipe");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("reads");
    world.ok(["ensure", "one", "--with", "alpha==2.0"]);

    let key = world.json(["resolve", "two"])["env"].as_str().expect("a key").to_owned();
    for what in ["two".to_owned(), format!("env:{}", &key[..12])] {
        let why = world.json(["why", &what]);
        assert_eq!(names(&why, "binding"), ["two"], "{why:#}");
        assert_eq!(names(&why, "generation"), ["one"], "{why:#}");
        assert_eq!(names(&why, "pin"), ["release"], "{why:#}");
        assert_eq!(names(&why, "lease").len(), 1, "{why:#}");
        let roots = why["roots"].as_array().expect("roots");
        let lease = roots.iter().find(|root| root["kind"] == "lease").expect("a lease");
        assert_eq!(lease["pid"], child.id(), "{why:#}");
        assert!(roots.iter().all(|root| root["since"].is_string()), "{why:#}");
        assert!(why["unique_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{why:#}");
    }
    let shown = world.json(["show", "one"]);
    assert_eq!(shown["running"][0]["generation"], 1, "{shown:#}");
    assert_eq!(shown["running"][0]["processes"][0]["pid"], child.id(), "{shown:#}");
    assert_eq!(world.json(["show", "two"])["shared_with"], json!([]));
    drop(child.stdin.take());
    child.wait().expect("ends");
    assert_eq!(names(&world.json(["why", "two"]), "lease"), [""; 0]);
    assert_eq!(world.json(["show", "one"])["running"], json!([]));
    assert_eq!(world.run(["why", "nobody"]).code, 5);
    assert_eq!(world.run(["why", "env:aaaaaaaa"]).code, 5);
}

#[test]
fn a_pin_keeps_its_environment_until_it_is_taken_away() {
    let world = two_versions();
    let pinned = world.json(["pin", "release", "one"]);
    world.ok(["ensure", "one", "--with", "alpha==2.0"]);
    assert_eq!(collect(&world)["swept"], 0);
    let found = world.json(["who-uses", "alpha<2"]);
    assert_eq!((&found["matches"][0]["role"], &found["matches"][0]["pin"]), (&"pinned".into(), &"release".into()));

    world.lose_index();
    let key = pinned["env"].as_str().expect("a key");
    assert_eq!(names(&world.json(["why", &format!("env:{key}")]), "pin"), ["release"], "an index made anew has it");
    assert_eq!(world.run(["unpin", "nothing"]).code, 5);
    world.ok(["unpin", "release"]);
    assert!(world.listed("pins").is_empty());
    assert_eq!(names(&world.json(["why", &format!("env:{key}")]), "pin"), [""; 0]);
}

#[test]
fn what_only_an_ended_or_removed_pin_kept_is_collected() {
    for how in ["unpinned", "ended"] {
        let world = two_versions();
        match how {
            "ended" => world.ok(["pin", "release", "one", "--until", "2020-01-31"]),
            _ => world.ok(["pin", "release", "one"]),
        };
        world.ok(["ensure", "one", "--with", "alpha==2.0"]);
        if how == "unpinned" {
            world.ok(["unpin", "release"]);
        }
        assert_eq!(collect(&world)["swept"], 1, "{how}");
        assert!(world.listed("pins").is_empty(), "{how}");
    }
}

#[test]
fn a_pin_moves_and_names_are_checked() {
    let world = two_versions();
    world.ok(["ensure", "other", "--with", "beta"]);
    world.ok(["pin", "../release", "one"]);
    let moved = world.json(["pin", "../release", "other"]);
    assert_eq!(moved["env"], world.json(["resolve", "other"])["env"]);
    assert_eq!(world.listed("pins").len(), 1, "one name, one pin, and never elsewhere");
    assert_eq!(world.run(["pin", "a\nb", "one"]).code, 2);
    assert_eq!(world.run(["pin", "x", "one", "--until", "tomorrow"]).code, 2);
    assert_eq!(world.run(["--read-only", "pin", "x", "one"]).code, 6);
}

#[test]
fn a_diff_shows_what_changed_between_generations_and_packs() {
    let world = two_versions();
    world.ok(["ensure", "one", "--with", "alpha==2.0", "--with", "beta"]);
    let changed = world.json(["diff", "one"]);
    let told = |diff: &Value| -> Vec<(String, Value, Value)> {
        let all = diff["differences"].as_array().unwrap_or_else(|| panic!("{diff:#}"));
        all.iter()
            .map(|one| (one["name"].as_str().expect("a name").into(), one["from"].clone(), one["to"].clone()))
            .collect()
    };
    let forward = [("alpha".to_owned(), json!("1.0"), json!("2.0")), ("beta".to_owned(), Value::Null, json!("1.0"))];
    assert_eq!(told(&changed), forward, "{changed:#}");
    assert_eq!((&changed["from"]["generation"], &changed["to"]["generation"]), (&1.into(), &2.into()));
    assert_eq!(collect(&world)["swept"], 1);
    assert_eq!(told(&world.json(["diff", "one", "--from", "1", "--to", "2"])), forward, "the locks are still there");
    world.ok(["ensure", "twin", "--with", "alpha==2.0", "--with", "beta"]);
    let same = world.json(["diff", "one", "twin"]);
    assert_eq!((&same["is_same_env"], &same["same"]), (&true.into(), &2.into()), "{same:#}");
    assert_eq!(world.run(["diff", "one", "--from", "7"]).code, 5);
    assert_eq!(world.run(["diff", "twin"]).code, 5, "there is nothing before its first generation");
    assert_eq!(world.run(["diff", "env:abcdefgh"]).code, 2);
}

#[test]
fn a_diff_says_why_two_packs_with_the_same_versions_do_not_share() {
    let world = two_versions();
    world.wheel(&Wheel::new("alpha", "1.0").build("1").file("alpha/other.py", "x = 1\n"));
    world.ok(["ensure", "later", "--with", "alpha==1.0", "--with", "beta"]);
    let diff = world.json(["diff", "one", "later"]);
    let alpha = &diff["differences"][0];
    assert_eq!((&alpha["from"], &alpha["to"]), (&"1.0".into(), &"1.0".into()), "{diff:#}");
    assert_ne!(alpha["from_artifact"], alpha["to_artifact"], "{diff:#}");
    let [first, second, ..] = interpreters() else {
        crate::support::skipped("needs two interpreters");
        return;
    };
    for (pack, python) in [("x", first), ("y", second)] {
        world.ok(["ensure", pack, "--with", "beta", "--python", &python.path.to_string_lossy()]);
    }
    let diff = world.json(["diff", "x", "y"]);
    assert_eq!((&diff["interpreters_differ"], &diff["differences"]), (&true.into(), &json!([])), "{diff:#}");
}

#[test]
fn a_pin_or_a_link_takes_its_environment_out_of_the_plan_of_a_collection() {
    let world = two_versions();
    world.ok(["ensure", "two", "--with", "beta"]);
    world.ok(["pin", "release", "one"]);
    world.ok(["link", "two", "venv"]);
    let pinned = world.json(["resolve", "one"])["env"].as_str().expect("a key").to_owned();
    for pack in ["one", "two"] {
        world.ok(["remove", pack]);
    }
    let gc = |dry_run: &[&str]| {
        let done = world.json([&["gc", "--idle", "0s", "--drop-retained"], dry_run].concat());
        (done["condemned"].as_u64(), done["swept"].as_u64(), done["kept"]["pinned"].as_u64())
    };
    assert_eq!(gc(&["--dry-run"]), (Some(0), Some(0), Some(2)), "the link's pack cannot be removed from under it");
    assert_eq!(gc(&[]), (Some(0), Some(0), Some(2)));
    // Not even marked: whoever looks sees it ready.
    assert_eq!(world.json(["show", &format!("env:{}", &pinned[..12])])["state"], "ready");
    world.ok(["unpin", "release"]);
    assert_eq!(gc(&["--dry-run"]), (Some(1), Some(0), Some(1)));
    world.ok(["unlink", "venv"]);
    assert_eq!(gc(&["--dry-run"]), (Some(2), Some(0), Some(0)));
    assert_eq!(world.listed("envs").len(), 2);
    assert_eq!(gc(&[]), (Some(2), Some(2), Some(0)));
    assert_eq!(world.listed("envs").len(), 0);
}
