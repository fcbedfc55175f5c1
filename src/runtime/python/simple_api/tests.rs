use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::error::Kind;

/// A server that gives these answers in turn and reports the head of each request.
fn server(answers: Vec<String>) -> (Url, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("an address");
    let (sender, heads) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let mut head = String::new();
            for line in BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
                head.push_str(&line);
                head.push('\n');
            }
            let _ = sender.send(head);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (Url::parse(&format!("http://{address}/simple")).expect("a URL"), heads)
}

fn answer(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

fn with_client<T>(work: impl FnOnce(&Client<'_>) -> T) -> T {
    let cancel = Cancel::new();
    let minute = Duration::from_secs(60);
    let limits = Limits::starting_now(minute, minute);
    work(&Client::new(&InstallSettings::default(), &cancel, limits).expect("a client"))
}

const JSON: &str = "application/vnd.pypi.simple.v1+json";

#[test]
fn json_and_html_say_the_same() {
    let json =
        r#"{"meta":{"api-version":"1.1"},"files":[{"filename":"uv-1.whl","url":"../../f/uv-1.whl","hashes":{}}]}"#;
    let html = "<!DOCTYPE html><html><body>\n<A data-x='>' HREF=\"../../f/uv-1.whl#sha256=00\">uv</A><br></body>";
    let (url, heads) = server(vec![answer("200 OK", JSON, json), answer("200 OK", "text/html; charset=utf-8", html)]);
    let (from_json, from_html) =
        with_client(|client| (client.project(&url, "uv", None), client.project(&url, "uv", None)));
    let (from_json, from_html) = (from_json.expect("json"), from_html.expect("html"));
    assert_eq!(from_json[0].url.path(), "/f/uv-1.whl");
    assert_eq!((&from_json[0].file, from_json[0].url.path()), (&from_html[0].file, from_html[0].url.path()));
    let head = heads.recv().expect("a request");
    assert!(head.starts_with("GET /simple/uv/ ") && head.to_ascii_lowercase().contains("accept: application/vnd.pypi"));
    assert!(!head.to_ascii_lowercase().contains("authorization"));
}

#[test]
fn anchors_are_found_as_browsers_find_them() {
    let base = Url::parse("https://h/simple/uv/").expect("a URL");
    let page = b"<base href='https://files.example/'><a href=a&amp;b.whl>x<a href = \"p/x%2B1.whl?q=1\"></a><a name=z><!-- <a href=no.whl> --><a href='sub/'><a href='http://[bad'>";
    let files: Vec<_> = html(page, &base).into_iter().map(|offer| (offer.file, offer.url.to_string())).collect();
    let file = |name: &str, url: &str| (name.to_owned(), url.to_owned());
    assert_eq!(
        files,
        [file("a&b.whl", "https://files.example/a&b.whl"), file("x+1.whl", "https://files.example/p/x%2B1.whl?q=1")]
    );
}

#[test]
fn failures_are_told_apart_and_hold_no_secret() {
    let login = Login { username: "me".into(), password: "pw".into() };
    for (status, kind) in [
        ("401 Unauthorized", Kind::Credentials),
        ("403 Forbidden", Kind::Credentials),
        ("404 Not Found", Kind::Installer),
    ] {
        let (mut url, heads) = server(vec![answer(status, "text/plain", "")]);
        url.set_query(Some("token=t0ken"));
        let error = with_client(|client| client.page(&url, Some(&login))).expect_err(status);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!error.to_string().contains("t0ken"), "{error}");
        assert!(heads.recv().expect("a request").contains("Basic bWU6cHc="));
    }
    let (url, _) = server(vec![answer("200 OK", JSON, "[]")]);
    assert_eq!(with_client(|client| client.page(&url, None)).expect_err("no project").kind(), Kind::Installer);
}

#[test]
fn what_may_pass_is_tried_again() {
    let busy = answer("503 Service Unavailable", "text/plain", "");
    let (url, heads) = server(vec![busy.clone(), answer("200 OK", "text/html", "<a href=x.whl>")]);
    assert_eq!(with_client(|client| client.page(&url, None)).expect("the second time").len(), 1);
    assert_eq!(heads.iter().count(), 2);
    let (url, heads) = server(vec![busy; 3]);
    assert_eq!(with_client(|client| client.page(&url, None)).expect_err("never").kind(), Kind::Network);
    assert_eq!(heads.iter().count(), 3);
}

#[test]
fn a_download_is_digested_on_its_way() {
    let dir = tempfile::tempdir().expect("a directory");
    let to = dir.path().join("file");
    let (url, _) = server(vec![answer("200 OK", "application/zip", "abc")]);
    let sha256 = with_client(|client| client.download(&url, None, &to)).expect("downloads");
    assert_eq!(sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(std::fs::read(&to).expect("reads"), b"abc");
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nabc".to_owned();
    let (url, _) = server(vec![short]);
    let error = with_client(|client| client.download(&url, None, &dir.path().join("short"))).expect_err("cut off");
    assert_eq!(error.kind(), Kind::Network, "{error}");
}

#[test]
fn a_cancelled_or_late_request_is_not_made() {
    let url = Url::parse("http://127.0.0.1:1/").expect("a URL");
    let cancel = Cancel::new();
    let limits = Limits::starting_now(Duration::ZERO, Duration::from_secs(60));
    let client = Client::new(&InstallSettings::default(), &cancel, limits).expect("a client");
    assert_eq!(client.page(&url, None).expect_err("late").kind(), Kind::Timeout);
    cancel.cancel();
    assert!(client.page(&url, None).expect_err("cancelled").is_cancelled());
}

/// A server that answers with this beginning, and then with a space each few milliseconds until the client is gone.
fn endless(beginning: &'static str) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let _ = stream.set_read_timeout(Some(Duration::from_millis(5)));
        let mut next = beginning;
        while stream.write_all(next.as_bytes()).is_ok() {
            // Waits for the client to leave.
            if stream.read(&mut [0; 1024]).is_ok_and(|n| n == 0) {
                return;
            }
            next = if beginning.is_empty() { "" } else { " " };
        }
    });
    Url::parse(&format!("http://{address}/simple")).expect("a URL")
}

