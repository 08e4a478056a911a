//! As much of HTTP/1.1 as the agent speaks with the processes of the function, over sockets that do not block.
//!
//! Everything is bounded: a head, a trailer, what is kept of a body. Whoever goes beyond is refused.

mod body;
mod connection;
mod head;

pub use body::BodyDecoder;
pub use connection::Connection;
pub use head::{Fields, RequestHead, ResponseHead};

/// Longest head of a message, and longest trailer, in bytes. Clients of the Runtime API put stack traces into headers.
pub const MAX_HEAD_BYTES: usize = 256 * 1024;

/// What is wrong with a message, and the status that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadMessage {
    /// 400, 411, 413, 431 or 501.
    pub status: u16,
    /// A sentence.
    pub reason: String,
}

impl BadMessage {
    /// A message that cannot be understood.
    pub fn new(status: u16, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }
}
