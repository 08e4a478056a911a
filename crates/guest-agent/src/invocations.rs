//! The invocations that the runtime is working on.

use std::time::{Duration, Instant};

use firn_protocol::INITIAL_CREDIT_BYTES;
use firn_protocol::v2::guest_message::Message;
use firn_protocol::v2::{Header, Invoke, InvokeEnd, ResponseHead};

/// Time that a runtime with a bridge gets to report a timeout by itself, before the agent kills it.
pub const GRACE: Duration = Duration::from_millis(1000);

/// Most invocations at a time. The host keeps to far fewer.
const MAX_PENDING: usize = 1024;

struct Pending {
    id: u32,
    request_id: String,
    timeout_ms: u32,
    started: Instant,
    deadline: Instant,
    /// Bytes that the runtime may still send of the payload of its answer.
    credit: usize,
    /// Whether the answer has begun.
    answering: bool,
}

/// What becomes of a piece of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// It is the host's.
    Passed,
    /// Nobody waits for it.
    Dropped,
    /// The runtime had no credit for it, and breaks the protocol.
    Overdrawn,
}

/// An invocation that has ended.
pub struct Ended {
    /// From its receipt.
    pub duration: Duration,
    /// Whether the answer had begun.
    pub answering: bool,
}

/// Invocations without an end so far.
#[derive(Default)]
pub struct Invocations {
    pending: Vec<Pending>,
}

impl Invocations {
    /// Notes one that was just received. What answers in its own time has `grace` beyond that of the invocation. `false` if its id is in use or there are too many: then it must be refused.
    pub fn start(&mut self, invoke: &Invoke, now: Instant, grace: Duration) -> bool {
        let known = self.pending.iter().any(|pending| pending.id == invoke.id);
        if known || invoke.id == 0 || self.pending.len() >= MAX_PENDING {
            return false;
        }
        let limit = Duration::from_millis(u64::from(invoke.timeout_ms)).saturating_add(grace);
        self.pending.push(Pending {
            id: invoke.id,
            request_id: invoke.request_id.clone(),
            timeout_ms: invoke.timeout_ms,
            started: now,
            deadline: now.checked_add(limit).unwrap_or(now),
            credit: INITIAL_CREDIT_BYTES,
            answering: false,
        });
        true
    }

    /// The invocation that runs, if it is the only one.
    pub fn only(&self) -> Option<u32> {
        match self.pending.as_slice() {
            [pending] => Some(pending.id),
            _ => None,
        }
    }

    /// Whether this one has not ended.
    pub fn contains(&self, id: u32) -> bool {
        self.pending.iter().any(|pending| pending.id == id)
    }