/// Silence, a header without an end, a body without an end.
const ENDLESS: [&str; 3] = [
    "",
    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-Long:",
    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100000000\r\n\r\n",
];

#[test]
fn an_endless_answer_ends_with_the_deadline() {
    for beginning in ENDLESS {
        let url = endless(beginning);
        let cancel = Cancel::new();
        let limits = Limits::starting_now(Duration::from_millis(200), Duration::from_secs(3600));
        let client = Client::new(&InstallSettings::default(), &cancel, limits).expect("a client");
        let error = client.page(&url, None).expect_err("never ends");
        assert_eq!(error.kind(), Kind::Timeout, "{beginning:?}: {error}");
        assert!(error.to_string().contains(url.as_str()), "{error}");
    }
}

#[test]
fn an_endless_answer_ends_when_the_work_is_cancelled() {
    for beginning in ENDLESS {
        let url = endless(beginning);
        let cancel = Cancel::new();
        let hour = Duration::from_secs(3600);
        let client =
            Client::new(&InstallSettings::default(), &cancel, Limits::starting_now(hour, hour)).expect("a client");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| client.page(&url, None));
            cancel.cancel();
            assert!(waiting.join().expect("no panic").expect_err("never ends").is_cancelled(), "{beginning:?}");
        });
    }
}

#[test]
fn logins_stay_where_they_belong() {
    let url = |text: &str| Url::parse(text).expect("a URL");
    let index = url("https://h/simple/");
    for (other, same) in [
        ("https://h/f/x.whl", true),
        ("https://h:443/x", true),
        ("http://h/x", false),
        ("https://h:8443/x", false),
        ("https://files.h/x", false),
    ] {
        assert_eq!(is_same_place(&index, &url(other)), same, "{other}");
    }
}
