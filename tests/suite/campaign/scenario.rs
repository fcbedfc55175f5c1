//! What is done to a store while it is disturbed, and what must hold afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use envstore::layout::{EnvName, LEASE, Layout};
use envstore::manifest::{Content, Manifest};
use serde_json::Value;

use crate::repair::flip;
use crate::support::{Wheel, World};

/// One command, and the store it is run on.
pub struct Scenario {
    pub name: &'static str,
    /// What was there before.
    prepare: fn(&World),
    /// What is disturbed.
    pub command: &'static [&'static str],
    /// The versions of `alpha` that the pack `pack` may have afterwards. Empty: it may be unbound.
    may_have: &'static [&'static str],
    /// Whether the command may find that it was done.
    pub may_be_done: bool,
    /// Whether something was damaged before, which may be so until the command is done.
    pub mends: bool,
}

/// Every verb that changes a store.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "build",
        prepare: |_| (),
        command: &["ensure", "pack", "--with", "alpha==1.0", "--with", "gamma"],
        may_have: &["", "1.0"],
        may_be_done: false,
        mends: false,
    },
    Scenario {
        name: "assemble",
        prepare: |world| {
            world.ok(["ensure", "one", "--with", "alpha==1.0"]);
            world.ok(["ensure", "two", "--with", "gamma"]);
        },
        command: &["ensure", "pack", "--with", "alpha==1.0", "--with", "gamma"],
        may_have: &["", "1.0"],
        may_be_done: false,
        mends: false,
    },
    Scenario {
        name: "change",
        prepare: |world| {
            world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
        },
        command: &["ensure", "pack", "--with", "alpha==2.0"],
        may_have: &["1.0", "2.0"],
        may_be_done: false,
        mends: false,
    },
    Scenario {
        name: "upgrade",
        prepare: |world| {
            let wheel = world.wheels().join("alpha-2.0-py3-none-any.whl");
            let hidden = world.path().join("alpha-2.0-py3-none-any.whl");
            fs::rename(&wheel, &hidden).expect("hides");
            world.ok(["ensure", "pack", "--with", "alpha"]);
            fs::rename(&hidden, &wheel).expect("shows");
        },
        command: &["upgrade", "pack"],
        may_have: &["1.0", "2.0"],
        may_be_done: false,
        mends: false,
    },
    Scenario {
        name: "rollback",
        prepare: |world| {
            world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
            world.ok(["ensure", "pack", "--with", "alpha==2.0"]);
        },
        command: &["rollback", "pack", "--to", "1"],
        may_have: &["1.0", "2.0"],
        may_be_done: true,
        mends: false,
    },
    Scenario {
        name: "rollback to what was collected",
        prepare: |world| {
            world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
            world.ok(["ensure", "pack", "--with", "alpha==2.0"]);
            world.ok(["gc", "--idle", "0s", "--drop-retained"]);
        },
        command: &["rollback", "pack", "--to", "1"],
        may_have: &["1.0", "2.0"],
        may_be_done: true,
        mends: false,
    },
    Scenario {
        name: "rebuild",
        prepare: |world| {
            world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
        },
        command: &["ensure", "pack", "--rebuild"],
        may_have: &["1.0"],
        may_be_done: false,
        mends: false,
    },
    Scenario {
        name: "remove",
        prepare: |world| {
            world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
        },
        command: &["remove", "pack"],
        may_have: &["", "1.0"],
        may_be_done: true,
        mends: false,
    },
    Scenario {
        name: "gc",
        prepare: |world| {
            world.ok(["ensure", "pack", "--with", "alpha==1.0", "--with", "gamma"]);
            world.ok(["ensure", "pack", "--with", "alpha==2.0"]);
        },
        command: &["gc", "--idle", "0s", "--drop-retained"],
        may_have: &["2.0"],
        may_be_done: false,
        mends: false,
    },
    Scenario {
        name: "pin",
        prepare: |world| {
            world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
        },
        command: &["pin", "release", "pack"],
        may_have: &["1.0"],
        may_be_done: false,
        mends: false,
    },
    Scenario {
        name: "link",
        prepare: |world| {
            world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
        },
        command: &["link", "pack", "linked"],
        may_have: &["1.0"],
        may_be_done: false,
        mends: false,
    },
    Scenario {
        name: "reindex",
        prepare: |world| {
            world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
            world.ok(["ensure", "pack", "--with", "alpha==2.0"]);
            world.ok(["pin", "release", "pack"]);
        },
        command: &["reindex"],
        may_have: &["2.0"],
        may_be_done: false,
        mends: false,
    },
    Scenario {
        name: "build that collects by itself",
        prepare: |world| {
            world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
            world.ok(["ensure", "gone", "--with", "gamma"]);
            world.ok(["remove", "gone", "--keep-history"]);
            world.configure("[gc]\nmin_free = \"0\"\nmax_size = \"1kB\"\nidle = \"0s\"\nretain_generations = 0\n");
        },
        command: &["ensure", "pack", "--with", "alpha==2.0"],
        may_have: &["1.0", "2.0"],
        may_be_done: false,
        mends: false,
    },
    Scenario {
        name: "relocate",
        prepare: |world| {
            world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
            world.ok(["pin", "release", "pack"]);
            world.ok(["link", "pack", "linked"]);
            // Its environments name another path from here on.
            let elsewhere = world.path().join("elsewhere");
            fs::rename(world.store(), &elsewhere).expect("moves");
            world.ok(["--store".as_ref(), elsewhere.as_os_str(), "relocate".as_ref()]);
            fs::rename(&elsewhere, world.store()).expect("moves");
        },
        command: &["relocate"],
        may_have: &["1.0"],
        may_be_done: false,
        mends: true,
    },
    Scenario {
        name: "repair of a shared inode",
        prepare: |world| {
            world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
            world.ok(["ensure", "sharer", "--with", "alpha==1.0", "--with", "gamma"]);
            world.ok(["pin", "release", "pack"]);
            damage(world, "pack", "alpha/data.txt");
        },
        command: &["verify", "--full", "--repair"],
        may_have: &["1.0"],
        may_be_done: false,
        mends: true,
    },
    Scenario {
        name: "repair of a copy",
        prepare: |world| {
            world.install_setting("link_mode = \"copy\"");
            world.ok(["ensure", "pack", "--with", "alpha==1.0"]);
            world.ok(["ensure", "sharer", "--with", "alpha==1.0", "--with", "gamma"]);
            damage(world, "pack", "alpha/data.txt");
        },
        command: &["verify", "--full", "--repair"],
        may_have: &["1.0"],
        may_be_done: false,
        mends: true,
    },
];

