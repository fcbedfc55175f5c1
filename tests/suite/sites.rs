//! What sites have: private indexes with logins that change, proxies, known-good versions, no network at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{INSTALLERS, IndexServer, Wheel, World, git, project, ran, skipped};

/// A world whose wheels come from indexes over HTTP only.
fn world(installer: &str, more: &str) -> World {
    let world = World::new();
    reconfigure(&world, installer, more);
    world
}

fn reconfigure(world: &World, installer: &str, more: &str) {
    // pip and what it needs is the interpreter's own; nothing is fetched from elsewhere.
    world.configure_install(&format!("installer = {installer:?}\n"), more);
}

fn index(name: &str, url: &str, more: &str) -> String {
    format!("[[index]]\nname = {name:?}\nurl = {url:?}\n{more}\n")
}

fn version(world: &World, pack: &str, name: &str) -> Option<String> {
    let shown = world.json(["show", pack]);
    let all = shown["distributions"].as_array()?.clone();
    Some(all.iter().find(|d| d["name"] == name)?["version"].as_str()?.to_owned())
}

fn kind(answer: &Value) -> &str {
    answer["error"]["kind"].as_str().unwrap_or_else(|| panic!("no error: {answer:#}"))
}

#[test]
fn each_login_reaches_its_own_index_whatever_it_comes_from() {
    for installer in INSTALLERS {
        let world = world(installer, "");
        let (main, extra) = (world.path().join("main"), world.path().join("extra"));
        for dir in [&main, &extra] {
            fs::create_dir(dir).expect("a directory");
        }
        Wheel::new("alpha", "1.0").requires("beta").write(&main);
        Wheel::new("beta", "1.0").write(&extra);
        let (main, extra) = (IndexServer::new(&main), IndexServer::new(&extra));
        main.only(&["__token__:m-tok"]);
        // Both are on one host, of which a netrc knows no ports: pip is given one login for both.
        extra.only(&["me:e-tok", "__token__:m-tok"]);
        fs::write(world.path().join("token"), "m-tok\n").expect("writes");
        fs::set_permissions(world.path().join("token"), fs::Permissions::from_mode(0o600)).expect("chmod");
        fs::write(world.path().join("home/.netrc"), "machine 127.0.0.1 login __token__ password m-tok\n")
            .expect("writes");
        let sources = [
            "credentials = { command = [\"/bin/echo\", \"m-tok\"], ttl = \"1h\" }",
            "credentials = { env = \"CORP_TOKEN\" }",
            "credentials = { file = \"token\" }",
            "credentials = { netrc = true }",
        ];
        for (n, source) in sources.iter().enumerate() {
            let others = match (installer, n) {
                ("uv", 0..3) => "credentials = { command = [\"/bin/echo\", \"e-tok\"], username = \"me\" }",
                _ => source,
            };
            let indexes = index("corp", &main.url(), &format!("default = true\n{source}"))
                + &index("extra", &extra.url(), others);
            reconfigure(&world, installer, &indexes);
            let pack = format!("pack{n}");
            let mut command = world.command(["--format", "json", "ensure", &pack, "--with", "alpha", "--rebuild"]);
            let made = ran(command.env("CORP_TOKEN", "m-tok").output().expect("runs"));
            assert_eq!(made.code, 0, "{installer}: {source}: {made:#?}");
        }
        let lock = world.ok(["export", "pack0"]);
        assert!(
            lock.contains(&main.authority()) && lock.contains(&extra.authority()) && !lock.contains("tok"),
            "{lock}"
        );
        let seen = main.seen();
        assert!(seen.iter().any(|(line, login)| line.contains("/files/alpha") && login.is_some()), "{seen:#?}");
        // A default replaces PyPI, and a login goes to its own index alone.
        assert!(seen.iter().all(|(_, login)| login.as_deref().is_none_or(|login| login == "__token__:m-tok")));
    }
}

