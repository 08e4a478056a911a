//! What the agent itself does for processes without a bridge.

use std::collections::BTreeMap;
use std::time::Instant;

use firn_protocol::v2::runtime_command::Message as Command;
use firn_protocol::v2::runtime_report::Message as Report;
use rustix::event::PollFd;

use crate::runtime_api::RuntimeApi;
use crate::web_server::WebServer;

/// The agent's end of what a process speaks.
pub enum Peer {
    /// The process asks the agent.
    Api(RuntimeApi),
    /// The agent asks the process.
    Web(WebServer),
}

/// Calls the same method of either.
macro_rules! either {
    ($peer:expr, $inner:ident => $call:expr) => {
        match $peer {
            Peer::Api($inner) => $call,
            Peer::Web($inner) => $call,
        }
    };
}

impl Peer {
    /// Takes what a runtime behind a bridge would be sent.
    pub fn command(&mut self, command: Command) {
        either!(self, peer => peer.command(command));
    }

    /// The next thing to be told, if there is one.
    pub fn next_report(&mut self) -> Option<Report> {
        either!(self, peer => peer.next_report())
    }

    /// The kernel is reseeded, and the function thawed.
    pub fn resume(&mut self) {
        either!(self, peer => peer.resume());
    }

    /// The variables that the function's process was not started with: it will not see them.
    pub fn unseen(&self, environment: &BTreeMap<String, String>) -> Vec<String> {
        let known = either!(self, peer => peer.variables());
        let unseen = environment.iter().filter(|(name, value)| known.get(*name) != Some(*value));
        unseen.map(|(name, _)| name.clone()).collect()
    }

    /// The process is gone. What it had not answered is failed by the session.
    pub fn forget_process(&mut self) {
        either!(self, peer => peer.forget_process());
    }

    /// The descriptors to wait for, with what tells them apart.
    pub fn watched(&self, has_room: bool) -> Vec<(PollFd<'_>, u64)> {
        either!(self, peer => peer.watched(has_room).collect())
    }

    /// Something has happened at one of the descriptors.
    pub fn handle(&mut self, token: u64) {
        either!(self, peer => peer.handle(token));
    }

    /// When [`on_time`](Self::on_time) has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        match self {
            Self::Api(_) => None,
            Self::Web(server) => server.next_deadline(),
        }
    }

    /// Does what is due.
    pub fn on_time(&mut self, now: Instant) {
        if let Self::Web(server) = self {
            server.on_time(now);
        }
    }
}
