//! The command line: a thin, contractual layer over the library.
//!
//! Data goes to standard output, everything else to standard error. With `--format json` standard output gets
//! exactly one object, also for wrong arguments and for mistakes in envstore itself. Only this module prints, reads
//! environment variables and takes over signals.

mod args;
mod commands;
mod context;
mod declare;
mod early;
mod effect;
mod exit;
mod failure;
mod help;
mod hints;
mod logging;
mod open;
mod output;
mod owner;
mod panics;
mod progress;
mod root;
mod signals;
mod start;
mod style;
mod table;

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};
use serde_json::json;

use crate::site::{self as config, environment, units};
use args::{Cli, Color, Format};
use context::Context;
use early::Early;
use effect::Effect;
use environment::Environment;
use failure::Failure;

/// Runs the command line of this process, which becomes another program or ends here.
pub fn main() -> ! {
    start::prepare();
    panics::remember();
    let environment = Environment::of_process();
    #[cfg(debug_assertions)]
    crate::failpoint::arm(
        environment.value("ENVSTORE_FAILPOINT").and_then(|action| action.to_str()),
        environment.value("ENVSTORE_FAILPOINT_TRACE").map(std::path::Path::new),
    );
    std::process::exit(run(std::env::args_os().collect(), environment).into())
}

fn run(args: Vec<OsString>, environment: Environment) -> u8 {
    let early = Early::scan(args.get(1..).unwrap_or_default());
    let cli = match parse(&args, early.color) {
        Ok(cli) => cli,
        Err(error) => return report(&error, &early, &environment),
    };
    let command = cli.command;
    let context = Context::new(cli.global, environment, Effect::of(&command));
    let is_exec = matches!(command, args::Command::Exec(_));
    let outcome =
        panics::caught(|| commands::run(&context, command)).unwrap_or_else(|message| Err(Failure::bug(message)));
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            context.out.failure(&failure);
            match context.exit_code(&failure) {
                // 1 is what commands exit with when they fail themselves.
                exit::FAILED if is_exec => exit::EXEC_FAILED,
                code => code,
            }
        }
    }
}

fn parse(args: &[OsString], color: Color) -> Result<Cli, clap::Error> {
    if let Some(cli) = args::plain(args.get(1..).unwrap_or_default()) {
        return Ok(cli);
    }
    let parsed = |command: clap::Command| Cli::from_arg_matches(&command.try_get_matches_from(args)?);
    // What is refused is refused by the whole, which knows what else there is.
    let hot = args.iter().skip(1).find_map(|word| args::hot(word)).and_then(|command| parsed(command).ok());
    hot.map_or_else(|| parsed(Cli::command().color(color.into())), Ok)
}

/// Reports what the parser refused, or prints the help it was asked for.
fn report(error: &clap::Error, early: &Early, environment: &Environment) -> u8 {
    let is_json = early.format == Format::Json;
    let text = error.render().to_string();
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        if is_json {
            let key = if error.kind() == ErrorKind::DisplayHelp { "help" } else { "envstore" };
            let text = text.strip_prefix("envstore ").filter(|_| key == "envstore").unwrap_or(&text).trim_end();
            let _ = output::write_stdout(format!("{}\n", json!({ "version": 1, key: text })).as_bytes());
        } else {
            let paint = style::Paint::for_stream(early.color, environment, &std::io::stdout());
            let text = if paint.is_on() { error.render().ansi().to_string() } else { text };
            let _ = output::write_stdout(text.as_bytes());
        }
        return exit::OK;
    }
    let mut failure = Failure::usage(message(error, &text));
    if let Some(hint) = hint(error) {
        failure = failure.hint(hint);
    }
    if is_json {
        output::failure_object(&failure.object());
    } else {
        let paint = style::Paint::for_stream(early.color, environment, &std::io::stderr());
        let text = if paint.is_on() { error.render().ansi().to_string() } else { text };
        output::stderr(text.trim_end());
        if let Some(hint) = &failure.hint {
            output::stderr(&format!("{} {hint}", paint.cyan("hint:")));
        }
    }
    exit::USAGE
}

/// The parser's message without its usage and advice, in one line.
fn message(error: &clap::Error, text: &str) -> String {
    if matches!(error.kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand) {
        return "no command was given".into();
    }
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let lines: Vec<_> = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect();
    lines.join(" ")
}

/// The command that was probably meant.
fn hint(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    early::meant(word).map(|command| format!("it is called `envstore {command}` here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> clap::Error {
        let args: Vec<_> = std::iter::once("envstore").chain(line.split_whitespace()).map(OsString::from).collect();
        parse(&args, Color::Never).expect_err(line)
    }

    #[test]
    fn words_of_other_tools_get_a_hint() {
        assert_eq!(hint(&refused("prune")).as_deref(), Some("it is called `envstore gc` here"));
        assert_eq!(hint(&refused("install x")).as_deref(), Some("it is called `envstore ensure` here"));
        assert_eq!(hint(&refused("instal x")).as_deref(), Some("it is called `envstore ensure` here"));
        assert_eq!(hint(&refused("list --nonsense")), None);
        assert_eq!(hint(&refused("lst")), None);
    }

    #[test]
    fn a_command_s_name_elsewhere_is_no_command() {
        assert_eq!(refused("--store list").kind(), ErrorKind::MissingSubcommand);
        for line in ["--store list exec list -- gc", "exec list -- gc --store list"] {
            let args: Vec<_> = std::iter::once("envstore").chain(line.split(' ')).map(OsString::from).collect();
            let cli = parse(&args, Color::Never).expect(line);
            assert!(matches!(&cli.command, args::Command::Exec(exec) if exec.pack.as_str() == "list"), "{line}");
        }
        let help = refused("help gc").render().to_string();
        assert!(help.contains("envstore gc"), "{help}");
    }

    #[test]
    fn the_parser_s_message_is_one_line() {
        let error = refused("ensure");
        let text = message(&error, &error.render().to_string());
        assert_eq!(text, "the following required arguments were not provided: <PACK>");
        let error = refused("list --nonsense");
        assert_eq!(message(&error, &error.render().to_string()), "unexpected argument '--nonsense' found");
    }

    #[test]
    fn wrong_arguments_are_exit_2_and_help_is_0() {
        for (line, code) in [("list --nonsense", 2), ("", 2), ("exec", 2), ("exec p cmd", 2), ("--help", 0)] {
            let error = refused(line);
            let early = Early::scan(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>());
            assert_eq!(report(&error, &early, &Environment::default()), code, "{line}");
        }
    }
}
