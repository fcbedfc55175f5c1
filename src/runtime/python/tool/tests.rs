use super::*;
use crate::runtime::python::fetch::{expect, sha256_of};
use crate::spec::RuntimeKind;

fn identity(machine: &str, libc: &str) -> InterpreterIdentity {
    InterpreterIdentity {
        runtime: RuntimeKind::Python,
        implementation: "cpython".into(),
        version: "3.11.7".into(),
        abi: String::new(),
        platform: String::new(),
        machine: machine.into(),
        libc: libc.into(),
        build_id: String::new(),
    }
}

#[test]
fn each_host_has_its_wheel() {
    for (machine, libc, wheel) in [
        ("x86_64", "glibc 2.36", Some(X86_64_GLIBC)),
        ("x86_64", "glibc 2.17", Some(X86_64_GLIBC)),
        ("x86_64", "glibc 2.5", Some(X86_64_MUSL)),
        ("x86_64", "musl 1.2", Some(X86_64_MUSL)),
        ("aarch64", "glibc 2.28", Some(AARCH64_GLIBC)),
        ("aarch64", "glibc 2.27", Some(AARCH64_ANY)),
        ("aarch64", "musl 1.2", Some(AARCH64_ANY)),
        ("riscv64", "glibc 2.36", None),
    ] {
        assert_eq!(wheel_for(&identity(machine, libc)), wheel, "{machine} {libc}");
    }
}

#[test]
fn the_version_is_read_from_what_uv_says() {
    assert_eq!(parse_version("uv 0.13.9 (x86_64-unknown-linux-gnu)\n").as_deref(), Some("0.13.9"));
    assert_eq!(parse_version("uv 0.14.0\n").as_deref(), Some("0.14.0"));
    for said in ["", "uv", "pip 23.2.1 from …", "uv latest", "0.13.9"] {
        assert_eq!(parse_version(said), None, "{said}");
    }
}

#[test]
fn names_and_constants_agree() {
    for wheel in [X86_64_GLIBC, X86_64_MUSL, AARCH64_GLIBC, AARCH64_ANY] {
        assert!(wheel.file.starts_with(&format!("uv-{PINNED}-py3-none-")) && wheel.sha256.len() == 64);
    }
    assert_eq!(MEMBER, format!("uv-{PINNED}.data/scripts/uv"));
}

fn wheel_with(dir: &Path, member: &str, content: &[u8]) -> PathBuf {
    let path = dir.join("a.whl");
    let mut zip = zip::ZipWriter::new(File::create(&path).expect("creates"));
    zip.start_file(member, zip::write::SimpleFileOptions::default()).expect("starts");
    zip.write_all(content).expect("writes");
    zip.finish().expect("finishes");
    path
}

#[test]
fn the_executable_is_taken_out_and_published_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let archive = wheel_with(dir.path(), MEMBER, b"#!/bin/sh\n");
    let kept = dir.path().join("tools/uv-x");
    // Two processes at once: both are fine, one file stays.
    for n in 0..2 {
        let unpacked = dir.path().join(format!("new{n}"));
        fs::create_dir(&unpacked).expect("creates");
        extract(&archive, &unpacked.join("uv")).expect("extracts");
        publish(&unpacked, &kept).expect("publishes");
    }
    let meta = fs::metadata(kept.join("uv")).expect("is there");
    assert_eq!((meta.permissions().mode() & 0o777, meta.len()), (0o555, 10));
    assert_eq!(fs::read_dir(dir.path().join("tools")).expect("lists").count(), 1);
}

#[test]
fn a_wheel_without_the_executable_is_damaged() {
    let dir = tempfile::tempdir().expect("a directory");
    let archive = wheel_with(dir.path(), "else", b"x");
    assert!(matches!(extract(&archive, &dir.path().join("uv")), Err(Error::Corrupt { .. })));
    fs::write(&archive, "no zip").expect("writes");
    assert!(matches!(extract(&archive, &dir.path().join("uv2")), Err(Error::Corrupt { .. })));
    let error = expect(&X86_64_GLIBC, &sha256_of(&archive).expect("reads"), "here").expect_err("another digest");
    assert_eq!(error.kind(), crate::error::Kind::HashMismatch);
}
