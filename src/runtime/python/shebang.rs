//! The first lines of scripts: how a file starts the environment's Python.
//!
//! Linux cuts a first line off at 127 bytes before 5.1 and splits it at a space always; such a path gets three lines that are a
//! shell command to `sh` and a text to Python.

use std::path::Path;

/// The kernel's limit for a first line with `#!` and line feed, before Linux 5.1.
const SHEBANG_LIMIT: usize = 127;

/// The lines that start the environment's Python.
pub(crate) fn head(env_dir: &Path) -> String {
    let python = env_dir.join("bin/python");
    let python = python.to_string_lossy();
    let direct = format!("#!{python}\n");
    if direct.len() <= SHEBANG_LIMIT && !python.contains([' ', '\t']) {
        return direct;
    }
    format!("#!/bin/sh\n'''exec' '{}' \"$0\" \"$@\"\n' '''\n", single_quoted(&python))
}

/// A text between single quotes of a POSIX shell.
pub(crate) fn single_quoted(text: &str) -> String {
    text.replace('\'', r"'\''")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_line_is_direct_up_to_127_bytes_without_a_space() {
        // "#!" + "/" + name + "/bin/python" + line feed.
        let fits = Path::new("/").join("e".repeat(127 - 2 - 1 - 11 - 1));
        assert_eq!(head(&fits).len(), 127);
        assert!(head(&fits).starts_with("#!/e"));
        let long = Path::new("/").join("e".repeat(127 - 2 - 1 - 11));
        assert!(head(&long).starts_with("#!/bin/sh\n'''exec' '/e"));
        assert_eq!(head(Path::new("/a b")), "#!/bin/sh\n'''exec' '/a b/bin/python' \"$0\" \"$@\"\n' '''\n");
    }
}
