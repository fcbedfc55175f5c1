//! Stores of any size in seconds: one real environment, and rows and files like its own for all the others.
//!
//! The rows are written by the index's own code. Which environment a pack is bound to follows Zipf's law, so that a few are shared by
//! thousands, most by one or two, and some by none: those a collector may take. Every tenth pack has an earlier generation.

use std::fs;
use std::path::Path;

use envstore::binding::{BindingFile, GenerationRecord};
use envstore::clock::{Clock, SystemClock};
use envstore::component::{Component, File, Form};
use envstore::digest::{Canonical, ComponentId, EnvKey};
use envstore::epoch::Epoch;
use envstore::index::{Access, Index, NewBinding, NewEnv, bindings, components, envs};
use envstore::layout::{EnvName, LEASE, Layout};
use envstore::manifest::{Content, Entry, Manifest, Part};
use envstore::spec::{Requirement, Spec};
use envstore::store::report::Cause;
use envstore::store::runtime::Distribution;

use super::empty::bind_to_empty;
use super::store::{open, pack, settings};

/// How many different distributions there are, and how many an environment has.
const DISTRIBUTIONS: u64 = 400;
const IN_EACH: u64 = 5;
/// How many files each has.
const FILES: u64 = 8;
/// Rows in one transaction.
const BATCH: u64 = 10_000;

/// What of a store is made.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub packs: u64,
    pub envs: u64,
    /// Manifests and binding files too, so that the index can be made of them.
    pub files: bool,
}

/// A number that looks like chance and is the same in each run (splitmix64).
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The environment of a pack: the n-th with a probability of about 1/n.
fn env_of(pack: u64, envs: u64) -> u64 {
    let chance = (mixed(pack) >> 11) as f64 / (1u64 << 53) as f64;
    let rank = ((envs + 1) as f64).powf(chance) as u64;
    (rank - 1).min(envs - 1)
}

/// Distributions of an environment, by number, sorted.
fn held_by(env: u64) -> Vec<u64> {
    let mut held: Vec<u64> = (0..IN_EACH).map(|n| env_of(env * IN_EACH + n, DISTRIBUTIONS)).collect();
    held.sort_unstable();
    held.dedup();
    held
}

fn distribution(number: u64) -> Distribution {
    Distribution { name: format!("distribution-{number:03}"), version: "1.0".into(), from_source: false }
}

fn identity(number: u64) -> ComponentId {
    Canonical::new("synthetic component").field(number.to_le_bytes()).digest()
}

fn component(number: u64) -> Component {
    let file = |n: u64| File {
        path: format!("lib/python3/site-packages/distribution_{number:03}/module_{n}.py"),
        digest: blake3::hash(format!("{number} {n}").as_bytes()).into(),
        size: 4096,
        exec: false,
        form: Form::Plain,
    };
    Component {
        distribution: Some(distribution(number)),
        files: (0..FILES).map(file).collect(),
        uncompiled: Vec::new(),
        notes: Vec::new(),
    }
}

/// The one real environment, from which the others take what is not their own.
struct Model {
    manifest: Manifest,
    binding: BindingFile,
}

impl Model {
    fn generation(&self) -> &GenerationRecord {
        self.binding.generations.first().expect("a generation")
    }

    fn spec(&self, env: u64) -> Spec {
        let mut spec = self.binding.spec.clone();
        spec.requirements = vec![Requirement { canonical: format!("synthetic=={env}"), install: None }];
        spec
    }

    fn manifest(&self, env: u64, name: EnvName) -> Manifest {
        let mut manifest = self.manifest.clone();
        (manifest.key, manifest.name, manifest.spec) = (key(env), name, self.spec(env));
        for number in held_by(env) {
            let component = component(number);
            let first = manifest.entries.len();
            manifest.parts.push(Part {
                component: Some(identity(number)),
                distribution: component.distribution,
                entries: (first..first + component.files.len()).collect(),
                ..Part::default()
            });
            manifest.entries.extend(component.files.into_iter().map(|file| Entry {
                path: file.path,
                content: Content::File {
                    digest: file.digest,
                    size: file.size,
                    exec: false,
                    derived: false,
                    canonical: None,
                    canonical_size: None,
                },
            }));
        }
        manifest
    }
}

fn key(env: u64) -> EnvKey {
    Canonical::new("synthetic environment").field(env.to_le_bytes()).digest()
}

