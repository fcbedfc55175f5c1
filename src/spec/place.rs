//! Where a line of a declaration stands, and how messages show what it says.

use std::fmt::Display;
use std::path::Path;

use crate::error::Error;

/// Where a line stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) origin: &'a str,
    pub(super) base_dir: &'a Path,
    pub(super) line: Option<usize>,
}

impl Place<'_> {
    pub(super) fn refuse(&self, reason: impl Display) -> Error {
        Error::InvalidSpec { origin: self.origin.to_owned(), line: self.line, reason: shown(&reason.to_string(), 600) }
    }

    /// `FILE, line N` as warnings begin.
    pub(super) fn told(&self) -> String {
        match self.line {
            Some(line) => format!("{}, line {line}", self.origin),
            None => self.origin.to_owned(),
        }
    }
}

/// A text as messages show it: one line, not too long, URLs without userinfo and query.
pub(super) fn shown(text: &str, most: usize) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        let end = tail.find(|c: char| c == '`' || c.is_whitespace()).unwrap_or(tail.len());
        let (url, tail) = tail.split_at(end);
        out.push_str(head);
        mask(url, &mut out);
        rest = tail;
    }
    out.push_str(rest);
    let mut chars = out.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut cut: String = chars.by_ref().take(most).collect();
    if chars.next().is_some() {
        cut.push('…');
    }
    cut
}

/// Appends what stands behind the scheme of a URL, its secrets masked.
fn mask(url: &str, out: &mut String) {
    let (authority, behind) = url.split_at(url.find(['/', '?', '#']).unwrap_or(url.len()));
    let host = authority.rfind('@').map_or(authority, |at| &authority[at..]);
    let is_port = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    // `user:pass/word@host` is no URL, nor is one within another, and both are no less a secret.
    let is_odd = host.len() == authority.len()
        && !host.starts_with('[')
        && host.split_once(':').is_some_and(|(_, port)| !is_port(port));
    if is_odd || url.contains("://") {
        out.push_str("****");
        return;
    }
    if host.len() < authority.len() {
        out.push_str("****");
    }
    out.push_str(host);
    match behind.split_once('?') {
        Some((path, query)) => {
            let fragment = query.find('#').map_or("", |at| &query[at..]);
            out.push_str(&format!("{path}?****{fragment}"));
        }
        None => out.push_str(behind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_show_no_secret_and_one_line() {
        for (text, expected) in [
            ("https://user:pw@h/x and git+https://t@h/y@ref", "https://****@h/x and git+https://****@h/y@ref"),
            ("https://h:8080/x@y", "https://h:8080/x@y"),
            ("https://user:p/w@h/x b", "https://**** b"),
            ("http://[::1]:80/x", "http://[::1]:80/x"),
            ("`https://h/x.zip?sig=abc#egg=x`: y", "`https://h/x.zip?****#egg=x`: y"),
            ("https://a:b@https://c:d@h?e", "https://****"),
            ("a\nb\u{1b}[0m", "a b [0m"),
            ("://", "://"),
        ] {
            assert_eq!(shown(text, 100), expected);
        }
        assert_eq!(shown("äöü", 2), "äö…");
    }
}
