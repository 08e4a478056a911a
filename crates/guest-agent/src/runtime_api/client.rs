//! One connection of the function's process.

use std::os::fd::OwnedFd;

use crate::http::Connection;

use super::uploads::Upload;

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

/// A connection, and what is going on on it.
pub struct Client {
    pub token: u64,
    pub connection: Connection,
    pub exchange: Exchange,
}

impl Client {
    pub fn new(token: u64, socket: OwnedFd) -> Self {
        Self { token, connection: Connection::new(socket), exchange: Exchange::Head }
    }

    /// Answers what was asked; the next request may follow.
    pub fn answer(&mut self, status: u16, headers: &[(&str, &str)], body: &[u8]) {
        self.connection.respond(status, headers, body);
        self.exchange = Exchange::Head;
    }

    /// Says that something was taken.
    pub fn accept(&mut self) {
        self.answer(202, &[("Content-Type", "application/json")], b"{\"status\":\"OK\"}\n");
    }

    /// Says what is wrong, as AWS does.
    pub fn refuse(&mut self, refusal: &Refusal) {
        let body = serde_json::json!({ "errorMessage": refusal.message, "errorType": refusal.error_type });
        self.answer(refusal.status, &[("Content-Type", "application/json")], format!("{body}\n").as_bytes());
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
