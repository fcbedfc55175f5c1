//! One requirement in canonical text: PEP 508 as `uv-pep508` reads it, and the links that pip accepts beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::str::FromStr;

use url::Url;
use uv_pep508::{MarkerTree, Pep508ErrorSource, VersionOrUrl};

use super::{Requirement, link, range};

type Parsed = uv_pep508::Requirement<Url>;

/// The most kinds of environment a marker may tell apart. At this limit a canonical marker takes some 10 ms and
/// 10 KB, at ten times as many a second and 100 KB.
const MAX_COMBINATIONS: usize = 2048;
/// The deepest nesting of parentheses: the parser is recursive.
const MAX_DEPTH: usize = 32;

/// A requirement and what is worth telling about it.
pub(super) struct Read {
    pub(super) requirement: Requirement,
    /// Its normalised name, where that is certain.
    pub(super) name: Option<String>,
    pub(super) notes: Vec<String>,
}

/// Reads a requirement without comment and options. Relative paths are relative to `base_dir`; `hashes` are
/// sorted, and become part of it.
///
/// # Errors
/// If it is none, or one that must not be; the message does not repeat it.
pub(super) fn read(text: &str, hashes: &[String], base_dir: &Path) -> Result<Read, String> {
    let (named, place) = match split_name(text) {
        Some((name, place)) => (Some(name), place),
        None if link::is_link(text) => (None, text),
        None => {
            guard(text)?;
            let parsed = parse(text)?;
            let canonical = plain(&parsed)?;
            let name = Some(parsed.name.to_string());
            let canonical = with_tail(canonical, parsed.marker, hashes);
            return Ok(Read { requirement: Requirement { canonical, install: None }, name, notes: Vec::new() });
        }
    };
    let (place, marker) = split_marker(place);
    let marker = marker.map(read_marker).transpose()?.unwrap_or_default();
    let link = link::read(place, base_dir)?;
    let extras = head_of(&format!("x{}", link.extras))?.1.split_off(1);
    let declared = named.map(head_of).transpose()?;
    let found = match &link.name {
        Some(name) if name.contains('[') => Some(head_of(name)?),
        Some(name) => Some(head_of(&format!("{name}{extras}"))?),
        None => None,
    };
    if let (Some((declared, _)), Some((found, _))) = (&declared, &found)
        && declared != found
        && !link.is_guess
    {
        return Err(format!("it names `{declared}`, what it points to is `{found}`"));
    }
    // An installer finds out a guessed name itself.
    let said = declared.or_else(|| found.clone().filter(|_| !link.is_guess));
    let full = |head: Option<&(String, String)>, place: &str| {
        let text = head.map_or_else(|| format!("{place}{extras}"), |(_, head)| format!("{head} @ {place}"));
        with_tail(text, marker, hashes)
    };
    let canonical = full(said.as_ref().or(found.as_ref()), &link.canonical);
    let install = link.install.as_deref().map(|place| full(said.as_ref(), place));
    Ok(Read { requirement: Requirement { canonical, install }, name: said.map(|(name, _)| name), notes: link.notes })
}

/// The normalised name of `name[extras]`, and the whole in canonical text.
fn head_of(text: &str) -> Result<(String, String), String> {
    let parsed = parse(text)?;
    Ok((parsed.name.to_string(), plain(&parsed)?))
}

/// The name of a package, normalised.
pub(super) fn package_name(text: &str) -> Result<String, String> {
    uv_normalize::PackageName::from_str(text)
        .map(|name| name.to_string())
        .map_err(|_| format!("`{text}` is no package name"))
}

/// Name, extras and specifiers in canonical text.
fn plain(parsed: &Parsed) -> Result<String, String> {
    let mut text = parsed.name.to_string();
    if !parsed.extras.is_empty() {
        let mut extras: Vec<String> = parsed.extras.iter().map(ToString::to_string).collect();
        extras.sort();
        extras.dedup();
        text.push_str(&format!("[{}]", extras.join(",")));
    }
    match &parsed.version_or_url {
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => {
            text.push_str(&range::join(specifiers.iter().cloned().collect()))
        }
        Some(VersionOrUrl::Url(_)) => return Err("a URL stands behind ` @ `".into()),
        None => {}
    }
    Ok(text)
}

