//! The `envstore` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    envstore::cli::main()
}
