//! The `envstore` command.
//!
//! It starts without the standard library's runtime; `cli::main` does what of it is needed. With a C library that does not tell the arguments
//! to who asks for them (glibc does) it starts as any other.
#![cfg_attr(target_env = "gnu", no_main)]
#![allow(unsafe_code)]

#[cfg(not(target_env = "gnu"))]
fn main() -> ! {
    envstore::cli::main()
}

#[cfg(target_env = "gnu")]
#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    envstore::cli::main()
}

/// The one function of the mathematical library that the command needs, for the pace of a progress bar. Without it that library would be
/// searched for, mapped and bound at every start.
#[unsafe(no_mangle)]
extern "C" fn pow(base: f64, exponent: f64) -> f64 {
    libm::pow(base, exponent)
}
