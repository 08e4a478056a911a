//! What goes on on a connection.

use crate::http::BodyDecoder;

/// Longest answer in bytes, as AWS has it.
pub const MAX_RESPONSE_BYTES: usize = 6_291_556;

/// Longest description of an error in bytes.
pub const MAX_ERROR_BYTES: usize = 1024 * 1024;

/// What somebody asks for and waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poll {
    /// A function to load: what a runtime that starts at boot waits for.
    Load,
    /// An invocation.
    Next,
    /// An invocation, or word that a snapshot is to be taken.
    NextOrSnapshot,
    /// A restore.
    Restore,
}

/// Where a connection stands.
pub enum Exchange {
    /// The head of a request is to come.
    Head,
    /// Its body arrives.
    Upload(Upload),
    /// It waits for something.
    Poll(Poll),
}

/// A body that arrives, and what it is for.
pub struct Upload {
    pub decoder: BodyDecoder,
    pub purpose: Purpose,
    pub collected: Vec<u8>,
    /// Of the request's header.
    pub error_type: String,
}

/// What a body is for.
pub enum Purpose {
    /// None is expected.
    Poll(Poll),
    /// The whole answer of an invocation.
    Response(u32),
    /// An answer that is passed on as it arrives; until its beginning is complete, it is collected.
    Stream {
        id: u32,
        has_begun: bool,
    },
    InvocationError(u32),
    InitError,
    RestoreError,
    /// Nothing: its request is refused when its body is over.
    Refused(Refusal),
}

impl Purpose {
    /// Most bytes of it that are collected.
    pub fn limit(&self) -> usize {
        match self {
            Self::Response(_) => MAX_RESPONSE_BYTES,
            Self::Poll(_) | Self::Refused(_) | Self::Stream { .. } => usize::MAX,
            Self::InvocationError(_) | Self::InitError | Self::RestoreError => MAX_ERROR_BYTES,
        }
    }
}

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub error_type: &'static str,
    pub message: String,
}

impl Refusal {
    pub fn new(status: u16, error_type: &'static str, message: impl Into<String>) -> Self {
        Self { status, error_type, message: message.into() }
    }

    /// For an id that no invocation has which waits for an answer.
    pub fn invalid_id() -> Self {
        Self::new(400, "InvalidRequestID", "Invalid request ID")
    }

    /// For what does not fit what came before.
    pub fn invalid_state(what: &str) -> Self {
        Self::new(403, "InvalidStateTransition", what)
    }
}
