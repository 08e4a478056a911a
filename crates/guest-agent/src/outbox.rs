//! What waits to be sent to a peer.

use std::os::fd::BorrowedFd;

use firn_protocol::{Message, ProtocolError, frame};
use rustix::io::{Errno, write};

/// Bytes that may wait before log lines are dropped rather than kept.
const LOG_LIMIT_BYTES: usize = 256 * 1024;

/// Bytes that may wait before the agent stops taking results from the runtime.
const BACKPRESSURE_BYTES: usize = 32 * 1024 * 1024;

/// Frames on their way to one descriptor that must not block.
#[derive(Default)]
pub struct Outbox {
    waiting: Vec<u8>,
    /// Bytes at the start of `waiting` that were written already.
    written: usize,
}

impl Outbox {
    /// Appends a message.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::TooLong`]; nothing was appended.
    pub fn push<M: Message>(&mut self, message: &M) -> Result<(), ProtocolError> {
        self.waiting.append(&mut frame(message)?);
        Ok(())
    }

    /// Writes until everything is gone or the descriptor would block.
    ///
    /// # Errors
    ///
    /// When the peer is gone.
    pub fn flush(&mut self, descriptor: BorrowedFd<'_>) -> Result<(), Errno> {
        while let Some(rest) = self.waiting.get(self.written..).filter(|rest| !rest.is_empty()) {
            match write(descriptor, rest) {
                Ok(count) => self.written = self.written.saturating_add(count),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        // A large answer must not stay in the memory of a snapshot.
        self.waiting = Vec::new();
        self.written = 0;
        Ok(())
    }

    /// Whether everything was written.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a log line still finds room.
    pub fn has_room_for_logs(&self) -> bool {
        self.waiting.len().saturating_sub(self.written) < LOG_LIMIT_BYTES
    }

    /// Whether so much waits that nothing should be added that can wait elsewhere.
    pub fn is_full(&self) -> bool {
        self.waiting.len().saturating_sub(self.written) > BACKPRESSURE_BYTES
    }
}
