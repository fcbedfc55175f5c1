//! A package index on the loopback interface: PEP 503 pages over a directory of wheels, with a login where wanted.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest, Sha256};

/// An index; it answers until the test's process ends.
#[derive(Clone)]
pub struct IndexServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    wheels: PathBuf,
    /// `user:password` of each login that is let in; empty: everybody.
    logins: BTreeSet<String>,
    yanked: BTreeSet<String>,
    silent: bool,
    /// Each request line and the login that came with it.
    seen: Vec<(String, Option<String>)>,
    /// What was not answered; dropping it would close it.
    held: Vec<TcpStream>,
}

impl IndexServer {
    /// Serves a directory of wheels; whatever else is in it, such as a repository, stands under `/files/` too.
    pub fn new(wheels: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State { wheels: wheels.to_owned(), ..State::default() }));
        let server = Self { address, state };
        let serving = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = serving.clone();
                // A client that goes away in the middle is no concern of the test.
                thread::spawn(move || server.answer(stream));
            }
        });
        server
    }

    /// Lets in these logins, `user:password`, and nobody else.
    pub fn only(&self, logins: &[&str]) {
        self.state().logins = logins.iter().map(|login| (*login).to_owned()).collect();
    }

    /// Says that a file was yanked.
    pub fn yank(&self, file: &str) {
        self.state().yanked.insert(file.into());
    }

    /// Takes requests and answers nothing.
    pub fn fall_silent(&self) {
        self.state().silent = true;
    }

    /// The simple API's URL.
    pub fn url(&self) -> String {
        format!("http://{}/simple/", self.address)
    }

    /// Host and port.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// The request lines so far, each with the login that came with it.
    pub fn seen(&self) -> Vec<(String, Option<String>)> {
        self.state().seen.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, mut stream: TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?.take(64 << 10)).lines();
        let request = lines.next()?.ok()?;
        let mut login = None;
        for line in lines {
            let line = line.ok()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':')?;
            if name.eq_ignore_ascii_case("authorization") {
                let basic = BASE64.decode(value.trim().strip_prefix("Basic ")?.as_bytes()).ok()?;
                login = String::from_utf8(basic).ok();
            }
        }
        let (silent, is_let_in) = {
            let mut state = self.state();
            state.seen.push((request.clone(), login.clone()));
            (state.silent, state.logins.is_empty() || login.is_some_and(|login| state.logins.contains(&login)))
        };
        if silent {
            self.state().held.push(stream);
            return Some(());
        }
        let mut words = request.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        // A proxy is asked for the whole URL.
        let path = target.split_once("://").map_or(target, |(_, rest)| &rest[rest.find('/').unwrap_or(rest.len())..]);
        let (status, kind, body) = match is_let_in {
            false => ("401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"index\"", "text/plain", Vec::new()),
            true => match self.body(path) {
                Some((kind, body)) => ("200 OK", kind, body),
                None => ("404 Not Found", "text/plain", Vec::new()),
            },
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        if method != "HEAD" {
            stream.write_all(&body).ok()?;
        }
        stream.flush().ok()
    }

    fn body(&self, path: &str) -> Option<(&'static str, Vec<u8>)> {
        let state = self.state();
        let path = path.split('?').next()?;
        if let Some(file) = path.strip_prefix("/files/") {
            return Some(("application/octet-stream", fs::read(state.wheels.join(file)).ok()?));
        }
        let project = path.strip_prefix("/simple/")?.trim_end_matches('/').replace('-', "_");
        let mut page = String::from("<!DOCTYPE html><html><body>\n");
        let mut files: Vec<String> = fs::read_dir(&state.wheels)
            .ok()?
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|file| file.split('-').next() == Some(&project))
            .collect();
        if files.is_empty() {
            return None;
        }
        files.sort();
        for file in files {
            let sha256 = HEXLOWER.encode(&Sha256::digest(fs::read(state.wheels.join(&file)).ok()?));
            let yanked = if state.yanked.contains(&file) { " data-yanked=\"broken\"" } else { "" };
            page.push_str(&format!("<a href=\"/files/{file}#sha256={sha256}\"{yanked}>{file}</a>\n"));
        }
        page.push_str("</body></html>\n");
        Some(("text/html", page.into_bytes()))
    }
}
