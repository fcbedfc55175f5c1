//! PEP 425 tags: which wheels an interpreter takes, and which of them it likes best.

use std::str::FromStr;

use uv_distribution_filename::{BuildTag, WheelFilename};
use uv_platform_tags::{Arch, Os, Platform, TagCompatibility, TagPriority, Tags, TagsOptions};

use crate::error::{Error, Result};
use crate::interpreter::Interpreter;

/// The tags of an interpreter, in the order of `packaging.tags.sys_tags`.
///
/// # Errors
///
/// Its identity or facts name something that wheels have no tag for.
pub(crate) fn tags(interpreter: &Interpreter) -> Result<Tags> {
    let unusable = |what: &str| Error::NoInterpreter {
        wanted: format!("a Python whose {what} has wheel tags"),
        found: vec![format!("{} ({})", interpreter.identity.version, interpreter.path.display())],
    };
    let pair = |fact: &str| pair(interpreter.fact(fact)?);
    let arch = Arch::from_str(&interpreter.identity.machine).map_err(|_| unusable("machine"))?;
    let (major, minor) = pair("libc_version").ok_or_else(|| unusable("libc_version"))?;
    let os = match interpreter.fact("libc_family") {
        Some("glibc") => Os::Manylinux { major, minor },
        Some("musl") => Os::Musllinux { major, minor },
        _ => return Err(unusable("libc_family")),
    };
    let python = pair("major_minor").and_then(|(major, minor)| Some((major.try_into().ok()?, minor.try_into().ok()?)));
    let python: (u8, u8) = python.ok_or_else(|| unusable("major_minor"))?;
    let options = TagsOptions {
        manylinux_compatible: true,
        gil_disabled: interpreter.fact("gil_disabled") == Some("1"),
        debug_enabled: interpreter.fact("debug") == Some("1"),
        is_cross: false,
    };
    Tags::from_env(Platform::new(os, arch), python, &interpreter.identity.implementation, python, options)
        .map_err(|error| unusable(&error.to_string()))
}

/// How much an interpreter likes a wheel, by its file name: the greater the better. The build tag decides
/// between wheels of equal tags. None: it cannot take it, or it is no wheel's name.
pub(crate) fn rank(tags: &Tags, wheel_file_name: &str) -> Option<(TagPriority, Option<BuildTag>)> {
    let wheel = WheelFilename::from_str(wheel_file_name).ok()?;
    match wheel.compatibility(tags) {
        TagCompatibility::Compatible(priority) => Some((priority, wheel.build_tag().cloned())),
        TagCompatibility::Incompatible(_) => None,
    }
}

