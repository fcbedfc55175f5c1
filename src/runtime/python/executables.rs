//! Which files may be executed is a matter of what they hold, not of who installed them.
//!
//! Of an entry of a wheel uv takes any execute bit, pip only one that comes with the mark of a regular file, which the
//! archives of some build systems lack. So the same wheel had other modes by uv than by pip. Here a file may be executed
//! if the kernel would (execve(2)): it begins with `#!`, or is an ELF program. What stands in `bin` is a script whatever it
//! holds; `scripts` sees to that.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::hashes::Hashes;
use super::tidy::Tree;
use crate::error::{Error, Result};

/// How much of a file says what it is: the kind and type of an ELF file (elf(5)).
pub(crate) const HEAD: usize = 18;

const EXEC: u16 = 2;
const DYN: u16 = 3;

/// Whether the kernel would execute a file of this name that begins so.
pub(crate) fn is_program(path: &str, head: &[u8]) -> bool {
    if head.starts_with(b"#!") {
        return true;
    }
    let (Some(b"\x7fELF"), Some(&order), Some(&[a, b])) = (head.get(..4), head.get(5), head.get(16..HEAD)) else {
        return false;
    };
    match if order == 2 { u16::from_be_bytes([a, b]) } else { u16::from_le_bytes([a, b]) } {
        EXEC => true,
        // Programs that may stand at any address, and libraries: the name tells them apart.
        DYN => !path.rsplit('/').next().is_some_and(|name| name.contains(".so")),
        _ => false,
    }
}

/// Gives every file outside `bin` the execute bits that what it holds asks for.
pub(crate) fn settle(env_dir: &Path, tree: &Tree, hashes: &Hashes) -> Result<()> {
    for name in tree.files().filter(|name| !name.starts_with("bin/")) {
        let Some(hash) = hashes.get(name) else { continue };
        let path = env_dir.join(name);
        let mode = fs::symlink_metadata(&path).map_err(Error::io("stat", &path))?.permissions().mode();
        let wanted = if hash.is_program { mode | 0o111 } else { mode & !0o111 };
        if wanted != mode {
            fs::set_permissions(&path, Permissions::from_mode(wanted)).map_err(Error::io("set the mode of", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(kind: u8) -> Vec<u8> {
        let mut head = b"\x7fELF\x02\x01\x01".to_vec();
        head.resize(16, 0);
        head.extend([kind, 0]);
        head
    }

    #[test]
    fn what_the_kernel_would_execute_is_a_program() {
        for (path, head, expected) in [
            ("a/run", b"#!/bin/sh\n".to_vec(), true),
            ("a/mod.py", b"#!/usr/bin/env python\n".to_vec(), true),
            ("a/mod.py", b"import os\n".to_vec(), false),
            ("a/empty", Vec::new(), false),
            ("a/node", elf(2), true),
            ("a/pie", elf(3), true),
            ("a/_x.cpython-311.so", elf(3), false),
            ("a/libz.so.1", elf(3), false),
            ("a/x.o", elf(1), false),
            ("a/short", b"\x7fELF".to_vec(), false),
        ] {
            assert_eq!(is_program(path, &head), expected, "{path} {head:?}");
        }
    }
}
