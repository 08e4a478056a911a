//! Sessions over the real Node.js runtime, and over processes that speak the Runtime API. Only the machine is another one: what needs PID 1 of a guest is written down instead.
//!
//! Needs what `npm install` and `npm run build:addon -w @firn/guest` leave behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test they are how it fails"
)]

mod failures;
mod host;
mod life;
mod logs;
mod payloads;
mod runtime_api;
mod test_machine;
mod web_server;
