use std::time::Duration;

use super::*;
use crate::settings::{AllowSource, CredentialSource, Installer, MinFree, PackOptions};

const FULL: &str = r#"
[[index]]
name = "corp"
url = "https://packages.corp.example/simple/"
default = true
credentials = { command = ["print-token"], ttl = "11h" }

[[index]]
name = "team"
url = "https://team.example/simple"
credentials = { env = "TEAM_TOKEN", username = "x" }

[install]
installer = "uv"
offline = false
find_links = ["wheels", "https://links.example/page"]
ca_bundle = "ca.pem"
timeout = "30m"
silence_timeout = "5m"
jobs = 3
allow_source = false
build_constraints = ["setuptools<82"]
seed = ["setuptools<82"]
pack_options = "allow"
link_mode = "copy"

[lock]
prefer = "fleet.txt"
minimum = ["urllib3>=2.2.2"]
exclude_newer = "2026-01-31"

[gc]
max_size = "20G"
min_free = "2GiB"
history = 50
retain_generations = 3
retain_for = "7d"
idle = "2h"
cache_max_size = "1GiB"
components_max_size = "3GiB"

[python]
default = "3.11"
interpreters = ["/opt/python/bin/python3"]
installations = ["pythons"]
"#;

fn load(text: &str) -> Result<Config> {
    let path = Path::new("/etc/x/config.toml");
    let mut config = Config::default();
    config.apply(File::parse(text, path)?, path)?;
    Ok(config)
}

fn refusal(text: &str) -> String {
    let error = load(text).expect_err(text);
    assert_eq!(error.kind(), crate::error::Kind::InvalidConfig);
    error.to_string()
}

#[test]
fn every_key_arrives() {
    let config = load(FULL).expect("valid");
    let settings = &config.settings;
    let corp = &settings.indexes[0];
    assert!(corp.default && corp.name == "corp");
    let ttl = Some(Duration::from_secs(11 * 3600));
    assert_eq!(
        corp.credentials,
        Some(CredentialSource::Command { argv: vec!["print-token".into()], username: None, ttl })
    );
    assert_eq!(
        settings.indexes[1].credentials,
        Some(CredentialSource::Env { variable: "TEAM_TOKEN".into(), username: Some("x".into()) })
    );
    let install = &settings.install;
    assert_eq!(install.installer, Installer::Uv);
    assert_eq!(install.find_links, ["/etc/x/wheels", "https://links.example/page"]);
    assert_eq!(install.ca_bundle.as_deref(), Some(Path::new("/etc/x/ca.pem")));
    assert_eq!((install.timeout.as_secs(), install.silence_timeout.as_secs()), (1800, 300));
    assert_eq!(
        (install.jobs(), install.allow_source.clone(), install.pack_options),
        (3, AllowSource::None, PackOptions::Allow)
    );
    assert_eq!(
        (&install.build_constraints[..], &install.seed[..]),
        (&["setuptools<82".to_owned()][..], &["setuptools<82".to_owned()][..])
    );
    assert_eq!(settings.lock.prefer, Prefer::File("/etc/x/fleet.txt".into()));
    assert_eq!(settings.lock.minimum, ["urllib3>=2.2.2"]);
    let gc = &settings.gc;
    assert_eq!((gc.max_size, gc.min_free, gc.retain_generations), (Some(20_000_000_000), MinFree::Bytes(2 << 30), 3));
    assert_eq!((gc.retain_for.as_secs(), gc.idle.as_secs(), gc.cache_max_size), (604_800, 7200, 1 << 30));
    assert_eq!((gc.history, gc.components_max_size), (50, 3 << 30));
    assert_eq!(settings.python.default.as_deref(), Some("3.11"));
    assert_eq!(settings.python.installations, [PathBuf::from("/etc/x/pythons")]);
}

#[test]
fn show_names_every_key_and_where_it_came_from() {
    let all = entries(&load(FULL).expect("valid"));
    assert!(all.iter().all(|entry| entry.origin == "/etc/x/config.toml"), "{all:#?}");
    let none = entries(&Config::default());
    assert!(none.iter().all(|entry| entry.origin == "default"));
    assert_eq!(all.len(), none.len());
}