#[test]
fn a_login_that_ran_out_is_asked_for_once_more() {
    for installer in INSTALLERS {
        let world = world(installer, "");
        world.wheel(&Wheel::new("alpha", "1.0"));
        let server = IndexServer::new(&world.wheels());
        server.only(&["__token__:new"]);
        fs::write(world.path().join("print"), "#!/bin/sh\ncat said 2>/dev/null || echo old\necho new > said\n")
            .expect("writes");
        let command = format!("[\"/bin/sh\", {:?}]", world.path().join("print"));
        let credentials = format!("default = true\ncredentials = {{ command = {command}, ttl = \"1h\" }}");
        reconfigure(&world, installer, &index("corp", &server.url(), &credentials));
        world.ok(["ensure", "pack", "--with", "alpha"]);
        let logins: Vec<_> = server.seen().into_iter().filter_map(|(_, login)| login).collect();
        assert_eq!(logins.first().map(String::as_str), Some("__token__:old"), "{installer}");
        assert_eq!(logins.last().map(String::as_str), Some("__token__:new"), "{installer}");

        server.only(&["__token__:newest"]);
        let refused = world.json(["ensure", "other", "--with", "alpha==1.0", "--upgrade"]);
        assert_eq!(kind(&refused), "credentials", "{installer}: {refused:#}");
        assert_eq!(refused["error"]["retryable"], true);
    }
}

#[test]
fn an_index_behind_a_proxy_is_reached_through_it() {
    for installer in INSTALLERS {
        let world = world(installer, "");
        world.wheel(&Wheel::new("alpha", "1.0"));
        let proxy = IndexServer::new(&world.wheels());
        reconfigure(&world, installer, &index("corp", "http://index.invalid/simple/", "default = true"));
        let mut command = world.command(["ensure", "pack", "--with", "alpha"]);
        let made = ran(command.env("http_proxy", format!("http://{}", proxy.authority())).output().expect("runs"));
        assert_eq!(made.code, 0, "{installer}: {made:#?}");
        assert!(
            proxy.seen().iter().any(|(line, _)| line.starts_with("GET http://index.invalid/files/alpha-1.0")),
            "{installer}: {:#?}",
            proxy.seen()
        );
    }
}

#[test]
fn links_and_an_index_are_both_looked_at() {
    for installer in INSTALLERS {
        let world = world(installer, "");
        let links = world.path().join("links");
        fs::create_dir(&links).expect("a directory");
        world.wheel(&Wheel::new("alpha", "1.0").requires("beta"));
        Wheel::new("beta", "3.0").write(&links);
        let server = IndexServer::new(&world.wheels());
        world.configure_install(
            &format!("installer = {installer:?}\nfind_links = [\"links\"]\n"),
            &index("corp", &server.url(), "default = true"),
        );
        world.ok(["ensure", "pack", "--with", "alpha"]);
        assert_eq!(version(&world, "pack", "beta").as_deref(), Some("3.0"), "{installer}");
    }
}

#[test]
fn what_must_not_be_preferred_is_not() {
    for installer in INSTALLERS {
        let world = world(installer, "");
        for version in ["1.0", "1.1", "1.2"] {
            world.wheel(&Wheel::new("alpha", version));
        }
        world.wheel(&Wheel::new("beta", "1.0"));
        world.wheel(&Wheel::new("beta", "2.0rc1"));
        world.wheel(&Wheel::new("beta", "1.1"));
        // Installs with nobody: it would write outside the environment.
        world.wheel(&Wheel::new("gamma", "1.0").file("gamma-1.0.data/data/bin/python", "#!/bin/sh\n"));
        world.wheel(&Wheel::new("gamma", "2.0"));
        let server = IndexServer::new(&world.wheels());
        server.yank("alpha-1.0-py3-none-any.whl");
        let known = world.path().join("known.txt");
        let prefer =
            index("corp", &server.url(), "default = true") + &format!("[lock]\nprefer = {:?}\n", known.display());
        reconfigure(&world, installer, &prefer);
        let versions = |pack: &str, lines: &str, requirements: &[&str]| {
            fs::write(&known, lines).expect("writes");
            let with = requirements.iter().flat_map(|requirement| ["--with", requirement]);
            world.ok(["ensure", pack].into_iter().chain(with));
            ["alpha", "beta", "gamma"].map(|name| version(&world, pack, name).unwrap_or_default())
        };
        assert_eq!(versions("kept", "alpha==1.1\nbeta==1.0\n", &["alpha", "beta"]), ["1.1", "1.0", ""], "{installer}");
        assert_eq!(
            versions("yanked", "alpha==1.0\nbeta==1.0\n", &["alpha>=1", "beta"]),
            ["1.2", "1.0", ""],
            "{installer}: the others stay preferred"
        );
        assert_eq!(versions("asked", "alpha==1.0\n", &["alpha==1.0"]), ["1.0", "", ""], "{installer}");
        assert_eq!(versions("early", "beta==2.0rc1\n", &["beta>=1"]), ["", "1.1", ""], "{installer}");
        assert_eq!(versions("broken", "gamma==1.0\n", &["gamma"]), ["", "", "2.0"], "{installer}: locked again");
    }
}

