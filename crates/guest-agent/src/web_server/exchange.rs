//! One request on its way to the server, and its response on the way back.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsFd;

use firn_protocol::v2::runtime_report::Message as Report;
use firn_protocol::v2::{Credit, Header, InvokeEnd};
use rustix::event::PollFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use super::hook::Hook;
use super::request::Framing;
use super::{BACKLOG_BYTES, WebServer};
use crate::answer::{Answer, error_json, json_headers};
use crate::http::{BodyDecoder, Connection, ResponseHead};

/// How much of a body is taken at once, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// Longest answer of a hook that is kept.
const MAX_HOOK_BYTES: usize = 64 * 1024;

/// Fields of one connection, which end here.
const OWN_FIELDS: [&str; 5] = ["connection", "keep-alive", "trailer", "transfer-encoding", "upgrade"];

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Hook(Hook),
    Invocation(u32),
}

/// A connection of its own for a request.
pub struct Exchange {
    pub token: u64,
    pub connection: Connection,
    pub purpose: Purpose,
    pub is_head_request: bool,
    pub framing: Framing,
    /// Bytes of the request that the host may be asked for once there is room.
    owed: u32,
    response: Option<(ResponseHead, BodyDecoder)>,
    collected: Vec<u8>,
    answer: Option<Answer>,
    granted_early: u32,
}

impl Exchange {
    /// Connects to the server.
    ///
    /// # Errors
    ///
    /// If nobody listens.
    pub fn open(token: u64, port: u16, purpose: Purpose) -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        let _ = rustix::net::sockopt::set_tcp_nodelay(&socket, true);
        match connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error),
        }
        Ok(Self {
            token,
            connection: Connection::new(socket),
            purpose,
            is_head_request: false,
            framing: Framing::Length,
            owed: 0,
            response: None,
            collected: Vec::new(),
            answer: None,
            granted_early: 0,
        })
    }

    /// Sends a piece of the request, after `before`.
    pub fn send_body(&mut self, before: &[u8], data: &[u8], last: bool) {
        let mut bytes = before.to_vec();
        match self.framing {
            Framing::Length => bytes.extend_from_slice(data),
            Framing::Chunked => {
                if !data.is_empty() {
                    bytes.extend(format!("{:x}\r\n", data.len()).into_bytes());
                    bytes.extend_from_slice(data);
                    bytes.extend_from_slice(b"\r\n");
                }
                if last {
                    bytes.extend_from_slice(b"0\r\n\r\n");
                }
            }
        }
        self.connection.send(&bytes);
    }

    /// Notes that the host has sent so much, and may send as much again when there is room.
    pub fn owe(&mut self, bytes: u32) {
        self.owed = self.owed.saturating_add(bytes);
    }

    /// The host takes more of the response.
    pub fn grant(&mut self, bytes: u32) {
        match &mut self.answer {
            Some(answer) => answer.grant(bytes),
            None => self.granted_early = self.granted_early.saturating_add(bytes),
        }
    }

    /// What to wait for.
    pub fn watched(&self, has_room: bool) -> Option<(PollFd<'_>, u64)> {
        let is_held_up = self.answer.as_ref().is_some_and(Answer::is_held_up);
        let flags = self.connection.interest(has_room && !is_held_up);
        (!flags.is_empty()).then(|| (PollFd::from_borrowed_fd(self.connection.as_fd(), flags), self.token))
    }

    /// Credit for the host, once the server has taken what it sent.
    fn take_credit(&mut self) -> Option<u32> {
        let has_room = self.connection.waiting_bytes() < BACKLOG_BYTES;
        (self.owed > 0 && has_room).then(|| std::mem::take(&mut self.owed))
    }

    /// Takes what has arrived; says whether the response is complete, or what is wrong with it.
    fn receive(&mut self) -> Result<bool, (&'static str, String)> {
        let invalid = |reason: String| {
            ("Runtime.InvalidResponse", format!("The function's response is no HTTP: {reason}"))
        };
        while self.response.is_none() {
            match ResponseHead::parse(&self.connection.input).map_err(|error| invalid(error.reason))? {
                Some((length, head)) => {
                    self.connection.input.drain(..length);
                    match head.status {
                        101 => {
                            return Err((
                                "Runtime.UpgradeNotSupported",
                                "The function wants another protocol, such as WebSocket, which Firn does not support.".into(),
                            ));
                        }
                        100..=199 => {}
                        status => {
                            let decoder =
                                BodyDecoder::for_response(status, self.is_head_request, &head.fields)
                                    .map_err(|error| invalid(error.reason))?;
                            self.response = Some((head, decoder));
                        }
                    }
                }
                None if self.connection.has_ended => {
                    return Err((
                        "Runtime.NoResponse",
                        "The function closed the connection without a response.".into(),
                    ));
                }
                None => return Ok(false),
            }
        }
        let Some((_, decoder)) = &mut self.response else { return Ok(false) };
        let is_held_up = self.answer.as_ref().is_some_and(Answer::is_held_up);
        if !is_held_up {
            decoder
                .take(&mut self.connection.input, &mut self.collected, PIECE_BYTES)
                .map_err(|error| invalid(error.reason))?;
        }
        if self.connection.has_ended && self.connection.input.is_empty() {
            decoder.end();
        }
        if decoder.is_done() {
            return Ok(true);
        }
        if self.connection.has_ended && !is_held_up && self.collected.is_empty() {
            return Err((
                "Runtime.TruncatedResponse",
                "The function broke off its response before its end.".into(),
            ));
        }
        Ok(false)
    }
}

