//! Good lines, bad lines, and that every command teaches itself.

use clap::CommandFactory;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    let args: Vec<_> = std::iter::once("envstore").chain(line.split_whitespace()).map(Into::into).collect();
    super::super::parse(&args, Color::Never)
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn global_flags_stand_before_and_after_the_command() {
    for line in ["--store /s --offline list", "list --store /s --offline"] {
        let cli = parse(line).expect(line);
        assert_eq!(cli.global.store.as_deref(), Some(std::path::Path::new("/s")));
        assert!(cli.global.offline && matches!(cli.command, Command::List(_)));
    }
}

#[test]
fn good_lines() {
    for line in [
        "ensure aws.s3",
        "ensure aws.s3 -r a.txt -r b.txt --with six -c c.txt --python 3.11 --no-deps",
        "ensure aws.s3 --from packs/aws --python >=3.9,<3.12 --upgrade --rebuild --allow-kept --like venv",
        "ensure aws.s3 --from packs/aws --seed setuptools<82",
        "which aws.s3",
        "exec aws.s3 -- python -c pass --store x",
        "sync packs list.jsonl -j 4 --remove-missing --yes --share-with group",
        "ensure aws.s3 --from pyproject.toml --extra s3 --extra http",
        "sync packs --dry-run --remove-missing",
        "sync packs --like old --links venvs",
        "list --all --group-by env",
        "show env:abcdefgh",
        "history aws.s3",
        "rollback aws.s3 --to 3 --dry-run",
        "upgrade aws.s3 web -P urllib3 --dry-run",
        "upgrade --all",
        "upgrade --using urllib3<2.2.2 -P urllib3",
        "ensure aws.s3 --upgrade -P urllib3",
        "diff a b",
        "diff a --from 1 --to 2",
        "why env:abcdefgh",
        "pin release aws.s3 --until 2027-03-31",
        "unpin release",
        "events aws.s3 --limit 10",
        "link aws.s3 /opt/virtualenvs/aws",
        "unlink /opt/virtualenvs/aws",
        "who-uses urllib3<2.2.2 --exit-code",
        "logs aws.s3",
        "export aws.s3",
        "export aws.s3 --to requirements -o r.txt",
        "export --all --to pylock --output packs",
        "export aws.s3 --to cyclonedx",
        "export --all --to cyclonedx -o bills",
        "checkout aws.s3 /tmp/env",
        "gc --idle 12h --max-size 20GiB --min-free 10% --drop-retained --dry-run",
        "migrate",
        "seal",
        "unseal",
        "doctor",
        "doctor aws.s3",
        "du --all",
        "verify aws.s3 --full",
        "verify --repair",
        "verify env:abcdefgh --full --repair",
        "config show --format json",
        "completions bash",
    ] {
        parse(line).expect(line);
    }
}

#[test]
fn bad_lines() {
    for line in [
        "",
        "ensure",
        "ensure aws.s3 --from p -r a.txt",
        "ensure aws.s3 --python 3.11",
        "ensure aws.s3 --no-deps",
        "ensure aws.s3 --seed setuptools",
        "ensure aws.s3 --with six --extra s3",
        "ensure @envstore/uv --with uv",
        "exec aws.s3 python",
        "exec aws.s3",
        "sync",
        "sync p -j 0",
        "sync p -j -1",
        "sync p -j 1000",
        "sync p --yes",
        "sync p --check --dry-run",
        "sync p --check --remove-missing",
        "list --stale --all",
        "rollback",
        "diff",
        "pin release aws.s3 --until soon",
        "upgrade",
        "upgrade aws.s3 --all",
        "upgrade aws.s3 -P urllib3<2",
        "ensure aws.s3 -P urllib3",
        "rollback aws.s3 --to 0",
        "export",
        "export aws.s3 --all -o x",
        "export --all",
        "export aws.s3 --to poetry",
        "checkout aws.s3",
        "gc --idle soon",
        "gc --max-size big",
        "seal aws.s3",
        "migrate aws.s3",
        "list -q -v",
        "list --format xml",
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

/// The command lines of envstore in a page's console blocks.
fn shown(page: &str) -> Vec<Vec<String>> {
    let typed = page.lines().filter_map(|line| line.strip_prefix("$ "));
    let words = typed.map(|line| shlex::split(line).unwrap_or_else(|| panic!("{line}: a quote is left open")));
    let commands = words.flat_map(|words| {
        // `;` may stand at the end of a word; what a shell does with the rest is no argument.
        let ended: Vec<String> = words
            .into_iter()
            .flat_map(|word| match word.strip_suffix(';') {
                Some(word) => vec![word.to_owned(), ";".to_owned()],
                None => vec![word],
            })
            .collect();
        let ends = |word: &String| matches!(word.as_str(), ";" | "|" | "&&" | ">" | "2>" | "2>&1");
        ended.split(ends).map(<[String]>::to_vec).collect::<Vec<_>>()
    });
    let is_variable = |word: &String| word.contains('=') && !word.starts_with('-');
    let commands = commands.map(|words| words.into_iter().skip_while(is_variable).collect::<Vec<_>>());
    commands.filter(|words| words.first().is_some_and(|word| word == "envstore")).collect()
}

#[test]
fn the_lines_that_pages_show_are_good_ones() {
    for (page, at_least) in
        [(include_str!("../../../docs/operations.md"), 40), (include_str!("../../../README.md"), 25)]
    {
        let lines = shown(page);
        assert!(lines.len() >= at_least, "{} lines are found", lines.len());
        for line in lines {
            Cli::try_parse_from(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        }
    }
}

#[test]
fn what_exec_runs_keeps_its_own_flags() {
    let cli = parse("exec aws.s3 -- python --format json --store /x").expect("parses");
    assert_eq!(cli.global.store, None);
    assert_eq!(cli.global.format, Format::Human);
    let Command::Exec(exec) = cli.command else { panic!("exec") };
    assert_eq!(exec.command.len(), 5);
}

#[test]
fn every_command_has_an_example_and_every_option_a_help_text() {
    let command = Cli::command();
    for sub in command.get_subcommands().filter(|c| c.get_name() != "config") {
        let after = sub.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        assert!(after.contains("envstore "), "{} has no example", sub.get_name());
        for arg in sub.get_arguments() {
            assert!(arg.get_help().is_some(), "{} {} has no help", sub.get_name(), arg.get_id());
        }
    }
}

#[test]
fn what_is_read_without_a_parser_is_what_the_parser_reads() {
    use clap::FromArgMatches;
    let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
    for line in ["resolve aws.s3", "exec aws.s3 -- python -c pass --store x", "exec help -- -- resolve", "exec a -- -v"]
    {
        let matches = Cli::command().try_get_matches_from(words(&format!("envstore {line}"))).expect(line);
        let parsed = Cli::from_arg_matches(&matches).expect(line);
        let plain = plain(&words(line)).expect(line);
        assert_eq!(format!("{plain:?}"), format!("{parsed:?}"), "{line}");
    }
    for line in [
        "resolve -h",
        "resolve --help",
        "resolve --",
        "resolve a b",
        "resolve  a",
        "resolve @envstore/x",
        "exec -v -- python",
        "exec a --",
        "exec a python",
        "exec --offline a -- python",
        "--offline exec a -- python",
        "--store --config resolve a",
        "--store  resolve a",
        "--store s --store t resolve a",
        "resolve a --store s",
        "--store s",
        "which a",
        "list",
    ] {
        assert!(plain(&words(line)).is_none(), "{line}");
    }
}
