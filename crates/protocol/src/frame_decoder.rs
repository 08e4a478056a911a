//! The incremental decoder of a stream of frames.

use crate::frame::{FRAME_PREFIX_BYTES, MAX_MESSAGE_BYTES, ProtocolError};

/// Cuts a byte stream into messages, whatever the sizes of the pieces it arrives in. Memory in use is bounded by what has arrived:
/// a forged length reserves nothing.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
    /// Bytes at the start of `buffer` that were handed out already.
    consumed: usize,
}

impl FrameDecoder {
    /// A decoder at a frame boundary.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.discard_consumed();
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete message without its length prefix, or `None` until more bytes arrive.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::TooLong`] if a frame announces more than [`MAX_MESSAGE_BYTES`]; again at every further call.
    pub fn next_message(&mut self) -> Result<Option<&[u8]>, ProtocolError> {
        let pending = self.buffer.get(self.consumed..).unwrap_or_default();
        let Some((prefix, rest)) = pending.split_first_chunk::<FRAME_PREFIX_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*prefix);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > MAX_MESSAGE_BYTES {
            return Err(ProtocolError::TooLong { length });
        }
        let Some(message) = rest.get(..length) else {
            return Ok(None);
        };
        self.consumed = self.consumed.saturating_add(FRAME_PREFIX_BYTES).saturating_add(length);
        Ok(Some(message))
    }

    /// Bytes that belong to no message handed out so far. 0 means that the stream is at a frame boundary.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len().saturating_sub(self.consumed)
    }

    /// Gives the memory of finished frames back, as before a snapshot. What is pending stays.
    pub fn shrink(&mut self) {
        self.discard_consumed();
        self.buffer.shrink_to_fit();
    }

    fn discard_consumed(&mut self) {
        if self.consumed > 0 {
            self.buffer.drain(..self.consumed.min(self.buffer.len()));
            self.consumed = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut stream = Vec::new();
        for message in messages {
            stream.extend_from_slice(&u32::try_from(message.len()).unwrap().to_le_bytes());
            stream.extend_from_slice(message);
        }
        stream
    }

    proptest! {
        #[test]
        fn next_message_returns_the_framed_messages_when_the_stream_is_cut_anywhere(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            sizes in prop::collection::vec(1_usize..50, 1..20),
        ) {
            let stream = framed(&messages);
            let mut decoder = FrameDecoder::new();
            let mut decoded = Vec::new();
            let mut rest = stream.as_slice();
            for size in sizes.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*size).min(rest.len()));
                decoder.push(piece);
                while let Some(message) = decoder.next_message().unwrap() {
                    decoded.push(message.to_vec());
                }
                rest = after;
            }
            prop_assert_eq!(decoded, messages);
            prop_assert_eq!(decoder.pending_bytes(), 0);
        }

        #[test]
        fn next_message_never_panics_when_the_bytes_are_arbitrary(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
        ) {
            let mut decoder = FrameDecoder::new();
            for piece in &pieces {
                decoder.push(piece);
                while let Ok(Some(_)) = decoder.next_message() {}
            }
        }
    }

    #[test]
    fn next_message_fails_when_a_frame_is_one_byte_longer_than_allowed() {
        let mut decoder = FrameDecoder::new();
        decoder.push(&16_777_216_u32.to_le_bytes());
        assert_eq!(decoder.next_message(), Ok(None));
        let mut decoder = FrameDecoder::new();
        decoder.push(&16_777_217_u32.to_le_bytes());
        assert_eq!(decoder.next_message(), Err(ProtocolError::TooLong { length: 16_777_217 }));
        assert_eq!(decoder.next_message(), Err(ProtocolError::TooLong { length: 16_777_217 }));
    }
}