/// A world for the scenarios: three wheels, and a bound pack that nothing may harm.
pub fn world() -> World {
    let world = World::new();
    for version in ["1.0", "2.0"] {
        world.wheel(&Wheel::new("alpha", version).file("alpha/data.txt", version).script("alpha-say = alpha:main"));
    }
    world.wheel(&Wheel::new("beta", "1.0").file("beta/more.py", "more = 1\n"));
    world.wheel(&Wheel::new("gamma", "1.0"));
    world
}

impl Scenario {
    /// Prepares the store.
    pub fn begin(&self, world: &World) {
        world.ok(["ensure", "bystander", "--with", "beta"]);
        (self.prepare)(world);
    }

    /// What must hold after the command was disturbed, seen by fresh processes: the invariants of store-layout.md as far
    /// as they can be seen from outside.
    pub fn check(&self, world: &World, what: &str) {
        if self.mends {
            // I1: what is not as it was published is said to be so, and the command can be done again.
            say_what_is_damaged(world, what);
            let again = world.run(self.command);
            assert_eq!(again.code, 0, "{what}, again: {again:#?}");
        }
        // Whoever was bound is bound, to something whole.
        assert_eq!(world.python_in("bystander", "import beta.more; print(beta.more.more)"), "1", "{what}");
        self.has(world, what);
        // I1, I6, I7: what is visible is what was published, to the last byte.
        let verified = world.run(["verify", "--full"]);
        assert_eq!(verified.code, 0, "{what}: {verified:#?}");
        // I10: without the index the same packs come back, with their generations and pins. What was being written when the
        // command died may count or not, for its file comes first; what was there before counts.
        let before = told(world);
        for file in ["index.db", "index.db-wal", "index.db-shm"] {
            let _ = fs::remove_file(world.store().join(file));
        }
        let after = told(world);
        assert_eq!(after.get("bystander"), before.get("bystander"), "{what}: after the index was lost");
        if let (Some(before), Some(after)) = (before.get("pack"), after.get("pack")) {
            let lost: Vec<_> = before.difference(after).filter(|told| !told.starts_with("now ")).collect();
            assert!(lost.is_empty(), "{what}: lost with the index: {lost:?}");
        }
        self.has(world, what);
        // It can be done again.
        let again = world.run(self.command);
        assert!(again.code == 0 || self.may_be_done && again.code == 5, "{what}, again: {again:#?}");
        // Nothing stays of what was half-made.
        world.ok(["gc", "--idle", "0s"]);
        assert_eq!((world.listed("staging"), world.listed("trash")), (vec![], vec![]), "{what}");
        let names = |dir: &str| world.listed(dir).iter().map(|n| n.replace(".json.gz", "")).collect::<BTreeSet<_>>();
        assert_eq!(names("envs"), names("manifests"), "{what}");
        assert_eq!(world.run(["verify", "--full"]).code, 0, "{what}: in the end");
    }

