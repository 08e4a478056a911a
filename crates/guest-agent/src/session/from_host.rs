//! What the host says.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use firn_protocol::decode;
use firn_protocol::v2::host_message::Message;
use firn_protocol::v2::runtime_command::Message as Command;
use firn_protocol::v2::{
    HostMessage, Invoke, InvokeRefused, LoadFunction, PrepareSnapshot, RuntimeCommand, guest_message,
};

use super::{DEFAULT_READY_LIMIT, HOOKS_LIMIT, Phase, READY_GRACE, Session};
use crate::AgentError;
use crate::invocations::GRACE;
use crate::machine::Machine;
use crate::peer::Peer;
use crate::runtime_process::read_some;
use crate::web_server::WebServer;

impl<M: Machine> Session<M> {
    /// Takes bytes off the stream. `false` when the host has closed it.
    pub(super) fn read_stream(&mut self) -> bool {
        match read_some(self.stream.as_fd(), &mut self.buffer) {
            None => true,
            Some([]) => false,
            Some(bytes) => {
                self.inbox.push(bytes);
                true
            }
        }
    }

    /// Handles complete messages in order, as far as the phase allows.
    pub(super) fn handle_host_messages(&mut self) -> Result<(), AgentError> {
        while self.takes_host_messages() {
            let Some(bytes) = self.inbox.next_message()? else { return Ok(()) };
            let HostMessage { message } = decode(bytes)?;
            match (self.phase, message) {
                (_, None) => self.note("The host sent a message of a kind that this agent does not know."),
                (_, Some(Message::Resume(record))) => self.resume(record)?,
                (Phase::Prepared, Some(Message::SnapshotGo(go))) => self.ring(go.event)?,
                (Phase::Prepared, Some(_)) => {
                    return Err(AgentError::Unexpected(
                        "a resume record must be the first message after a snapshot".into(),
                    ));
                }
                (_, Some(Message::SnapshotGo(_))) => {
                    self.note("SnapshotGo is ignored: nothing was prepared.")
                }
                (_, Some(Message::LoadFunction(load))) => self.load_function(load),
                (_, Some(Message::PrepareSnapshot(_))) => self.start_quiescing(),
                (_, Some(Message::Invoke(invoke))) => self.invoke(invoke),
                (_, Some(Message::CancelInvoke(cancel))) => {
                    self.tell(cancel.id, Command::CancelInvoke(cancel))
                }
                (_, Some(Message::PayloadChunk(chunk))) => self.tell(chunk.id, Command::PayloadChunk(chunk)),
                (_, Some(Message::Credit(credit))) => {
                    self.invocations.grant(credit.id, credit.bytes);
                    self.tell(credit.id, Command::Credit(credit));
                }
            }
        }
        Ok(())
    }

    fn load_function(&mut self, load: LoadFunction) {
        if let Err(error) = self.machine.mount_app() {
            self.say_failed("FIRN_AGENT", &error.to_string());
            return;
        }
        let limit = match load.ready_timeout_ms {
            0 => DEFAULT_READY_LIMIT,
            milliseconds => Duration::from_millis(u64::from(milliseconds)),
        };
        if let Err(reason) = self.start_for(&load) {
            self.say_failed("FIRN_FUNCTION_IMPORT", &reason);
            return;
        }
        match self.command(Command::LoadFunction(load)) {
            Ok(()) => {
                let now = Instant::now();
                self.start_times.began = Some(now);
                self.ready_deadline = now.checked_add(limit.saturating_add(self.grace(READY_GRACE)));
            }
            Err(reason) => self.say_failed("FIRN_FUNCTION_EXITED", &reason),
        }
    }

    /// Starts the process of a function that has one of its own.
    fn start_for(&mut self, load: &LoadFunction) -> Result<(), String> {
        if self.runtime_ended {
            return Ok(());
        }
        if !load.command.is_empty() {
            let port = u16::try_from(load.port).ok().filter(|port| *port > 0);
            let port = port
                .ok_or_else(|| format!("The function's port is {}: 1 to 65535 are possible.", load.port))?;
            self.end_unused_runtime();
            let cgroup = self.machine.function_cgroup().map_err(|error| error.to_string())?;
            self.runtime = Some(self.setup.start_command(load, cgroup)?);
            self.peer = Some(Peer::Web(WebServer::new(port, load.clone())));
        } else if self.setup.starts_at_load && self.runtime.is_none() {
            let Some(Peer::Api(api)) = &self.peer else { return Ok(()) };
            let cgroup = self.machine.function_cgroup().map_err(|error| error.to_string())?;
            self.runtime = Some(self.setup.start_for(load, api.address(), cgroup)?);
        }
        Ok(())
    }

    /// Ends a runtime that waits for a function in vain: the function is a program of its own.
    fn end_unused_runtime(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        if let Err(error) = self.machine.kill(runtime.pid) {
            self.note(&error.to_string());
        }
        self.finish_lines();
    }

    /// Time that a runtime gets beyond a limit which it keeps itself; one without a bridge does not know it.
    fn grace(&self, grace: Duration) -> Duration {
        if self.peer.is_some() { Duration::ZERO } else { grace }
    }

    fn start_quiescing(&mut self) {
        // What answers at once finds the phase that it belongs to.
        self.phase = Phase::Quiescing { deadline: Instant::now() + HOOKS_LIMIT };
        if let Err(reason) = self.command(Command::PrepareSnapshot(PrepareSnapshot {})) {
            self.phase = Phase::Running;
            self.say_failed("FIRN_FUNCTION_EXITED", &reason);
        }
    }

    fn invoke(&mut self, invoke: Invoke) {
        let id = invoke.id;
        if self.invocations.contains(id) {
            self.note(&format!("Invocation {id} is ignored: one with this id is running."));
            return;
        }
        if !self.invocations.start(&invoke, Instant::now(), self.grace(GRACE)) {
            self.refuse(id, "FIRN_AGENT", "Its id is 0, or too many invocations are running.".into());
            return;
        }
        if let Err(message) = self.command(Command::Invoke(invoke)) {
            self.invocations.finish(id, Instant::now());
            self.refuse(id, "FIRN_FUNCTION_EXITED", message);
        }
    }

    fn refuse(&mut self, id: u32, code: &str, message: String) {
        self.say(guest_message::Message::InvokeRefused(InvokeRefused { id, code: code.into(), message }));
    }

    /// Passes on what concerns an invocation, if that has not ended.
    fn tell(&mut self, id: u32, command: Command) {
        if self.invocations.contains(id) {
            let _ = self.command(command);
        }
    }

    /// Passes a command on to the runtime; the error says why that is not possible.
    pub(super) fn command(&mut self, command: Command) -> Result<(), String> {
        const GONE: &str = "The runtime process has exited. Start the function anew.";
        if self.runtime_ended {
            return Err(GONE.into());
        }
        if let Some(peer) = &mut self.peer {
            peer.command(command);
            self.handle_peer_reports();
            return Ok(());
        }
        let bridge = self.runtime.as_mut().and_then(|runtime| runtime.bridge.as_mut()).ok_or(GONE)?;
        bridge.send(&RuntimeCommand { message: Some(command) }).map_err(|error| error.to_string())
    }
}
