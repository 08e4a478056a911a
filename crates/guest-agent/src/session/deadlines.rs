//! What must not take for ever.

use std::time::Instant;

use super::{Phase, Session};
use crate::machine::Machine;
use crate::peer::Peer;

impl<M: Machine> Session<M> {
    /// When [`enforce_deadlines`](Self::enforce_deadlines) has something to do at the earliest.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let of_phase = match self.phase {
            Phase::Running => None,
            Phase::Quiescing { deadline } | Phase::Resuming { deadline } => Some(deadline),
            // Nothing runs that could be late, for however long the snapshot lies on a shelf.
            Phase::Prepared => return None,
        };
        let others = [self.ready_deadline, self.bridge_closed_deadline, self.invocations.next_deadline()];
        let others = others.into_iter().chain([self.peer.as_ref().and_then(Peer::next_deadline)]);
        others.chain([of_phase]).flatten().min()
    }

    /// Stops a runtime that did not do in time what it should have done by itself.
    pub(super) fn enforce_deadlines(&mut self, now: Instant) {
        if self.next_deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        if self.peer.as_ref().and_then(Peer::next_deadline).is_some_and(|due| due <= now) {
            if let Some(peer) = &mut self.peer {
                peer.on_time(now);
            }
            self.handle_peer_reports();
            if self.next_deadline().is_none_or(|deadline| deadline > now) {
                return;
            }
        }
        if self.invocations.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.kill_runtime("an invocation did not end in time");
            return;
        }
        if self.bridge_closed_deadline.is_some_and(|deadline| deadline <= now) {
            self.kill_runtime("it closed its bridge to the agent");
            return;
        }
        self.failure_announced = true;
        if self.ready_deadline.is_some_and(|deadline| deadline <= now) {
            self.say_failed(
                "FIRN_FUNCTION_NOT_READY",
                "The function did not get ready in time and blocks its process.",
            );
            self.kill_runtime("it did not get ready in time");
        } else {
            self.say_failed(
                "FIRN_FUNCTION_HOOK",
                "A snapshot hook of the function did not end in time and blocks its process.",
            );
            self.kill_runtime("a snapshot hook did not end in time");
        }
    }
}