fn with_tail(mut text: String, marker: MarkerTree, hashes: &[String]) -> String {
    if marker.is_false() {
        // `uv-pep508` writes `python_version < '0'` and reads that back as this.
        text.push_str(" ; python_full_version < '0'");
    } else if let Some(marker) = marker_text(marker) {
        text.push_str(&format!(" ; {marker}"));
    }
    for hash in hashes {
        text.push_str(&format!(" --hash={hash}"));
    }
    text
}

/// A marker's text; none if it always holds.
///
/// `uv-pep508` keeps one copy of equal markers a process, and writes a version as whoever came first wrote it: `3`, `3.0` and
/// `3.0.0` are one. Here it is the shortest, or a spec's digest would depend on what else a process has read.
fn marker_text(marker: MarkerTree) -> Option<String> {
    let text = marker.contents()?.to_string();
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(open) = rest.find('\'') {
        let (before, behind) = rest.split_at(open + 1);
        let Some(end) = behind.find('\'') else { break };
        let variable = before.rsplit(['(', ')']).next().unwrap_or(before).split_whitespace().rev().nth(2);
        let literal = &behind[..end];
        let is_version = matches!(variable, Some("python_full_version" | "python_version" | "implementation_version"));
        out.push_str(before);
        out.push_str(if is_version { shortest(literal) } else { literal });
        out.push('\'');
        rest = &behind[end + 1..];
    }
    out.push_str(rest);
    Some(out)
}

/// A release without zeros at its end.
fn shortest(version: &str) -> &str {
    let mut version = version;
    if version.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        while let Some(shorter) = version.strip_suffix(".0") {
            version = shorter;
        }
    }
    version
}

fn parse(text: &str) -> Result<Parsed, String> {
    Parsed::from_str(text).map_err(|error| match error.message {
        Pep508ErrorSource::String(message) | Pep508ErrorSource::UnsupportedRequirement(message) => one_line(&message),
        Pep508ErrorSource::UrlError(error) => error.to_string(),
    })
}

fn read_marker(text: &str) -> Result<MarkerTree, String> {
    let text = format!("x ; {text}");
    guard(&text)?;
    parse(&text).map(|parsed| parsed.marker)
}

/// A marker in canonical text: empty if it always holds, none if it never does.
pub(super) fn canonical_marker(text: &str) -> Result<Option<String>, String> {
    let marker = read_marker(text).map_err(|reason| format!("the marker `{text}` is none: {reason}"))?;
    Ok((!marker.is_false()).then(|| marker_text(marker).unwrap_or_default()))
}

/// The extras that a requirement asks of the project `name` itself; none if it is about another one.
pub(super) fn extras_of(name: &str, text: &str) -> Option<Vec<String>> {
    let parsed = parse(text).ok().filter(|parsed| parsed.name.to_string() == name && parsed.marker.is_true())?;
    Some(parsed.extras.iter().map(ToString::to_string).collect())
}

/// Refuses what the parser would take too long or too deep over.
fn guard(text: &str) -> Result<(), String> {
    let Some((_, marker)) = text.split_once(';') else { return Ok(()) };
    let mut depth = 0usize;
    for c in marker.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(format!("its marker is nested more than {MAX_DEPTH} deep"));
        }
    }
    if combinations(marker) > MAX_COMBINATIONS {
        return Err(format!("its marker tells more than {MAX_COMBINATIONS} kinds of environment apart"));
    }
    Ok(())
}

