//! The last words of a process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

/// How much of the end of standard error is kept, in bytes.
pub const TAIL_BYTES: usize = 4 << 10;

/// The read end of a process's standard error, and what came last.
#[derive(Debug)]
pub struct StderrTail {
    pipe: Option<OwnedFd>,
    tail: Vec<u8>,
}

impl StderrTail {
    /// Takes over a nonblocking pipe.
    pub fn new(pipe: OwnedFd) -> Self {
        Self { pipe: Some(pipe), tail: Vec::new() }
    }

    /// What to poll, until the process has closed it.
    pub fn readable(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads what is there, without waiting; at most 64 KiB, so that a chatty process cannot hold the supervisor.
    pub fn read(&mut self) {
        let mut buffer = [0_u8; TAIL_BYTES];
        for _ in 0..16 {
            let Some(pipe) = &self.pipe else { return };
            match rustix::io::read(pipe, &mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(count) => self.append(buffer.get(..count).unwrap_or_default()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.pipe = None,
            }
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        let surplus = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..surplus);
    }

    /// The last words, trimmed; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.tail).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    #[test]
    fn only_the_end_is_kept() {
        let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        let mut tail = StderrTail::new(read_end);
        for line in 0..1000 {
            rustix::io::write(&write_end, format!("line {line}\n").as_bytes()).unwrap();
        }
        drop(write_end);
        tail.read();
        assert!(tail.readable().is_none());
        assert!(tail.text().len() <= TAIL_BYTES);
        assert!(tail.text().ends_with("line 999"));
        assert!(!tail.text().contains("line 0\n"));
    }
}
