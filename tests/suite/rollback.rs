//! Generations: going back, staying there, and going on from there.

use std::fs;

use serde_json::Value;

use crate::support::{Wheel, World};

const VERSION: &str = "import alpha; print(alpha.version)";

/// `alpha` 1.0 and 2.0, and a pack that was upgraded from one to the other.
fn upgraded() -> World {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "pack", "--with", "alpha"]);
    world.wheel(&Wheel::new("alpha", "2.0"));
    world.ok(["ensure", "pack", "--upgrade"]);
    assert_eq!(world.python_in("pack", VERSION), "2.0");
    world
}

fn causes(world: &World) -> Vec<String> {
    let history = world.json(["history", "pack"]);
    let generations = history["generations"].as_array().unwrap_or_else(|| panic!("{history:#}"));
    generations.iter().rev().map(|past| past["cause"].as_str().expect("a cause").to_owned()).collect()
}

/// Drops what only earlier generations keep.
fn forget_old_environments(world: &World) {
    world.configure("[gc]\nretain_generations = 0\nretain_for = \"0s\"\n");
    let report = world.json(["gc", "--drop-retained", "--idle", "0s", "--max-size", "1"]);
    assert_eq!(report["swept"], 1, "{report:#}");
}

#[test]
fn a_rollback_survives_the_next_ensure() {
    let world = upgraded();
    let back = world.json(["rollback", "pack"]);
    assert_eq!(
        (&back["outcome"], &back["generation"], &back["to"]),
        (&"shared".into(), &3.into(), &1.into()),
        "{back:#}"
    );
    assert_eq!(back["changes"], serde_json::json!([{"name": "alpha", "from": "2.0", "to": "1.0"}]), "{back:#}");
    for again in [vec!["ensure", "pack"], vec!["ensure", "pack", "--with", "alpha"]] {
        let hit = world.json(&again);
        assert_eq!((&hit["outcome"], &hit["env"]), (&"hit".into(), &back["env"]), "{again:?}: {hit:#}");
    }
    assert_eq!(world.python_in("pack", VERSION), "1.0");
    assert_eq!(causes(&world), ["ensure", "upgrade", "rollback"]);
    let forward = world.json(["ensure", "pack", "--with", "alpha>=2"]);
    assert_eq!((&forward["generation"], &forward["answers_current_spec"]), (&4.into(), &true.into()), "{forward:#}");
    assert_eq!(world.python_in("pack", VERSION), "2.0", "a changed declaration moves forward");
}

#[test]
fn an_older_declarations_environment_answers_the_present_one_after_a_rollback() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.wheel(&Wheel::new("alpha", "2.0"));
    world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
    world.ok(["ensure", "pack", "--with", "alpha==2.0"]);
    world.ok(["rollback", "pack"]);
    assert_eq!(world.json(["resolve", "pack"])["stale"], false);
    assert_eq!(world.json(["ensure", "pack", "--with", "alpha==2.0"])["outcome"], "hit");
    assert_eq!(world.python_in("pack", VERSION), "1.0");
    // The same declaration of another pack becomes what it says, also from an index that was made anew.
    for pack in ["other", "another"] {
        world.ok(["ensure", pack, "--with", "alpha==2.0"]);
        assert_eq!(world.python_in(pack, VERSION), "2.0", "{pack}");
        world.lose_index();
    }
    assert_eq!(world.python_in("pack", VERSION), "1.0");
}

#[test]
fn an_upgrade_of_another_pack_leaves_one_that_was_rolled_back() {
    let world = upgraded();
    world.ok(["rollback", "pack"]);
    world.ok(["ensure", "other", "--with", "alpha"]);
    world.wheel(&Wheel::new("alpha", "3.0"));
    world.ok(["ensure", "other", "--upgrade"]);
    assert_eq!(world.python_in("other", VERSION), "3.0");
    assert_eq!(world.json(["ensure", "pack"])["outcome"], "hit");
    assert_eq!(world.python_in("pack", VERSION), "1.0");
}

#[test]
fn what_was_collected_is_made_again_from_its_lock() {
    let world = upgraded();
    forget_old_environments(&world);
    let history = world.json(["history", "pack"]);
    assert_eq!(history["generations"][1]["present"], false, "{history:#}");
    let told = world.json(["rollback", "pack", "--dry-run"]);
    assert_eq!((&told["dry_run"], &told["generation"]), (&true.into(), &2.into()), "{told:#}");
    assert_eq!(causes(&world), ["ensure", "upgrade"], "a dry run writes nothing");
    let back = world.json(["rollback", "pack"]);
    assert_eq!(back["outcome"], told["outcome"], "{back:#}");
    assert!(["assembled", "built"].map(Value::from).contains(&back["outcome"]), "{back:#}");
    assert_eq!(back["env"], history["generations"][1]["env"], "{back:#}");
    assert_eq!(world.json(["ensure", "pack"])["outcome"], "hit");
    assert_eq!(world.python_in("pack", VERSION), "1.0");
    // What the pack went back to is not what its declaration became: not now, not from an index that was made anew.
    for pack in ["other", "another"] {
        world.ok(["ensure", pack, "--with", "alpha"]);
        assert_eq!(world.python_in(pack, VERSION), "2.0", "{pack}");
        world.lose_index();
    }
}