#[test]
fn a_raised_floor_moves_nobody_and_holds_for_whoever_comes() {
    let world = World::new();
    world.wheel(&Wheel::new("alpha", "1.0"));
    world.ok(["ensure", "first", "--with", "alpha"]);
    world.wheel(&Wheel::new("alpha", "2.0"));
    world.ok(["ensure", "second", "--with", "alpha"]);
    assert_eq!(version(&world, "second", "alpha").as_deref(), Some("1.0"));

    world.configure("[lock]\nminimum = [\"alpha>=2\"]\n");
    assert_eq!(world.json(["ensure", "first", "--with", "alpha"])["outcome"], "hit");
    world.ok(["ensure", "third", "--with", "alpha"]);
    assert_eq!(version(&world, "third", "alpha").as_deref(), Some("2.0"));
    assert_eq!(version(&world, "first", "alpha").as_deref(), Some("1.0"));
    world.ok(["upgrade", "--using", "alpha<2"]);
    assert_eq!(version(&world, "first", "alpha").as_deref(), Some("2.0"));
}

#[test]
fn a_floor_for_every_pack_is_a_requirement() {
    let world = World::new();
    world.configure("[lock]\nminimum = [\"alpha>=\"]\n");
    let refused = world.json(["ensure", "pack", "--with", "alpha"]);
    assert_eq!(kind(&refused), "invalid_config", "{refused:#}");
    assert!(refused["error"]["message"].as_str().is_some_and(|said| said.contains("lock.minimum")), "{refused:#}");
}

#[test]
fn an_index_that_never_answers_is_given_up() {
    for (installer, limit) in [("uv", "timeout"), ("uv", "silence_timeout"), ("pip", "timeout")] {
        let world = world(installer, "");
        let server = IndexServer::new(&world.wheels());
        server.fall_silent();
        world.configure_install(
            &format!("installer = {installer:?}\n{limit} = \"3s\"\n"),
            &index("corp", &server.url(), "default = true"),
        );
        let refused = world.json(["ensure", "pack", "--with", "alpha"]);
        assert_eq!(kind(&refused), "timeout", "{installer}, {limit}: {refused:#}");
        assert_eq!(world.listed("envs"), Vec::<String>::new());
        assert_eq!(world.listed("staging"), Vec::<String>::new());
    }
}

