//! One frame: a message preceded by its length.

use prost::Message;

/// Largest message in bytes, its length prefix not counted: 16 MiB.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// Size of the length prefix in bytes: a 32-bit little-endian integer.
pub const FRAME_PREFIX_BYTES: usize = 4;

/// Bytes that break the protocol. The stream they came from cannot be used any further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// FIRN_PROTOCOL: a frame of {length} bytes is longer than the 16777216 that are allowed.
    #[error(
        "FIRN_PROTOCOL: a frame of {length} bytes is longer than the {MAX_MESSAGE_BYTES} that are allowed"
    )]
    TooLong {
        /// The length that was announced or asked for.
        length: usize,
    },
    /// FIRN_PROTOCOL: a message of {length} bytes cannot be decoded.
    #[error("FIRN_PROTOCOL: a message of {length} bytes cannot be decoded: {reason}")]
    Malformed {
        /// Size of the message in bytes.
        length: usize,
        /// What the decoder found.
        reason: String,
    },
}

/// Encodes a message with its length before it.
///
/// # Errors
///
/// [`ProtocolError::TooLong`] if the message is longer than [`MAX_MESSAGE_BYTES`].
pub fn frame<M: Message>(message: &M) -> Result<Vec<u8>, ProtocolError> {
    let length = message.encoded_len();
    let too_long = ProtocolError::TooLong { length };
    if length > MAX_MESSAGE_BYTES {
        return Err(too_long);
    }
    let prefix = u32::try_from(length).map_err(|_| too_long)?;
    let mut framed = Vec::with_capacity(FRAME_PREFIX_BYTES.saturating_add(length));
    framed.extend_from_slice(&prefix.to_le_bytes());
    message.encode_raw(&mut framed);
    Ok(framed)
}

/// Decodes one message without its length prefix.
///
/// # Errors
///
/// [`ProtocolError::Malformed`] if the bytes are no such message.
pub fn decode<M: Message + Default>(message: &[u8]) -> Result<M, ProtocolError> {
    M::decode(message)
        .map_err(|error| ProtocolError::Malformed { length: message.len(), reason: error.to_string() })
}
