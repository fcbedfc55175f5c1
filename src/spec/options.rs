//! Options in requirement lines: which there are, and taking a line apart into them.

/// What an option in a requirements file asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Reads another file (`-r`).
    Requirements,
    /// Reads a file of constraints (`-c`).
    Constraints,
    /// Chooses where artifacts come from. `path` if its value may be a directory.
    Source { path: bool },
    /// Changes what may be chosen, and is kept.
    Choice,
    /// A choice that names packages, or `:all:` or `:none:`.
    Packages,
    /// Means nothing to the resolver used here.
    Nothing,
}

/// An option that requirements files may hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// The long name, with dashes.
    pub(super) name: &'static str,
    pub(super) effect: Effect,
    takes_value: bool,
}

const fn known(name: &'static str, effect: Effect, takes_value: bool) -> Known {
    Known { name, effect, takes_value }
}

static KNOWN: &[Known] = &[
    known("--requirement", Effect::Requirements, true),
    known("--constraint", Effect::Constraints, true),
    known("--index-url", Effect::Source { path: false }, true),
    known("--extra-index-url", Effect::Source { path: false }, true),
    known("--find-links", Effect::Source { path: true }, true),
    known("--trusted-host", Effect::Source { path: false }, true),
    known("--no-index", Effect::Source { path: false }, false),
    known("--pre", Effect::Choice, false),
    known("--require-hashes", Effect::Choice, false),
    known("--no-binary", Effect::Packages, true),
    known("--only-binary", Effect::Packages, true),
    known("--prefer-binary", Effect::Nothing, false),
];

/// Other spellings pip accepts.
static ALIASES: &[(&str, &str)] = &[
    ("-r", "--requirement"),
    ("-c", "--constraint"),
    ("-i", "--index-url"),
    ("-f", "--find-links"),
    ("--pypi-url", "--index-url"),
];

/// One option of a line, its value taken off.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) known: &'static Known,
    /// Empty where the option takes none.
    pub(super) value: String,
}

/// Reads a line that begins with a dash.
///
/// # Errors
/// If an option is unknown, has no value or one too many, or a quote is not closed.
pub(super) fn parse(line: &str) -> Result<Vec<Given>, String> {
    let mut words = words(line)?.into_iter();
    let mut given = Vec::new();
    while let Some(word) = words.next() {
        let (name, attached) = name_and_value(&word);
        let long = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, long)| long);
        let Some(known) = KNOWN.iter().find(|known| known.name == long) else {
            let what = if name.starts_with('-') { "the option" } else { "behind an option," };
            return Err(format!("{what} `{name}` is not supported in a declaration"));
        };
        let value = match (known.takes_value, attached) {
            (true, Some(value)) => value.to_owned(),
            (true, None) => words.next().unwrap_or_default(),
            (false, None) => String::new(),
            (false, Some(_)) => return Err(format!("the option `{name}` takes no value")),
        };
        if known.takes_value && value.is_empty() {
            return Err(format!("the option `{name}` needs a value"));
        }
        given.push(Given { known, value });
    }
    Ok(given)
}

/// The requirement behind `-e` or `--editable`, if a line begins with it.
pub(super) fn editable(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("--editable").or_else(|| line.strip_prefix("-e"))?;
    let value = rest.strip_prefix('=').unwrap_or(rest).trim();
    // `-e"./path"` and `-egit+https://…` are what pip accepts too; `-extra` is nothing.
    (rest.is_empty() || rest.starts_with([' ', '\t', '=', '"', '\'', '.', '/']) || rest.contains("://"))
        .then(|| unquoted(value))
}

/// Takes a requirement and the options behind it apart: `foo==1 --hash=…`.
pub(super) fn split_trailing(line: &str) -> (&str, &str) {
    let start = line.match_indices(" --").chain(line.match_indices("\t--")).map(|(at, _)| at).min();
    let (requirement, options) = line.split_at(start.unwrap_or(line.len()));
    (requirement.trim_end(), options.trim())
}