#[test]
fn an_index_with_a_certificate_of_the_sites_own() {
    let made = |dir: &Path| {
        let config = "[req]\ndistinguished_name = dn\n[dn]\n\
            [ca]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\n\
            [leaf]\nbasicConstraints = critical, CA:FALSE\nsubjectAltName = IP:127.0.0.1\n";
        fs::write(dir.join("openssl.cnf"), config).expect("writes");
        let certificate = |name: &str, more: &[&str]| {
            let mut command = Command::new("openssl");
            command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-config", "openssl.cnf"]);
            command.args(["-subj", &format!("/CN={name}"), "-extensions", name]);
            command.args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")]).args(more);
            command.current_dir(dir).output().is_ok_and(|output| output.status.success())
        };
        certificate("ca", &[]) && certificate("leaf", &["-CA", "ca.pem", "-CAkey", "ca.key"])
    };
    for installer in INSTALLERS {
        let world = world(installer, "");
        if !made(world.path()) {
            skipped("needs openssl to make a certificate");
            return;
        }
        let root = world.path().join("tls/simple/alpha");
        fs::create_dir_all(&root).expect("a directory");
        Wheel::new("alpha", "1.0").write(&root);
        // Its listing of a directory is a page of links.
        let server = "import functools, http.server as h, ssl, sys\n\
            s = h.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(h.SimpleHTTPRequestHandler, directory='tls'))\n\
            c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n\
            c.load_cert_chain('leaf.pem', 'leaf.key')\n\
            s.socket = c.wrap_socket(s.socket, server_side=True)\n\
            print(s.server_address[1], flush=True)\n\
            s.serve_forever()\n";
        let mut server = Command::new(world.python())
            .args(["-I", "-c", server])
            .current_dir(world.path())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("python starts");
        let mut port = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(server.stdout.take().expect("a pipe")), &mut port)
            .expect("a port");
        let corp = index("corp", &format!("https://127.0.0.1:{}/simple/", port.trim()), "default = true");
        reconfigure(&world, installer, &corp);
        let untrusted = world.json(["ensure", "pack", "--with", "alpha"]);
        world.configure_install(&format!("installer = {installer:?}\nca_bundle = \"ca.pem\"\n"), &corp);
        let trusted = world.run(["ensure", "pack", "--with", "alpha"]);
        let _ = server.kill();
        let _ = server.wait();
        assert_eq!(kind(&untrusted), "network", "{installer}: {untrusted:#}");
        assert!(untrusted["error"]["hint"].as_str().is_some_and(|hint| hint.contains("ca_bundle")), "{untrusted:#}");
        assert_eq!(trusted.code, 0, "{installer}: {trusted:#?}");
    }
}

#[test]
fn offline_no_connection_is_opened() {
    if Command::new("strace").arg("-V").output().is_err() {
        skipped("needs strace");
        return;
    }
    let world = World::new();
    for n in 0..10 {
        let name = format!("part{n}");
        world.wheel(&Wheel::new(&name, "1.0").requires("alpha"));
        world.pack(&format!("pack{n}"), format!("{name}\n"));
    }
    world.wheel(&Wheel::new("alpha", "1.0"));
    for installer in INSTALLERS {
        // An index beside: it must not be asked.
        world.configure_install(
            &format!("installer = {installer:?}\noffline = true\nfind_links = [\"wheels\"]\n"),
            &index("corp", "http://127.0.0.1:9/simple/", "default = true"),
        );
        let (trace, store) = (world.path().join(format!("{installer}.trace")), world.path().join(installer));
        let inner = world.command(["--store".as_ref(), store.as_os_str(), "sync".as_ref(), world.packs().as_os_str()]);
        let mut traced = Command::new("strace");
        traced.args(["-f", "-qq", "-e", "trace=network", "-o"]).arg(&trace).arg(inner.get_program());
        traced.args(inner.get_args()).env_clear().current_dir(world.path());
        traced.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let made = ran(traced.output().expect("strace starts"));
        if made.stderr.contains("ptrace") {
            skipped("strace may not trace here");
            return;
        }
        assert_eq!(made.code, 0, "{made:#?}");
        let text = fs::read_to_string(&trace).expect("a trace");
        let reaching: Vec<_> = text
            .lines()
            .filter(|line| ["connect(", "sendto(", "sendmsg(", "sendmmsg("].iter().any(|call| line.contains(call)))
            .filter(|line| line.contains("AF_INET") || line.contains("sa_family") && !line.contains("AF_UNIX"))
            .collect();
        assert_eq!(reaching, Vec::<&str>::new(), "{installer}");
    }
}

