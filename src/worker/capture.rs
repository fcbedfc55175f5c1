//! What an action reads and writes: files in memory, on no disk.
//!
//! A pipe would end with the worker, and an action that prints would die of it. A file in memory has no reader: the action writes on, and
//! the worker cuts off what is too much while it runs.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::process::Stdio;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::result::Output;

fn in_memory(name: &std::ffi::CStr) -> io::Result<File> {
    Ok(memfd_create(name, MFdFlags::MFD_CLOEXEC)?.into())
}

/// Standard input that holds a text.
pub(super) fn input(text: &[u8]) -> io::Result<Stdio> {
    let mut file = in_memory(c"stdin")?;
    file.write_all(text)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file.into())
}

/// A stream that an action writes to.
#[derive(Debug)]
pub(super) struct Capture {
    file: File,
    limit: u64,
    dropped: u64,
}

impl Capture {
    /// Keeps so many bytes from the beginning.
    pub fn new(limit: u64) -> io::Result<Self> {
        let file = in_memory(c"output")?;
        // Whoever writes after it was cut writes behind the cut.
        fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
        Ok(Self { file, limit, dropped: 0 })
    }

    /// The end that the action gets.
    pub fn stdio(&self) -> io::Result<Stdio> {
        Ok(self.file.try_clone()?.into())
    }

    /// Cuts off what is too much. What is written between the look and the cut is not counted.
    pub fn cut(&mut self) -> io::Result<()> {
        let len = self.file.metadata()?.len();
        if len > self.limit {
            self.file.set_len(self.limit)?;
            self.dropped += len - self.limit;
        }
        Ok(())
    }

    /// What was written until now.
    pub fn read(&mut self) -> io::Result<Output> {
        self.cut()?;
        let len = self.file.metadata()?.len().min(self.limit);
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(Output { bytes, dropped_bytes: self.dropped })
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_beginning_is_kept_and_the_rest_counted() {
        let mut capture = Capture::new(10).expect("memory");
        fn write(capture: &Capture, text: &str) {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", "printf %s \"$0\"", text]).stdout(capture.stdio().expect("a copy"));
            assert!(command.status().expect("starts").success());
        }
        write(&capture, "01234567");
        assert_eq!(capture.read().expect("reads"), Output { bytes: b"01234567".to_vec(), dropped_bytes: 0 });
        write(&capture, "89abc");
        write(&capture, "def");
        assert_eq!(capture.read().expect("reads"), Output { bytes: b"0123456789".to_vec(), dropped_bytes: 6 });
        write(&capture, "more");
        assert_eq!(capture.read().expect("reads").dropped_bytes, 10);
    }

    #[test]
    fn what_is_given_is_read() {
        let output = Command::new("/bin/cat").stdin(input(b"{}\n").expect("memory")).output().expect("starts");
        assert_eq!(output.stdout, b"{}\n");
    }
}
