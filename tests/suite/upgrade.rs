//! Upgrades move what they name, and `who-uses` says whom they should name.

use serde_json::{Value, json};

use crate::support::{Wheel, World};

/// Two libraries, each in versions 1.0 and 2.0, and packs that got the first of each.
fn fleet() -> World {
    let world = World::new();
    for library in ["alpha", "beta"] {
        world.wheel(&Wheel::new(library, "1.0"));
    }
    for pack in ["both", "twin"] {
        world.ok(["ensure", pack, "--with", "alpha", "--with", "beta"]);
    }
    world.ok(["ensure", "plain", "--with", "beta"]);
    world.ok(["ensure", "held", "--with", "alpha==1.0"]);
    for library in ["alpha", "beta"] {
        world.wheel(&Wheel::new(library, "2.0"));
    }
    world
}

fn change(name: &str) -> Value {
    json!({"name": name, "from": "1.0", "to": "2.0"})
}

fn packs(matches: &Value, role: &str) -> Vec<String> {
    let matches = matches["matches"].as_array().unwrap_or_else(|| panic!("{matches:#}"));
    let found = matches.iter().filter(|one| one["role"] == role);
    found.map(|one| one["pack"].as_str().expect("a pack").to_owned()).collect()
}

#[test]
fn only_the_named_pack_moves() {
    let world = fleet();
    let told = world.json(["upgrade", "both", "--dry-run"]);
    let row = &told["upgrades"][0];
    assert_eq!(row["changes"], json!([change("alpha"), change("beta")]), "{told:#}");
    assert_eq!((&row["generation"], &row["dry_run"]), (&1.into(), &true.into()), "{told:#}");
    assert_eq!(
        world.json(["history", "both"])["generations"].as_array().map(Vec::len),
        Some(1),
        "a dry run binds nothing"
    );
    assert_eq!(world.listed("envs").len(), 3, "a dry run builds nothing");
    let done = world.json(["upgrade", "both"]);
    assert_eq!(done["upgrades"][0]["env"], row["env"], "what was told is what came: {done:#}");
    assert_eq!(done["upgrades"][0]["outcome"], row["outcome"], "{done:#}");
    assert_eq!(world.json(["upgrade", "both"])["upgrades"][0]["outcome"], "hit");
    assert_eq!(world.json(["resolve", "twin"])["generation"], 1);
}

#[test]
fn only_the_named_distribution_moves() {
    let world = fleet();
    let told = world.json(["upgrade", "both", "-P", "Alpha", "--dry-run"]);
    assert_eq!(told["upgrades"][0]["changes"], json!([change("alpha")]), "{told:#}");
    let done = world.json(["upgrade", "both", "-P", "alpha"]);
    assert_eq!(done["upgrades"][0]["changes"], json!([change("alpha")]), "{done:#}");
    let ensured = world.json(["ensure", "both", "--upgrade", "-P", "beta"]);
    assert_eq!(ensured["changes"], json!([change("beta")]), "{ensured:#}");
    let typo = world.run(["upgrade", "both", "-P", "gamma"]);
    assert!(typo.code == 0 && typo.stderr.contains("none of these packs holds `gamma`"), "{typo:#?}");
}

#[test]
fn with_pip_too_only_the_named_distribution_moves() {
    let world = fleet();
    world.install_setting("installer = \"pip\"");
    let done = world.json(["upgrade", "both", "-P", "alpha"]);
    assert_eq!(done["upgrades"][0]["changes"], json!([change("alpha")]), "{done:#}");
}

#[test]
fn a_weakness_is_found_in_every_pack_and_closed_with_two_commands() {
    let world = fleet();
    let found = world.json(["who-uses", "Alpha<2"]);
    assert_eq!(packs(&found, "current"), ["both", "held", "twin"], "{found:#}");
    assert_eq!(world.run(["who-uses", "alpha<2", "--exit-code"]).code, 1);
    assert_eq!(world.run(["who-uses", "alpha<2"]).code, 0);
    let done = world.json(["upgrade", "--using", "alpha<2", "-P", "alpha"]);
    let rows = done["upgrades"].as_array().expect("rows");
    let moved: Vec<_> =
        rows.iter().filter(|row| row["changes"] == json!([change("alpha")])).map(|row| &row["pack"]).collect();
    assert_eq!(moved, ["both", "twin"], "{done:#}");
    let left = world.json(["who-uses", "alpha<2"]);
    assert_eq!(packs(&left, "current"), ["held"], "its declaration says so: {left:#}");
    assert_eq!(packs(&left, "retained"), ["both", "twin"], "{left:#}");
    world.ok(["ensure", "held", "--with", "alpha"]);
    assert_eq!(world.run(["who-uses", "alpha<2", "--exit-code"]).code, 0, "nothing starts from what is retained");
    assert_eq!(world.json(["who-uses", "nobody-has-this"])["matches"], json!([]));
    assert_eq!(world.run(["who-uses", "alpha; python_version > '3'"]).code, 2);
}

#[test]
fn who_uses_knows_what_runs() {
    let world = fleet();
    let mut child = world
        .command(["exec", "both", "--", "python", "-c", "import sys; print('up', flush=True); sys.stdin.read()"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("a pipe");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("reads");
    world.ok(["upgrade", "both"]);
    world.ok(["remove", "twin"]);
    let found = world.json(["who-uses", "alpha<2"]);
    let row = found["matches"].as_array().expect("rows").iter().find(|one| one["pack"] == "both").cloned();
    let row = row.unwrap_or_else(|| panic!("{found:#}"));
    assert_eq!((&row["role"], &row["running"]), (&"retained".into(), &true.into()), "{found:#}");
    assert_eq!(world.run(["who-uses", "alpha<2", "--exit-code"]).code, 1, "a process still runs on it");
    drop(child.stdin.take());
    child.wait().expect("ends");
    let found = world.json(["who-uses", "alpha<2"]);
    assert!(found["matches"].as_array().expect("rows").iter().all(|one| one["running"] == false), "{found:#}");
}

#[test]
fn a_pack_that_cannot_be_upgraded_keeps_what_it_has_and_the_others_go_on() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "good", "--with", "alpha"]);
    let gone = world.wheel(&Wheel::new("beta", "1.0"));
    world.ok(["ensure", "bad", "--with", "beta"]);
    std::fs::remove_file(gone).expect("removes");
    world.wheel(&Wheel::new("alpha", "2.0"));
    assert_eq!(world.run(["upgrade", "--all"]).code, 1);
    let report = world.json(["upgrade", "--all"]);
    let rows = report["upgrades"].as_array().expect("rows");
    assert_eq!((&rows[0]["pack"], &rows[0]["outcome"]), (&"bad".into(), &"kept".into()), "{report:#}");
    assert!(rows[0]["error"]["kind"].is_string(), "{report:#}");
    assert_eq!(world.python_in("good", "import alpha; print(alpha.version)"), "2.0");
    assert_eq!(world.python_in("bad", "import beta; print(beta.version)"), "1.0");
    assert_eq!(world.run(["upgrade", "nobody.knows"]).code, 5);
}
