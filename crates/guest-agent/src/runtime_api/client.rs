//! One connection of the function's process.

use std::os::fd::OwnedFd;

use super::exchange::{Exchange, Refusal};
use crate::http::Connection;

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
