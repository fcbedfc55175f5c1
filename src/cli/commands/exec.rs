//! `exec`: become a command inside a pack's environment.
//!
//! The process is replaced, so the command itself holds the lease, and its exit code is nobody's but its own. No
//! configuration is read and no signal taken over on the way.

use std::io;
use std::process::Command;

use crate::cli::args::Exec;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::{exit, open, start};
use crate::error::Error;

/// Runs `exec`; returns only if it failed.
pub fn run(context: &Context, args: &Exec) -> Outcome {
    let about = |error: Error| Failure::from(error).about(&args.pack);
    let answered = open::ask(context, &args.pack).map_err(|failure| failure.about(&args.pack))?;
    let Some((program, rest)) = args.command.split_first() else {
        return Err(Failure::usage("no command was given"));
    };
    let mut command = Command::new(program);
    command.args(rest);
    // `bin` comes first in the PATH set here, which is also the one that execvp searches.
    answered.activate(&mut command, context.environment.value("PATH"));
    answered.leave_lease_open_for_exec().map_err(about)?;
    let source = start::become_program(&command);
    let code = code(&source);
    let failure = Failure::from(Error::Io { op: "run", path: program.into(), source }).about(&args.pack);
    context.out.failure(&if !answered.resolved.interpreter.exists() {
        failure.hint(format!(
            "the interpreter that the environment leads to is gone; `envstore ensure {}` finds another",
            args.pack
        ))
    } else if code == exit::EXEC_NOT_FOUND {
        failure.hint("it is neither in the environment's `bin` nor on PATH")
    } else {
        failure.hint("it was found, and the system refused to run it")
    });
    Ok(code)
}

/// As shells do: 127 for what is not there, 126 for what cannot be run.
fn code(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => exit::EXEC_NOT_FOUND,
        _ => exit::EXEC_CANNOT_RUN,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn what_cannot_be_run_is_126_and_what_is_not_there_127() {
        let env = tempfile::tempdir().expect("a directory");
        let plain = env.path().join("plain");
        std::fs::write(&plain, "text").expect("writes");
        let run = |program: &OsStr| Command::new(program).env("PATH", env.path()).spawn().expect_err("fails");
        assert_eq!(code(&run(plain.as_os_str())), 126);
        assert_eq!(code(&run(env.path().as_os_str())), 126);
        assert_eq!(code(&run(OsStr::new("no-such-program"))), 127);
        assert_eq!(code(&run(OsStr::new("/no/such/program"))), 127);
    }
}
