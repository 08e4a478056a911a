//! What happens without having been asked for.

use std::time::{Duration, Instant};

use napi::Status;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;

use crate::ending::Ending;

/// Events that may wait for the JavaScript thread. A well-behaved microVM has at most two: it stands still after a doorbell.
const QUEUE_MAX: usize = 16;
/// How long the last event is offered again while the queue is full.
const ENDING_PATIENCE: Duration = Duration::from_secs(10);

/// An event of a microVM.
#[napi(object, object_from_js = false)]
pub struct VmmEvent {
    /// `doorbell`, or `exit`, which is the last one.
    #[napi(ts_type = "'doorbell' | 'exit'")]
    pub kind: String,
    /// Of a doorbell: what the guest stored to EVENT.
    pub event: Option<u32>,
    /// Of a doorbell: what the guest stored to DETAIL.
    pub detail: Option<u32>,
    /// Of an exit: why.
    #[napi(ts_type = "'closed' | 'stopped' | 'reset' | 'failed' | 'crashed'")]
    pub reason: Option<String>,
    /// Of an exit: `FIRN_CODE: sentence`, if it was one.
    pub error: Option<String>,
    /// Of an exit: doorbells that found the queue full and were lost.
    pub dropped_events: Option<u32>,
}

/// The JavaScript function: weak, so that a microVM alone does not keep Node running, and bounded.
pub type EventFunction = ThreadsafeFunction<VmmEvent, (), VmmEvent, Status, false, true, QUEUE_MAX>;

/// Passes events on without ever waiting for the JavaScript thread.
pub struct EventSink {
    function: EventFunction,
    dropped: u32,
}

impl EventSink {
    /// Events go to this function.
    pub fn new(function: EventFunction) -> Self {
        Self { function, dropped: 0 }
    }

    /// The guest rang.
    pub fn doorbell(&mut self, event: u32, detail: u32) {
        let message = VmmEvent {
            kind: "doorbell".to_owned(),
            event: Some(event),
            detail: Some(detail),
            reason: None,
            error: None,
            dropped_events: None,
        };
        if self.function.call(message, ThreadsafeFunctionCallMode::NonBlocking) == Status::QueueFull {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// The process has ended. Nothing else is left to do for the caller, so this one is offered until it is taken.
    pub fn exit(&self, ending: &Ending) {
        let give_up = Instant::now() + ENDING_PATIENCE;
        loop {
            let message = VmmEvent {
                kind: "exit".to_owned(),
                event: None,
                detail: None,
                reason: Some(ending.reason().to_owned()),
                error: ending.failure().map(ToString::to_string),
                dropped_events: Some(self.dropped),
            };
            let status = self.function.call(message, ThreadsafeFunctionCallMode::NonBlocking);
            if status != Status::QueueFull || Instant::now() >= give_up {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