#[test]
fn a_site_says_which_distributions_may_be_built() {
    for installer in INSTALLERS {
        let world = World::new();
        let source = world.path().join("local-1.0");
        project(&source, "1.0");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(world.path()).arg("-czf").arg(world.wheels().join("local-1.0.tar.gz")).arg("local-1.0");
        assert!(tar.status().expect("tar runs").success());
        world.wheel(&Wheel::new("alpha", "1.0").requires("local"));
        let allow = |what: &str| {
            world.configure("");
            world.install_setting(&format!("installer = {installer:?}\nallow_source = {what}"));
        };

        for what in ["false", "[\"other\"]"] {
            allow(what);
            let refused = world.json(["ensure", "pack", "--with", "alpha"]);
            // Offline, pip cannot tell what is nowhere from what is not allowed.
            let expected = if installer == "pip" { "offline" } else { "no_solution" };
            assert_eq!(kind(&refused), expected, "{installer}, {what}: {refused:#}");
        }
        // A declaration cannot allow itself what the site does not.
        fs::write(world.path().join("r.txt"), "--no-binary=local\nlocal\n").expect("writes");
        let refused = world.json(["ensure", "pack", "-r", "r.txt"]);
        assert_eq!(kind(&refused), "no_solution", "{installer}: {refused:#}");
        assert!(refused["error"]["message"].as_str().expect("text").contains("not allowed here"), "{refused:#}");

        allow("[\"Local\"]");
        world.ok(["ensure", "pack", "--with", "alpha"]);
        assert_eq!(world.python_in("pack", "import local; print(local.version)"), "1.0", "{installer}");
        let shown = world.json(["show", "pack"]);
        let built = |name: &str| {
            let all = shown["distributions"].as_array().expect("distributions");
            all.iter().find(|d| d["name"] == name).expect(name)["from_source"].as_bool().unwrap_or_default()
        };
        assert!(built("local") && !built("alpha"), "{shown:#}");

        // On the list, but with a wheel: nothing is built.
        world.wheel(&Wheel::new("local", "1.0"));
        world.ok(["ensure", "wheels", "--with", "alpha==1.0"]);
        assert!(world.ok(["export", "wheels"]).contains("local-1.0-py3-none-any.whl"), "{installer}");
    }
}

#[test]
fn a_branch_behind_http_is_locked_to_its_commit() {
    for installer in INSTALLERS {
        let world = world(installer, "");
        let source = world.path().join("source");
        project(&source, "1.0");
        let Some(_) = git(&source, &["init", "-q", "-b", "main"]) else { return };
        let publish = |version: &str| {
            project(&source, version);
            git(&source, &["add", "."]);
            git(&source, &["commit", "-q", "-m", version]);
            let bare = world.wheels().join("local.git");
            let _ = fs::remove_dir_all(&bare);
            git(world.path(), &["clone", "-q", "--bare", "source", &bare.display().to_string()]);
            // What a server needs that hands out files and knows nothing of Git.
            git(&bare, &["update-server-info"]);
            git(&source, &["rev-parse", "HEAD"]).expect("a commit")
        };
        let first = publish("1.0");
        let server = IndexServer::new(&world.wheels());
        reconfigure(&world, installer, &index("corp", &server.url(), "default = true"));
        let requirement = format!("local @ git+http://{}/files/local.git@main", server.authority());
        world.ok(["ensure", "pack", "--with", &requirement]);
        assert!(world.ok(["export", "pack"]).contains(&first), "{installer}");

        let second = publish("2.0");
        assert_eq!(world.json(["ensure", "pack", "--with", &requirement])["outcome"], "hit", "{installer}");
        world.ok(["upgrade", "pack"]);
        assert!(world.ok(["export", "pack"]).contains(&second), "{installer}");
        assert_eq!(world.python_in("pack", "import local; print(local.version)"), "2.0", "{installer}");
    }
}

#[test]
fn what_builds_need_can_be_limited() {
    for installer in INSTALLERS {
        let world = World::new();
        let source = world.path().join("source");
        project(&source, "1.0");
        for (file, from, to) in [
            ("pyproject.toml", "requires = []", "requires = ['tool']"),
            ("backend.py", "import os", "import tool\nassert tool.version == '1.0', 'too new'\nimport os"),
        ] {
            let text = fs::read_to_string(source.join(file)).expect("reads");
            fs::write(source.join(file), text.replacen(from, to, 1)).expect("writes");
        }
        for version in ["1.0", "2.0"] {
            world.wheel(&Wheel::new("tool", version));
        }
        let requirement = format!("local @ file://{}", source.display());
        world.install_setting(&format!("installer = {installer:?}"));
        let refused = world.json(["ensure", "pack", "--with", &requirement]);
        assert_eq!(kind(&refused), "source_build", "{installer}: {refused:#}");

        world.install_setting("build_constraints = [\"tool<2\"]");
        world.ok(["ensure", "pack", "--with", &requirement]);
        assert_eq!(world.python_in("pack", "import local; print(local.version)"), "1.0", "{installer}");
    }
}
