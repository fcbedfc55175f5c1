//! Random operations against a model: what packs are bound to, their histories, declarations and pins. Each operation is a process of its
//! own; any may be killed at a random point, and is then done again. After each the store is held against the model and against the
//! invariants of store-layout.md; in the end once more, without its index.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use super::scenario::damaged;
use super::{Extent, extent};
use crate::support::{Wheel, World, ran};

const PACKS: [&str; 3] = ["one", "two", "three"];
const PINS: [&str; 2] = ["first", "second"];
/// The versions of `alpha` that there are, the newest last.
const VERSIONS: [&str; 2] = ["1.0", "2.0"];

/// What a pack declares: a version of `alpha`, or any.
type Declared = Option<&'static str>;

/// What may be done.
#[derive(Debug, Clone, Copy)]
enum Verb {
    Ensure(&'static str, Declared),
    Upgrade(&'static str),
    /// To one of its generations: how far from the first, modulo how many there are.
    Rollback(&'static str, usize),
    Remove(&'static str, bool),
    Pin(&'static str, &'static str),
    Unpin(&'static str),
    Gc(bool),
    Verify,
    Reindex,
    /// The index is gone when the next process comes.
    LoseIndex,
}

/// A verb, and the point at which it is killed before it is done.
#[derive(Debug, Clone, Copy)]
struct Operation {
    verb: Verb,
    killed_at: Option<u32>,
}

/// What a store should know of one pack.
#[derive(Debug, Clone, Default)]
struct Pack {
    declared: Declared,
    /// The generation that it has, counted from 0.
    current: Option<usize>,
    /// The version of each, and the declaration that it answers.
    generations: Vec<(&'static str, Declared)>,
}

impl Pack {
    fn bind(&mut self, version: &'static str) {
        let new = (version, self.declared);
        // Bound to the same for the same reason: nothing moves.
        if self.current.is_none_or(|current| self.generations[current] != new) {
            self.current = Some(self.generations.len());
            self.generations.push(new);
        }
    }

    fn version(&self) -> Option<&'static str> {
        self.current.map(|current| self.generations[current].0)
    }
}

fn becomes(declared: Declared) -> &'static str {
    declared.unwrap_or(VERSIONS[VERSIONS.len() - 1])
}

#[derive(Debug, Clone, Default)]
struct Model {
    packs: BTreeMap<&'static str, Pack>,
    pins: BTreeMap<&'static str, &'static str>,
    /// The index was lost: nothing is collected for a week.
    is_in_grace: bool,
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Operation;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Operation> {
        let pack = || select(&PACKS[..]);
        let verb = prop_oneof![
            6 => (pack(), proptest::option::of(select(&VERSIONS[..]))).prop_map(|(pack, declared)| Verb::Ensure(pack, declared)),
            2 => pack().prop_map(Verb::Upgrade),
            3 => (pack(), 0..8usize).prop_map(|(pack, to)| Verb::Rollback(pack, to)),
            2 => (pack(), any::<bool>()).prop_map(|(pack, keep)| Verb::Remove(pack, keep)),
            2 => (select(&PINS[..]), pack()).prop_map(|(name, pack)| Verb::Pin(name, pack)),
            1 => select(&PINS[..]).prop_map(Verb::Unpin),
            3 => any::<bool>().prop_map(Verb::Gc),
            1 => Just(Verb::Verify),
            1 => Just(Verb::Reindex),
            1 => Just(Verb::LoseIndex),
        ];
        let killed_at = prop_oneof![2 => Just(None), 1 => (1..60u32).prop_map(Some)];
        (verb, killed_at).prop_map(|(verb, killed_at)| Operation { verb, killed_at }).boxed()
    }

    fn preconditions(model: &Self, operation: &Operation) -> bool {
        let pack = |name: &str| model.packs.get(name);
        match operation.verb {
            Verb::Upgrade(name) | Verb::Remove(name, _) | Verb::Pin(_, name) => {
                pack(name).is_some_and(|pack| pack.current.is_some())
            }
            Verb::Rollback(name, _) => pack(name).is_some(),
            Verb::Unpin(name) => model.pins.contains_key(name),
            Verb::Ensure(..) | Verb::Gc(_) | Verb::Verify | Verb::Reindex | Verb::LoseIndex => true,
        }
    }

    fn apply(mut model: Self, operation: &Operation) -> Self {
        match operation.verb {
            Verb::Ensure(name, declared) => {
                let pack = model.packs.entry(name).or_default();
                let answers = pack.current.map(|current| pack.generations[current].1);
                pack.declared = declared;
                // What answers this declaration stays, also after a rollback.
                if answers != Some(declared) {
                    pack.bind(becomes(declared));
                }
            }
            Verb::Upgrade(name) => {
                let pack = model.packs.get_mut(name).expect("bound");
                pack.bind(becomes(pack.declared));
            }
            Verb::Rollback(name, to) => {
                let pack = model.packs.get_mut(name).expect("known");
                pack.bind(pack.generations[to % pack.generations.len()].0);
            }
            Verb::Remove(name, true) => model.packs.get_mut(name).expect("bound").current = None,
            Verb::Remove(name, false) => drop(model.packs.remove(name)),
            Verb::Pin(name, pack) => {
                let version = model.packs[pack].version().expect("bound");
                model.pins.insert(name, version);
            }
            Verb::Unpin(name) => drop(model.pins.remove(name)),
            // A sound index has lost nothing.
            Verb::Gc(_) | Verb::Verify | Verb::Reindex => {}
            Verb::LoseIndex => model.is_in_grace = true,
        }
        model
    }
}

/// The store, and what each version's environment is called.
struct Real {
    world: World,
    keys: BTreeMap<&'static str, String>,
}

impl Real {
    /// How many generations a pack has: known by the store alone, for the model is already further.
    fn generations(&self, pack: &str) -> usize {
        self.world.json(["history", pack])["generations"].as_array().expect("generations").len()
    }

    fn arguments(&self, verb: Verb) -> Vec<String> {
        let words: Vec<&str> = match verb {
            Verb::Ensure(pack, declared) => {
                let with = declared.map_or_else(|| "alpha".to_owned(), |version| format!("alpha=={version}"));
                return ["ensure", pack, "--with", &with].map(str::to_owned).into();
            }
            Verb::Upgrade(pack) => vec!["upgrade", pack],
            Verb::Rollback(pack, to) => {
                let to = to % self.generations(pack) + 1;
                return ["rollback", pack, "--to", &to.to_string()].map(str::to_owned).into();
            }
            Verb::Remove(pack, true) => vec!["remove", pack, "--keep-history"],
            Verb::Remove(pack, false) => vec!["remove", pack],
            Verb::Pin(name, pack) => vec!["pin", name, pack],
            Verb::Unpin(name) => vec!["unpin", name],
            Verb::Gc(true) => vec!["gc", "--idle", "0s", "--drop-retained"],
            Verb::Gc(false) => vec!["gc", "--idle", "0s"],
            Verb::Verify => vec!["verify"],
            Verb::Reindex => vec!["reindex"],
            Verb::LoseIndex => vec!["list"],
        };
        words.into_iter().map(str::to_owned).collect()
    }

    fn lose_index(&self) {
        for file in ["index.db", "index.db-wal", "index.db-shm"] {
            let _ = fs::remove_file(self.world.store().join(file));
        }
    }

    /// The store says of packs, histories and pins what the model says.
    fn is_as(&mut self, model: &Model) {
        if !self.world.store().exists() {
            return assert!(model.packs.is_empty());
        }
        let listed = self.world.json(["list", "--all"]);
        let packs = listed["packs"].as_array().expect("packs");
        let bound = model.packs.iter().filter(|(_, pack)| pack.current.is_some()).map(|(name, _)| *name);
        assert_eq!(
            packs.iter().map(|pack| pack["pack"].as_str().expect("a ref")).collect::<BTreeSet<_>>(),
            bound.collect(),
            "{listed:#}"
        );
        for (name, pack) in &model.packs {
            if let Some(version) = pack.version() {
                let row = packs.iter().find(|row| row["pack"] == *name).expect("bound");
                let env = row["env"].as_str().expect("a key");
                let key = self.keys.entry(version).or_insert_with(|| {
                    let said = self.world.python_in(name, "import alpha; print(alpha.version)");
                    assert_eq!(said, version, "{name}");
                    env.to_owned()
                });
                assert_eq!(key, env, "{name} has {version}");
                assert_eq!(row["generation"].as_u64(), pack.current.map(|current| current as u64 + 1), "{name}");
            }
            let history = self.world.json(["history", name]);
            let told = history["generations"].as_array().expect("generations");
            let mut told: Vec<_> = told.iter().map(|g| (g["generation"].as_u64(), g["env"].as_str())).collect();
            told.sort_unstable();
            let expected = pack.generations.iter().enumerate();
            let expected: Vec<_> = expected
                .map(|(n, (version, _))| (Some(n as u64 + 1), self.keys.get(version).map(String::as_str)))
                .collect();
            assert_eq!(told, expected, "{name}: {history:#}");
        }
        let there = listed["environments"].as_array().expect("environments");
        for (name, version) in &model.pins {
            assert!(there.iter().any(|env| env["env"] == *self.keys[version]), "{name} keeps {version}: {listed:#}");
        }
        assert_eq!(self.world.listed("pins").len(), model.pins.len());
    }
}

impl StateMachineTest for Real {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(_: &Model) -> Self {
        let world = World::new();
        for version in VERSIONS {
            world.wheel(&Wheel::new("alpha", version).file("alpha/data.txt", version).script("alpha-say = alpha:main"));
        }
        Self { world, keys: BTreeMap::new() }
    }

    fn apply(mut real: Self, model: &Model, operation: Operation) -> Self {
        if !real.world.store().exists() && !matches!(operation.verb, Verb::Ensure(..)) {
            return real;
        }
        if matches!(operation.verb, Verb::LoseIndex) {
            real.lose_index();
        }
        let arguments = real.arguments(operation.verb);
        let mut is_begun = false;
        if let Some(nth) = operation.killed_at {
            let mut command = real.world.command(&arguments);
            let killed = ran(command.env("ENVSTORE_FAILPOINT", format!("kill@{nth}")).output().expect("runs"));
            // It may have fewer points.
            assert!([0, 128 + 9].contains(&killed.code), "{operation:?}: {killed:#?}");
            is_begun = true;
        }
        let done = real.world.run(&arguments);
        let is_gone = is_begun && done.code == 5 && matches!(operation.verb, Verb::Remove(..) | Verb::Unpin(_));
        assert!(done.code == 0 || is_gone, "{operation:?}: {done:#?}");
        real.is_as(model);
        // I1, I6, I7.
        let verified = real.world.run(["verify", "--full"]);
        assert_eq!(verified.code, 0, "{operation:?}: {verified:#?}");
        assert_eq!(damaged(&real.world), BTreeSet::new(), "{operation:?}");
        if let Verb::Gc(drops_retained) = operation.verb {
            let names = |dir: &str| -> BTreeSet<_> {
                real.world.listed(dir).iter().map(|name| name.replace(".json.gz", "")).collect()
            };
            assert_eq!((real.world.listed("staging"), real.world.listed("trash")), (vec![], vec![]));
            assert_eq!(names("envs"), names("manifests"));
            if drops_retained && !model.is_in_grace {
                // What has a root is there, and nothing else.
                let bound = model.packs.values().filter_map(Pack::version);
                let kept: BTreeSet<_> = bound.chain(model.pins.values().copied()).collect();
                assert_eq!(names("envs").len(), kept.len(), "{kept:?}");
            }
        }
        real
    }

    fn teardown(mut real: Self, model: Model) {
        // I10.
        real.lose_index();
        real.is_as(&model);
        for (name, pack) in &model.packs {
            if let Some(version) = pack.version() {
                assert_eq!(real.world.python_in(name, "import alpha; print(alpha.version)"), version, "{name}");
            }
        }
    }
}

/// The same operations on each run of the normal tests; others each time where everything is tried.
fn config() -> Config {
    let (cases, rng_seed) = match extent("random") {
        Extent::Nothing => (0, RngSeed::Fixed(0)),
        Extent::Sample => (2, RngSeed::Fixed(7)),
        Extent::Everything => (100, RngSeed::Random),
    };
    Config { cases, rng_seed, failure_persistence: None, max_shrink_iters: 30, ..Config::default() }
}

prop_state_machine! {
    #![proptest_config(config())]
    #[test]
    fn random_operations_leave_what_the_model_says(sequential 10..30 => Real);
}