/// Makes a store at a root. No process has it open.
pub fn make(root: &Path, size: Size) {
    let store = open(root, settings());
    bind_to_empty(&store, &pack(size.packs));
    let id = store.id().to_owned();
    drop(store);
    let layout = Layout::new(root);
    let binding = BindingFile::read(&layout.binding(&pack(size.packs))).expect("a binding file");
    let name = EnvName::new(&binding.generations[0].key, 0);
    let model = Model { manifest: Manifest::read(&layout.manifest(&name)).expect("a manifest"), binding };
    let epoch = Epoch::open(&layout.epoch(), &id, true).expect("opens");
    let index = Index::open(&layout, Access::Owner, epoch).expect("opens");
    let rows = make_envs(&layout, &index, &model, size);
    make_packs(&layout, &index, &model, size, &rows);
}

fn make_envs(layout: &Layout, index: &Index, model: &Model, size: Size) -> Vec<i64> {
    let (boot, now) = (SystemClock.boot().unwrap_or_default(), SystemClock.now());
    let mut rows = Vec::with_capacity(size.envs as usize);
    for first in (0..size.envs).step_by(BATCH as usize) {
        index
            .write("be filled", |tx| {
                for env in first..(first + BATCH).min(size.envs) {
                    let name = EnvName::new(&key(env), 0);
                    let dir = layout.env(&name);
                    fs::create_dir(&dir).expect("creates");
                    fs::write(dir.join(LEASE), "").expect("writes");
                    let distributions: Vec<Distribution> = held_by(env).into_iter().map(distribution).collect();
                    let new = NewEnv {
                        key: key(env),
                        name: &name,
                        interpreter: &model.manifest.interpreter,
                        lock: model.manifest.lock_digest,
                        tree_digest: model.manifest.tree_digest,
                        bytes: model.manifest.bytes,
                        files: model.manifest.files(),
                        installer: "none",
                        notes: &[],
                        link_mode: model.manifest.link_mode,
                        distributions: &distributions,
                        created_at: now,
                    };
                    let row = envs::insert(tx, &new).expect("a row");
                    envs::set_looked_at(tx, row, &boot).expect("a row");
                    for number in held_by(env) {
                        components::attach(tx, row, Some(&identity(number)), &component(number), now).expect("a row");
                    }
                    rows.push(row);
                    if size.files {
                        let manifest = model.manifest(env, name);
                        let path = layout.manifest(&manifest.name);
                        fs::write(path, manifest.encode().expect("encodes")).expect("writes");
                    }
                }
                Ok(())
            })
            .expect("commits");
    }
    rows
}

fn make_packs(layout: &Layout, index: &Index, model: &Model, size: Size, rows: &[i64]) {
    for first in (0..size.packs).step_by(BATCH as usize) {
        index
            .write("be filled", |tx| {
                for number in first..(first + BATCH).min(size.packs) {
                    let earlier = number.is_multiple_of(10).then(|| env_of(number + size.packs, size.envs));
                    let of: Vec<u64> = earlier.into_iter().chain([env_of(number, size.envs)]).collect();
                    let mut file = model.binding.clone();
                    (file.pack, file.generations) = (pack(number), Vec::new());
                    file.earlier = earlier.map(|env| model.spec(env)).into_iter().collect();
                    for (generation, env) in (1u64..).zip(&of) {
                        file.spec = model.spec(*env);
                        file.current = Some(generation);
                        let (key, answers) = (key(*env), file.spec.digest());
                        let past = GenerationRecord { generation, key, answers, ..model.generation().clone() };
                        let row = bindings::declare(tx, &file.pack, &file.spec, None).expect("a row");
                        let new = NewBinding {
                            env: Some(rows[*env as usize]),
                            key: &key,
                            interpreter: past.interpreter,
                            lock: &past.lock,
                            answers: &answers,
                            at: past.at,
                            cause: Cause::Ensure,
                            uid: past.uid,
                        };
                        bindings::bind(tx, row, generation, &new).expect("a row");
                        envs::set_alias(tx, &answers, &past.interpreter, rows[*env as usize]).expect("a row");
                        file.generations.push(past);
                    }
                    if size.files {
                        let path = layout.binding(&file.pack);
                        fs::create_dir_all(path.parent().expect("a directory")).expect("creates");
                        fs::write(path, serde_json::to_vec(&file).expect("JSON")).expect("writes");
                    }
                }
                Ok(())
            })
            .expect("commits");
    }
}
