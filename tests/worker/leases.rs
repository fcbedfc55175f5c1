//! What was handed out stays until the pack's next but one change, and what was removed goes at once.

use std::sync::Arc;

use envstore::runtime::{DependencyManager, DependencySpec};

use crate::support::{Wheel, World};
use crate::{manager, shared, spec};

fn worlds_of(versions: &[&str]) -> World {
    let world = World::new();
    for version in versions {
        world.wheel(&Wheel::new("alpha", version));
    }
    world
}

#[tokio::test]
async fn a_path_that_was_returned_stays_until_the_next_but_one_change() {
    let world = worlds_of(&["1.0", "2.0", "3.0"]);
    let manager = manager(&world);
    let take = || world.json(["gc", "--idle", "0s", "--drop-retained"]);
    let one = manager.ensure_environment("pack", &spec("alpha==1.0")).await.expect("made").path;
    let two = manager.ensure_environment("pack", &spec("alpha==2.0")).await.expect("made").path;
    assert_eq!(take()["kept"]["leased"], 1);
    assert!(one.join("bin/python").exists(), "the change after it leaves it");
    let three = manager.ensure_environment("pack", &spec("alpha==3.0")).await.expect("made").path;
    take();
    assert!(!one.exists(), "the next but one does not");
    assert!(two.exists() && three.exists());
}

#[tokio::test]
async fn an_upgrade_by_another_process_leaves_what_was_handed_out() {
    let world = worlds_of(&["1.0"]);
    let manager = manager(&world);
    let one = manager.ensure_environment("pack", &spec("alpha")).await.expect("made").executable_path;
    world.wheel(&Wheel::new("alpha", "2.0"));
    world.ok(["upgrade", "pack"]);
    let two = manager.get_executable_path("pack").await.expect("a path");
    assert_ne!(one, two);
    world.ok(["gc", "--idle", "0s", "--drop-retained"]);
    for (python, version) in [(one, "1.0"), (two, "2.0")] {
        let output = std::process::Command::new(python).args(["-c", "import alpha; print(alpha.version)"]).output();
        assert_eq!(String::from_utf8_lossy(&output.expect("starts").stdout).trim(), version);
    }
}

#[tokio::test]
async fn the_last_user_takes_the_environment_along_whoever_else_has_the_store_open() {
    let world = worlds_of(&["1.0"]);
    let (first, second) = (shared(&world), shared(&world));
    let path = first.ensure_environment("one", &spec("alpha")).await.expect("made").path;
    second.ensure_environment("two", &spec("alpha")).await.expect("made");
    for manager in [&first, &second] {
        for pack in ["one", "two"] {
            assert!(manager.get_executable_path(pack).await.expect("a path").starts_with(&path));
        }
    }
    first.remove_environment("one").await.expect("removed");
    assert!(path.exists(), "the other pack has it still");
    assert!(second.get_environment("one").await.expect("asked").is_none());
    first.remove_environment("two").await.expect("removed");
    assert!(!path.exists());
    assert!(second.list_environments().await.expect("listed").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_managers_on_one_directory_make_one_environment() {
    let world = worlds_of(&["1.0"]);
    let managers: Vec<_> = (0..4).map(|_| shared(&world)).collect();
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let manager = Arc::clone(&managers[n % managers.len()]);
            tokio::spawn(async move {
                manager.ensure_environment(&format!("pack{n}"), &spec("alpha")).await.expect("made").path
            })
        })
        .collect();
    let mut paths = std::collections::BTreeSet::new();
    for task in tasks {
        paths.insert(task.await.expect("no panic"));
    }
    assert_eq!(paths.len(), 1);
    assert_eq!(managers[0].list_environments().await.expect("listed").len(), 16);
}

#[tokio::test]
async fn a_dropped_ensure_leaves_nothing_half_made() {
    let world = worlds_of(&["1.0"]);
    let manager = shared(&world);
    {
        let wanted = spec("alpha");
        let ensure = manager.ensure_environment("pack", &wanted);
        tokio::pin!(ensure);
        // Polled once, so that it is under way.
        let polled = std::future::poll_fn(|context| std::task::Poll::Ready(ensure.as_mut().poll(context).is_ready()));
        assert!(!polled.await);
    }
    let made = manager.ensure_environment("pack", &spec("alpha")).await.expect("made");
    assert!(made.is_valid);
    assert_eq!(world.listed("envs").len(), 1);
    let empty = manager.ensure_environment("other", &DependencySpec::new("python")).await.expect("made");
    assert!(empty.is_valid);
}