#[test]
fn empty_texts_set_nothing() {
    let config =
        load("[install]\nca_bundle = ''\n[gc]\nmax_size = ''\nmin_free = ''\n[python]\ndefault = ''\n").expect("valid");
    assert_eq!(config.settings.install.ca_bundle, None);
    assert_eq!(config.settings.gc.max_size, None);
    assert_eq!(config.settings.gc.min_free, MinFree::Bytes(0));
    assert_eq!(config.settings.python.default, None);
}

#[test]
fn mistakes_are_named() {
    for (text, expected) in [
        ("[gc]\nmax-size = '1G'", "there is no key `gc.max-size`, `gc.max_size` is the nearest"),
        ("[gc]\nmaxsize = '1G'", "`gc.max_size` is the nearest"),
        ("[gc]\njobs = 1", "there is no key `gc.jobs`, `install.jobs` is the nearest"),
        ("[instal]\njobs = 1", "there is no key `instal`, `install` is the nearest"),
        ("[[index]]\nname = 'a'\nurl = 'https://a/'\npassword = 'x'", "there is no key `index.password`"),
        (
            "[[index]]\nname = 'a'\nurl = 'https://a/'\ncredentials = { comand = ['x'] }",
            "`index.credentials.command` is the nearest",
        ),
        ("[gc]\nmax_size = 'big'", "line 2: `big` is not a size"),
        ("[gc]\nretain_for = '5'", "line 2: `5` is not a duration"),
        ("[gc]\nmin_free = '100%'", "no part of a filesystem"),
        ("[install]\n\ntimeout = 20", "line 3: invalid type: integer `20`"),
        ("[install]\njobs = 0", "from 1 to 1024"),
        ("[install]\nallow_source = 'all'", "write `true`, `false` or a list of names"),
        ("[install]\nallow_source = ['a b']", "`a b` is not the name of a distribution"),
        ("[install]\nseed = ['a b']", "`install.seed` has a line that is no requirement"),
        ("[install]\npack_options = 'maybe'", "`maybe` is not `ignore` or `allow`"),
        ("[install]\nfind_links = ['']", "is empty"),
        ("[lock]\nexclude_newer = 'soon'", "is no date such as `2026-01-31`"),
        ("[install]\nlink_mode = 'symlink'", "is not `auto`, `reflink`, `hardlink` or `copy`"),
        ("[lock]\nprefer = ''", "`lock.prefer` is empty"),
        ("[[index]]\nname = 'a b'\nurl = 'https://a/'", "is no index name"),
        ("[[index]]\nname = 'a'\nurl = 'a.example/simple'", "is no URL"),
        ("[[index]]\nname = 'a'\nurl = 'ftp://a/'", "scheme"),
        ("[[index]]\nurl = 'https://a/'", "missing field `name`"),
        ("[[index]]\nname='a'\nurl='https://a/'\n[[index]]\nname='a'\nurl='https://b/'", "two indexes"),
        (
            "[[index]]\nname='a'\nurl='https://a/'\ndefault=true\n[[index]]\nname='b'\nurl='https://b/'\ndefault=true",
            "only one can replace PyPI",
        ),
        ("[[index]]\nname='a'\nurl='https://a/'\ncredentials={}", "write one of"),
        ("[[index]]\nname='a'\nurl='https://a/'\ncredentials={netrc=true, env='X'}", "write one of"),
        ("[[index]]\nname='a'\nurl='https://a/'\ncredentials={env='X', ttl='1h'}", "`command` only"),
        ("[[index]]\nname='a'\nurl='https://a/'\ncredentials={command=[]}", "empty `command`"),
        ("[gc\n", "line 1: "),
        ("a = 1\na = 2", "line 2: "),
    ] {
        let message = refusal(text);
        assert!(message.contains(expected), "{text}\n{message}");
        assert!(message.contains("`/etc/x/config.toml`"), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
}

#[test]
fn secrets_in_urls_are_refused_and_not_repeated() {
    for text in [
        "[[index]]\nname='a'\nurl='https://user:s3cret@a/'",
        "[[index]]\nname='a'\nurl='https://s3cret@a/'",
        "[[index]]\nname='a'\nurl='https://a/?token=s3cret'",
        "[install]\nfind_links = ['https://user:s3cret@a/']",
    ] {
        let message = refusal(text);
        assert!(!message.contains("s3cret"), "{message}");
    }
}

#[test]
fn a_command_s_arguments_are_not_shown() {
    let text = "[[index]]\nname='a'\nurl='https://a/'\ncredentials={command=['get', 's3cret']}";
    let shown = format!("{:?}", entries(&load(text).expect("valid")));
    assert!(shown.contains("get") && !shown.contains("s3cret"));
}

#[test]
fn flags_win_over_environment_and_files_later_files_over_earlier() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("config.toml");
    std::fs::write(&path, "[install]\noffline = false\njobs = 1\n").expect("writes");
    let environment = Environment::from_iter([("ENVSTORE_OFFLINE", "1"), ("HOME", "/home/u")]);
    let config = Config::load(Some(&path), false, &environment).expect("valid");
    assert!(config.settings.install.offline);
    assert_eq!(config.origin("install.offline"), Origin::Variable("ENVSTORE_OFFLINE"));
    let config = Config::load(Some(&path), true, &environment).expect("valid");
    assert_eq!(config.origin("install.offline"), Origin::Flag("--offline"));
    assert_eq!(config.origin("install.jobs"), Origin::File(path));

    let mut config = load("[gc]\nidle = '1h'\nretain_for = '1d'\n").expect("valid");
    let second = Path::new("/home/u/.config/envstore/config.toml");
    config.apply(File::parse("[gc]\nidle = '3h'\n", second).expect("parses"), second).expect("applies");
    assert_eq!(config.settings.gc.idle.as_secs(), 3 * 3600);
    assert_eq!(config.origin("gc.idle"), Origin::File(second.into()));
    assert_eq!(config.origin("gc.retain_for"), Origin::File("/etc/x/config.toml".into()));
}

#[test]
fn a_file_that_was_asked_for_must_exist() {
    let error = Config::load(Some(Path::new("/nonexistent/c.toml")), false, &Environment::default()).expect_err("none");
    assert!(error.to_string().contains("no such file"), "{error}");
    let environment = Environment::from_iter([("ENVSTORE_CONFIG", "/nonexistent/c.toml")]);
    assert!(Config::load(None, false, &environment).is_err());
}

#[test]
fn interpreters_are_looked_for_where_pyenv_and_uv_keep_them() {
    let installations = |pairs: &[(&str, &str)]| {
        let mut config = Config::default();
        config.find_on_host(&Environment::from_iter(pairs.iter().copied()));
        config.settings.python.installations.iter().map(|p| p.display().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(installations(&[("HOME", "/h")]), ["/h/.pyenv/versions", "/h/.local/share/uv/python"]);
    assert_eq!(
        installations(&[("HOME", "/h"), ("PYENV_ROOT", "/p"), ("UV_PYTHON_INSTALL_DIR", "/u")]),
        ["/p/versions", "/u"]
    );
    assert!(installations(&[]).is_empty());
}

#[test]
fn settings_of_pip_and_uv_are_named_once_without_their_values() {
    let environment =
        Environment::from_iter([("PIP_INDEX_URL", "https://u:s3cret@a/"), ("UV_INDEX", "x"), ("PIP_FIND_LINKS", "/w")]);
    let warning = foreign_settings(&environment, &Settings::default()).expect("a warning");
    assert!(warning.contains("PIP_INDEX_URL (set `[[index]]` instead)"), "{warning}");
    assert!(warning.contains("PIP_FIND_LINKS (set `install.find_links` instead)"), "{warning}");
    assert!(!warning.contains("s3cret"));
    let config = load(FULL).expect("valid");
    assert_eq!(foreign_settings(&environment, &config.settings), None);
    assert_eq!(foreign_settings(&Environment::default(), &Settings::default()), None);
}
