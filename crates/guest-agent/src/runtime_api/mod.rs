//! The Runtime API of AWS Lambda, for the process of a function that asks for its invocations over HTTP.
//!
//! To the rest of the agent this is a runtime like one behind a bridge: it takes the same commands and gives the same reports. A poll
//! that waits at the doorbell is answered after the restore.

mod client;
mod exchange;
mod routes;
mod uploads;
mod work;

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Instant, SystemTime};

use firn_protocol::v2::runtime_command::Message as Command;
use firn_protocol::v2::runtime_report::Message as Report;
use firn_protocol::v2::{
    Credit, FunctionFailed, FunctionReady, LoadFunction, PayloadChunk, RuntimeQuiesced, RuntimeReady,
    RuntimeResumed,
};
use rustix::event::{PollFd, PollFlags};
use rustix::net::{SocketFlags, accept_with};

use crate::AgentError;
use client::Client;
use exchange::{Exchange, Poll};
use work::Work;

/// The port of AWS Lambda.
pub const RUNTIME_API_PORT: u16 = 9001;

/// Most connections at a time. Others wait until there is room.
const MAX_CLIENTS: usize = 32;

/// Where a function stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No function is loaded.
    Empty,
    /// It has not asked for anything yet.
    Loading,
    /// It asks for invocations, or waits for a restore before it does.
    Ready,
    /// It was told of a restore, and does what it does then.
    Restoring,
}

/// The server.
pub struct RuntimeApi {
    listener: OwnedFd,
    /// Host and port.
    address: String,
    clients: Vec<Client>,
    next_token: u64,
    works: Vec<Work>,
    reports: VecDeque<Report>,
    stage: Stage,
    is_quiescing: bool,
    /// Whether a process waits for a function, and has not got it.
    awaits_process: bool,
    /// What the process was started with.
    load: LoadFunction,
    /// Why nothing can be answered, since a hook failed after a restore.
    broken: Option<String>,
}

