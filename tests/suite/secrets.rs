//! No secret stays: not in a byte of the store, not on a command line, not in what is said; also when it goes wrong.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::{INSTALLERS, IndexServer, Wheel, World, project, ran};

/// Long, and nothing else is like it.
const TOKEN: &str = "tok-5f1d0c0ffee-9b27";

/// The files below a directory that hold the token, compressed ones looked into.
fn holding(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut looked = 0;
    for entry in walkdir::WalkDir::new(dir).into_iter().flatten() {
        let name = entry.path().to_string_lossy().into_owned();
        let mut bytes = match entry.file_type() {
            kind if kind.is_file() => fs::read(entry.path()).expect("the store is readable"),
            kind if kind.is_symlink() => {
                fs::read_link(entry.path()).expect("a link").into_os_string().into_encoded_bytes()
            }
            _ => Vec::new(),
        };
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut plain).expect("gzip");
            bytes = plain;
        }
        looked += 1;
        if has_token(&bytes) || name.contains(TOKEN) {
            found.push(name);
        }
    }
    assert!(looked > 20, "the store was looked at: {looked}");
    found
}

fn has_token(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, TOKEN.as_bytes()).is_some()
}

/// Looks at every command line of the host until told to stop; returns those that hold the token, and how many it saw.
fn watch(stop: &AtomicBool) -> (Vec<String>, usize) {
    let (mut found, mut looked) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            if !entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
                continue;
            }
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            looked += 1;
            if has_token(&line) {
                found.push(String::from_utf8_lossy(&line).replace('\0', " "));
            }
        }
        thread::yield_now();
    }
    (found, looked)
}

#[test]
fn a_token_is_nowhere_afterwards_and_on_no_command_line_meanwhile() {
    for installer in INSTALLERS {
        let world = World::new();
        world.wheel(&Wheel::new("alpha", "1.0").script("alpha = alpha:main"));
        world.wheel(&Wheel::new("broken", "1.0").file("broken-1.0.data/data/bin/python", "x"));
        let server = IndexServer::new(&world.wheels());
        server.only(&[&format!("__token__:{TOKEN}")]);
        let secret = world.path().join("secret");
        fs::write(&secret, TOKEN).expect("writes");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("chmod");
        let configure = |url: &str| {
            world.configure_install(
                &format!("installer = {installer:?}\npack_options = \"allow\"\n"),
                &format!(
                    "[[index]]\nname = \"corp\"\nurl = {url:?}\ndefault = true\n\
                     credentials = {{ command = [\"/bin/cat\", {secret:?}] }}\n"
                ),
            );
        };
        let login = format!("user:{TOKEN}@{}", server.authority());
        let source = world.path().join("source");
        project(&source, "1.0");
        let said = |arguments: &[&str]| {
            let ran = ran(world.command(arguments).output().expect("runs"));
            assert!(!ran.stdout.contains(TOKEN) && !ran.stderr.contains(TOKEN), "{installer}: {ran:#?}");
            ran
        };
        let stop = AtomicBool::new(false);
        let (found, looked) = thread::scope(|scope| {
            let watcher = scope.spawn(|| watch(&stop));
            // What a failed assertion leaves behind must not keep the watcher going.
            let work = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                configure(&server.url());
                assert_eq!(said(&["ensure", "good", "--with", "alpha"]).code, 0);
                assert_eq!(said(&["-v", "ensure", "again", "--with", "alpha", "--rebuild"]).code, 0);
                // A build backend runs as a child of the installer.
                assert_eq!(said(&["ensure", "built", "--with", &source.display().to_string()]).code, 0);
                assert_ne!(said(&["ensure", "absent", "--with", "no-such-thing"]).code, 0);
                assert_ne!(said(&["ensure", "unsafe", "--with", "broken"]).code, 0);
                // Where people write them though they should not: refused, and told without.
                for (pack, line) in [
                    ("requirement", format!("alpha @ http://{login}/files/alpha-1.0-py3-none-any.whl")),
                    ("option", format!("--index-url http://{login}/simple/\nalpha")),
                    ("extra", format!("--extra-index-url=http://{login}/simple/\nalpha")),
                    ("links", format!("-f http://{login}/simple/alpha/\nalpha")),
                    (
                        "signed",
                        format!("alpha @ http://{}/alpha-1.0-py3-none-any.whl?token={TOKEN}", server.authority()),
                    ),
                ] {
                    let dir = world.pack(pack, line);
                    let refused = said(&["ensure", pack, "--from", &dir.display().to_string()]);
                    assert_eq!(refused.code, 1, "{pack}: {refused:#?}");
                    assert!(
                        refused.stderr.contains("credentials") || refused.stderr.contains("secret"),
                        "{refused:#?}"
                    );
                    said(&["sync", &world.packs().display().to_string()]);
                }
                // The index's own URL with a login in it is a mistake of the configuration, told without it.
                configure(&format!("http://{login}/simple/"));
                assert_eq!(said(&["ensure", "url", "--with", "alpha"]).code, 2);
                configure(&server.url());
                // Refused at the end, with the token in every request.
                server.only(&["nobody:else"]);
                let refused = said(&["ensure", "refused", "--with", "alpha==1.0", "--upgrade"]);
                assert_eq!(refused.code, 4, "{refused:#?}");
                for pack in ["good", "refused", "unsafe"] {
                    said(&["logs", pack]);
                    said(&["show", pack]);
                    said(&["export", pack, "--to", "requirements"]);
                }
                said(&["config", "show"]);
            }));
            stop.store(true, Ordering::Relaxed);
            let watched = watcher.join().expect("the watcher ends");
            if let Err(panic) = work {
                std::panic::resume_unwind(panic);
            }
            watched
        });
        assert!(server.seen().iter().any(|(_, login)| login.as_deref() == Some(&format!("__token__:{TOKEN}"))));
        assert!(looked > 100, "command lines were looked at: {looked}");
        assert_eq!(found, Vec::<String>::new(), "{installer}");
        assert_eq!(holding(&world.store()), Vec::<String>::new(), "{installer}");
    }
}
