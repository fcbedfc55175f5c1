//! [`Login`]: what lets the installer into an index, asked for at each build and kept nowhere.
//!
//! This and the installer's own environment (`runtime::python::uv`) are the only places of the library that
//! read environment variables: here because the configuration *names* the variable, and `NETRC` and `HOME`
//! because every tool finds a netrc through them. A command's answer may be used again for the time the
//! configuration allows, in this process's memory only.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::cancel::Cancel;
use crate::error::{Error, InstallerCause, Phase, Result};
use crate::process::{self, Limits, Log};
use crate::settings::{CredentialSource, Index};

/// The user name of tokens, as PyPI and most private indexes want it.
const TOKEN_USER: &str = "__token__";
/// A command that prints a token may open a browser's worth of requests, but not more.
const COMMAND_TIME: Duration = Duration::from_secs(60);
/// More is no password.
const SECRET_LIMIT: usize = 64 << 10;

/// A user name and its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub username: String,
    /// The secret.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("username", &self.username).field("password", &"****").finish()
    }
}

/// Answers an index's name with its login, or with why there is none.
type Answer = dyn Fn(&str) -> Result<Option<Login>, String> + Send + Sync;

/// A function that knows the logins of indexes. Clones are the same one.
#[derive(Clone)]
pub struct Callback(Arc<Answer>);

impl Callback {
    /// A function that answers an index's name; the error says why it cannot.
    pub fn new(ask: impl Fn(&str) -> Result<Option<Login>, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }
}

impl PartialEq for Callback {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Callback {}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback")
    }
}

/// Asks a source for an index's login. `None` where the installer finds it by itself (a netrc).
///
/// # Errors
///
/// [`InstallerCause::Credentials`] when the source has none to give; the message never holds the secret.
pub(crate) fn fetch(source: &CredentialSource, index: &Index, phase: Phase, cancel: &Cancel) -> Result<Option<Login>> {
    ask_source(source, &index.name, cancel)?.map_err(|reason| Error::Installer {
        phase,
        cause: InstallerCause::Credentials,
        summary: format!("there are no credentials for index `{}`: {reason}", index.name),
        tail: Vec::new(),
        log: None,
    })
}

/// Reads an index's login now, where this process may not be able to later: from a file, a command or the netrc of this process's user. A failure is
/// reported when the login is used, as it would be without this.
///
/// # Errors
/// [`Error::Interrupted`] when cancelled.
#[cfg(feature = "cli")]
pub(crate) fn read_ahead(index: &mut Index, cancel: &Cancel) -> Result<()> {
    let login = match &index.credentials {
        None | Some(CredentialSource::Env { .. } | CredentialSource::Callback(_)) => return Ok(()),
        Some(CredentialSource::Netrc) => Ok(for_download(index, cancel)?),
        Some(source) => ask_source(source, &index.name, cancel)?,
    };
    index.credentials = Some(CredentialSource::Callback(Callback::new(move |_| login.clone())));
    Ok(())
}

/// [`fetch`]; the inner error is the reason why there is no login.
fn ask_source(source: &CredentialSource, index: &str, cancel: &Cancel) -> Result<Result<Option<Login>, String>> {
    let (secret, username) = match source {
        CredentialSource::Netrc => return Ok(Ok(None)),
        CredentialSource::Callback(callback) => match (callback.0)(index) {
            Ok(Some(Login { username, password })) => (password, Some(username)),
            Ok(None) => return Ok(Ok(None)),
            Err(reason) => return Ok(Err(reason)),
        },
        CredentialSource::Command { argv, username, ttl } => {
            let known = ttl.and_then(|ttl| remembered(argv, ttl));
            let secret = match known {
                Some(secret) => secret,
                None => match ask(argv, cancel)? {
                    Ok(secret) => secret,
                    Err(reason) => return Ok(Err(reason)),
                },
            };
            if ttl.is_some() && !secret.is_empty() {
                memory().entry(argv.clone()).or_insert_with(|| (Instant::now(), secret.clone()));
            }
            (secret, username.clone())
        }
        CredentialSource::Env { variable, username } => match std::env::var(variable) {
            Ok(secret) => (secret, username.clone()),
            Err(_) => return Ok(Err(format!("the variable `{variable}` is not set"))),
        },
        CredentialSource::File { path, username } => {
            let secret = std::fs::read(path).map_err(|error| format!("`{}`: {error}", path.display()));
            let is_no_text = |_| format!("`{}` is no text", path.display());
            match secret.and_then(|secret| String::from_utf8(secret).map_err(is_no_text)) {
                Ok(secret) => (secret, username.clone()),
                Err(reason) => return Ok(Err(reason)),
            }
        }
    };
    let password = secret.trim().to_owned();
    if password.is_empty() || password.len() > SECRET_LIMIT || password.contains(char::is_control) {
        return Ok(Err("what was given is not one line of text".into()));
    }
    Ok(Ok(Some(Login { username: username.unwrap_or_else(|| TOKEN_USER.into()), password })))
}

