//! What the worker's own suite asks of a dependency manager.

use std::collections::BTreeSet;
use std::sync::Arc;

use envstore::clock::{Clock, SystemClock};
use envstore::runtime::python::Python;
use envstore::runtime::{
    DependencyError, DependencyManager, DependencyManagerRegistry, DependencySpec, PythonVenvManager,
};
use envstore::{Cancel, Ensure, PackRef, Store};

use crate::support::{Wheel, World};
use crate::{manager, spec, world};

#[tokio::test]
async fn an_environment_is_created() {
    let world = world();
    let made = manager(&world).ensure_environment("test_pack", &spec("requests==2.28.0")).await.expect("made");
    assert_eq!((made.id.as_str(), made.runtime.as_str()), ("test_pack", "python"));
    assert!(made.is_valid && made.path.exists() && made.executable_path.exists());
    assert_eq!(made.installed_dependencies, ["requests==2.28.0"]);
    assert!(made.runtime_version.starts_with(&format!("3.{}", world.minor())), "{}", made.runtime_version);
}

#[tokio::test]
async fn the_same_spec_again_keeps_created_at() {
    let world = world();
    let manager = manager(&world);
    let first = manager.ensure_environment("test_pack", &spec("requests")).await.expect("made");
    let again = manager.ensure_environment("test_pack", &spec("requests")).await.expect("made");
    assert_eq!((first.created_at, &first.path), (again.created_at, &again.path));
    // A newer version of the same declaration is an update of the entry, not another one.
    world.wheel(&Wheel::new("requests", "2.31.0"));
    let settings = crate::settings(&world);
    let python = Arc::new(Python::new(&settings));
    let later = Store::builder(world.store()).runtime(python).settings(settings).clock(Arc::new(Tomorrow));
    let pack = PackRef::new("test_pack").expect("a ref");
    later.open().expect("opens").ensure(&pack, &Ensure::recorded().upgrade(true), &Cancel::new()).expect("upgrades");
    let updated = manager.ensure_environment("test_pack", &spec("requests")).await.expect("made");
    assert_eq!(updated.created_at, first.created_at);
    assert!(updated.updated_at > first.updated_at && updated.path != first.path);
}

/// A day later.
#[derive(Debug)]
struct Tomorrow;

impl Clock for Tomorrow {
    fn now(&self) -> jiff::Timestamp {
        SystemClock.now() + jiff::SignedDuration::from_hours(24)
    }
}

#[tokio::test]
async fn a_changed_spec_is_another_environment() {
    let world = world();
    let manager = manager(&world);
    let first = manager.ensure_environment("test_pack", &spec("requests==2.28.0")).await.expect("made");
    let second = manager.ensure_environment("test_pack", &spec("requests==2.29.0")).await.expect("made");
    assert_ne!(first.path, second.path);
    assert!(second.updated_at >= first.created_at);
    assert_eq!(second.installed_dependencies, ["requests==2.29.0"]);
    let told = manager.get_environment("test_pack").await.expect("asked").expect("there");
    assert_eq!(told.path, second.path);
}

#[tokio::test]
async fn packs_are_isolated_and_equal_ones_share() {
    let world = world();
    let manager = manager(&world);
    let a = manager.ensure_environment("pack_a", &spec("requests==2.28.0")).await.expect("made");
    let b = manager.ensure_environment("pack_b", &spec("flask==2.3.0")).await.expect("made");
    assert!(a.path != b.path && a.executable_path != b.executable_path && a.is_valid && b.is_valid);
    let c = manager.ensure_environment("pack_c", &spec("Requests == 2.28.0")).await.expect("made");
    assert_eq!((&c.path, c.id.as_str()), (&a.path, "pack_c"));
    // Taking one of two users away leaves the other's environment.
    manager.remove_environment("pack_a").await.expect("removed");
    assert!(manager.get_environment("pack_a").await.expect("asked").is_none());
    assert!(manager.validate_environment("pack_c").await.expect("asked"));
}

#[tokio::test]
async fn the_executable_path_exists() {
    let world = world();
    let manager = manager(&world);
    let made = manager.ensure_environment("test_pack", &DependencySpec::new("python")).await.expect("made");
    let path = manager.get_executable_path("test_pack").await.expect("a path");
    assert!(path.exists());
    assert_eq!(path, made.executable_path);
    let unknown = manager.get_executable_path("unknown").await.expect_err("there is none");
    assert!(
        matches!(&unknown, DependencyError::EnvironmentNotFound(reason) if reason.contains("unknown")),
        "{unknown}"
    );
}

