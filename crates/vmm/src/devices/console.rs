//! Where the serial console's output goes: lines, so that a guest that prints costs one system call a line.

use std::fs::File;
use std::io::{self, Write};

/// Output is passed on at the end of a line or when this many bytes are held.
const LINE_MAX: usize = 256;

/// A sink that never blocks and never fails: what does not fit is lost and counted.
pub(super) struct Console {
    file: Option<File>,
    line: Vec<u8>,
    dropped: u64,
}

impl Console {
    /// `file` must not block. Without a file, everything is discarded (and not counted as lost).
    pub(super) fn new(file: Option<File>) -> Self {
        Self { file, line: Vec::new(), dropped: 0 }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Passes on what is held, whether or not its line has ended.
    pub(super) fn flush_line(&mut self) {
        let Some(file) = &mut self.file else {
            return self.line.clear();
        };
        let mut rest = self.line.as_slice();
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(0) => break,
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.dropped = self.dropped.saturating_add(rest.len() as u64);
        self.line.clear();
    }
}

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            self.line.push(*byte);
            if *byte == b'\n' || self.line.len() >= LINE_MAX {
                self.flush_line();
            }
        }
        Ok(bytes.len())
    }

    /// The UART flushes after every byte: nothing is passed on before its line ends.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.flush_line();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_full_console_loses_bytes_and_counts_them() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut console = Console::new(Some(OwnedFd::from(theirs).into()));
        let sent = 16u64 << 20;
        for _ in 0..sent / 64 {
            console.write_all(&[b'x'; 64]).unwrap();
        }
        assert!(console.dropped() > 0);
        let dropped = console.dropped();
        drop(console);
        let mut received = Vec::new();
        ours.read_to_end(&mut received).unwrap();
        assert_eq!(received.len() as u64 + dropped, sent);
    }

    #[test]
    fn a_line_that_has_not_ended_is_passed_on_when_the_console_closes() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let mut console = Console::new(Some(OwnedFd::from(theirs).into()));
        console.write_all(b"panic at").unwrap();
        drop(console);
        let mut received = String::new();
        ours.read_to_string(&mut received).unwrap();
        assert_eq!(received, "panic at");
    }
}
