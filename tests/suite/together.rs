//! P3: one locking and one build, however many processes ask.

use std::collections::HashSet;
use std::fs;
use std::process::Child;

use crate::support::{NotingUv, Ran, Wheel, World, ran};

fn finish(children: Vec<Child>) -> Vec<Ran> {
    children.into_iter().map(|child| ran(child.wait_with_output().expect("it ends"))).collect()
}

#[test]
fn sixteen_processes_that_ask_for_one_new_key_lock_once_and_build_once() {
    let world = World::new();
    let uv = NotingUv::new(&world);
    world.wheel(&Wheel::new("alpha", "1.0").requires("beta"));
    world.wheel(&Wheel::new("beta", "2.0"));
    let names: Vec<String> = (0..16).map(|n| format!("pack{n}")).collect();
    let children = names.iter().map(|name| uv.start(&world, &["ensure", name, "--with", "alpha"])).collect();
    let mut built = 0;
    for ran in finish(children) {
        assert_eq!(ran.code, 0, "{ran:#?}");
        let answer: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
        built += usize::from(answer["outcome"] == "built");
    }
    assert_eq!((uv.asked("pip compile"), uv.asked("pip sync"), built), (1, 1, 1));
    assert_eq!(world.listed("envs").len(), 1);
    assert_eq!(world.json(["list"])["packs"].as_array().expect("packs").len(), 16);
    assert!(world.listed("staging").is_empty() && world.listed("trash").is_empty());
}

#[test]
fn sixteen_processes_over_fifty_keys_build_fifty() {
    let world = World::new();
    let uv = NotingUv::new(&world);
    let mut rows: Vec<String> = Vec::new();
    for n in 0..50 {
        world.wheel(&Wheel::new(&format!("dist{n}"), "1.0"));
        rows.push(format!("{{\"pack_ref\": \"pack{n}\", \"requirements\": \"dist{n}\\n\"}}\n"));
    }
    let children = (0..16)
        .map(|n| {
            rows.rotate_left(3);
            let list = world.path().join(format!("list{n}.jsonl"));
            fs::write(&list, rows.concat()).expect("a list");
            uv.start(&world, &["sync", &list.to_string_lossy(), "-j", "2"])
        })
        .collect();
    for ran in finish(children) {
        assert_eq!(ran.code, 0, "{ran:#?}");
    }
    assert_eq!((uv.asked("pip compile"), uv.asked("pip sync")), (50, 50));
    let keys: HashSet<String> = world.listed("envs").into_iter().collect();
    assert_eq!(keys.len(), 50);
}