#[tokio::test]
async fn what_is_unknown_or_damaged_is_not_valid() {
    let world = world();
    let manager = manager(&world);
    assert!(!manager.validate_environment("nonexistent").await.expect("asked"));
    let made = manager.ensure_environment("test_pack", &spec("requests==2.28.0")).await.expect("made");
    assert!(manager.validate_environment("test_pack").await.expect("asked"));
    let found = walk(&made.path).into_iter().find(|path| path.ends_with("requests/__init__.py")).expect("the module");
    std::fs::remove_file(&found).expect("removes");
    assert!(!manager.validate_environment("test_pack").await.expect("asked"));
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).expect("lists").flatten();
    let each = entries.flat_map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => walk(&entry.path()),
        _ => vec![entry.path()],
    });
    each.collect()
}

#[tokio::test]
async fn what_is_removed_is_gone() {
    let world = world();
    let manager = manager(&world);
    let made = manager.ensure_environment("test_pack", &DependencySpec::new("python")).await.expect("made");
    assert!(made.path.exists());
    manager.remove_environment("test_pack").await.expect("removed");
    assert!(!made.path.exists());
    assert!(manager.get_environment("test_pack").await.expect("asked").is_none());
    manager.remove_environment("test_pack").await.expect("removing nothing is no error");
}

#[tokio::test]
async fn three_packs_are_three_entries() {
    let world = world();
    let manager = manager(&world);
    assert!(manager.list_environments().await.expect("listed").is_empty());
    for pack in ["pack_a", "pack_b", "pack_c"] {
        manager.ensure_environment(pack, &DependencySpec::new("python")).await.expect("made");
    }
    let listed = manager.list_environments().await.expect("listed");
    assert_eq!(listed.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), ["pack_a", "pack_b", "pack_c"]);
    assert_eq!(listed.iter().map(|entry| &entry.path).collect::<BTreeSet<_>>().len(), 1);
    assert!(manager.cleanup(0).await.expect("cleaned").is_empty(), "what works is never taken from a pack");
    // An entry whose interpreter is gone goes, unless it is one of the newest.
    let link = &listed[0].path.join("bin/python");
    std::fs::rename(link, world.path().join("taken")).expect("renames");
    assert!(manager.cleanup(3).await.expect("cleaned").is_empty());
    assert_eq!(manager.cleanup(1).await.expect("cleaned").len(), 2);
    assert_eq!(manager.list_environments().await.expect("listed").len(), 1);
}

#[tokio::test]
async fn the_registry_knows_its_languages() {
    let world = world();
    let mut registry = DependencyManagerRegistry::new();
    assert!(registry.supported_runtimes().is_empty() && !registry.supports("python"));
    registry.register(Box::new(manager(&world)));
    assert!(registry.supports("python") && !registry.supports("nodejs") && registry.get("nodejs").is_none());
    assert_eq!(registry.get("python").expect("a manager").runtime_type(), "python");
    assert_eq!(registry.supported_runtimes(), ["python"]);
    let made = registry.ensure_environment("test_pack", &spec("requests==2.28.0")).await.expect("made");
    assert_eq!(registry.get_executable_path("test_pack", "python").await.expect("a path"), made.executable_path);
    assert!(registry.cleanup_all(5).await.expect("cleaned").is_empty());
    let other = registry.ensure_environment("x", &DependencySpec::new("nodejs")).await.expect_err("no manager");
    assert!(matches!(other, DependencyError::InvalidDependencySpec(_)), "{other}");
    assert!(registry.get_executable_path("x", "nodejs").await.is_err());
    assert!(DependencyManagerRegistry::default().supported_runtimes().is_empty());
}

#[test]
fn a_spec_is_put_together() {
    let spec = DependencySpec::new("python")
        .with_dependency("requests==2.28.0")
        .with_dependencies(vec!["flask>=2.0.0".to_string()])
        .with_version_range(Some("3.8".to_string()), Some("3.11".to_string()));
    assert_eq!((spec.runtime.as_str(), spec.dependencies.len()), ("python", 2));
    assert_eq!((spec.min_version.as_deref(), spec.max_version.as_deref()), (Some("3.8"), Some("3.11")));
    assert!(spec.has_dependencies());
    assert!(!DependencySpec::new("nodejs").has_dependencies());
}

#[tokio::test]
async fn a_requirements_file_counts() {
    let world = world();
    let manager = manager(&world);
    let text = "requests==2.28.0\nflask==2.3.0  # a comment\n";
    let spec = DependencySpec::new("python").with_requirements_file(text.to_string());
    let made = manager.ensure_environment("test_pack", &spec).await.expect("made");
    assert!(made.is_valid);
    assert_eq!(made.installed_dependencies, ["flask==2.3.0", "requests==2.28.0"]);
}