impl WebServer {
    /// Goes on with an exchange, as far as what has arrived allows.
    pub(super) fn advance(&mut self, token: u64) {
        let Some(index) = self.exchanges.iter().position(|exchange| exchange.token == token) else { return };
        let mut exchange = self.exchanges.swap_remove(index);
        let goes_on = match exchange.purpose {
            Purpose::Hook(hook) => self.advance_hook(&mut exchange, hook),
            Purpose::Invocation(id) => self.advance_invocation(&mut exchange, id),
        };
        if goes_on {
            self.exchanges.push(exchange);
        } else {
            drop(exchange);
            self.quiesce();
        }
    }

    /// `true` while the hook has no answer.
    fn advance_hook(&mut self, exchange: &mut Exchange, hook: Hook) -> bool {
        loop {
            let before = exchange.collected.len();
            match exchange.receive() {
                Ok(true) => {
                    let status = exchange.response.as_ref().map_or(0, |(head, _)| head.status);
                    let text = std::mem::take(&mut exchange.collected);
                    self.finish_hook(hook, Some((u32::from(status), text)));
                    return false;
                }
                Ok(false)
                    if exchange.collected.len() > before && exchange.collected.len() <= MAX_HOOK_BYTES => {}
                Ok(false) if exchange.collected.len() <= MAX_HOOK_BYTES => return true,
                Ok(false) | Err(_) => {
                    self.finish_hook(hook, None);
                    return false;
                }
            }
        }
    }

    /// `true` while the invocation has no end.
    fn advance_invocation(&mut self, exchange: &mut Exchange, id: u32) -> bool {
        if let Some(bytes) = exchange.take_credit() {
            self.reports.push_back(Report::Credit(Credit { id, bytes }));
        }
        loop {
            let received = exchange.receive();
            let is_done = match received {
                Ok(is_done) => is_done,
                Err((error_type, message)) => {
                    match exchange.answer.take() {
                        None => self.fail(id, error_type, &message),
                        Some(mut answer) => {
                            answer.end(broken_end(error_type, &message));
                            answer.advance(&mut self.reports);
                        }
                    }
                    return false;
                }
            };
            let Some((head, _)) = &exchange.response else { return true };
            let piece = std::mem::take(&mut exchange.collected);
            let is_empty = piece.is_empty();
            let (status, headers) = (u32::from(head.status), || headers_of(head));
            let answer = match &mut exchange.answer {
                Some(answer) => {
                    answer.push(&piece);
                    if is_done {
                        answer.end(InvokeEnd::default());
                    }
                    answer
                }
                None => {
                    let mut answer = if is_done {
                        Answer::whole(id, status, headers(), piece, InvokeEnd::default())
                    } else {
                        let mut answer = Answer::stream(id, status, headers());
                        answer.push(&piece);
                        answer
                    };
                    answer.grant(std::mem::take(&mut exchange.granted_early));
                    exchange.answer.insert(answer)
                }
            };
            if answer.advance(&mut self.reports) {
                return false;
            }
            if is_done || is_empty || answer.is_held_up() {
                return true;
            }
        }
    }

    /// Ends an invocation without an answer of the function.
    pub(super) fn fail(&mut self, id: u32, error_type: &str, message: &str) {
        let end = InvokeEnd { function_error: "Unhandled".into(), ..InvokeEnd::default() };
        let mut answer = Answer::whole(id, 500, json_headers(), error_json(error_type, message), end);
        answer.advance(&mut self.reports);
    }

    /// Ends an invocation, and its connection: the server sees that nobody waits any more.
    pub(super) fn break_off(&mut self, id: u32, error_type: &str, message: &str) {
        let is_it = |exchange: &Exchange| exchange.purpose == Purpose::Invocation(id);
        let Some(index) = self.exchanges.iter().position(is_it) else { return };
        let exchange = self.exchanges.swap_remove(index);
        if exchange.answer.is_some() {
            let end = InvokeEnd { id, ..broken_end(error_type, message) };
            self.reports.push_back(Report::InvokeEnd(end));
        } else {
            self.fail(id, error_type, message);
        }
        self.quiesce();
    }
}

fn broken_end(error_type: &str, message: &str) -> InvokeEnd {
    InvokeEnd {
        function_error: "Unhandled".into(),
        error_type: error_type.into(),
        error_message: message.into(),
        ..InvokeEnd::default()
    }
}

fn headers_of(head: &ResponseHead) -> Vec<Header> {
    let own = |name: &str| OWN_FIELDS.iter().any(|own| name.eq_ignore_ascii_case(own));
    let fields = head.fields.iter().filter(|(name, _)| !own(name));
    fields
        .map(|(name, value)| Header {
            name: name.to_ascii_lowercase(),
            // A field's value has one byte for each character.
            value: value.iter().copied().map(char::from).collect(),
        })
        .collect()
}
