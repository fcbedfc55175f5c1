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

#[test]
fn a_uv_that_cannot_be_used_is_told_with_the_true_cause() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("uv");
    let reason = |content: &str, mode: u32| {
        fs::write(&path, content).expect("writes");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("chmod");
        match usable(&path, &Cancel::new()).expect("looks") {
            Candidate::Unfit(reason) => reason,
            Candidate::Fits(_) | Candidate::Missing => panic!("{content:?}"),
        }
    };
    assert!(matches!(usable(&path, &Cancel::new()), Ok(Candidate::Missing)));
    for (content, mode, part) in [
        ("#!/bin/sh\n", 0o644, "is not executable"),
        ("#!/bin/sh\necho uv 0.0.1\n", 0o755, "is uv 0.0.1, older than"),
        ("#!/bin/sh\necho what\n", 0o755, "does not say a version of uv"),
        ("#!/bin/sh\necho broken >&2; exit 3\n", 0o755, "(exit status: 3): broken"),
        ("#!/nowhere/sh\n", 0o755, "cannot be run: No such file"),
    ] {
        let reason = reason(content, mode);
        assert!(reason.contains(part) && reason.contains(&path.display().to_string()), "{reason}");
    }
    let told = missing(&[reason("#!/bin/sh\nexit 1\n", 0o755)]);
    assert!(told.contains("no uv here will do") && told.contains("exit status: 1"), "{told}");
}

#[test]
fn what_the_process_lacks_is_no_reason_against_a_file() {
    let of = |errno: Errno| is_shortage(&std::io::Error::from(errno));
    assert!([Errno::EMFILE, Errno::ENFILE, Errno::EAGAIN, Errno::ENOMEM].into_iter().all(of));
    assert!(![Errno::EACCES, Errno::ENOENT, Errno::ENOEXEC].into_iter().any(of));
}
