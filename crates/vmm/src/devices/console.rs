//! Where the serial console's output goes: a ring of bounded size, which is emptied into a descriptor by lines, so that a guest
//! that prints costs one system call a line.
//!
//! The latest output is kept: while nobody reads, the oldest bytes in the ring are lost, and counted.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::error::{ErrorCode, Result, VmmError};

/// Output is passed on at the end of a line or when this many bytes of one are held.
const LINE_MAX: usize = 256;
/// Most that is held, bytes.
const RING_MAX: usize = 64 << 10;

/// A sink that never blocks and never fails.
pub(super) struct Console {
    file: Option<File>,
    ring: VecDeque<u8>,
    /// Bytes of the line that has not ended, at the end of the ring.
    line: usize,
    /// Whether anybody wanted the output.
    is_wanted: bool,
    /// The descriptor took nothing; it is left alone until it says that it does.
    is_full: bool,
    dropped: u64,
}

impl Console {
    /// Makes `file` nonblocking, for everybody who has it open. Without a file, everything is discarded (and not counted as
    /// lost).
    pub(super) fn new(file: Option<File>) -> Result<Self> {
        if let Some(file) = &file {
            fcntl_getfl(file)
                .and_then(|flags| fcntl_setfl(file, flags | OFlags::NONBLOCK))
                .map_err(VmmError::wrap(ErrorCode::Io, "making the console's descriptor nonblocking"))?;
        }
        let is_wanted = file.is_some();
        Ok(Self { file, ring: VecDeque::new(), line: 0, is_wanted, is_full: false, dropped: 0 })
    }

    pub(super) fn fd(&self) -> Option<RawFd> {
        self.file.as_ref().map(AsRawFd::as_raw_fd)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The descriptor takes bytes again.
    pub(super) fn on_writable(&mut self) {
        self.is_full = false;
        self.pass_on();
    }

    /// Passes on what is held, whether or not its line has ended, as far as the descriptor takes it.
    pub(super) fn pass_on(&mut self) {
        self.line = 0;
        while let (false, Some(file), (bytes @ [_, ..], _)) =
            (self.is_full, &mut self.file, self.ring.as_slices())
        {
            match file.write(bytes) {
                Ok(written) => {
                    self.ring.drain(..written.min(bytes.len()));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.is_full = true,
                Err(_) => self.close(),
            }
        }
    }

    /// Nobody will read any more.
    fn close(&mut self) {
        self.file = None;
        self.dropped = self.dropped.saturating_add(self.ring.len() as u64);
        self.ring = VecDeque::new();
    }

    fn push(&mut self, byte: u8) {
        if self.file.is_none() {
            self.dropped = self.dropped.saturating_add(u64::from(self.is_wanted));
            return;
        }
        if self.ring.len() >= RING_MAX {
            self.ring.pop_front();
            self.dropped = self.dropped.saturating_add(1);
        }
        self.ring.push_back(byte);
        self.line = self.line.saturating_add(1);
        if byte == b'\n' || self.line >= LINE_MAX {
            self.pass_on();
        }
    }
}

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        bytes.iter().for_each(|byte| self.push(*byte));
        Ok(bytes.len())
    }

    /// The UART flushes after every byte: nothing is passed on before its line ends.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.is_full = false;
        self.pass_on();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn console() -> (UnixStream, Console) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (ours, Console::new(Some(OwnedFd::from(theirs).into())).unwrap())
    }

    #[test]
    fn nobody_reads_and_the_oldest_is_lost_and_counted() {
        let (mut ours, mut console) = console();
        let lines = 100_000u64;
        for line in 0..lines {
            console.write_all(format!("{line:09}\n").as_bytes()).unwrap();
        }
        let dropped = console.dropped();
        assert!(dropped > 0);
        assert!(console.ring.len() <= RING_MAX && console.ring.capacity() <= 2 * RING_MAX);

        ours.set_nonblocking(true).unwrap();
        let mut received = Vec::new();
        while !console.ring.is_empty() {
            let _would_block = ours.read_to_end(&mut received);
            console.on_writable();
        }
        drop(console);
        let _would_block = ours.read_to_end(&mut received);
        assert_eq!(received.len() as u64 + dropped, lines * 10);
        assert!(received.ends_with(format!("{:09}\n", lines - 1).as_bytes()), "the latest is kept");
        assert_eq!(received[..10], *b"000000000\n", "what was passed on before stays");
    }

    #[test]
    fn a_reader_that_is_gone_costs_nothing() {
        let (ours, mut console) = console();
        drop(ours);
        console.write_all(b"one\ntwo\n").unwrap();
        assert_eq!((console.dropped(), console.ring.capacity(), console.fd()), (8, 0, None));
    }

    #[test]
    fn a_line_that_has_not_ended_is_passed_on_when_the_console_closes() {
        let (mut ours, mut console) = console();
        console.write_all(b"panic at").unwrap();
        drop(console);
        let mut received = String::new();
        ours.read_to_string(&mut received).unwrap();
        assert_eq!(received, "panic at");
    }
}