/// The login for downloads of our own, which have to read the user's netrc themselves.
pub(crate) fn for_download(index: &Index, cancel: &Cancel) -> Result<Option<Login>> {
    match &index.credentials {
        None => Ok(None),
        Some(CredentialSource::Netrc) => {
            let host = url::Url::parse(&index.url).ok().and_then(|url| url.host_str().map(str::to_owned));
            let text = netrc_path().and_then(|path| std::fs::read_to_string(path).ok());
            Ok(host.zip(text).and_then(|(host, text)| netrc_login(&text, &host)))
        }
        Some(source) => fetch(source, index, Phase::Fetch, cancel),
    }
}

/// The text of the user's own netrc, for an installer that is handed another one. `home` is the installer's home if it is not this process's.
pub(crate) fn users_netrc(home: Option<&Path>) -> Option<String> {
    let path = home.map(|home| home.join(".netrc")).or_else(netrc_path);
    path.and_then(|path| std::fs::read_to_string(path).ok())
}

/// Whether a file that holds a secret can be read by others: worth a warning, not a refusal (a container's
/// secrets often can).
pub(crate) fn is_exposed(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0)
}

/// Forgets what a command answered, because the index refused it.
pub(crate) fn forget(source: &CredentialSource) {
    if let CredentialSource::Command { argv, .. } = source {
        memory().remove(argv);
    }
}

type Memory = HashMap<Vec<String>, (Instant, String)>;

static MEMORY: LazyLock<Mutex<Memory>> = LazyLock::new(Mutex::default);

fn memory() -> MutexGuard<'static, Memory> {
    MEMORY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remembered(argv: &[String], ttl: Duration) -> Option<String> {
    let mut memory = memory();
    let (since, secret) = memory.get(argv)?;
    if since.elapsed() < ttl {
        return Some(secret.clone());
    }
    memory.remove(argv);
    None
}

/// Runs the command in the caller's own environment, without a shell. Its standard error is dropped: it may
/// hold what must not be kept. The inner error is the reason for people.
fn ask(argv: &[String], cancel: &Cancel) -> Result<Result<String, String>> {
    let Some((program, arguments)) = argv.split_first() else {
        return Ok(Err("the command is empty".into()));
    };
    let mut command = Command::new(program);
    command.args(arguments);
    let limits = Limits::starting_now(COMMAND_TIME, COMMAND_TIME);
    let finished = match process::run(command, "asking for credentials", &Log::memory(), limits, cancel, None) {
        Ok(finished) => finished,
        Err(Error::Io { source, .. }) => return Ok(Err(format!("cannot run `{program}`: {source}"))),
        Err(Error::Timeout { .. }) => {
            return Ok(Err(format!("`{program}` did not answer within {} s", COMMAND_TIME.as_secs())));
        }
        Err(error) => return Err(error),
    };
    if !finished.status.success() {
        return Ok(Err(format!("`{program}` failed ({})", finished.status)));
    }
    Ok(String::from_utf8(finished.stdout).map_err(|_| format!("what `{program}` printed is no text")))
}

fn netrc_path() -> Option<PathBuf> {
    match std::env::var_os("NETRC") {
        Some(path) => Some(path.into()),
        None => std::env::var_os("HOME").map(|home| Path::new(&home).join(".netrc")),
    }
}