impl RuntimeApi {
    /// Listens on the loopback interface, at a port of it; 0 for any.
    ///
    /// # Errors
    ///
    /// If the port cannot be had.
    pub fn listen(port: u16, process_at_boot: bool) -> Result<Self, AgentError> {
        let listening = || {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?.to_string(), listener.into()))
        };
        let (address, listener) =
            listening().map_err(AgentError::system::<std::io::Error>(format!("listen on port {port}")))?;
        let mut api = Self {
            listener,
            address,
            clients: Vec::new(),
            next_token: 1,
            works: Vec::new(),
            reports: VecDeque::new(),
            stage: Stage::Empty,
            is_quiescing: false,
            awaits_process: process_at_boot,
            load: LoadFunction::default(),
            broken: None,
        };
        if !process_at_boot {
            api.reports.push_back(Report::RuntimeReady(RuntimeReady {}));
        }
        Ok(api)
    }

    /// What a process gets as `AWS_LAMBDA_RUNTIME_API`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Takes what a runtime behind a bridge would be sent.
    pub fn command(&mut self, command: Command) {
        match command {
            Command::LoadFunction(load) => {
                self.load = load;
                self.stage = Stage::Loading;
                self.answer_loads();
            }
            Command::PrepareSnapshot(_) => {
                self.is_quiescing = true;
                self.announce_snapshot();
                self.quiesce();
            }
            Command::Invoke(invoke) => {
                if invoke.more {
                    let bytes = u32::try_from(invoke.payload.len()).unwrap_or(u32::MAX);
                    self.reports.push_back(Report::Credit(Credit { id: invoke.id, bytes }));
                }
                self.works.push(Work::new(invoke, Instant::now()));
                self.hand_out();
            }
            Command::PayloadChunk(chunk) => self.take_payload(chunk),
            Command::CancelInvoke(cancel) => self.cancel(cancel.id),
            Command::Credit(Credit { id, bytes }) => self.grant(id, bytes),
            // A process that runs cannot be given others: the session says so.
            Command::SetEnvironment(_) => {}
        }
        self.settle();
    }

    /// The next thing to be told, if there is one.
    pub fn next_report(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }

    /// The kernel is reseeded, and the function thawed: a process that waits for that is told.
    pub fn resume(&mut self) {
        if !self.answer_restore() {
            self.reports.push_back(Report::Resumed(RuntimeResumed {}));
        }
        self.settle();
    }

    /// The variables of its own that the function's process was started with.
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.load.environment
    }

    /// The process is gone. What it had not answered is failed by the session.
    pub fn forget_process(&mut self) {
        self.clients.clear();
        self.works.clear();
        self.is_quiescing = false;
    }

    /// The descriptors to wait for, with what tells them apart: 0 is the listener.
    pub fn watched(&self, has_room: bool) -> impl Iterator<Item = (PollFd<'_>, u64)> {
        let listener = (self.clients.len() < MAX_CLIENTS)
            .then(|| (PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN), 0));
        let clients = self.clients.iter().filter_map(move |client| {
            let wants_input = match &client.exchange {
                Exchange::Upload(upload) => has_room && !self.is_held_up(upload),
                Exchange::Head | Exchange::Poll(_) => true,
            };
            let flags = client.connection.interest(wants_input);
            (!flags.is_empty())
                .then(|| (PollFd::from_borrowed_fd(client.connection.as_fd(), flags), client.token))
        });
        listener.into_iter().chain(clients)
    }

    /// Something has happened at one of the descriptors.
    pub fn handle(&mut self, token: u64) {
        if token == 0 {
            return self.accept();
        }
        if let Some(client) = self.clients.iter_mut().find(|client| client.token == token) {
            client.connection.flush();
            client.connection.fill();
            self.advance(token);
        }
        self.settle();
    }

    /// Goes on with connections that were answered: the next request may be there, or it was the last one.
    fn settle(&mut self) {
        let answered = |client: &&Client| {
            matches!(client.exchange, Exchange::Head)
                && (!client.connection.input.is_empty() || client.connection.closes)
                && !client.connection.has_output()
        };
        let tokens: Vec<u64> = self.clients.iter().filter(answered).map(|client| client.token).collect();
        for token in tokens {
            self.advance(token);
        }
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while self.clients.len() < MAX_CLIENTS {
            let Ok(socket) = accept_with(&self.listener, flags) else { return };
            let _ = rustix::net::sockopt::set_tcp_nodelay(&socket, true);
            let token = self.next_token;
            self.next_token = token.wrapping_add(1).max(1);
            self.clients.push(Client::new(token, socket));
            // Most clients send their request with the connection.
            self.handle(token);
        }
    }

    /// A process asks for something and waits for it.
    fn begin_poll(&mut self, poll: Poll) {
        match (poll, self.stage) {
            (Poll::Load, _) => {
                if std::mem::take(&mut self.awaits_process) {
                    self.reports.push_back(Report::RuntimeReady(RuntimeReady {}));
                }
                self.answer_loads();
            }
            (Poll::Next | Poll::NextOrSnapshot | Poll::Restore, Stage::Loading) => {
                self.stage = Stage::Ready;
                let awaits_restore = poll == Poll::Restore;
                self.reports.push_back(Report::FunctionReady(FunctionReady { awaits_restore }));
            }
            (Poll::Next | Poll::NextOrSnapshot, Stage::Restoring) => {
                self.stage = Stage::Ready;
                self.reports.push_back(Report::Resumed(RuntimeResumed {}));
            }
            _ => {}
        }
        self.hand_out();
        if self.is_quiescing && poll == Poll::NextOrSnapshot {
            self.announce_snapshot();
        }
        self.quiesce();
    }

    /// Tells processes that asked for it that a snapshot is to be taken: they ask for a restore once they are prepared.
    fn announce_snapshot(&mut self) {
        for client in &mut self.clients {
            if matches!(client.exchange, Exchange::Poll(Poll::NextOrSnapshot)) {
                client.answer(204, &[], b"");
            }
        }
    }

    /// Says that nothing moves any more, once that is so and was asked for.
    fn quiesce(&mut self) {
        let waits = self.clients.iter().any(|client| matches!(client.exchange, Exchange::Poll(_)));
        let stands_still = waits || (self.stage == Stage::Empty && !self.awaits_process);
        if self.is_quiescing && stands_still && self.works.is_empty() {
            self.is_quiescing = false;
            self.reports.shrink_to_fit();
            self.reports.push_back(Report::Quiesced(RuntimeQuiesced { warnings: Vec::new() }));
        }
    }

    /// Gives invocations to processes that ask for one, the oldest first.
    fn hand_out(&mut self) {
        while let Some(index) = self.works.iter().position(Work::is_queued) {
            if let Some(message) = &self.broken {
                let message = message.clone();
                self.fail(index, "Runtime.AfterRestoreError", &message);
                continue;
            }
            // An invocation without a snapshot before it: what waits for a restore will not get another one.
            if self.stage != Stage::Restoring && self.answer_restore() {
                return;
            }
            let asks = |client: &&mut Client| {
                matches!(client.exchange, Exchange::Poll(Poll::Next | Poll::NextOrSnapshot))
            };
            let Some(client) = self.clients.iter_mut().find(asks) else { return };
            let Some(work) = self.works.get_mut(index) else { return };
            work.hand_to(client, &self.load, SystemTime::now());
        }
    }

    /// Answers those who wait for a restore. `false` if there are none.
    fn answer_restore(&mut self) -> bool {
        let mut found = false;
        for client in &mut self.clients {
            if matches!(client.exchange, Exchange::Poll(Poll::Restore)) {
                client.answer(200, &[("Content-Type", "application/json")], b"");
                found = true;
            }
        }
        if found {
            self.stage = Stage::Restoring;
        }
        found
    }

    /// Answers a process that waits for a function, once there is one.
    fn answer_loads(&mut self) {
        if self.stage != Stage::Loading {
            return;
        }
        for client in &mut self.clients {
            if matches!(client.exchange, Exchange::Poll(Poll::Load)) {
                let LoadFunction { entry, handler, environment, function_name, memory_mib, .. } = &self.load;
                let body = serde_json::json!({
                    "entry": entry,
                    "handler": handler,
                    "environment": environment,
                    "functionName": function_name,
                    "memoryMib": memory_mib,
                });
                client.answer(200, &[("Content-Type", "application/json")], body.to_string().as_bytes());
            }
        }
    }

    fn fail_function(&mut self, code: &str, message: String, stack: String) {
        self.reports.push_back(Report::FunctionFailed(FunctionFailed { code: code.into(), message, stack }));
    }

    fn take_payload(&mut self, chunk: PayloadChunk) {
        let Some(index) = self.works.iter().position(|work| work.id() == chunk.id) else { return };
        let Some(work) = self.works.get_mut(index) else { return };
        let bytes = u32::try_from(chunk.data.len()).unwrap_or(u32::MAX);
        if !work.take(&chunk) {
            let message = format!("The event is longer than {} bytes.", work::MAX_EVENT_BYTES);
            return self.fail(index, "Runtime.RequestTooLarge", &message);
        }
        if !chunk.last {
            self.reports.push_back(Report::Credit(Credit { id: chunk.id, bytes }));
        }
        self.hand_out();
    }
}
