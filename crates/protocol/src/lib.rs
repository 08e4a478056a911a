//! The messages between a Firn host and its guest agent, and between the agent and its runtime process.
//!
//! [`v2`] is generated from `packages/protocol/proto`; [`frame`] and [`FrameDecoder`] put messages on a byte stream and take them
//! off again. Everything decodes bytes of a peer that may be hostile: errors, never panics.

mod frame;
mod frame_decoder;
#[cfg(test)]
mod golden_tests;

pub use frame::{FRAME_PREFIX_BYTES, MAX_MESSAGE_BYTES, ProtocolError, decode, frame};
pub use frame_decoder::FrameDecoder;
pub use prost::Message;

/// The agent ABI of these types: messages, framing, credit and the descriptors of a runtime.
pub const AGENT_ABI: u32 = 2;

/// Bytes of a payload that may be sent, each invocation and direction for itself, before any credit is granted.
pub const INITIAL_CREDIT_BYTES: usize = 256 * 1024;

/// ABI 2 of the messages, generated from `agent.proto` and `bridge.proto`.
#[allow(missing_docs, clippy::all)]
pub mod v2 {
    include!(concat!(env!("OUT_DIR"), "/firn.protocol.v2.rs"));
}
