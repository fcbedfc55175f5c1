//! P1 and P2: who shares an environment, and who must not.

use std::fs;

use crate::support::{Wheel, World, python_minor};

fn key(world: &World, pack: &str) -> String {
    world.json(["resolve", pack])["env"].as_str().expect("an env key").to_owned()
}

#[test]
fn packs_that_differ_only_in_writing_share_one_environment() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha-pkg", "1.0"));
    world.wheel(&Wheel::new("beta", "2.1"));
    world.pack("plain", "alpha-pkg==1.0\nbeta>=2,<3\n");
    world.pack("order", "beta>=2,<3\nalpha-pkg==1.0\n");
    world.pack("case", "Alpha_Pkg==1.0\nBETA <3, >=2");
    world.pack("dots", "alpha.pkg == 1.0 # why\n\n# nothing\nbeta<3,>=2\n");
    world.pack("windows", "\u{feff}alpha-pkg==1.0\r\nbeta>=2,<3\r\n");
    world.pack("continued", "alpha-pkg \\\n  ==1.0\nbeta>=2,\\\n<3\n");
    let report = world.json(["sync", "packs"]);
    assert_eq!(report["summary"]["ready"], 6, "{report:#}");
    assert_eq!(report["summary"]["environments"], 1, "{report:#}");
    assert_eq!(world.listed("envs").len(), 1);
    assert_eq!(world.listed("manifests").len(), 1);
}

#[test]
fn declarations_that_lock_alike_share_although_they_mean_different_ranges() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "exact", "--with", "alpha==1.0"]);
    let second = world.json(["ensure", "range", "--with", "alpha>=0.5"]);
    assert_eq!(second["outcome"], "shared", "{second:#}");
    assert_eq!(key(&world, "exact"), key(&world, "range"));
}

#[test]
fn packs_without_dependencies_share_the_empty_environment() {
    let world = World::new();
    world.pack("one", "");
    world.pack("two", "# nothing\n");
    fs::create_dir_all(world.packs().join("three")).expect("a directory");
    fs::write(world.packs().join("three/pack.yaml"), "ref: three\nname: Three\n").expect("pack.yaml");
    let report = world.json(["sync", "packs"]);
    assert_eq!((&report["summary"]["ready"], &report["summary"]["environments"]), (&3.into(), &1.into()), "{report:#}");
    assert_eq!(world.python_in("three", "print('runs')"), "runs");
}

#[test]
fn the_same_pack_on_two_interpreters_does_not_share() {
    let (Some(old), Some(new)) = (python_minor(10), python_minor(12)) else { return };
    let world = World::with_python(&old);
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.configure(&format!("interpreters = [{new:?}]\n"));
    world.ok(["ensure", "ten", "--with", "alpha", "--python", "3.10"]);
    world.ok(["ensure", "twelve", "--with", "alpha", "--python", "3.12"]);
    assert_ne!(key(&world, "ten"), key(&world, "twelve"));
    let code = "import sys; print(sys.version_info[1])";
    assert_eq!((world.python_in("ten", code), world.python_in("twelve", code)), ("10".into(), "12".into()));
}

#[test]
fn one_version_with_other_bytes_does_not_share() {
    let world = World::new();
    let other = world.path().join("other");
    fs::create_dir(&other).expect("a directory");
    world.wheel(&Wheel::new("alpha", "1.0").file("alpha/which.py", "which = 'first'\n"));
    Wheel::new("alpha", "1.0").file("alpha/which.py", "which = 'second'\n").write(&other);
    world.ok(["ensure", "first", "--with", "alpha==1.0"]);
    let config =
        format!("[install]\noffline = true\nfind_links = [{other:?}]\n[python]\ndefault = {:?}\n", world.python());
    let config_path = world.path().join("other.toml");
    fs::write(&config_path, config).expect("a configuration");
    // Another declaration of the same thing, so that it is locked again.
    world.ok(["--config", &config_path.to_string_lossy(), "ensure", "second", "--with", "alpha===1.0"]);
    assert_ne!(key(&world, "first"), key(&world, "second"));
    let code = "import alpha.which; print(alpha.which.which)";
    assert_eq!((world.python_in("first", code), world.python_in("second", code)), ("first".into(), "second".into()));
}

#[test]
fn the_best_wheel_wins_by_tag_then_build() {
    let world = World::new();
    let minor = crate::support::interpreters()[0].minor;
    let which = |text: &str| format!("which = {text:?}\n");
    world.wheel(&Wheel::new("alpha", "1.0").file("alpha/which.py", which("any")));
    world
        .wheel(&Wheel::new("alpha", "1.0").tag(&format!("py3{minor}-none-any")).file("alpha/which.py", which("newer")));
    world.wheel(&Wheel::new("beta", "1.0").build("1").file("beta/which.py", which("one")));
    world.wheel(&Wheel::new("beta", "1.0").build("2").file("beta/which.py", which("two")));
    world.ok(["ensure", "pack", "--with", "alpha", "--with", "beta"]);
    let code = "import alpha.which as a, beta.which as b; print(a.which, b.which)";
    assert_eq!(world.python_in("pack", code), "newer two");
}