#[test]
fn each_rollback_goes_back_further_until_there_is_nothing_before() {
    let world = upgraded();
    world.wheel(&Wheel::new("alpha", "3.0"));
    world.ok(["ensure", "pack", "--upgrade"]);
    for expected in ["2.0", "1.0"] {
        world.ok(["rollback", "pack"]);
        assert_eq!(world.python_in("pack", VERSION), expected);
    }
    for (args, said) in [
        (vec!["rollback", "pack"], "before the current one"),
        (vec!["rollback", "pack", "--to", "9"], "no generation 9; it has 1, 2, 3, 4, 5"),
        (vec!["rollback", "nobody.knows"], "nobody.knows"),
        (vec!["history", "nobody.knows"], "nobody.knows"),
    ] {
        let ran = world.run(&args);
        assert_eq!(ran.code, 5, "{ran:#?}");
        assert!(ran.stderr.contains(said), "{ran:#?}");
    }
    world.ok(["rollback", "pack", "--to", "3"]);
    assert_eq!(world.python_in("pack", VERSION), "3.0");
}

#[test]
fn a_removed_pack_is_taken_up_again_where_it_ended() {
    let world = upgraded();
    world.ok(["remove", "pack", "--keep-history"]);
    assert_eq!(world.json(["history", "pack"])["current"], Value::Null);
    world.ok(["rollback", "pack"]);
    assert_eq!(world.python_in("pack", VERSION), "2.0");
}

#[test]
fn a_rollback_whose_interpreter_is_gone_says_so_and_leaves_the_pack() {
    let world = upgraded();
    forget_old_environments(&world);
    // As if generation 1 had been made by a build of Python that was uninstalled.
    let gone = "a".repeat(52);
    for entry in walk(&world.store().join("bindings")) {
        let mut file: Value = serde_json::from_slice(&fs::read(&entry).expect("reads")).expect("JSON");
        let length = file["generations"][0]["interpreter"].as_str().expect("a digest").len();
        file["generations"][0]["interpreter"] = gone[..length].into();
        fs::write(&entry, file.to_string()).expect("writes");
    }
    // While there is an index it is right, and not the file.
    world.lose_index();
    let ran = world.run(["rollback", "pack"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stderr.contains("its interpreter is not on this host any more"), "{ran:#?}");
    assert_eq!(world.python_in("pack", VERSION), "2.0");
}

/// An action that imports half of what it needs when it starts, and the other half when it is told to go on.
struct Action {
    child: std::process::Child,
    said: std::io::BufReader<std::process::ChildStdout>,
}

impl Action {
    fn start(world: &World) -> Self {
        let code = "import sys, alpha; print(alpha.version, flush=True); sys.stdin.readline()\n\
                    import alpha.late; print(alpha.late.version, flush=True)";
        let mut command = world.command(["exec", "pack", "--", "python", "-c", code]);
        let piped = std::process::Stdio::piped;
        let mut child = command.stdin(piped()).stdout(piped()).spawn().expect("starts");
        let said = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, said }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut self.said, &mut line).expect("reads");
        line.trim().to_owned()
    }

    /// Lets it go on, and returns what it said last.
    #[track_caller]
    fn finish(mut self) -> String {
        drop(self.child.stdin.take());
        let line = self.line();
        assert!(self.child.wait().expect("waits").success());
        line
    }
}

#[test]
fn actions_finish_on_what_they_started_with() {
    let world = World::new();
    let wheel = |version: &str| {
        let late = format!("version = 'late {version}'\n");
        world.wheel(&Wheel::new("alpha", version).file("alpha/late.py", late));
    };
    wheel("1.0");
    world.ok(["ensure", "pack", "--with", "alpha"]);
    world.configure("[gc]\nretain_generations = 0\nretain_for = \"0s\"\n");
    let collect = || {
        world.run(["gc", "--drop-retained", "--idle", "0s"]);
        world.listed("envs").len()
    };
    let running = || {
        let shown = world.json(["show", "pack"]);
        let running = shown["running"].as_array().unwrap_or_else(|| panic!("{shown:#}")).clone();
        let of = |one: &Value| (one["generation"].as_u64(), one["processes"][0]["pid"].as_u64());
        running.iter().map(of).collect::<Vec<_>>()
    };

    let mut first = Action::start(&world);
    assert_eq!(first.line(), "1.0");
    wheel("2.0");
    world.ok(["upgrade", "pack"]);
    let mut second = Action::start(&world);
    assert_eq!(second.line(), "2.0");
    let pid = |action: &Action| Some(u64::from(action.child.id()));
    assert_eq!(running(), [(Some(2), pid(&second)), (Some(1), pid(&first))]);
    let text = world.ok(["show", "pack"]);
    assert!(text.contains(&first.child.id().to_string()) && text.contains(&second.child.id().to_string()), "{text}");
    assert_eq!(collect(), 2, "both are in use");
    assert_eq!(first.finish(), "late 1.0");
    assert_eq!(collect(), 1);

    world.ok(["rollback", "pack"]);
    assert_eq!(world.python_in("pack", VERSION), "1.0");
    assert_eq!(collect(), 2, "what was rolled back from is in use");
    assert_eq!(running(), [(Some(2), pid(&second))]);
    assert_eq!(second.finish(), "late 2.0");
    assert_eq!(collect(), 1);
    assert_eq!(running(), []);
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = walkdir::WalkDir::new(dir).into_iter().map(|entry| entry.expect("lists"));
    entries.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}
