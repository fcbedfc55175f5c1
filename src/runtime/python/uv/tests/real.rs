//! With the real uv, the real index and a real interpreter; skipped unless `ENVSTORE_TEST_NETWORK` is set.

use super::*;
use crate::settings::AllowSource;

/// The whole chain with real things: uv is fetched, locks, the lock is written and read, installed, imported.
#[test]
fn fetched_locked_written_installed_imported() {
    let Some(place) = network_place() else { return };
    let place = &place;
    let tool = place.with(tool::find_or_fetch).expect("fetches uv");
    assert_eq!(tool.version, tool::PINNED);
    assert!(tool.path.starts_with(place.dir.path().join("tools")), "{tool:?}");
    let lock = place.lock(&tool, &spec(&["requests", "ruamel.yaml"])).expect("locks");
    assert!(lock.packages.iter().any(|package| package.name == "urllib3"), "{lock:?}");
    assert!(lock.packages.iter().all(|package| !package.artifact.is_source()), "{lock:?}");
    let lock = pylock::read(&pylock::write(&lock, &place.interpreter)).expect("reads back");
    let env = place.skeleton("env");
    place.with(|job| install(job, &tool, &lock, &env, soon())).expect("installs");
    let said = Command::new(env.join("bin/python")).args(["-c", "import requests, ruamel.yaml; print('in')"]).output();
    assert_eq!(said.expect("runs").stdout, b"in\n");

    // Offline, everything is in the cache.
    let mut offline = Settings::default();
    offline.install.offline = true;
    let place2 = Place { settings: offline, ..network_place().expect("as before") };
    let env = place2.skeleton("env");
    let again = place2.with(|job| {
        let cache = place.dir.path().join("cache");
        let job = Job { cache: &cache, ..*job };
        assert_eq!(tool::find_or_fetch(&job).expect_err("none here").kind(), Kind::Offline);
        install(&job, &tool, &lock, &env, soon())
    });
    again.expect("installs from the cache");
    let error = place2.lock(&tool, &spec(&["six"])).expect_err("not in this cache");
    assert_eq!(error.kind(), Kind::Offline, "{error}");
}

#[test]
fn a_wrong_digest_is_never_installed() {
    let Some(place) = network_place() else { return };
    let tool = place.with(tool::find_or_fetch).expect("fetches uv");
    let zeros = "0".repeat(64);
    let declared = spec(&[&format!("six==1.17.0 --hash=sha256:{zeros}")]);
    assert_eq!(place.lock(&tool, &declared).expect_err("no such file").kind(), Kind::HashMismatch);
    let mut lock = place.lock(&tool, &spec(&["six==1.17.0"])).expect("locks");
    let Artifact::Wheel { sha256, .. } = &mut lock.packages[0].artifact else { panic!("{lock:?}") };
    *sha256 = zeros;
    let env = place.skeleton("env");
    let error = place.with(|job| install(job, &tool, &lock, &env, soon())).expect_err("other bytes");
    assert_eq!(error.kind(), Kind::HashMismatch, "{error}");
}

