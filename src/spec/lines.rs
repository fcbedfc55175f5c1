//! The text of a requirements file, taken apart into logical lines as pip does it.
//!
//! Accepted are UTF-8 with or without a byte order mark, UTF-16 with one (what `pip freeze >` writes in
//! PowerShell), `\n`, `\r\n` and `\r` as line ends, and a missing last one. A backslash at the end continues
//! a line, a `#` at its start or after white space begins a comment. Bytes that are not UTF-8 are accepted in
//! comments only: there they cannot change what is installed.

use std::borrow::Cow;

/// The most a file or text may hold, bytes.
pub(super) const MAX_TEXT_BYTES: usize = 8 << 20;
/// The longest line, continuations included, bytes.
pub(super) const MAX_LINE_BYTES: usize = 64 << 10;
/// The most lines.
const MAX_LINES: usize = 100_000;

/// What is wrong with a text, and in which line (from 1).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) line: Option<usize>,
    pub(super) reason: String,
}

/// A line as it is meant: joined, without comment and surrounding white space, never empty.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// The line it begins in, from 1.
    pub(super) number: usize,
    pub(super) text: String,
}

/// Takes a text apart.
///
/// # Errors
/// If a limit is exceeded, or it holds NUL bytes, or what is not UTF-8 outside comments.
pub(super) fn split(bytes: &[u8]) -> Result<Vec<Line>, Flaw> {
    if bytes.len() > MAX_TEXT_BYTES {
        return Err(Flaw { line: None, reason: format!("it is larger than {} MiB", MAX_TEXT_BYTES >> 20) });
    }
    let text = decode(bytes)?;
    let mut lines = Vec::new();
    let mut joined: Option<Line> = None;
    for (index, physical) in Physical(&text).enumerate() {
        let number = index + 1;
        let flaw = |reason: String| Flaw { line: Some(number), reason };
        if number > MAX_LINES {
            return Err(flaw(format!("there are more than {MAX_LINES} lines")));
        }
        if physical.contains('\0') {
            return Err(flaw("it holds a NUL byte".into()));
        }
        let is_comment = physical.trim_start().starts_with('#');
        let continues = physical.ends_with('\\') && !is_comment;
        let part = if continues { physical.trim_end_matches('\\') } else { physical };
        let line = joined.get_or_insert_with(|| Line { number, text: String::new() });
        if line.text.len() + part.len() > MAX_LINE_BYTES {
            return Err(flaw(format!("the line is longer than {} KiB", MAX_LINE_BYTES >> 10)));
        }
        if is_comment {
            // A comment ends a continued line, and stays one behind it.
            line.text.push(' ');
        }
        line.text.push_str(part);
        if !continues {
            keep(joined.take(), &mut lines)?;
        }
    }
    keep(joined, &mut lines)?;
    Ok(lines)
}

/// A single line, such as an argument: its comment and white space taken off.
pub(super) fn without_comment(text: &str) -> &str {
    let comment =
        text.char_indices().find(|&(at, c)| c == '#' && text[..at].chars().next_back().is_none_or(char::is_whitespace));
    text[..comment.map_or(text.len(), |(at, _)| at)].trim()
}

fn keep(line: Option<Line>, lines: &mut Vec<Line>) -> Result<(), Flaw> {
    let Some(mut line) = line else { return Ok(()) };
    let text = without_comment(&line.text);
    if text.contains(char::REPLACEMENT_CHARACTER) {
        return Err(Flaw { line: Some(line.number), reason: "it holds bytes that are not UTF-8".into() });
    }
    if !text.is_empty() {
        line.text = text.to_owned();
        lines.push(line);
    }
    Ok(())
}

fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, Flaw> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks(2).map(|pair| unit([pair[0], *pair.get(1).unwrap_or(&0)]));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>()
    };
    Ok(match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest),
        // The mark of UTF-32, little endian, begins like the one of UTF-16.
        [0xff, 0xfe, 0, 0, ..] => return Err(Flaw { line: None, reason: "it is UTF-32, write it as UTF-8".into() }),
        [0xff, 0xfe, rest @ ..] => Cow::Owned(wide(rest, u16::from_le_bytes)),
        [0xfe, 0xff, rest @ ..] => Cow::Owned(wide(rest, u16::from_be_bytes)),
        _ => String::from_utf8_lossy(bytes),
    })
}

