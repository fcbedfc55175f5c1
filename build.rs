//! How the `envstore` command is linked.

use std::env::var;
use std::fs;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |key: &str, value: &str| var(key).is_ok_and(|is| is == value);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") && var("CARGO_FEATURE_CLI").is_ok() {
        // At a fixed address there is nothing to relocate: 29,000 pointers on 130 pages, each of them written at every start, are a fifth of
        // what `exec` adds to an action. Heap, stack, vDSO and libraries stay where the kernel puts them, which is elsewhere at every start.
        println!("cargo::rustc-link-arg-bins=-no-pie");
        with_unwinder();
    }
}

/// Makes the unwinder part of the command: as a library it is searched for, mapped and bound at every start.
fn with_unwinder() {
    let compiler = var("RUSTC_LINKER").unwrap_or_else(|_| "cc".into());
    let archive = Command::new(compiler).arg("-print-file-name=libgcc_eh.a").output();
    let archive = archive.ok().and_then(|said| String::from_utf8(said.stdout).ok()).unwrap_or_default();
    // Without a directory: there is none.
    if !archive.contains('/') {
        return;
    }
    let Ok(out) = var("OUT_DIR") else { return };
    // What `-lgcc_s` means to the linker: an archive instead of a library.
    if fs::write(Path::new(&out).join("libgcc_s.so"), format!("INPUT ( {} )\n", archive.trim())).is_ok() {
        println!("cargo::rustc-link-arg-bins=-L{out}");
    }
}
