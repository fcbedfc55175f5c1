//! Eight processes at once: they ensure, upgrade, roll back, remove, collect and run, each with packs of its own whose
//! environments all share. What each did last is the model its packs are held against.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::{Extent, extent};
use crate::support::{Ran, Wheel, World, ran};

const WORKERS: u64 = 8;
/// Modules of a distribution, imported one after the other: an action that takes a while to touch all its files.
const MODULES: usize = 25;

#[test]
fn eight_at_once_lose_no_binding_and_no_action_loses_a_file() {
    let seconds = match extent("races") {
        Extent::Everything => 600,
        Extent::Sample => 20,
        Extent::Nothing => return,
    };
    let world = World::new();
    for version in ["1.0", "2.0", "3.0"] {
        let mut wheel = Wheel::new("alpha", version);
        for n in 0..MODULES {
            wheel = wheel.file(&format!("alpha/m{n}.py"), format!("version = {version:?}\n"));
        }
        world.wheel(&wheel);
        world.wheel(&Wheel::new("beta", version));
    }
    world.configure("[gc]\nretain_generations = 1\nretain_for = \"1s\"\n");
    world.ok(["ensure", "first", "--with", "beta==1.0"]);
    let length = Duration::from_secs(seconds);
    let until = Instant::now() + length;
    let done: Vec<[u64; 2]> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|n| {
                scope.spawn({
                    let world = &world;
                    move || Worker::new(world, n).work(until)
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("no violation")).collect()
    });
    let sum = |what: usize| done.iter().map(|done| done[what]).sum::<u64>();
    eprintln!("{WORKERS} processes, {length:?}: {} operations, {} actions", sum(0), sum(1));

    assert_eq!(world.run(["verify", "--full"]).code, 0);
    world.ok(["gc", "--idle", "0s"]);
    assert_eq!((world.listed("staging"), world.listed("trash")), (vec![], vec![]));
    assert_eq!(world.listed("envs").len(), world.listed("manifests").len());
}

/// One of those who work at once.
struct Worker<'a> {
    world: &'a World,
    random: u64,
    /// Its packs, and the version of `alpha` each has. None: unbound.
    packs: Vec<(String, Option<&'static str>)>,
    /// Which environment has which version.
    known: BTreeMap<String, &'static str>,
    actions: Vec<(Child, &'static str)>,
    done: [u64; 2],
}

impl<'a> Worker<'a> {
    fn new(world: &'a World, n: u64) -> Self {
        let packs = (0..2).map(|p| (format!("worker{n}.pack{p}"), None)).collect();
        Self {
            world,
            random: 0x9e37_79b9_7f4a_7c15 ^ (n + 1),
            packs,
            known: BTreeMap::new(),
            actions: Vec::new(),
            done: [0; 2],
        }
    }

    /// xorshift64: the same run for each worker, whatever the others do.
    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % limit
    }

    fn work(mut self, until: Instant) -> [u64; 2] {
        while Instant::now() < until {
            let pack = usize::try_from(self.below(2)).expect("small");
            match self.below(10) {
                0..4 => self.ensure(pack),
                4 => self.rollback(pack),
                5 => self.remove(pack),
                6 => self.collect(),
                _ => self.act(pack),
            }
            self.look(pack);
            self.done[0] += 1;
        }
        self.end_actions(0);
        self.done
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.world.run(args)
    }

    fn ensure(&mut self, pack: usize) {
        let version = ["1.0", "2.0", "3.0"][usize::try_from(self.below(3)).expect("small")];
        let with = format!("alpha=={version}");
        let (name, has) = &mut self.packs[pack];
        let done = self.world.json(["ensure", name, "--with", &with]);
        let env = done["env"].as_str().unwrap_or_else(|| panic!("{name}: {done:#}"));
        if done["outcome"] == "hit" {
            // Its last declaration, from which it may have been rolled back since: it stays so.
            assert_eq!(self.known.get(env).copied(), *has, "{name}: {done:#}");
            return;
        }
        self.known.insert(env.to_owned(), version);
        *has = Some(version);
    }

    /// To any generation there is.
    fn rollback(&mut self, pack: usize) {
        if self.packs[pack].1.is_none() {
            return;
        }
        let history = self.world.json(["history", &self.packs[pack].0]);
        let generations = history["generations"].as_array().expect("generations");
        let nth = self.below(generations.len() as u64);
        let chosen = &generations[usize::try_from(nth).expect("small")];
        let (name, has) = &mut self.packs[pack];
        let done = self.world.run(["rollback", name, "--to", &chosen["generation"].to_string()]);
        assert_eq!(done.code, 0, "{name}: {done:#?}\n{history:#}");
        *has = Some(self.known[chosen["env"].as_str().expect("a key")]);
    }

    fn remove(&mut self, pack: usize) {
        let (name, has) = &mut self.packs[pack];
        let done = self.world.run(["remove", name]);
        assert_eq!(done.code, if has.is_none() { 5 } else { 0 }, "{name}: {done:#?}");
        *has = None;
    }

    fn collect(&mut self) {
        let done = self.run(&["gc", "--idle", "0s", "--drop-retained"]);
        // 4: another one collects.
        assert!([0, 4].contains(&done.code), "{done:#?}");
    }

    /// Starts an action that imports module after module, and must find each, of one version.
    fn act(&mut self, pack: usize) {
        let (name, Some(version)) = &self.packs[pack] else { return };
        let code = format!(
            "import importlib, time\nfor n in range({MODULES}):\n    \
             assert importlib.import_module(f'alpha.m{{n}}').version == '{version}'; time.sleep(0.02)"
        );
        let mut command = self.world.command(["exec", name, "--", "python", "-c", &code]);
        self.actions.push((command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("starts"), version));
        self.end_actions(3);
    }

    fn end_actions(&mut self, keep: usize) {
        while self.actions.len() > keep {
            let (child, version) = self.actions.remove(0);
            let ended = ran(child.wait_with_output().expect("ends"));
            assert_eq!(ended.code, 0, "an action on {version}: {ended:#?}");
            self.done[1] += 1;
        }
    }

    /// The pack has what this worker gave it last.
    fn look(&self, pack: usize) {
        let (name, has) = &self.packs[pack];
        let Some(version) = has else {
            assert_eq!(self.run(&["resolve", name]).code, 5, "{name}");
            return;
        };
        let seen = self.world.python_in(name, "import alpha; print(alpha.version)");
        assert_eq!(&seen, version, "{name}");
    }
}
