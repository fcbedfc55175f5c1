//! The `envstore` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    envstore::cli::main()
}

/// The one function of the mathematical library that the command needs, for the pace of a progress bar. Without it that library would be
/// searched for, mapped and bound at every start.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn pow(base: f64, exponent: f64) -> f64 {
    libm::pow(base, exponent)
}