fn pair(text: &str) -> Option<(u16, u16)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::discover::testing::{interpreters, skipped};
    use super::*;

    /// What pip's own copy of `packaging` says, in order.
    fn sys_tags(interpreter: &Interpreter) -> Option<Vec<String>> {
        let script = "from pip._vendor.packaging.tags import sys_tags\nprint(*sys_tags(), sep='\\n')";
        let output = Command::new(&interpreter.path).args(["-I", "-c", script]).env_clear().output().ok()?;
        let lines = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| lines.lines().map(str::to_owned).collect())
    }

    #[test]
    fn order_is_that_of_packaging() {
        let mut compared = 0;
        for interpreter in interpreters() {
            let Some(expected) = sys_tags(&interpreter) else { continue };
            let ours = tags(&interpreter).expect("has tags").to_string();
            // packaging forgot this one until its release 24.1.
            let series = interpreter.fact("major_minor").expect("given").replace('.', "");
            let forgotten = format!("cp{series}-none-any");
            let expects_it = expected.contains(&forgotten);
            let ours: Vec<_> = ours.lines().filter(|tag| expects_it || *tag != forgotten).collect();
            let first_difference = ours.iter().zip(&expected).find(|(ours, expected)| ours != expected);
            assert_eq!(first_difference, None, "{}", interpreter.path.display());
            assert_eq!(ours.len(), expected.len(), "{}", interpreter.path.display());
            compared += 1;
        }
        if compared == 0 {
            skipped("no Python with pip on this machine, tags were compared with nothing");
        }
    }

    fn example(machine: &str, libc: (&str, &str), gil_disabled: &str) -> Interpreter {
        let mut interpreter = super::super::discover::testing::example("3.13.0");
        interpreter.identity.machine = machine.into();
        for (fact, value) in [("libc_family", libc.0), ("libc_version", libc.1), ("gil_disabled", gil_disabled)] {
            interpreter.facts.insert(fact.into(), value.into());
        }
        interpreter
    }

    #[test]
    fn wheels_that_fit() {
        let glibc = ("glibc", "2.17");
        let cases = [
            ("x86_64", glibc, "0", "a-1-cp313-cp313-manylinux2014_x86_64.whl", true),
            ("x86_64", glibc, "0", "a-1-cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", true),
            ("x86_64", glibc, "0", "a-1-cp313-cp313-manylinux_2_18_x86_64.whl", false),
            ("x86_64", glibc, "0", "a-1-cp313-cp313-musllinux_1_2_x86_64.whl", false),
            ("x86_64", glibc, "0", "a-1-cp38-abi3-manylinux1_x86_64.whl", true),
            ("x86_64", glibc, "0", "a-1-cp313-cp313t-manylinux1_x86_64.whl", false),
            ("x86_64", glibc, "1", "a-1-cp313-cp313t-manylinux1_x86_64.whl", true),
            ("x86_64", glibc, "1", "a-1-cp38-abi3-manylinux1_x86_64.whl", false),
            ("aarch64", glibc, "0", "a-1-cp313-cp313-manylinux2014_x86_64.whl", false),
            ("aarch64", glibc, "0", "a-1-cp313-cp313-manylinux2014_aarch64.whl", true),
            ("x86_64", ("musl", "1.2"), "0", "a-1-cp313-cp313-musllinux_1_1_x86_64.whl", true),
            ("x86_64", ("musl", "1.2"), "0", "a-1-cp313-cp313-manylinux1_x86_64.whl", false),
            ("x86_64", glibc, "0", "a-1-py2.py3-none-any.whl", true),
            ("x86_64", glibc, "0", "a-1-py2-none-any.whl", false),
            ("x86_64", glibc, "0", "a-1.tar.gz", false),
            ("x86_64", glibc, "0", "no wheel.whl", false),
        ];
        for (machine, libc, gil_disabled, wheel, fits) in cases {
            let tags = tags(&example(machine, libc, gil_disabled)).expect("has tags");
            assert_eq!(rank(&tags, wheel).is_some(), fits, "{machine} {libc:?} {gil_disabled} {wheel}");
        }
    }

    #[test]
    fn nearer_wheels_rank_higher_and_the_build_tag_decides() {
        let tags = tags(&example("x86_64", ("glibc", "2.36"), "0")).expect("has tags");
        let best_first = [
            "a-1-cp313-cp313-manylinux_2_28_x86_64.whl",
            "a-1-2-cp313-cp313-manylinux_2_17_x86_64.whl",
            "a-1-1-cp313-cp313-manylinux_2_17_x86_64.whl",
            "a-1-cp313-cp313-manylinux_2_17_x86_64.whl",
            "a-1-cp313-abi3-manylinux_2_17_x86_64.whl",
            "a-1-cp39-abi3-manylinux_2_17_x86_64.whl",
            "a-1-py3-none-any.whl",
        ];
        assert!(best_first.is_sorted_by_key(|wheel| std::cmp::Reverse(rank(&tags, wheel).expect("fits"))));
    }

    #[test]
    fn what_has_no_tags_is_refused() {
        for (machine, libc) in [("vax", ("glibc", "2.36")), ("x86_64", ("glibc", "new")), ("x86_64", ("uclibc", "1.0"))]
        {
            assert!(
                matches!(tags(&example(machine, libc, "0")), Err(Error::NoInterpreter { .. })),
                "{machine} {libc:?}"
            );
        }
    }
}
