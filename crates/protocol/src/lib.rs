//! The messages between a Firn host and its guest agent, and between the agent and its runtime process.
//!
//! [`v1`] is generated from `packages/protocol/proto`; [`frame`] and [`FrameDecoder`] put messages on a byte stream and take them
//! off again. Everything decodes bytes of a peer that may be hostile: errors, never panics.

mod frame;
mod frame_decoder;
#[cfg(test)]
mod golden_tests;

pub use frame::{FRAME_PREFIX_BYTES, MAX_MESSAGE_BYTES, ProtocolError, decode, frame};
pub use frame_decoder::FrameDecoder;
pub use prost::Message;

/// Version of the agent protocol that these types describe.
pub const PROTOCOL_VERSION: u32 = 1;

/// Version 1 of the messages, generated from `agent.proto` and `bridge.proto`.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/firn.protocol.v1.rs"));
}