    /// The version that the pack has; one of those it may have.
    fn has(&self, world: &World, what: &str) -> String {
        let resolved = world.run(["resolve", "pack"]);
        let has = match resolved.code {
            0 => world.python_in("pack", "import alpha; print(alpha.version)"),
            5 => String::new(),
            _ => panic!("{what}: {resolved:#?}"),
        };
        assert!(self.may_have.contains(&has.as_str()), "{what}: it has `{has}`");
        has
    }
}

/// Changes a byte of a file of a pack's environment, as a bad disk does.
fn damage(world: &World, pack: &str, end: &str) {
    let resolved = world.json(["resolve", pack]);
    let mut entries = walkdir::WalkDir::new(resolved["path"].as_str().expect("a path")).into_iter().flatten();
    flip(entries.find(|entry| entry.path().ends_with(end)).expect("the file").path(), 0);
}

/// The environments, by name, that differ from what their manifests say: compared here, not by `verify`.
pub fn damaged(world: &World) -> BTreeSet<String> {
    let layout = Layout::new(world.store());
    let differs = |name: &String| {
        let name: EnvName = name.parse().expect("the name of an environment");
        let manifest = Manifest::read(&layout.manifest(&name)).expect("a manifest");
        let mut known = BTreeSet::from([PathBuf::from(LEASE)]);
        let mut is_damaged = false;
        for entry in &manifest.entries {
            let path = layout.env(&name).join(&entry.path);
            is_damaged |= match &entry.content {
                Content::Link { link, .. } => fs::read_link(&path).ok().is_none_or(|led| led != Path::new(link)),
                Content::File { digest, .. } => {
                    fs::read(&path).map_or(true, |bytes| blake3::hash(&bytes).to_hex().as_str() != digest.to_string())
                }
            };
            known.insert(PathBuf::from(&entry.path));
        }
        let walked = walkdir::WalkDir::new(layout.env(&name)).min_depth(1).into_iter();
        let files = walked.map(|entry| entry.expect("walks")).filter(|entry| !entry.file_type().is_dir());
        let paths: Vec<_> = files.map(walkdir::DirEntry::into_path).collect();
        is_damaged || paths.iter().any(|path| !known.contains(path.strip_prefix(layout.env(&name)).expect("below")))
    };
    let listed = world.json(["list", "--all"]);
    let environments = listed["environments"].as_array().expect("environments");
    // One that is `corrupt` or half-way out is called so.
    let counted = environments.iter().filter(|env| env["state"] == "ready" || env["state"] == "condemned");
    let names = counted.map(|env| env["path"].as_str().expect("a path").rsplit('/').next().expect("a name").to_owned());
    names.filter(differs).collect()
}

/// `verify` names every environment that differs, and calls no store whole in which one does.
fn say_what_is_damaged(world: &World, what: &str) {
    let damaged = damaged(world);
    let verified = world.run(["verify", "--full"]);
    assert!([0, 3].contains(&verified.code), "{what}: {verified:#?}");
    let said = format!("{}{}", verified.stdout, verified.stderr);
    for name in &damaged {
        assert!(said.contains(name.as_str()), "{what}: `{name}` is called good: {verified:#?}");
    }
    assert!(verified.code == 3 || damaged.is_empty(), "{what}: {damaged:?} is called good: {verified:#?}");
}

/// What `list`, `history` and `why` say of each pack that must survive the index.
fn told(world: &World) -> BTreeMap<String, BTreeSet<String>> {
    let listed = world.json(["list"]);
    let packs = listed["packs"].as_array().unwrap_or_else(|| panic!("packs: {listed:#}"));
    let of = |pack: &Value| {
        let name = pack["pack"].as_str().expect("a ref").to_owned();
        let mut told = BTreeSet::from([format!("now {} {}", pack["generation"], pack["env"])]);
        for g in world.json(["history", &name])["generations"].as_array().expect("generations") {
            told.insert(format!("generation {} {} {}", g["generation"], g["env"], g["cause"]));
        }
        for root in world.json(["why", &name])["roots"].as_array().expect("roots") {
            if root["kind"] == "pin" {
                told.insert(format!("pin {}", root["name"]));
            }
        }
        (name, told)
    };
    packs.iter().map(of).collect()
}
