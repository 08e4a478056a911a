//! The answers of the function, passed on to the host piece by piece.

use std::time::{Duration, Instant};

use firn_protocol::v2::{Credit, InvokeEnd, PayloadChunk, ResponseHead, guest_message::Message};

use super::Session;
use crate::invocations::{Piece, failed_answer};
use crate::machine::Machine;

impl<M: Machine> Session<M> {
    pub(super) fn begin_answer(&mut self, head: ResponseHead) {
        let piece = self.invocations.begin(head.id, head.payload.len());
        self.pass(piece, Message::ResponseHead(head));
    }

    pub(super) fn go_on_with_answer(&mut self, chunk: PayloadChunk) {
        let piece = self.invocations.spend(chunk.id, chunk.data.len());
        self.pass(piece, Message::PayloadChunk(chunk));
    }

    /// The runtime takes more of a request's payload.
    pub(super) fn grant_to_host(&mut self, credit: Credit) {
        if self.invocations.contains(credit.id) {
            self.say(Message::Credit(credit));
        }
    }

    fn pass(&mut self, piece: Piece, message: Message) {
        match piece {
            Piece::Passed => self.say(message),
            Piece::Dropped => {}
            Piece::Overdrawn => {
                self.kill_runtime("it broke the protocol of its bridge: it sent more than it had credit for")
            }
        }
    }

    /// Ends an invocation. Whoever reads the end has read all lines that it printed.
    pub(super) fn end_invocation(&mut self, end: InvokeEnd) {
        let Some(ended) = self.invocations.finish(end.id, Instant::now()) else { return };
        self.finish_lines_of(end.id);
        let mut end = end;
        if !ended.answering && end.function_error.is_empty() {
            let (head, failed) =
                failed_answer(end.id, false, "Runtime.NoResponse", "The runtime sent no response.");
            head.into_iter().for_each(|head| self.say(head));
            end = failed;
        }
        let (init, restore) = (self.start_times.init, self.start_times.restore);
        self.start_times.init = Duration::ZERO;
        self.start_times.restore = Duration::ZERO;
        self.say(Message::InvokeEnd(InvokeEnd {
            duration_us: microseconds(ended.duration),
            memory_peak_kib: self.machine.memory_peak_kib(),
            init_us: microseconds(init),
            restore_us: microseconds(restore),
            ..end
        }));
    }

    /// Ends all invocations, because the runtime is gone or must be killed.
    pub(super) fn fail_invocations(&mut self, error_type: &'static str, reason: &str) {
        for (id, error_type, message) in self.invocations.failures(Instant::now(), error_type, reason) {
            let answering = self.invocations.begin(id, 0) == Piece::Dropped;
            let (head, end) = failed_answer(id, answering, error_type, &message);
            head.into_iter().for_each(|head| self.say(head));
            self.end_invocation(end);
        }
    }
}

fn microseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
