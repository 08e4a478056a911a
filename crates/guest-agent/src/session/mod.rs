//! The agent's side of the agent stream: one loop over all descriptors, one message after the other.

mod answers;
mod deadlines;
mod from_host;
mod from_runtime;
mod logs;
mod poll;
mod snapshot;

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use firn_protocol::v2::{AgentHello, FunctionFailed, GuestMessage, guest_message};
use firn_protocol::{AGENT_ABI, FrameDecoder};
use rustix::io::ioctl_fionbio;

use crate::AgentError;
use crate::invocations::Invocations;
use crate::log_lines::OpenLines;
use crate::machine::Machine;
use crate::manifest::Interface;
use crate::outbox::Outbox;
use crate::peer::Peer;
use crate::runtime_api::RuntimeApi;
use crate::runtime_process::RuntimeProcess;
use crate::runtime_setup::RuntimeSetup;
use poll::Event;

/// Time for the hooks of one snapshot or resume. The runtime keeps a limit of 60 seconds; this one catches a runtime that hangs.
const HOOKS_LIMIT: Duration = Duration::from_secs(65);

/// Time to get ready when the host does not say.
const DEFAULT_READY_LIMIT: Duration = Duration::from_secs(60);

/// Time that the runtime gets to report by itself that the function did not get ready, before the agent kills it.
const READY_GRACE: Duration = Duration::from_secs(2);

/// Time between the end of the bridge and the end of the process that held it.
const BRIDGE_CLOSED_LIMIT: Duration = Duration::from_secs(2);

/// Size of the buffer that all descriptors are read through, in bytes.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// What may happen next. The host's messages wait while a step is under way that must be complete before they are handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The function runs.
    Running,
    /// Before-snapshot hooks run.
    Quiescing { deadline: Instant },
    /// Everything of the function stands still, from here over the doorbell until a resume record arrives.
    Prepared,
    /// After-restore hooks run.
    Resuming { deadline: Instant },
}

/// What the first invocation after it tells the host, once.
#[derive(Debug, Default)]
struct StartTimes {
    /// When a load or a resume began that is not finished.
    began: Option<Instant>,
    init: Duration,
    restore: Duration,
}

/// One agent stream, and the runtime process behind it.
pub struct Session<M> {
    machine: M,
    stream: OwnedFd,
    inbox: FrameDecoder,
    outbox: Outbox,
    setup: RuntimeSetup,
    runtime: Option<RuntimeProcess>,
    /// The agent's own end of what a process without a bridge speaks.
    peer: Option<Peer>,
    /// Whether there was a runtime that has ended.
    runtime_ended: bool,
    phase: Phase,
    invocations: Invocations,
    ready_deadline: Option<Instant>,
    /// When a runtime that has closed its bridge must have ended by itself.
    bridge_closed_deadline: Option<Instant>,
    /// Whether the host knows already why the runtime is about to end.
    failure_announced: bool,
    start_times: StartTimes,
    lines: OpenLines,
    dropped_lines: u64,
    buffer: Box<[u8]>,
}

impl<M: Machine> Session<M> {
    /// A session over a connected stream. Its first message, a hello, is queued, and, if there is no runtime, why. `runtime` is what was
    /// started at boot, if the setup says so.
    ///
    /// # Errors
    ///
    /// If the stream cannot be made non-blocking.
    pub fn new(
        machine: M,
        stream: OwnedFd,
        setup: RuntimeSetup,
        runtime: Result<Option<RuntimeProcess>, AgentError>,
    ) -> Result<Self, AgentError> {
        ioctl_fionbio(&stream, true).map_err(AgentError::system("make the agent stream non-blocking"))?;
        let api = (setup.interface == Interface::RuntimeApi && runtime.is_ok())
            .then(|| RuntimeApi::listen(setup.api_port, !setup.starts_at_load));
        let (api, runtime, missing) = match (api.transpose(), runtime) {
            (Ok(api), Ok(runtime)) => (api, runtime, None),
            (Err(error), _) | (_, Err(error)) => (None, None, Some(error)),
        };
        let mut session = Self {
            machine,
            stream,
            inbox: FrameDecoder::new(),
            outbox: Outbox::default(),
            setup,
            runtime,
            peer: api.map(Peer::Api),
            runtime_ended: missing.is_some(),
            phase: Phase::Running,
            invocations: Invocations::default(),
            ready_deadline: None,
            bridge_closed_deadline: None,
            failure_announced: false,
            start_times: StartTimes::default(),
            lines: OpenLines::default(),
            dropped_lines: 0,
            buffer: vec![0; READ_BUFFER_BYTES].into_boxed_slice(),
        };
        session.say(guest_message::Message::Hello(AgentHello {
            agent_abi: AGENT_ABI,
            agent_version: env!("CARGO_PKG_VERSION").into(),
            doorbell_present: session.machine.has_doorbell(),
            runtime_name: session.setup.name.clone(),
            runtime_version: session.setup.version.clone(),
        }));
        session.handle_peer_reports();
        if let Some(error) = missing {
            session.failure_announced = true;
            session.say_failed("FIRN_AGENT", &error.to_string());
        }
        Ok(session)
    }

    /// Serves until the host closes the stream.
    ///
    /// # Errors
    ///
    /// If the host breaks the protocol, or the machine cannot be made safe after a resume: then nothing may run any further.
    pub fn run(&mut self) -> Result<(), AgentError> {
        let result = self.serve();
        if let Err(error) = &result {
            self.note(&error.to_string());
            let _ = self.outbox.flush(self.stream.as_fd());
        }
        result
    }

    /// Queues a warning in the agent's own log.
    pub fn note(&mut self, text: &str) {
        self.say_log("warn", text);
    }

    fn serve(&mut self) -> Result<(), AgentError> {
        loop {
            self.flush()?;
            for event in self.wait_for_events()? {
                match event {
                    Event::Stream if !self.read_stream() => return Ok(()),
                    Event::Stream => {}
                    Event::Bridge => self.read_bridge(),
                    Event::Peer(token) => self.serve_peer(token),
                    Event::Output => self.read_output(),
                    Event::RuntimeEnded | Event::ChildEnded => self.reap(),
                }
            }
            self.enforce_deadlines(Instant::now());
            self.handle_host_messages()?;
        }
    }

    /// Sends what can be sent without blocking.
    fn flush(&mut self) -> Result<(), AgentError> {
        if let Some(bridge) = self.runtime.as_mut().and_then(|runtime| runtime.bridge.as_mut()) {
            bridge.flush();
        }
        self.outbox.flush(self.stream.as_fd()).map_err(AgentError::system("write to the agent stream"))?;
        self.report_dropped_lines();
        Ok(())
    }

    fn say(&mut self, message: guest_message::Message) {
        // The only messages that can be too long are results and failures, which are measured before they come here.
        let _ = self.outbox.push(&GuestMessage { message: Some(message) });
    }

    fn say_failed(&mut self, code: &str, message: &str) {
        self.say(guest_message::Message::FunctionFailed(FunctionFailed {
            code: code.into(),
            message: message.into(),
            stack: String::new(),
        }));
    }
}
