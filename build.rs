//! How the `envstore` command is linked.

use std::env::{var, var_os};
use std::ffi::{OsStr, OsString};
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
        with_start_together();
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

/// Puts what `exec` runs next to each other: all over the command each function is another page to be faulted in, a quarter of what `exec` adds.
/// lld and GNU ld take such a script, mold does not; whether this linker does is tried.
fn with_start_together() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/start.ld");
    println!("cargo::rerun-if-changed={}", script.display());
    if var("PROFILE").is_ok_and(|profile| profile == "release") && links(&["-T".as_ref(), script.as_os_str()]) {
        println!("cargo::rustc-link-arg-bins=-T");
        println!("cargo::rustc-link-arg-bins={}", script.display());
    }
}

/// Whether the linker makes a program with these arguments.
fn links(arguments: &[&OsStr]) -> bool {
    let (Some(rustc), Ok(target), Some(out)) = (var_os("RUSTC"), var("TARGET"), var_os("OUT_DIR")) else {
        return false;
    };
    let (source, program) = (Path::new(&out).join("tried.rs"), Path::new(&out).join("tried"));
    let mut tried = Command::new(rustc);
    tried.args(["--target", &target, "-o"]).arg(program).arg(&source);
    let flags = var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    tried.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    if let Some(linker) = var_os("RUSTC_LINKER") {
        tried.arg("-C").arg(joined("linker=", &linker));
    }
    for argument in arguments {
        tried.arg("-C").arg(joined("link-arg=", argument));
    }
    fs::write(&source, "fn main() {}").is_ok() && tried.output().is_ok_and(|done| done.status.success())
}

fn joined(name: &str, value: &OsStr) -> OsString {
    let mut joined = OsString::from(name);
    joined.push(value);
    joined
}
