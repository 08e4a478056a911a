//! What the runtime says, and its end. It is as hostile as the function that it runs.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use firn_protocol::v2::runtime_report::Message as Report;
use firn_protocol::v2::{GuestMessage, Resumed, RuntimeReport, guest_message};
use firn_protocol::{AGENT_ABI, ProtocolError, decode};
use rustix::process::{Signal, WaitStatus};

use super::{BRIDGE_CLOSED_LIMIT, Phase, Session};
use crate::machine::Machine;
use crate::peer::Peer;
use crate::runtime_process::read_some;

/// The error type of an invocation whose process is gone, as AWS Lambda names it.
const EXIT_ERROR: &str = "Runtime.ExitError";

impl<M: Machine> Session<M> {
    /// Takes bytes off the bridge and handles the reports that are complete.
    pub(super) fn read_bridge(&mut self) {
        let Some(bridge) = self.runtime.as_mut().and_then(|runtime| runtime.bridge.as_mut()) else { return };
        let Some(bytes) = read_some(bridge.socket.as_fd(), &mut self.buffer) else { return };
        if bytes.is_empty() {
            // A process that ends closes its descriptors first: how it ended is known a moment later.
            self.bridge_closed_deadline = Instant::now().checked_add(BRIDGE_CLOSED_LIMIT);
            return;
        }
        bridge.reports.push(bytes);
        while let Some(report) = self.next_report() {
            match report {
                Ok(RuntimeReport { message: Some(report) }) => self.handle_report(report),
                Ok(RuntimeReport { message: None }) => {}
                Err(error) => {
                    self.kill_runtime(&format!("it broke the protocol of its bridge: {error}"));
                    return;
                }
            }
        }
    }

    fn next_report(&mut self) -> Option<Result<RuntimeReport, ProtocolError>> {
        let bridge = self.runtime.as_mut()?.bridge.as_mut()?;
        let bytes = bridge.reports.next_message().transpose()?;
        Some(bytes.and_then(decode))
    }

    /// Serves a connection to a process without a bridge.
    pub(super) fn serve_peer(&mut self, token: u64) {
        // What an invocation printed comes before its end.
        self.read_output();
        if let Some(peer) = &mut self.peer {
            peer.handle(token);
        }
        self.handle_peer_reports();
    }

    pub(super) fn handle_peer_reports(&mut self) {
        while let Some(report) = self.peer.as_mut().and_then(Peer::next_report) {
            self.handle_report(report);
        }
    }

    fn handle_report(&mut self, report: Report) {
        match (self.phase, report) {
            (_, Report::RuntimeReady(ready)) => self.say(guest_message::Message::RuntimeReady(ready)),
            (_, Report::FunctionReady(ready)) => {
                // A second one says nothing new.
                if self.ready_deadline.take().is_some() {
                    let began = self.start_times.began.take();
                    self.start_times.init = began.map_or(Duration::ZERO, |began| began.elapsed());
                    self.say(guest_message::Message::FunctionReady(ready));
                }
            }
            (phase, Report::FunctionFailed(failed)) => {
                self.ready_deadline = None;
                if matches!(phase, Phase::Quiescing { .. }) {
                    self.phase = Phase::Running;
                }
                self.say_or(guest_message::Message::FunctionFailed(failed), |session| {
                    session
                        .say_failed("FIRN_FUNCTION_EXITED", "The function failed with too long a message.");
                });
            }
            (Phase::Quiescing { .. }, Report::Quiesced(quiesced)) => self.finish_preparing(quiesced.warnings),
            (Phase::Resuming { .. }, Report::Resumed(_)) => self.finish_resuming(),
            (_, Report::ResponseHead(head)) => self.begin_answer(head),
            (_, Report::PayloadChunk(chunk)) => self.go_on_with_answer(chunk),
            (_, Report::Credit(credit)) => self.grant_to_host(credit),
            (_, Report::InvokeEnd(end)) => self.end_invocation(end),
            (_, Report::Quiesced(_) | Report::Resumed(_)) => {}
        }
    }

    fn say_or(&mut self, message: guest_message::Message, when_too_long: impl FnOnce(&mut Self)) {
        if self.outbox.push(&GuestMessage { message: Some(message) }).is_err() {
            when_too_long(self);
        }
    }

    pub(super) fn finish_resuming(&mut self) {
        self.phase = Phase::Running;
        let began = self.start_times.began.take();
        self.start_times.restore = began.map_or(Duration::ZERO, |began| began.elapsed());
        self.say(guest_message::Message::Resumed(Resumed {
            doorbell_count: self.machine.ring_count(),
            agent_abi: AGENT_ABI,
            runtime_name: self.setup.name.clone(),
            runtime_version: self.setup.version.clone(),
        }));
    }

    /// Stops the runtime for a reason that the host is told.
    pub(super) fn kill_runtime(&mut self, reason: &str) {
        self.end_runtime(EXIT_ERROR, reason, &format!("The runtime process was stopped: {reason}."));
    }

    /// Takes in children that have ended, and tells the host if the runtime is among them.
    pub(super) fn reap(&mut self) {
        let Some(pid) = self.runtime.as_ref().map(|runtime| runtime.pid) else {
            // Any process id will do: the machine takes in all children, and none of them is the runtime.
            self.machine.reap(rustix::process::getpid());
            return;
        };
        let Some(status) = self.machine.reap(pid) else { return };
        // What it said last is still in the pipes.
        self.read_output();
        self.read_bridge();
        let killed = status.terminating_signal() == Some(Signal::KILL.as_raw());
        let (error_type, how) = if killed && self.machine.ran_out_of_memory() {
            ("Runtime.OutOfMemory", "was killed: it wanted more memory than it may have".to_owned())
        } else {
            (EXIT_ERROR, describe(status))
        };
        self.end_runtime(error_type, &format!("Runtime {how}"), &format!("The runtime process {how}."));
    }

    /// Forgets the runtime: everything of the function is killed, and whoever waits for it gets an answer. Only then is the host told
    /// that the function has failed, so that it tells an invocation's own end from that of an instance.
    fn end_runtime(&mut self, error_type: &'static str, reason: &str, failure: &str) {
        let Some(runtime) = self.runtime.take() else { return };
        self.runtime_ended = true;
        if let Err(error) = self.machine.kill(runtime.pid) {
            self.note(&error.to_string());
        }
        self.finish_lines();
        if let Some(peer) = &mut self.peer {
            peer.forget_process();
        }
        self.ready_deadline = None;
        self.bridge_closed_deadline = None;
        self.fail_invocations(error_type, reason);
        if !self.failure_announced {
            self.failure_announced = true;
            self.say_failed("FIRN_FUNCTION_EXITED", failure);
        }
        match self.phase {
            Phase::Resuming { .. } => self.finish_resuming(),
            Phase::Quiescing { .. } => self.phase = Phase::Running,
            Phase::Running | Phase::Prepared => {}
        }
    }
}

fn describe(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (_, Some(signal)) => format!("was killed by signal {signal}"),
        _ => "ended".into(),
    }
}
