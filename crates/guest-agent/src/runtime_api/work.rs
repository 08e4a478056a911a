//! One invocation, from the host's message until the function has its answer off its hands.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use firn_protocol::v2::{Invoke, LoadFunction, PayloadChunk};

use super::client::Client;
use crate::answer::Answer;
use crate::function_url::event_of;

/// Longest event or body in bytes: what AWS takes, and what a request becomes as an event.
pub const MAX_EVENT_BYTES: usize = 12 * 1024 * 1024;

/// How far an invocation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Queued,
    /// A process has it.
    Running,
    /// Its answer has begun, or is there.
    Answered,
}

/// An invocation without an end.
pub struct Work {
    invoke: Invoke,
    is_complete: bool,
    received: Instant,
    state: State,
    /// What is on its way to the host.
    pub answer: Option<Answer>,
}

impl Work {
    pub fn new(invoke: Invoke, now: Instant) -> Self {
        let is_complete = !invoke.more;
        Self { invoke, is_complete, received: now, state: State::Queued, answer: None }
    }

    pub fn id(&self) -> u32 {
        self.invoke.id
    }

    /// What the process calls it by.
    pub fn request_id(&self) -> String {
        let named = &self.invoke.request_id;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if named.is_empty() || named.len() > 128 || !named.bytes().all(is_plain) {
            return self.invoke.id.to_string();
        }
        named.clone()
    }

    pub fn is_http(&self) -> bool {
        self.invoke.kind == "http"
    }

    /// Whether it is there as a whole, and nobody has it.
    pub fn is_queued(&self) -> bool {
        self.is_complete && self.state == State::Queued
    }

    /// Whether no process has it yet.
    pub fn is_untouched(&self) -> bool {
        self.state == State::Queued
    }

    /// Whether its process owes the answer.
    pub fn is_running(&self) -> bool {
        self.state == State::Running
    }

    pub fn begin_answer(&mut self, answer: Answer) {
        self.state = State::Answered;
        self.answer = Some(answer);
    }

    /// Takes a further piece of the event. `false` if it is too long.
    pub fn take(&mut self, chunk: &PayloadChunk) -> bool {
        if self.invoke.payload.len().saturating_add(chunk.data.len()) > MAX_EVENT_BYTES {
            return false;
        }
        self.invoke.payload.extend_from_slice(&chunk.data);
        self.is_complete |= chunk.last;
        true
    }

    /// Gives it to a process that asks for one.
    pub fn hand_to(&mut self, client: &mut Client, load: &LoadFunction, now: SystemTime) {
        self.state = State::Running;
        let payload = std::mem::take(&mut self.invoke.payload);
        let event = if self.is_http() { event_of(&self.invoke, &payload, now) } else { payload };
        let limit = Duration::from_millis(u64::from(self.invoke.timeout_ms));
        let left = limit.saturating_sub(self.received.elapsed());
        let deadline = now.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_add(left).as_millis();
        let arn = match self.invoke.function_arn.as_str() {
            "" => format!("arn:aws:lambda:local:000000000000:function:{}", load.function_name),
            arn => arn.to_owned(),
        };
        let headers = [
            ("Content-Type", "application/json"),
            ("Lambda-Runtime-Aws-Request-Id", &self.request_id()),
            ("Lambda-Runtime-Deadline-Ms", &deadline.to_string()),
            ("Lambda-Runtime-Invoked-Function-Arn", &arn),
            ("Lambda-Runtime-Trace-Id", &self.invoke.trace_id),
            ("Lambda-Runtime-Client-Context", &self.invoke.client_context),
        ];
        client.answer(200, &headers, &event);
    }
}