/// Everything that is no wheel of an index, with the real uv: a branch, a directory, find-links, preferences.
#[test]
fn branches_directories_and_local_wheels_are_locked_to_their_bytes() {
    let Some(mut place) = network_place() else {
        return;
    };
    let links = place.dir.path().join("links, all");
    let project = |name: &str| {
        let path = place.dir.path().join(name);
        fs::create_dir(&path).expect("creates");
        let build = "[build-system]\nrequires = [\"setuptools\"]\nbuild-backend = \"setuptools.build_meta\"\n";
        let text = format!("{build}[project]\nname = \"{name}\"\nversion = \"1.0\"\n");
        fs::write(path.join("pyproject.toml"), text).expect("writes");
        fs::write(path.join(format!("{name}_module.py")), "x = 1\n").expect("writes");
        path
    };
    let (repo, directory) = (project("repo"), project("local"));
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(&repo).args(["-c", "user.name=n", "-c", "user.email=e"]).args(arguments);
        assert!(git.output().expect("runs git").status.success(), "{arguments:?}");
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "x"]);
    fs::create_dir(&links).expect("creates");
    let tool = place.with(tool::find_or_fetch).expect("fetches uv");
    let wheel = fs::File::create(links.join("linked-1.0-py3-none-any.whl")).expect("creates");
    let mut zip = zip::ZipWriter::new(wheel);
    for (name, text) in [
        ("linked.py", ""),
        ("linked-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: linked\nVersion: 1.0\n"),
        ("linked-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
        (
            "linked-1.0.dist-info/RECORD",
            "linked.py,,\nlinked-1.0.dist-info/METADATA,,\nlinked-1.0.dist-info/WHEEL,,\nlinked-1.0.dist-info/RECORD,,\n",
        ),
    ] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).expect("starts");
        std::io::Write::write_all(&mut zip, text.as_bytes()).expect("writes");
    }
    zip.finish().expect("finishes");
    place.settings.install.find_links = vec![links.to_str().expect("UTF-8").into()];
    place.preferred = vec!["six==1.16.0".into(), "repo==7".into()];

    let spec = spec(&[
        "linked",
        "six",
        "docopt==0.6.2",
        &format!("local @ file://{}", directory.display()),
        &format!("repo @ git+file://{}@main", repo.display()),
    ]);
    let first = place.lock(&tool, &spec).expect("locks");
    let artifact = |lock: &Lock, name| {
        lock.packages.iter().find(|package| package.name == name).map(|package| package.artifact.clone()).expect(name)
    };
    assert!(first.packages.iter().any(|package| package.name == "six" && package.version == "1.16.0"), "{first:?}");
    let Artifact::Wheel { url, .. } = artifact(&first, "linked") else { panic!("{first:?}") };
    assert!(url.starts_with("file:///") && url.contains("links,%20all/"), "{url}");
    assert!(matches!(artifact(&first, "docopt"), Artifact::Sdist { .. }));
    assert!(matches!(artifact(&first, "repo"), Artifact::Vcs { commit, .. } if commit.len() == 40));
    let lock = pylock::read(&pylock::write(&first, &place.interpreter)).expect("reads back");
    assert_eq!(lock, first);
    let env = place.skeleton("env");
    place.with(|job| install(job, &tool, &lock, &env, soon())).expect("installs");
    let import = "import linked, six, docopt, local_module, repo_module; print(six.__version__)";
    let said = Command::new(env.join("bin/python")).args(["-c", import]).output().expect("runs");
    assert_eq!(said.stdout, b"1.16.0\n", "{}", String::from_utf8_lossy(&said.stderr));

    // Building has changed nothing: the same lock again. A change is another one.
    fs::remove_dir_all(place.dir.path().join("scratch")).expect("removes");
    fs::create_dir(place.dir.path().join("scratch")).expect("creates");
    assert_eq!(place.lock(&tool, &spec).expect("locks"), first);
    fs::write(directory.join("local_module.py"), "x = 2\n").expect("writes");
    let second = place.lock(&tool, &spec).expect("locks");
    assert_ne!(artifact(&second, "local"), artifact(&first, "local"));

    place.settings.install.allow_source = AllowSource::None;
    let error = place.lock(&tool, &Spec { ..spec.clone() }).expect_err("has sources");
    assert_eq!(error.kind(), Kind::NoSolution, "{error}");
}

impl Place {
    /// The least that uv takes for an environment.
    fn skeleton(&self, name: &str) -> PathBuf {
        let env = self.dir.path().join(name);
        let version = &self.interpreter.identity.version;
        let minor = version.rsplit_once('.').expect("a patch level").0;
        fs::create_dir_all(env.join(format!("lib/python{minor}/site-packages"))).expect("creates");
        fs::create_dir_all(env.join("bin")).expect("creates");
        std::os::unix::fs::symlink(&self.interpreter.path, env.join("bin/python")).expect("links");
        let home = self.interpreter.path.parent().expect("a directory").display();
        let cfg = format!("home = {home}\ninclude-system-site-packages = false\nversion = {version}\n");
        fs::write(env.join("pyvenv.cfg"), cfg).expect("writes");
        env
    }
}

/// A place with a real interpreter, if tests may use the network.
fn network_place() -> Option<Place> {
    if std::env::var_os("ENVSTORE_TEST_NETWORK").is_none() {
        crate::skip::skipped("needs the network; set ENVSTORE_TEST_NETWORK=1");
        return None;
    }
    let ask = "import os, sys; print(os.path.realpath(sys.executable), '.'.join(map(str, sys.version_info[:3])))";
    let said = Command::new("python3").args(["-c", ask]).output().expect("there is a python3");
    let said = String::from_utf8(said.stdout).expect("text");
    let (path, version) = said.trim().split_once(' ').expect("two words");
    let mut interpreter = no_interpreter();
    interpreter.path = path.into();
    interpreter.identity.version = version.into();
    interpreter.identity.machine = std::env::consts::ARCH.into();
    Some(Place::new(interpreter))
}
