//! What a worker tells of its environments.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use envstore::runtime::DependencyManager;
use envstore::worker::{Action, Heart};

use crate::support::{Wheel, World};
use crate::{runtime, spec, until};

#[tokio::test]
async fn a_heartbeat_counts_and_finds_what_is_damaged() {
    let world = World::new();
    for name in ["alpha", "beta"] {
        world.wheel(&Wheel::new(name, "1.0"));
    }
    let runtime = runtime(&world);
    let manager = runtime.manager();
    let path = manager.ensure_environment("one", &spec("alpha")).await.expect("made").path;
    manager.ensure_environment("two", &spec("alpha")).await.expect("made");
    manager.ensure_environment(" odd ", &spec("beta")).await.expect("made");
    let heart = Heart::new("w1", runtime.clone());
    let first = heart.beat().await.expect("beats");
    assert_eq!((first.worker.as_str(), first.packs, first.environments, first.running), ("w1", 3, 2, 0));
    assert!(first.bytes > 0 && first.unhealthy.is_empty());
    for _ in 0..20 {
        runtime.run(&Action::of_pack("one", "nothing").code("")).await.expect("runs");
    }
    let ratio = heart.beat().await.expect("beats").hit_ratio.expect("something was resolved");
    assert!((0.8..=1.0).contains(&ratio), "{ratio}");

    let scripts = path.join("pyvenv.cfg");
    fs::remove_file(&scripts).expect("removes");
    let damaged = heart.beat().await.expect("beats").unhealthy;
    assert_eq!(damaged.len(), 1, "{damaged:?}");
    assert_eq!((&damaged[0].path, &damaged[0].packs), (&path, &vec!["one".to_owned(), "two".to_owned()]));
    assert!(!damaged[0].reasons.is_empty());
    world.ok(["verify", "--repair"]);
    let mended = heart.beat().await.expect("beats").unhealthy;
    assert!(mended.is_empty(), "{mended:?}");
}

#[tokio::test]
async fn it_beats_until_it_is_dropped() {
    let world = World::new();
    let heart = Heart::new("w1", runtime(&world));
    let told = Arc::new(Mutex::new(0));
    let task = tokio::spawn({
        let told = Arc::clone(&told);
        async move {
            heart
                .every(Duration::from_millis(5), |beat| *told.lock().expect("a lock") += beat.expect("beats").packs + 1)
                .await
        }
    });
    until("it beat thrice", || *told.lock().expect("a lock") >= 3).await;
    task.abort();
    assert!(task.await.expect_err("never ends").is_cancelled());
}