    /// Notes that the host takes further bytes of an answer.
    pub fn grant(&mut self, id: u32, bytes: u32) {
        if let Some(pending) = self.find(id) {
            pending.credit = pending.credit.saturating_add(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
    }

    /// Takes the beginning of an answer, which comes once, with the first bytes of the payload.
    pub fn begin(&mut self, id: u32, bytes: usize) -> Piece {
        match self.find(id) {
            Some(pending) if !pending.answering => {
                pending.answering = true;
                self.spend(id, bytes)
            }
            _ => Piece::Dropped,
        }
    }

    /// Takes a further piece of an answer.
    pub fn spend(&mut self, id: u32, bytes: usize) -> Piece {
        let Some(pending) = self.find(id).filter(|pending| pending.answering) else { return Piece::Dropped };
        match pending.credit.checked_sub(bytes) {
            Some(left) => {
                pending.credit = left;
                Piece::Passed
            }
            None => Piece::Overdrawn,
        }
    }

    /// Notes an end. `None` if nobody waits for it: then it must be dropped.
    pub fn finish(&mut self, id: u32, now: Instant) -> Option<Ended> {
        let index = self.pending.iter().position(|pending| pending.id == id)?;
        let pending = self.pending.swap_remove(index);
        Some(Ended { duration: now.saturating_duration_since(pending.started), answering: pending.answering })
    }

    /// When the first hard timeout is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.pending.iter().map(|pending| pending.deadline).min()
    }

    /// Says how every invocation ends, because the runtime is gone or must be killed: overdue ones have timed out, others have lost
    /// their runtime for the given reason. They are pending until [`finish`](Self::finish).
    pub fn failures(
        &self,
        now: Instant,
        error_type: &'static str,
        reason: &str,
    ) -> Vec<(u32, &'static str, String)> {
        let failure = |pending: &Pending| {
            let (kind, error) = if pending.deadline <= now {
                let seconds = f64::from(pending.timeout_ms) / 1000.0;
                ("Sandbox.Timedout", format!("Task timed out after {seconds:.2} seconds"))
            } else {
                (error_type, reason.to_owned())
            };
            (pending.id, kind, format!("RequestId: {} Error: {error}", pending.request_id))
        };
        self.pending.iter().map(failure).collect()
    }

    fn find(&mut self, id: u32) -> Option<&mut Pending> {
        self.pending.iter_mut().find(|pending| pending.id == id)
    }
}

/// The messages that end an invocation which the function could not answer, or not to the end.
pub fn failed_answer(
    id: u32,
    answering: bool,
    error_type: &str,
    message: &str,
) -> (Option<Message>, InvokeEnd) {
    let mut end = InvokeEnd { id, function_error: "Unhandled".into(), ..InvokeEnd::default() };
    if answering {
        end.error_type = error_type.into();
        end.error_message = message.into();
        return (None, end);
    }
    let payload = format!(
        "{{\"errorType\":{},\"errorMessage\":{},\"trace\":[]}}",
        json_string(error_type),
        json_string(message)
    );
    let head = ResponseHead {
        id,
        status: 500,
        headers: vec![Header { name: "content-type".into(), value: "application/json".into() }],
        payload: payload.into_bytes(),
        streams: false,
    };
    (Some(Message::ResponseHead(head)), end)
}

fn json_string(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_else(|_| "\"\"".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invoke(id: u32, timeout_ms: u32) -> Invoke {
        Invoke { id, request_id: format!("request-{id}"), timeout_ms, ..Invoke::default() }
    }

    #[test]
    fn failures_tells_timed_out_invocations_from_others_when_one_is_overdue() {
        let mut invocations = Invocations::default();
        let now = Instant::now();
        assert!(invocations.start(&invoke(1, 500), now, GRACE));
        assert!(invocations.start(&invoke(2, 60_000), now, GRACE));
        assert!(!invocations.start(&invoke(2, 60_000), now, GRACE));
        assert!(!invocations.start(&invoke(0, 60_000), now, GRACE));
        let later = now + Duration::from_millis(1500);
        assert_eq!(invocations.next_deadline(), Some(later));
        let failures = invocations.failures(later, "Runtime.ExitError", "the \"runtime\"\nexited");
        let timed_out = "RequestId: request-1 Error: Task timed out after 0.50 seconds";
        assert_eq!(failures[0], (1, "Sandbox.Timedout", timed_out.into()));
        let exited = "RequestId: request-2 Error: the \"runtime\"\nexited";
        assert_eq!(failures[1], (2, "Runtime.ExitError", exited.into()));
        assert_eq!(invocations.finish(1, later).unwrap().duration, Duration::from_millis(1500));
        assert!(invocations.finish(1, later).is_none());
        assert_eq!(invocations.only(), Some(2));
    }

    #[test]
    fn failed_answer_is_json_or_the_end_of_an_answer_that_had_begun() {
        let (head, end) = failed_answer(7, false, "Runtime.ExitError", "a \"b\"\nc");
        let Some(Message::ResponseHead(head)) = head else { panic!("{head:?}") };
        let text = String::from_utf8(head.payload).unwrap();
        assert_eq!(text, r#"{"errorType":"Runtime.ExitError","errorMessage":"a \"b\"\nc","trace":[]}"#);
        assert_eq!((end.function_error.as_str(), end.error_type.as_str()), ("Unhandled", ""));
        let (head, end) = failed_answer(7, true, "Runtime.ExitError", "gone");
        assert!(head.is_none());
        assert_eq!((end.error_type.as_str(), end.error_message.as_str()), ("Runtime.ExitError", "gone"));
    }

    #[test]
    fn a_runtime_sends_as_much_of_an_answer_as_it_has_credit_for() {
        let mut invocations = Invocations::default();
        assert!(invocations.start(&invoke(u32::MAX, u32::MAX), Instant::now(), GRACE));
        assert_eq!(invocations.spend(u32::MAX, 1), Piece::Dropped);
        assert_eq!(invocations.begin(1, 1), Piece::Dropped);
        assert_eq!(invocations.begin(u32::MAX, INITIAL_CREDIT_BYTES), Piece::Passed);
        assert_eq!(invocations.begin(u32::MAX, 0), Piece::Dropped);
        assert_eq!(invocations.spend(u32::MAX, 0), Piece::Passed);
        assert_eq!(invocations.spend(u32::MAX, 1), Piece::Overdrawn);
        invocations.grant(u32::MAX, u32::MAX);
        invocations.grant(u32::MAX, u32::MAX);
        assert_eq!(invocations.spend(u32::MAX, 1), Piece::Passed);
        invocations.grant(1, 1);
        assert!(!invocations.contains(1));
    }
}