/// The digests of `--hash` options, `algorithm:hex` in lowercase, sorted, without duplicates.
///
/// # Errors
/// If there is another option, or a digest that is none.
pub(super) fn hashes(options: &str) -> Result<Vec<String>, String> {
    let mut words = words(options)?.into_iter();
    let mut hashes = Vec::new();
    while let Some(word) = words.next() {
        let (name, attached) = name_and_value(&word);
        if name != "--hash" {
            return Err(format!("the option `{name}` is not supported behind a requirement"));
        }
        let value = attached.map_or_else(|| words.next().unwrap_or_default(), str::to_owned).to_ascii_lowercase();
        let length = match value.split_once(':') {
            Some(("sha256", hex)) => Some((hex, 64)),
            Some(("sha384", hex)) => Some((hex, 96)),
            Some(("sha512", hex)) => Some((hex, 128)),
            _ => None,
        };
        if !length.is_some_and(|(hex, length)| hex.len() == length && hex.bytes().all(|b| b.is_ascii_hexdigit())) {
            return Err(format!("`--hash={value}` is no digest: write `sha256:`, `sha384:` or `sha512:` and its hex"));
        }
        hashes.push(value);
    }
    hashes.sort();
    hashes.dedup();
    Ok(hashes)
}

/// The option's name, and a value that is attached to it.
fn name_and_value(word: &str) -> (&str, Option<&str>) {
    if word.starts_with("--") {
        return word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    }
    match word.char_indices().nth(2) {
        Some((at, _)) if word.starts_with('-') => (&word[..at], Some(&word[at..])),
        _ => (word, None),
    }
}

fn unquoted(text: &str) -> &str {
    ['"', '\''].iter().find_map(|&quote| text.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(text)
}

/// Splits at white space as a POSIX shell does, quotes and backslashes included, nothing expanded.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => {
                word.get_or_insert_default().extend(chars.next());
            }
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".into());
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_one_name() {
        for (line, expected) in [
            ("-r base.txt", &[("--requirement", "base.txt")][..]),
            ("-rbase.txt", &[("--requirement", "base.txt")]),
            ("--requirement=base.txt", &[("--requirement", "base.txt")]),
            ("--requirement  'my base.txt'", &[("--requirement", "my base.txt")]),
            ("-c my\\ base.txt", &[("--constraint", "my base.txt")]),
            ("--pypi-url https://h/", &[("--index-url", "https://h/")]),
            ("--pre --no-binary :all:", &[("--pre", ""), ("--no-binary", ":all:")]),
            ("-i https://h/?a=b --no-index", &[("--index-url", "https://h/?a=b"), ("--no-index", "")]),
        ] {
            let given = parse(line).expect(line);
            let given: Vec<_> = given.iter().map(|g| (g.known.name, g.value.as_str())).collect();
            assert_eq!(given, expected, "{line}");
        }
        for (line, named) in [
            ("--use-feature=x", "`--use-feature`"),
            ("--config-settings a=b", "`--config-settings`"),
            ("-x", "`-x`"),
            ("-r", "`-r`"),
            ("--requirement=", "`--requirement`"),
            ("--pre=yes", "`--pre`"),
            ("--pre foo", "`foo`"),
            ("-r 'a", "quote"),
            ("-", "`-`"),
            ("--", "`--`"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.contains(named), "{line}: {error}");
        }
    }

    #[test]
    fn editables_are_told_from_other_options() {
        assert_eq!(editable("-e ./x"), Some("./x"));
        assert_eq!(editable("--editable=./x"), Some("./x"));
        assert_eq!(editable("-e './my x'"), Some("./my x"));
        assert_eq!(editable("-egit+https://h/r"), Some("git+https://h/r"));
        assert_eq!(editable("-e"), Some(""));
        assert_eq!(editable("--extra-index-url x"), None);
        assert_eq!(editable("-extra"), None);
    }

    #[test]
    fn hashes_are_a_sorted_set() {
        let (a, b) = (format!("sha256:{}", "a".repeat(64)), format!("sha512:{}", "b".repeat(128)));
        let (requirement, options) = split_trailing("foo==1 ; os_name == 'nt'   --hash=x\t--hash y");
        assert_eq!((requirement, options), ("foo==1 ; os_name == 'nt'", "--hash=x\t--hash y"));
        let given = format!("--hash={b} --hash {} --hash={a}", a.to_uppercase());
        assert_eq!(hashes(&given), Ok(vec![a, b]));
        for bad in ["--hash", "--hash=md5:00", "--hash=sha256:zz", "--hash=sha256", "--global-option=x"] {
            assert!(hashes(bad).is_err(), "{bad}");
        }
    }
}