/// How many kinds of environment a marker can tell apart at most: for each variable the values it is compared
/// with, and any other. The text of a canonical marker grows with their product.
fn combinations(marker: &str) -> usize {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let (mut variable, mut literal) = (None, None);
    let mut rest = marker;
    while let Some(start) = rest.find(|c: char| matches!(c, '\'' | '"' | '_') || c.is_ascii_alphanumeric()) {
        rest = &rest[start..];
        let (token, tail) = match rest.as_bytes()[0] {
            quote @ (b'\'' | b'"') => {
                let end = rest[1..].find(char::from(quote)).map_or(rest.len(), |at| at + 1);
                literal = Some(&rest[1..end]);
                ("", rest.get(end + 1..).unwrap_or(""))
            }
            _ => rest.split_at(
                rest.find(|c: char| !matches!(c, '_' | '.') && !c.is_ascii_alphanumeric()).unwrap_or(rest.len()),
            ),
        };
        rest = tail;
        match token {
            "" | "and" | "or" | "not" | "in" => {}
            // Both are compared as the full version.
            "python_version" => variable = Some("python_full_version"),
            other => variable = Some(other),
        }
        if let (Some(name), Some(words)) = (variable, literal) {
            // Every extra is a variable of its own, on or off.
            let is_extra = matches!(name, "extra" | "extras" | "dependency_groups");
            for word in words.split([' ', ',', '|']).filter(|word| !word.is_empty()) {
                values.entry(if is_extra { word } else { name }).or_default().insert(if is_extra {
                    name
                } else {
                    word
                });
            }
            (variable, literal) = (None, None);
        }
    }
    values.values().fold(1, |product: usize, values| product.saturating_mul(values.len() + 1))
}

/// Parts `name[extras] @ place`.
fn split_name(text: &str) -> Option<(&str, &str)> {
    let name = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')))?;
    let rest = text[name..].trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(extras) => extras[extras.find(']')? + 1..].trim_start(),
        None => rest,
    };
    let place = rest.strip_prefix('@')?;
    Some((text[..text.len() - rest.len()].trim_end(), place.trim()))
}

/// Parts a link from its marker: at a `;` with white space on one side of it, as PEP 508 and pip have it.
fn split_marker(text: &str) -> (&str, Option<&str>) {
    let is_white = |c: Option<char>| c.is_some_and(char::is_whitespace);
    let at = text
        .match_indices(';')
        .map(|(at, _)| at)
        .find(|&at| is_white(text[..at].chars().next_back()) || is_white(text[at + 1..].chars().next()));
    match at {
        Some(at) => (text[..at].trim_end(), Some(text[at + 1..].trim())),
        None => (text, None),
    }
}

