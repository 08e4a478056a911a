//! Functions that are HTTP servers: a command that listens on a port of the loopback interface.
//!
//! To the rest of the agent this is a runtime like one behind a bridge: it takes the same commands and gives the same reports. Each
//! request has a connection of its own, so that none is open in a snapshot.

mod exchange;
mod hook;
mod hooks;
mod request;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use firn_protocol::v2::runtime_command::Message as Command;
use firn_protocol::v2::runtime_report::Message as Report;
use firn_protocol::v2::{
    Credit, FunctionFailed, Invoke, LoadFunction, PayloadChunk, RuntimeQuiesced, RuntimeResumed,
};
use rustix::event::PollFd;

use exchange::{Exchange, Purpose};
use hook::Hook;

/// Pause between two looks at whether the server listens, and whether it is ready.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// The same once it has said that it is not ready.
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// Bytes that may wait for the server before the host is told to send no more.
const BACKLOG_BYTES: usize = 256 * 1024;

/// Where the function stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It does not listen yet, or is not ready.
    Starting,
    Serving,
}

/// The agent's side of a function that is an HTTP server.
pub struct WebServer {
    port: u16,
    load: LoadFunction,
    exchanges: Vec<Exchange>,
    next_token: u64,
    reports: VecDeque<Report>,
    stage: Stage,
    /// Whether it answers the hooks of AWS Lambda MicroVMs.
    has_hooks: bool,
    /// Whether it was told of its first resume.
    has_run: bool,
    is_quiescing: bool,
    /// When to ask again whether it is ready.
    retry_at: Option<Instant>,
    /// Why nothing can be answered, since a hook failed after a restore.
    broken: Option<String>,
}

impl WebServer {
    /// For a function whose process was just started.
    pub fn new(port: u16, load: LoadFunction) -> Self {
        let mut server = Self {
            port,
            load,
            exchanges: Vec::new(),
            next_token: 1,
            reports: VecDeque::new(),
            stage: Stage::Starting,
            has_hooks: false,
            has_run: false,
            is_quiescing: false,
            retry_at: None,
            broken: None,
        };
        server.call(Hook::Ready);
        server
    }

    /// Takes what a runtime behind a bridge would be sent.
    pub fn command(&mut self, command: Command) {
        match command {
            Command::PrepareSnapshot(_) => {
                self.is_quiescing = true;
                if self.has_hooks && self.has_run { self.call(Hook::Suspend) } else { self.quiesce() }
            }
            Command::Invoke(invoke) => self.invoke(invoke),
            Command::PayloadChunk(chunk) => self.take_payload(chunk),
            Command::CancelInvoke(cancel) => {
                let cancelled = ("AbortError", "The invocation was cancelled.");
                self.break_off(cancel.id, cancelled.0, cancelled.1);
            }
            Command::Credit(Credit { id, bytes }) => {
                if let Some(exchange) = self.exchange_of(id) {
                    exchange.grant(bytes);
                    let token = exchange.token;
                    self.advance(token);
                }
            }
            // A process that runs cannot be given others: the session says so.
            Command::SetEnvironment(_) | Command::LoadFunction(_) => {}
        }
    }

    /// The next thing to be told, if there is one.
    pub fn next_report(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }

    /// The kernel is reseeded, and the function thawed.
    pub fn resume(&mut self) {
        let first = !std::mem::replace(&mut self.has_run, true);
        if self.has_hooks {
            self.call(if first { Hook::Run } else { Hook::Resume });
        } else {
            self.reports.push_back(Report::Resumed(RuntimeResumed {}));
        }
    }

    /// The variables of its own that the function's process was started with.
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.load.environment
    }

    /// The process is gone. What it had not answered is failed by the session.
    pub fn forget_process(&mut self) {
        self.exchanges.clear();
        self.retry_at = None;
        self.is_quiescing = false;
    }

    /// The descriptors to wait for, with what tells them apart.
    pub fn watched(&self, has_room: bool) -> impl Iterator<Item = (PollFd<'_>, u64)> {
        self.exchanges.iter().filter_map(move |exchange| exchange.watched(has_room))
    }

    /// Something has happened at one of the descriptors.
    pub fn handle(&mut self, token: u64) {
        if let Some(exchange) = self.exchanges.iter_mut().find(|exchange| exchange.token == token) {
            exchange.connection.flush();
            exchange.connection.fill();
            self.advance(token);
        }
    }

    /// When [`on_time`](Self::on_time) has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Does what is due.
    pub fn on_time(&mut self, now: Instant) {
        if self.retry_at.is_some_and(|due| due <= now) {
            self.retry_at = None;
            self.call(Hook::Ready);
        }
    }

    fn invoke(&mut self, invoke: Invoke) {
        let id = invoke.id;
        if let Some(message) = self.broken.clone() {
            return self.fail(id, "Runtime.AfterRestoreError", &message);
        }
        if invoke.kind != "http" {
            let message = "This function is an HTTP server, which takes no events: call its URL.";
            return self.fail(id, "Runtime.EventNotSupported", message);
        }
        let (head, framing) = request::head_of(&invoke, self.port);
        match Exchange::open(self.new_token(), self.port, Purpose::Invocation(id)) {
            Ok(mut exchange) => {
                exchange.is_head_request = invoke.method.eq_ignore_ascii_case("HEAD");
                exchange.framing = framing;
                exchange.send_body(&head, &invoke.payload, !invoke.more);
                if invoke.more {
                    exchange.owe(u32::try_from(invoke.payload.len()).unwrap_or(u32::MAX));
                }
                let token = exchange.token;
                self.exchanges.push(exchange);
                self.advance(token);
            }
            Err(error) => {
                let message =
                    format!("The function does not listen on port {} any more: {error}.", self.port);
                self.fail(id, "Runtime.ConnectionFailed", &message);
            }
        }
    }

    fn take_payload(&mut self, chunk: PayloadChunk) {
        let Some(exchange) = self.exchange_of(chunk.id) else { return };
        exchange.send_body(&[], &chunk.data, chunk.last);
        exchange.owe(if chunk.last { 0 } else { u32::try_from(chunk.data.len()).unwrap_or(u32::MAX) });
        let token = exchange.token;
        self.advance(token);
    }

    fn exchange_of(&mut self, id: u32) -> Option<&mut Exchange> {
        self.exchanges
            .iter_mut()
            .find(|exchange| matches!(exchange.purpose, Purpose::Invocation(known) if known == id))
    }

    fn new_token(&mut self) -> u64 {
        self.next_token = self.next_token.wrapping_add(1);
        self.next_token
    }

    /// Says that nothing moves any more, once that is so and was asked for.
    fn quiesce(&mut self) {
        if self.is_quiescing && self.exchanges.is_empty() {
            self.is_quiescing = false;
            self.exchanges.shrink_to_fit();
            self.reports.push_back(Report::Quiesced(RuntimeQuiesced { warnings: Vec::new() }));
        }
    }

    fn fail_function(&mut self, code: &str, message: String) {
        self.reports.push_back(Report::FunctionFailed(FunctionFailed {
            code: code.into(),
            message,
            stack: String::new(),
        }));
    }
}