#[tokio::test]
async fn refs_may_be_anything() {
    let world = world();
    let manager = manager(&world);
    let refs =
        ["core.http", "my/pack", "../../etc/passwd", "with space", " padded ", "@envstore/uv", "ünï", "a\tb", "ref:x"];
    let mut paths = BTreeSet::new();
    for pack in refs {
        let made = manager.ensure_environment(pack, &DependencySpec::new("python")).await.expect(pack);
        assert_eq!(made.id, pack);
        assert!(made.path.starts_with(world.store()), "{}", made.path.display());
        assert!(manager.get_executable_path(pack).await.expect(pack).exists());
        paths.insert(made.path);
    }
    let listed: BTreeSet<_> = manager.list_environments().await.expect("listed").into_iter().map(|e| e.id).collect();
    assert_eq!(listed, refs.iter().map(ToString::to_string).collect());
    assert_eq!(paths.len(), 1, "a name is no part of an environment");
    manager.remove_environment(" padded ").await.expect("removed");
    assert!(manager.get_environment("padded").await.expect("asked").is_none());
    assert_eq!(manager.list_environments().await.expect("listed").len(), refs.len() - 1);
}

#[tokio::test]
async fn needs_update_before_after_and_changed() {
    let world = world();
    let manager = manager(&world);
    let (one, other) = (spec("requests==2.28.0"), spec("requests==2.29.0"));
    assert!(manager.needs_update("test_pack", &one).await.expect("asked"));
    manager.ensure_environment("test_pack", &one).await.expect("made");
    assert!(!manager.needs_update("test_pack", &one).await.expect("asked"));
    assert!(!manager.needs_update("test_pack", &spec("Requests==2.28.0")).await.expect("asked"));
    assert!(manager.needs_update("test_pack", &other).await.expect("asked"));
}

#[tokio::test]
async fn no_dependencies_are_an_environment_too() {
    let world = world();
    let spec = DependencySpec::new("python");
    assert!(!spec.has_dependencies());
    let made = manager(&world).ensure_environment("test_pack", &spec).await.expect("made");
    assert!(made.is_valid && made.path.exists() && made.installed_dependencies.is_empty());
}

#[tokio::test]
async fn asking_again_says_the_same() {
    let world = world();
    let manager = manager(&world);
    manager.ensure_environment("test_pack", &DependencySpec::new("python")).await.expect("made");
    let one = manager.get_environment("test_pack").await.expect("asked").expect("there");
    let two = manager.get_environment("test_pack").await.expect("asked").expect("there");
    assert_eq!((one.id, one.path, one.created_at), (two.id, two.path, two.created_at));
}

#[tokio::test]
async fn a_failure_is_told_and_the_last_environment_stays() {
    let world = world();
    let manager = manager(&world);
    let good = manager.ensure_environment("test_pack", &spec("requests==2.28.0")).await.expect("made");
    let failed = manager.ensure_environment("test_pack", &spec("nowhere==1.0")).await.expect_err("cannot be had");
    assert!(matches!(failed, DependencyError::InstallFailed(_)), "{failed:?}");
    let chain = std::iter::successors(std::error::Error::source(&failed), |error| error.source());
    assert!(chain.into_iter().any(<dyn std::error::Error>::is::<envstore::Error>), "{failed:?}");
    let kept = manager.get_environment("test_pack").await.expect("asked").expect("there");
    assert_eq!((kept.path, kept.is_valid), (good.path, true));
    assert!(manager.needs_update("test_pack", &spec("nowhere==1.0")).await.expect("asked"));
    let bad = manager.ensure_environment("test_pack", &spec("not a requirement")).await.expect_err("no requirement");
    assert!(matches!(bad, DependencyError::InvalidDependencySpec(_)), "{bad:?}");
    let other = DependencySpec::new("nodejs");
    assert!(manager.ensure_environment("test_pack", &other).await.is_err());
}

#[tokio::test]
async fn a_directory_with_environments_made_by_hand_is_taken_over() {
    let world = World::new();
    std::fs::create_dir_all(world.store().join("core_http/bin")).expect("a directory");
    let manager = manager(&world);
    let made = manager.ensure_environment("core.http", &DependencySpec::new("python")).await.expect("made");
    assert!(made.path.starts_with(world.store().join("envstore")), "{}", made.path.display());
    assert!(world.store().join("core_http/bin").exists());
    let other = PythonVenvManager::with_settings(world.store(), crate::settings(&world));
    assert_eq!(other.list_environments().await.expect("listed").len(), 1);
}