/// The lines between `\n`, `\r\n` and `\r`.
struct Physical<'a>(&'a str);

impl<'a> Iterator for Physical<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.find(['\n', '\r']).unwrap_or(self.0.len());
        let (line, rest) = self.0.split_at(end);
        self.0 = rest.strip_prefix("\r\n").or_else(|| rest.get(1..)).unwrap_or("");
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<(usize, String)> {
        split(bytes).expect("lines").into_iter().map(|l| (l.number, l.text)).collect()
    }

    fn of(expected: &[(usize, &str)]) -> Vec<(usize, String)> {
        expected.iter().map(|(n, t)| (*n, (*t).to_owned())).collect()
    }

    #[test]
    fn line_ends_and_marks_make_no_difference() {
        let expected = of(&[(1, "a"), (3, "b")]);
        for text in ["a\n\nb\n", "a\n\nb", "a\r\n\r\nb\r\n", "a\r\rb", "\u{feff}a\n\nb", "  a\t\n\n\u{a0}b  "] {
            assert_eq!(lines(text.as_bytes()), expected, "{text:?}");
        }
        let wide: Vec<u16> = "\u{feff}a\r\n\r\nb".encode_utf16().collect();
        assert_eq!(lines(&wide.iter().flat_map(|u| u.to_le_bytes()).collect::<Vec<_>>()), expected);
        assert_eq!(lines(&wide.iter().flat_map(|u| u.to_be_bytes()).collect::<Vec<_>>()), expected);
        assert_eq!(lines(b""), of(&[]));
    }

    #[test]
    fn comments_and_continuations_are_those_of_pip() {
        for (text, expected) in [
            ("a # x\n#b\n  # c\nd#e\n", &[(1, "a"), (4, "d#e")][..]),
            ("a \\\n  --hash=x \\\n  --hash=y\nb", &[(1, "a   --hash=x   --hash=y"), (4, "b")]),
            ("fo\\\no\n", &[(1, "foo")]),
            ("a \\\n# gone\nb\n", &[(1, "a"), (3, "b")]),
            ("# c \\\nb\n", &[(2, "b")]),
            ("a # c \\\nb\n", &[(1, "a")]),
            ("a\\", &[(1, "a")]),
            ("\\\n\\\n\n", &[]),
            ("# ümlaut ✓\na", &[(2, "a")]),
        ] {
            assert_eq!(lines(text.as_bytes()), of(expected), "{text:?}");
        }
    }

    #[test]
    fn foreign_bytes_are_accepted_in_comments_only() {
        assert_eq!(lines(b"a # caf\xe9\nb\n"), of(&[(1, "a"), (2, "b")]));
        let flaw = split(b"a\nb\xe9\n").expect_err("no UTF-8");
        assert_eq!(flaw, Flaw { line: Some(2), reason: "it holds bytes that are not UTF-8".into() });
    }

    #[test]
    fn limits_name_the_line() {
        let line_of = |bytes: &[u8]| split(bytes).expect_err("over a limit").line;
        assert_eq!(line_of(&vec![b'\n'; MAX_TEXT_BYTES + 1]), None);
        assert_eq!(line_of(&vec![b'\n'; MAX_LINES + 1]), Some(MAX_LINES + 1));
        assert_eq!(line_of(b"a\nb\0\n"), Some(2));
        assert_eq!(line_of(format!("a\n{}", "b".repeat(MAX_LINE_BYTES + 1)).as_bytes()), Some(2));
        assert_eq!(line_of("b\\\n".repeat(MAX_LINE_BYTES + 1).as_bytes()), Some(MAX_LINE_BYTES + 1));
        assert_eq!(line_of(b"\xff\xfe\0\0a\0\0\0"), None);
    }
}
