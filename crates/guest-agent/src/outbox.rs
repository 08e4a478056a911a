//! What waits to be sent to a peer.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;

use firn_protocol::{Message, ProtocolError, frame};
use rustix::io::{Errno, write};

/// Frames are joined into pieces of about this many bytes: few writes, and what was written is freed piece by piece.
const PIECE_BYTES: usize = 64 * 1024;

/// Bytes that may wait before log lines are dropped rather than kept.
const LOG_LIMIT_BYTES: usize = 256 * 1024;

/// Bytes that may wait before the agent stops taking messages from the other side.
const BACKPRESSURE_BYTES: usize = 1024 * 1024;

/// Frames on their way to one descriptor that must not block.
#[derive(Default)]
pub struct Outbox {
    pieces: VecDeque<Vec<u8>>,
    /// Bytes of the first piece that were written already.
    written: usize,
    /// Bytes that wait.
    waiting: usize,
}

impl Outbox {
    /// Appends a message.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::TooLong`]; nothing was appended.
    pub fn push<M: Message>(&mut self, message: &M) -> Result<(), ProtocolError> {
        let mut framed = frame(message)?;
        self.waiting = self.waiting.saturating_add(framed.len());
        match self.pieces.back_mut() {
            Some(piece) if piece.len().saturating_add(framed.len()) <= PIECE_BYTES => {
                piece.append(&mut framed);
            }
            _ => self.pieces.push_back(framed),
        }
        Ok(())
    }

    /// Writes until everything is gone or the descriptor would block. What was written is freed.
    ///
    /// # Errors
    ///
    /// When the peer is gone.
    pub fn flush(&mut self, descriptor: BorrowedFd<'_>) -> Result<(), Errno> {
        while let Some(piece) = self.pieces.front() {
            let rest = piece.get(self.written..).unwrap_or_default();
            if rest.is_empty() {
                self.pieces.pop_front();
                self.written = 0;
                continue;
            }
            match write(descriptor, rest) {
                Ok(count) => {
                    self.written = self.written.saturating_add(count);
                    self.waiting = self.waiting.saturating_sub(count);
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        // Nothing of it must stay in the memory of a snapshot.
        self.pieces = VecDeque::new();
        Ok(())
    }

    /// Whether everything was written.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Whether a log line still finds room.
    pub fn has_room_for_logs(&self) -> bool {
        self.waiting < LOG_LIMIT_BYTES
    }

    /// Whether so much of the room for log lines is free again that it is worth starting anew.
    pub fn has_much_room_for_logs(&self) -> bool {
        self.waiting < LOG_LIMIT_BYTES / 2
    }

    /// Whether so much waits that nothing should be added that can wait elsewhere.
    pub fn is_full(&self) -> bool {
        self.waiting > BACKPRESSURE_BYTES
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use firn_protocol::v2::LogLine;
    use firn_protocol::{FrameDecoder, decode};
    use rustix::io::{ioctl_fionbio, read};
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    fn line(length: usize) -> LogLine {
        LogLine { line: vec![b'x'; length], ..LogLine::default() }
    }

    #[test]
    fn flush_frees_what_was_written_when_the_peer_never_reads_everything() {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        ioctl_fionbio(&ours, true).unwrap();
        let mut outbox = Outbox::default();
        let mut decoder = FrameDecoder::new();
        let mut buffer = vec![0; 64 * 1024];
        let (mut pushed, mut decoded, mut most) = (0_usize, 0_usize, 0_usize);
        // There is always something that waits, and in all far more than may.
        for _ in 0..4000 {
            while outbox.has_room_for_logs() {
                outbox.push(&line(1000)).unwrap();
                pushed += 1;
            }
            outbox.flush(ours.as_fd()).unwrap();
            assert!(!outbox.is_empty());
            let held: usize = outbox.pieces.iter().map(Vec::capacity).sum();
            most = most.max(held);
            let count = read(&theirs, &mut buffer).unwrap();
            decoder.push(&buffer[..count]);
            while let Some(bytes) = decoder.next_message().unwrap() {
                assert_eq!(decode::<LogLine>(bytes).unwrap(), line(1000));
                decoded += 1;
            }
        }
        assert!(pushed > 50_000, "{pushed}");
        assert!(decoded > 50_000, "{decoded}");
        assert!(most < 2 * LOG_LIMIT_BYTES + 2 * PIECE_BYTES, "{most}");
    }

    #[test]
    fn push_appends_nothing_when_the_message_is_too_long() {
        let mut outbox = Outbox::default();
        assert!(outbox.push(&line(17 << 20)).is_err());
        assert!(outbox.is_empty());
    }
}
