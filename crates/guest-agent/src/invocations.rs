//! The invocations that the runtime is working on.

use std::time::{Duration, Instant};

use firn_protocol::v1::{Header, Invoke, InvokeResult};

/// Time that the runtime gets to report a timeout by itself, before the agent kills it.
const GRACE: Duration = Duration::from_millis(1000);

struct Pending {
    id: u32,
    request_id: String,
    timeout_ms: u32,
    deadline: Instant,
}

/// Invocations without a result so far.
#[derive(Default)]
pub struct Invocations {
    pending: Vec<Pending>,
}

impl Invocations {
    /// Notes one that was just received. `false` if its id is in use: then it must be refused.
    pub fn start(&mut self, invoke: &Invoke, now: Instant) -> bool {
        if self.pending.iter().any(|pending| pending.id == invoke.id) {
            return false;
        }
        let limit = Duration::from_millis(u64::from(invoke.timeout_ms)).saturating_add(GRACE);
        self.pending.push(Pending {
            id: invoke.id,
            request_id: invoke.request_id.clone(),
            timeout_ms: invoke.timeout_ms,
            deadline: now.checked_add(limit).unwrap_or(now),
        });
        true
    }

    /// Notes a result. `false` if nobody waits for it: then it must be dropped.
    pub fn finish(&mut self, id: u32) -> bool {
        let before = self.pending.len();
        self.pending.retain(|pending| pending.id != id);
        self.pending.len() < before
    }

    /// When the first hard timeout is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.pending.iter().map(|pending| pending.deadline).min()
    }

    /// Ends every invocation, because the runtime is gone or must be killed: overdue ones have timed out, others have lost
    /// their runtime for the given reason.
    pub fn fail_all(&mut self, now: Instant, reason: &str) -> Vec<InvokeResult> {
        self.pending
            .drain(..)
            .map(|pending| {
                if pending.deadline <= now {
                    let seconds = f64::from(pending.timeout_ms) / 1000.0;
                    let message = format!(
                        "RequestId: {} Error: Task timed out after {seconds:.2} seconds",
                        pending.request_id
                    );
                    error_result(pending.id, "Sandbox.Timedout", &message)
                } else {
                    let message = format!("RequestId: {} Error: {reason}", pending.request_id);
                    error_result(pending.id, "Runtime.ExitError", &message)
                }
            })
            .collect()
    }
}

/// The answer to an invocation that the function could not answer.
pub fn error_result(id: u32, error_type: &str, message: &str) -> InvokeResult {
    let payload = format!(
        "{{\"errorType\":{},\"errorMessage\":{},\"trace\":[]}}",
        json_string(error_type),
        json_string(message)
    );
    InvokeResult {
        id,
        status: 500,
        headers: vec![Header { name: "content-type".into(), value: "application/json".into() }],
        payload: payload.into_bytes(),
        function_error: "Unhandled".into(),
    }
}

fn json_string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if control < ' ' => quoted.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invoke(id: u32, timeout_ms: u32) -> Invoke {
        Invoke { id, request_id: format!("request-{id}"), timeout_ms, ..Invoke::default() }
    }

    #[test]
    fn fail_all_tells_timed_out_invocations_from_others_when_one_is_overdue() {
        let mut invocations = Invocations::default();
        let now = Instant::now();
        assert!(invocations.start(&invoke(1, 500), now));
        assert!(invocations.start(&invoke(2, 60_000), now));
        assert!(!invocations.start(&invoke(2, 60_000), now));
        let later = now + Duration::from_millis(1500);
        assert_eq!(invocations.next_deadline(), Some(later));
        let results = invocations.fail_all(later, "the \"runtime\"\nexited");
        let texts: Vec<String> =
            results.iter().map(|result| String::from_utf8(result.payload.clone()).unwrap()).collect();
        assert!(texts[0].contains("Task timed out after 0.50 seconds"), "{}", texts[0]);
        assert!(texts[1].contains(r#"the \"runtime\"\u000aexited"#), "{}", texts[1]);
        assert!(results.iter().all(|result| result.function_error == "Unhandled"));
        assert!(!invocations.finish(2));
    }

    #[test]
    fn finish_returns_false_when_nobody_waits_for_the_result() {
        let mut invocations = Invocations::default();
        assert!(invocations.start(&invoke(u32::MAX, u32::MAX), Instant::now()));
        assert!(!invocations.finish(1));
        assert!(invocations.finish(u32::MAX));
        assert_eq!(invocations.next_deadline(), None);
    }
}
