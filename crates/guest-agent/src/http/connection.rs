//! A connection, with what has arrived and what waits to be sent.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::io::{Errno, read, write};

/// Bytes that are kept unread.
const INPUT_LIMIT_BYTES: usize = super::MAX_HEAD_BYTES + 64 * 1024;

/// Bytes that are read at a time.
const READ_BYTES: usize = 64 * 1024;

/// A socket that does not block.
pub struct Connection {
    socket: OwnedFd,
    /// What has arrived and was not taken.
    pub input: Vec<u8>,
    output: Vec<u8>,
    written: usize,
    /// Whether the peer has sent all that it will.
    pub has_ended: bool,
    /// Whether the connection is to be closed when everything was sent.
    pub closes: bool,
}

impl Connection {
    /// Takes over a connected socket, which must not block.
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket, input: Vec::new(), output: Vec::new(), written: 0, has_ended: false, closes: false }
    }

    /// What to wait for: readers wait unless what has arrived is to be taken first.
    pub fn interest(&self, wants_input: bool) -> PollFlags {
        let mut flags = PollFlags::empty();
        if wants_input && !self.has_ended && self.input.len() < INPUT_LIMIT_BYTES {
            flags |= PollFlags::IN;
        }
        if self.has_output() {
            flags |= PollFlags::OUT;
        }
        flags
    }

    /// Reads what is there, once. A connection that was reset has ended as well.
    pub fn fill(&mut self) {
        let before = self.input.len();
        if self.has_ended || before >= INPUT_LIMIT_BYTES {
            return;
        }
        self.input.resize(before.saturating_add(READ_BYTES), 0);
        let count = loop {
            match read(&self.socket, self.input.get_mut(before..).unwrap_or_default()) {
                Ok(count) => {
                    self.has_ended = count == 0;
                    break count;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break 0,
                Err(_) => {
                    self.has_ended = true;
                    break 0;
                }
            }
        };
        self.input.truncate(before.saturating_add(count));
        if self.input.is_empty() {
            self.input = Vec::new();
        }
    }

    /// Queues bytes, and sends what can be sent.
    pub fn send(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
        self.flush();
    }

    /// Sends what can be sent. What a peer that is gone does not take is dropped.
    pub fn flush(&mut self) {
        while self.has_output() {
            match write(&self.socket, self.output.get(self.written..).unwrap_or_default()) {
                Ok(count) => self.written = self.written.saturating_add(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.has_ended = true;
                    break;
                }
            }
        }
        // Nothing of it must stay in the memory of a snapshot.
        self.output = Vec::new();
        self.written = 0;
    }

    /// Whether something waits to be sent.
    pub fn has_output(&self) -> bool {
        self.written < self.output.len()
    }

    /// How many bytes wait to be sent.
    pub fn waiting_bytes(&self) -> usize {
        self.output.len().saturating_sub(self.written)
    }

    /// Queues a whole response.
    ///
    /// Header values with characters that HTTP cannot carry are left out.
    pub fn respond(&mut self, status: u16, headers: &[(&str, &str)], body: &[u8]) {
        let mut head = format!("HTTP/1.1 {status} {}\r\n", reason_of(status));
        for (name, value) in headers {
            if !value.is_empty() && !value.chars().any(char::is_control) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        if self.closes {
            head.push_str("Connection: close\r\n");
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.send(&bytes);
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn reason_of(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        410 => "Gone",
        411 => "Length Required",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        _ => "Error",
    }
}