/// The parser's message as part of a sentence.
fn one_line(message: &str) -> String {
    let mut chars = message.trim().chars();
    let first = chars.next().map(|c| c.to_lowercase().to_string()).unwrap_or_default();
    let rest: String = chars.map(|c| if c == '\n' { ' ' } else { c }).collect();
    first + &rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> String {
        read(text, &[], Path::new("/nowhere"))
            .map_or_else(|error| format!("error: {error}"), |read| read.requirement.canonical)
    }

    #[test]
    fn equal_requirements_have_one_text() {
        for (given, expected) in [
            ("Flask", "flask"),
            ("ruamel.yaml_clib", "ruamel-yaml-clib"),
            ("foo == 1.0.0RC1", "foo==1.0.0rc1"),
            ("foo==1.0-post1", "foo==1.0.post1"),
            ("foo==v1.0", "foo==1.0"),
            ("foo==1.0+Ubuntu_1", "foo==1.0+ubuntu.1"),
            ("foo <2, >=1 ,!=1.5", "foo>=1,!=1.5,<2"),
            ("foo>=1,>=1", "foo>=1"),
            ("foo (>=1.0)", "foo>=1.0"),
            ("foo(>=1.0,<2)", "foo>=1.0,<2"),
            ("foo>=1.0,", "foo>=1.0"),
            ("foo===1.0.0", "foo===1.0.0"),
            ("Foo [ Security, socks_5,security ] >= 1", "foo[security,socks-5]>=1"),
            ("foo[]", "foo"),
            ("foo;python_version<'3'", "foo ; python_full_version < '3'"),
            ("foo;python_version<'3.0'", "foo ; python_full_version < '3'"),
            ("foo ; python_full_version>='3.10.0'", "foo ; python_full_version >= '3.10'"),
            ("foo ; python_version=='3.0.*'", "foo ; python_full_version == '3.0.*'"),
            ("foo ; platform_release=='3.0'", "foo ; platform_release == '3.0'"),
            (
                "foo ; (os_name=='3.0' or python_version < '4.0.0')",
                "foo ; python_full_version < '4' or os_name == '3.0'",
            ),
            ("foo ; (python_version >= \"3.6\")", "foo ; python_full_version >= '3.6'"),
            ("foo ; os_name=='nt' or os_name=='posix'", "foo ; os_name == 'nt' or os_name == 'posix'"),
            ("foo ; os_name=='posix' or os_name=='nt'", "foo ; os_name == 'nt' or os_name == 'posix'"),
            ("foo ; python_version >= '3.4' and python_version < '3'", "foo ; python_full_version < '0'"),
            ("foo ; python_version >= '3' or python_version < '3'", "foo"),
            ("foo @ https://H.example/a.zip", "foo @ https://h.example/a.zip"),
            ("foo@https://h/a.zip;python_version<'3'", "foo @ https://h/a.zip;python_version%3C'3'"),
            ("foo @ https://h/a.zip ; python_version<'3'", "foo @ https://h/a.zip ; python_full_version < '3'"),
            ("https://h/Foo_Bar-1.0-py3-none-any.whl", "foo-bar @ https://h/Foo_Bar-1.0-py3-none-any.whl"),
            ("https://h/foo-1.0.tar.gz", "https://h/foo-1.0.tar.gz"),
            ("https://h/x.zip#egg=Foo[Bar]&sha256=AB", "foo[bar] @ https://h/x.zip#sha256=ab"),
            ("git+https://h/o/r.git@ref#egg=Foo", "foo @ git+https://h/o/r.git@ref"),
            ("Foo @ git+https://h/o/r.git@ref", "foo @ git+https://h/o/r.git@ref"),
            ("git+https://h/o/r#egg=kayako&&subdirectory=src", "kayako @ git+https://h/o/r#subdirectory=src"),
            ("git+https://h/o/r#subdirectory=src&egg=kayako", "kayako @ git+https://h/o/r#subdirectory=src"),
            ("git+https://h/o/r#egg=UNKNOWN", "git+https://h/o/r"),
            ("git+https://h/o/r#egg=foo==1.0", "foo @ git+https://h/o/r"),
            ("git+https://h/o/r#3dfaa8c8500e644d7a36a8fed9fae537f2eab697", "git+https://h/o/r"),
            ("git+ssh://git@h/o/r", "git+ssh://git@h/o/r"),
            ("git+https://h/o/r@v1 ; os_name == 'nt'", "git+https://h/o/r@v1 ; os_name == 'nt'"),
            ("GIT+HTTPS://h/o/r[Dev,a_b]", "git+https://h/o/r[a-b,dev]"),
            ("https://h/foo-1.0-py3-none-any.whl[B,a]", "foo[a,b] @ https://h/foo-1.0-py3-none-any.whl"),
        ] {
            let text = canonical(given);
            assert_eq!(text, expected, "{given}");
            assert_eq!(canonical(&text), text, "{given}: again");
        }
    }

    #[test]
    fn what_is_refused_says_why() {
        for (given, because) in [
            ("foo bar", "expected"),
            ("foo==", "version"),
            ("foo>=1.0.*", "wildcard"),
            ("foo=1", "="),
            ("-foo", "alphanumeric"),
            ("foo ; python_versio < '3'", "marker"),
            ("foo @", "cannot read"),
            ("hg+https://h/r", "only Git"),
            ("git+git://h/o/r", "write `git+https:`"),
            ("git+foo://h/r", "no place"),
            ("git://h/r", "write `git+`"),
            ("git+ssh://git@h:o/r", "stands a `/`"),
            ("https://user:pw@h/x.whl", "credentials"),
            ("git+https://s3cret@h/r", "credentials"),
            ("git+ssh://git:pw@h/r", "credentials"),
            ("https://h/x.zip?X-Amz-Signature=abc", "secret"),
            ("https://h/x.zip?private_token=abc", "secret"),
            ("https://h/a b.zip", "white space"),
            ("https://h/foo.whl", "no name of a wheel"),
            ("foo @ https://h/bar-1.0-py3-none-any.whl", "what it points to is `bar`"),
            ("git+https://h/r#egg=a b&subdirectory=../x", "no directory"),
            ("./nowhere.whl", "cannot read `/nowhere/./nowhere.whl`"),
            ("nowhere/pkg", "cannot read"),
            ("foo-1.0.tar.gz", "cannot read"),
            ("file://host/x.whl", "names no host"),
        ] {
            let text = canonical(given);
            assert!(text.starts_with("error: ") && text.contains(because), "{given}: {text}");
            assert!(!text.contains("s3cret") && !text.contains("pw@"), "{text}");
        }
    }

    #[test]
    fn markers_cannot_exhaust_the_reader() {
        let nested = format!("foo ; {}os_name == 'nt'{}", "(".repeat(20_000), ")".repeat(20_000));
        assert!(canonical(&nested).contains("nested"), "{}", canonical(&nested));
        let same = format!("foo ; {}", vec!["os_name == 'nt'"; 2_000].join(" or "));
        assert_eq!(canonical(&same), "foo ; os_name == 'nt'");
        let variables =
            ["os_name", "sys_platform", "platform_machine", "platform_release", "platform_system", "platform_version"];
        let pairs = |n: usize| {
            let pair = |i: usize| format!("({} == 'a{i}' and {} != 'b{i}')", variables[i % 6], variables[(i + 3) % 6]);
            format!("foo ; {}", (0..n).map(pair).collect::<Vec<_>>().join(" or "))
        };
        assert!(canonical(&pairs(30)).contains("kinds of environment"), "{}", canonical(&pairs(30)));
        let extras: Vec<String> = (0..24).map(|i| format!("extra == 'e{i}'")).collect();
        assert!(canonical(&format!("foo ; {}", extras.join(" and "))).contains("kinds of environment"));
        // The worst form known that is within the limit, and its canonical text is within it too.
        let text = canonical(&pairs(7));
        assert!(text.starts_with("foo ; "), "{text}");
        assert_eq!(canonical(&text), text);
    }

    fn requirement() -> impl Strategy<Value = String> {
        let name = "[A-Za-z][A-Za-z0-9]{0,5}([._-]{1,2}[A-Za-z0-9]{1,4}){0,2}";
        let extras = prop::collection::vec("[A-Za-z][A-Za-z0-9_-]{0,3}[a-z]", 0..3);
        let version = "(>=|<|<=|==|!=|~=|===|>) ?[0-9]{1,2}\\.[0-9]{1,2}(\\.[0-9]{1,2})?((a|B|rc|RC)[0-9]|\\.post[0-9]|\\.dev[0-9])?";
        let versions = prop::collection::vec(version, 0..3);
        let comparison = prop_oneof![
            "python_version (<|>=|==|!=) '[23]\\.[0-9]{1,2}'",
            "(os_name|sys_platform|platform_machine) (==|!=) \"(nt|posix|linux|win32|arm64)\"",
            "python_full_version (<|>=) '3\\.[0-9]\\.[0-9]'",
            "extra == '[a-c]'",
        ];
        let markers = prop::collection::vec((comparison, prop_oneof![Just(" and "), Just(" or ")]), 0..5);
        (name, extras, versions, markers).prop_map(|(name, extras, versions, markers)| {
            let extras = if extras.is_empty() { String::new() } else { format!("[{}]", extras.join(" , ")) };
            let mut text = format!("{name}{extras} {}", versions.join(" , "));
            for (index, (comparison, operator)) in markers.iter().enumerate() {
                text.push_str(if index == 0 { " ; " } else { operator });
                text.push_str(comparison);
            }
            text
        })
    }

    proptest! {
        #[test]
        fn a_canonical_requirement_is_a_fixpoint(text in requirement()) {
            let once = canonical(&text);
            prop_assert!(!once.starts_with("error"), "{text}: {once}");
            prop_assert_eq!(canonical(&once), once);
        }

        #[test]
        fn case_and_separators_of_a_name_never_matter(name in "[a-z]{1,4}([._-][a-z0-9]{1,3}){0,3}", swap in "[._-]{1,2}") {
            let other: String = name.chars().map(|c| if matches!(c, '.' | '-' | '_') { swap.clone() } else { c.to_uppercase().to_string() }).collect();
            prop_assert_eq!(canonical(&name), canonical(&other));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            canonical(&text);
        }

        #[test]
        fn no_text_of_the_right_letters_panics(text in "[-a1.\\[\\]@#;:/+%='\"<>~!(), ]{0,40}") {
            let once = canonical(&text);
            if !once.starts_with("error") {
                prop_assert_eq!(canonical(&once), once);
            }
        }
    }
}
