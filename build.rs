//! How the `envstore` command is linked.

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // At a fixed address there is nothing to relocate: 29,000 pointers on 130 pages, each of them written at every start, are a fifth of
    // what `exec` adds to an action. Heap, stack, vDSO and libraries stay where the kernel puts them, which is elsewhere at every start.
    let is = |key: &str, value: &str| var(key).is_ok_and(|is| is == value);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") && var("CARGO_FEATURE_CLI").is_ok() {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