/// The login of a host in a netrc, or its `default` one.
fn netrc_login(text: &str, host: &str) -> Option<Login> {
    let mut found: Option<(bool, Login)> = None;
    let mut tokens = tokens(text).into_iter();
    let mut is_ours = None;
    while let Some(token) = tokens.next() {
        match token.as_str() {
            "machine" => {
                if matches!(&found, Some((true, _))) {
                    break;
                }
                is_ours = (tokens.next()? == host).then_some(true);
            }
            "default" => is_ours = found.is_none().then_some(false),
            key @ ("login" | "password" | "account") => {
                let value = tokens.next()?;
                let Some(exact) = is_ours else { continue };
                let empty = || (exact, Login { username: String::new(), password: String::new() });
                let (found_exact, login) = found.get_or_insert_with(empty);
                if *found_exact != exact {
                    continue;
                }
                match key {
                    "login" => login.username = value,
                    "password" => login.password = value,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    found.map(|(_, login)| login).filter(|login| !login.password.is_empty())
}

/// The words of a netrc: quotes may hold spaces, `#` at a line's start is a comment, a macro ends at an empty line.
fn tokens(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut in_macro = false;
    for line in text.lines() {
        let line = line.trim();
        if in_macro {
            in_macro = !line.is_empty();
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        let mut chars = line.chars().peekable();
        while let Some(first) = chars.next() {
            if first.is_whitespace() {
                continue;
            }
            let quoted = first == '"';
            let mut word = if quoted { String::new() } else { String::from(first) };
            while let Some(next) = chars.next() {
                match next {
                    '\\' => word.extend(chars.next()),
                    '"' if quoted => break,
                    c if c.is_whitespace() && !quoted => break,
                    c => word.push(c),
                }
            }
            if word == "macdef" && !quoted {
                in_macro = true;
                break;
            }
            out.push(word);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        Index { name: "corp".into(), url: "https://host/simple/".into(), default: true, credentials: None }
    }

    fn command(script: &str, ttl: Option<Duration>) -> CredentialSource {
        let argv = vec!["/bin/sh".into(), "-c".into(), script.into()];
        CredentialSource::Command { argv, username: None, ttl }
    }

    fn get(source: &CredentialSource) -> Result<Option<Login>> {
        fetch(source, &index(), Phase::Lock, &Cancel::new())
    }

    #[test]
    fn a_commands_answer_is_trimmed_and_never_split() {
        let login = get(&command("echo ' a:b=c '", None)).expect("answers").expect("has one");
        assert_eq!(login, Login { username: "__token__".into(), password: "a:b=c".into() });
        assert!(!format!("{login:?}").contains("a:b"));
    }

    #[test]
    fn a_failing_command_says_so_without_its_output() {
        for source in [
            command("echo t0ken; echo t0ken >&2; exit 3", None),
            command("true", None),
            command("printf 'two\\nlines'", None),
            CredentialSource::Command { argv: vec![], username: None, ttl: None },
            CredentialSource::Command { argv: vec!["/nonexistent/x".into()], username: None, ttl: None },
        ] {
            let error = get(&source).expect_err("has none to give");
            assert_eq!(error.kind(), crate::error::Kind::Credentials);
            assert!(error.to_string().contains("`corp`") && !error.to_string().contains("t0ken"), "{error}");
        }
    }

    #[test]
    fn an_answer_is_used_again_only_within_its_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let count = |ttl| {
            let file = dir.path().join(format!("count{}", ttl == Some(Duration::ZERO)));
            let source = command(&format!("echo x >> {0}; wc -l < {0}", file.display()), ttl);
            let first = get(&source).expect("answers").expect("one").password;
            let second = get(&source).expect("answers").expect("one").password;
            forget(&source);
            let third = get(&source).expect("answers").expect("one").password;
            [first, second, third]
        };
        assert_eq!(count(Some(Duration::from_secs(3600))), ["1", "1", "2"]);
        assert_eq!(count(Some(Duration::ZERO)), ["1", "2", "3"]);
    }

    #[test]
    fn a_file_and_its_exposure() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("token");
        std::fs::write(&path, "pw\n").expect("writes");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
        assert!(!is_exposed(&path));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("chmod");
        assert!(is_exposed(&path));
        let source = CredentialSource::File { path: path.clone(), username: Some("me".into()) };
        assert_eq!(get(&source).expect("reads"), Some(Login { username: "me".into(), password: "pw".into() }));
        std::fs::remove_file(&path).expect("removes");
        assert!(get(&source).is_err());
    }

    #[test]
    fn netrc_finds_the_host_then_the_default() {
        let text = "# mine\nmacdef init\n machine host login no password no\n\nmachine other login a password b\n\
                    machine host\n  login me password \"p w\\\"x\" machine later login z password z\ndefault login d password e";
        let login = |host| netrc_login(text, host).map(|login| (login.username, login.password));
        assert_eq!(login("host"), Some(("me".into(), "p w\"x".into())));
        assert_eq!(login("other"), Some(("a".into(), "b".into())));
        assert_eq!(login("elsewhere"), Some(("d".into(), "e".into())));
        assert_eq!(netrc_login("machine host login", "host"), None);
        assert_eq!(
            netrc_login("default login a password b\nmachine host login c password d", "x").map(|l| l.password),
            Some("b".into())
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_netrc_that_does_no_harm(text in "(machine|default|login|password|\"|\\\\|[a-z #\n]){0,40}") {
            let _ = netrc_login(&text, "a");
        }
    }
}
