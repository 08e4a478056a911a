//! Falling silent before a snapshot, and waking up as somebody new after it.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use firn_protocol::v2::runtime_command::Message as Command;
use firn_protocol::v2::{ResumeRecord, SetEnvironment, SnapshotPrepared, Warning, guest_message};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{HOOKS_LIMIT, Phase, Session, StartTimes};
use crate::AgentError;
use crate::entropy::derive_seeds;
use crate::generation::GENERATION_FILE;
use crate::machine::Machine;

/// How long the host may take to read what was said before the doorbell.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// Processes that a warning names; of others it tells how many there are.
const MAX_NAMED_PROCESSES: usize = 8;

const NANOSECONDS_PER_SECOND: u32 = 1_000_000_000;

impl<M: Machine> Session<M> {
    /// The runtime blocks on its gate: freezes all of the function, and leaves nothing in memory that need not be there.
    pub(super) fn finish_preparing(&mut self, mut warnings: Vec<Warning>) {
        if let Err(error) = self.machine.freeze(self.runtime.as_ref().map(|runtime| runtime.pid)) {
            self.failure_announced = true;
            self.say_failed("FIRN_AGENT", &error.to_string());
            self.kill_runtime("it could not be frozen");
            return;
        }
        self.read_output();
        self.finish_lines();
        warnings.extend(self.child_process_warning());
        for warning in &warnings {
            self.note(&format!("{}: {}", warning.code, warning.message));
        }
        // A clone must not tell what its source took.
        self.start_times = StartTimes::default();
        // A clone must not tell what its source lost.
        self.tell_dropped_lines();
        self.inbox.shrink();
        if let Some(runtime) = &mut self.runtime {
            if let Some(bridge) = &mut runtime.bridge {
                bridge.reports.shrink();
            }
            runtime.logged.shrink();
        }
        if let Err(error) = self.machine.clean_memory() {
            self.note(&error.to_string());
        }
        self.phase = Phase::Prepared;
        self.say(guest_message::Message::SnapshotPrepared(SnapshotPrepared { warnings }));
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
    pub(super) fn resume(&mut self, record: ResumeRecord) -> Result<(), AgentError> {
        let (Ok(generation), Ok(entropy)) =
            (<[u8; 16]>::try_from(record.generation.as_slice()), record.entropy.as_slice().try_into())
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
        let seeds = derive_seeds(&generation, entropy);
        self.machine.reseed(&seeds.kernel)?;
        self.machine.set_clock(record.clock_seconds, record.clock_nanoseconds)?;
        self.start_times.began = Some(Instant::now());
        if let Err(error) = self.machine.set_identity(&generation) {
            self.note(&error.to_string());
        }
        let environment = record.environment;
        if self.peer.is_some() {
            return self.resume_process(&environment);
        }
        let runtime = self.runtime.as_ref();
        match (runtime.and_then(|runtime| Some((runtime.pid, runtime.bridge.as_ref()?))), self.phase) {
            (Some((pid, bridge)), Phase::Prepared) => {
                bridge.open_gate(&seeds.runtime, environment)?;
                self.machine.thaw(Some(pid))?;
                self.phase = Phase::Resuming { deadline: Instant::now() + HOOKS_LIMIT };
            }
            // A machine that was only paused, or whose runtime is gone.
            _ => {
                if !environment.is_empty() {
                    let _ = self.command(Command::SetEnvironment(SetEnvironment { environment }));
                }
                self.finish_resuming();
            }
        }
        Ok(())
    }

    /// Lets a process without a bridge go on, or the agent alone before there is one.
    fn resume_process(&mut self, environment: &BTreeMap<String, String>) -> Result<(), AgentError> {
        let unseen = self.peer.as_ref().map(|peer| peer.unseen(environment)).unwrap_or_default();
        if self.runtime.is_some() && !unseen.is_empty() {
            let named = unseen.join(", ");
            self.note(&format!(
                "The function does not see these variables, which were given when its process ran already: {named}."
            ));
        }
        if self.phase != Phase::Prepared {
            self.finish_resuming();
            return Ok(());
        }
        self.machine.thaw(self.runtime.as_ref().map(|runtime| runtime.pid))?;
        self.phase = Phase::Resuming { deadline: Instant::now() + HOOKS_LIMIT };
        if let Some(peer) = &mut self.peer {
            peer.resume();
        }
        self.handle_peer_reports();
        Ok(())
    }

    /// The runtime's own process gets a new seed, and those that follow the generation file take one: all others go on in each clone with
    /// the same one.
    fn child_process_warning(&self) -> Option<Warning> {
        let others = self.machine.unseeded_processes(self.runtime.as_ref()?.pid);
        let named: Vec<&str> = others.iter().take(MAX_NAMED_PROCESSES).map(String::as_str).collect();
        let more = others.len().saturating_sub(named.len());
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let message = format!(
            "Processes that the function has started are in the snapshot: {}{more}. All clones get the same random numbers in them. \
             Start them in an after-restore hook, or with the first invocation; end them in a before-snapshot hook; or have them reseed \
             themselves when {GENERATION_FILE} changes.",
            named.join(", "),
        );
        (!others.is_empty()).then(|| Warning { code: "FIRN_CHILD_PROCESS".into(), message })
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
