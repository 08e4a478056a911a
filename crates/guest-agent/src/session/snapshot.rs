//! Falling silent before a snapshot, and waking up as somebody new after it.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use firn_protocol::v1::{ResumeRecord, SnapshotPrepared, guest_message};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{HOOKS_LIMIT, Phase, Session};
use crate::AgentError;
use crate::entropy::derive_seeds;
use crate::machine::Machine;

/// How long the host may take to read what was said before the doorbell.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

const NANOSECONDS_PER_SECOND: u32 = 1_000_000_000;

impl<M: Machine> Session<M> {
    /// The runtime blocks on its gate: freezes all of the function, and leaves nothing in memory that need not be there.
    pub(super) fn finish_preparing(&mut self) {
        if let Err(error) = self.machine.freeze() {
            self.failure_announced = true;
            self.say_failed("FIRN_AGENT", &error.to_string());
            self.kill_runtime("it could not be frozen");
            return;
        }
        self.read_output();
        self.finish_lines();
        // A clone must not tell what its source lost.
        self.tell_dropped_lines();
        self.inbox.shrink();
        if let Some(runtime) = &mut self.runtime {
            runtime.reports.shrink();
        }
        if let Err(error) = self.machine.clean_memory() {
            self.note(&error.to_string());
        }
        self.phase = Phase::Prepared;
        self.say(guest_message::Message::SnapshotPrepared(SnapshotPrepared {}));
    }

    /// Rings the doorbell. Whoever continues after it waits for a resume record.
    pub(super) fn ring(&mut self, event: u32) -> Result<(), AgentError> {
        if !self.machine.has_doorbell() {
            self.say_failed(
                "FIRN_AGENT",
                "FIRN_AGENT: this machine has no doorbell: no snapshot can be taken.",
            );
            return Ok(());
        }
        self.drain_outbox()?;
        if self.inbox.pending_bytes() > 0 {
            return Err(AgentError::Unexpected(
                "nothing may follow SnapshotGo before the doorbell has rung".into(),
            ));
        }
        self.machine.ring(event);
        Ok(())
    }

    /// Handles a resume record: nothing of the function runs before the kernel is reseeded and the clock is right.
    pub(super) fn resume(&mut self, record: &ResumeRecord) -> Result<(), AgentError> {
        let (Ok(generation), Ok(entropy)) =
            (record.generation.as_slice().try_into(), record.entropy.as_slice().try_into())
        else {
            return Err(AgentError::Unexpected(format!(
                "a resume record has a generation of {} and entropy of {} bytes, not 16 and 64",
                record.generation.len(),
                record.entropy.len()
            )));
        };
        if record.clock_nanoseconds >= NANOSECONDS_PER_SECOND {
            return Err(AgentError::Unexpected("a resume record has more nanoseconds than a second".into()));
        }
        let seeds = derive_seeds(generation, entropy);
        self.machine.reseed(&seeds.kernel)?;
        self.machine.set_clock(record.clock_seconds, record.clock_nanoseconds)?;
        match (&self.runtime, self.phase) {
            (Some(runtime), Phase::Prepared) => {
                runtime.open_gate(&seeds.runtime)?;
                self.machine.thaw()?;
                self.phase = Phase::Resuming { deadline: Instant::now() + HOOKS_LIMIT };
            }
            // A machine that was only paused, or whose runtime is gone.
            _ => self.finish_resuming(),
        }
        Ok(())
    }

    fn drain_outbox(&mut self) -> Result<(), AgentError> {
        let deadline = Instant::now() + DRAIN_LIMIT;
        loop {
            self.outbox
                .flush(self.stream.as_fd())
                .map_err(AgentError::system("write to the agent stream"))?;
            if self.outbox.is_empty() {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let awaited = "reading of the agent stream by the host".into();
                return Err(AgentError::Deadline { awaited, limit: DRAIN_LIMIT });
            }
            let mut watched = [PollFd::new(&self.stream, PollFlags::OUT)];
            let _ = poll(&mut watched, Timespec::try_from(left).ok().as_ref());
        }
    }
}
