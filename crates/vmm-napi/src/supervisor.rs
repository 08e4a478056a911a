//! The one thread of a microVM: spawns its process, sends, receives, reaps.

use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use firn_vmm::control::{Event, Message, Request};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{Shutdown, shutdown};

use crate::ending::Ending;
use crate::event::EventSink;
use crate::failure::Failure;
use crate::inbox::{Command, Inbox};
use crate::jail::JailWish;
use crate::packet::{Packet, Work};
use crate::pending::{Answer, Kept, Pending};
use crate::reply::{JailReport, Reply};
use crate::spawn::{Spawned, spawn};

/// A process that has said that it ends, or has closed its control socket, is killed after this time.
const GRACE: Duration = Duration::from_secs(5);

/// Spawns `binary` and serves the inbox until the process is gone. At the end every promise is settled, the process is reaped,
/// and the exit event is sent.
pub fn supervise(binary: &str, jail: &JailWish, inbox: &Inbox, wake: &OwnedFd, mut events: EventSink) {
    let (ending, closers) = match spawn(binary, jail) {
        Err(failure) => (Ending::Crashed(failure), Vec::new()),
        Ok(spawned) => {
            inbox.spawned(Arc::clone(spawned.process.pidfd()));
            let mut supervisor = Supervisor {
                spawned,
                jail: None,
                ask_jail: Vec::new(),
                inbox,
                wake,
                events: &mut events,
                pending: Pending::default(),
                closers: Vec::new(),
                said: None,
                closing: false,
                control_open: true,
                rings_due: 0,
                kill_at: None,
            };
            let served = catch_unwind(AssertUnwindSafe(|| supervisor.serve()));
            if served.is_err() {
                supervisor.said =
                    Some(Ending::Failed(Failure::internal("the supervisor of a microVM panicked")));
                supervisor.kill();
            }
            supervisor.finish()
        }
    };
    inbox.end(&ending.for_requests());
    events.exit(&ending);
    for answer in closers {
        answer.settle(Ok(Reply::Done));
    }
}

struct Supervisor<'a> {
    spawned: Spawned,
    /// Set when the process has said that it is in its jail.
    jail: Option<JailReport>,
    /// Who wants to be told then.
    ask_jail: Vec<u32>,
    inbox: &'a Inbox,
    /// Readable while something may be in the inbox.
    wake: &'a OwnedFd,
    events: &'a mut EventSink,
    pending: Pending,
    closers: Vec<Answer>,
    said: Option<Ending>,
    closing: bool,
    control_open: bool,
    /// How often the doorbell may ring: once for each start and resume that was asked for.
    rings_due: u64,
    kill_at: Option<Instant>,
}

/// Guest memory of the microVM that a request makes of the process, where that is known, in bytes.
fn memory_bytes(request: &Request, of_layers: Option<u64>) -> Option<u64> {
    match request {
        Request::Boot(boot) => Some(boot.memory_bytes),
        _ => of_layers,
    }
}

/// Which descriptors have something.
#[derive(Debug, Default)]
struct Ready {
    inbox: bool,
    control: bool,
    stderr: bool,
    exited: bool,
}

impl Supervisor<'_> {
    /// Returns when the process has ended.
    fn serve(&mut self) {
        loop {
            let ready = self.wait(self.kill_at.map(|at| at.saturating_duration_since(Instant::now())));
            if ready.inbox {
                for command in self.inbox.take() {
                    self.obey(command);
                }
            }
            if ready.stderr {
                self.spawned.stderr.read();
            }
            if ready.control {
                self.receive();
            }
            if ready.exited && self.has_ended() {
                return;
            }
            if self.kill_at.is_some_and(|at| at <= Instant::now()) {
                self.kill();
                self.kill_at = None;
            }
        }
    }

    /// Whether the process has ended, and no other one has taken its place.
    fn has_ended(&mut self) -> bool {
        while self.control_open && self.wait(Some(Duration::ZERO)).control {
            self.receive();
        }
        self.spawned.process.has_ended()
    }

    fn wait(&self, timeout: Option<Duration>) -> Ready {
        let mut fds = vec![
            PollFd::new(self.spawned.process.pidfd(), PollFlags::IN),
            PollFd::new(self.wake, PollFlags::IN),
        ];
        let control = self.control_open.then(|| self.spawned.control.as_fd());
        let stderr = self.spawned.stderr.readable();
        fds.extend(control.iter().chain(&stderr).map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        if poll(&mut fds, timeout.as_ref()).is_err() {
            return Ready::default();
        }
        let mut revents = fds.iter().map(|fd| !fd.revents().is_empty());
        Ready {
            exited: revents.next().unwrap_or(false),
            inbox: revents.next().unwrap_or(false),
            control: control.is_some() && revents.next().unwrap_or(false),
            stderr: stderr.is_some() && revents.next().unwrap_or(false),
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Request { id, work, answer } => self.request(id, work, answer),
            Command::Jailed { id, answer } => self.jailed(id, answer),
            Command::Cancel { id, failure } => self.settle(id, Err(failure)),
            Command::Close { answer } => {
                self.closing = true;
                self.closers.extend(answer);
                self.kill();
            }
        }
    }

    fn jailed(&mut self, id: u32, answer: Answer) {
        self.pending.insert(id, answer, Kept::default());
        match &self.jail {
            Some(report) => self.settle(id, Ok(Reply::Jail(report.clone()))),
            None => self.ask_jail.push(id),
        }
    }

    fn settle(&mut self, id: u32, result: Result<Reply, Failure>) {
        let pid = self.spawned.process.pid();
        self.pending.settle(id, pid, result, |connections| self.inbox.deposit(connections));
    }

    fn request(&mut self, id: u32, work: Work, answer: Answer) {
        if self.closing {
            answer.settle(Err(Failure::closed()));
            return;
        }
        match work.open(id) {
            Err(failure) => answer.settle(Err(failure)),
            Ok(Packet { frame, descriptors, kept }) => {
                if matches!(frame.request, Request::Boot(_) | Request::Restore(_) | Request::Resume) {
                    self.rings_due = self.rings_due.saturating_add(1);
                }
                let memory = memory_bytes(&frame.request, kept.memory_bytes);
                if let Some(Err(failure)) = memory.map(|bytes| self.spawned.granted.limit_memory(bytes)) {
                    return answer.settle(Err(failure));
                }
                self.pending.insert(id, answer, kept);
                let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
                match self.spawned.control.send(&frame, &borrowed) {
                    Ok(()) => {}
                    // The process is going down: its exit says more than a broken socket does.
                    Err(_) if !self.control_open || self.has_hung_up() => {}
                    Err(error) => self.settle(id, Err(error.into())),
                }
            }
        }
    }

    fn has_hung_up(&self) -> bool {
        let mut fds = [PollFd::new(&self.spawned.control, PollFlags::empty())];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok()
            && fds.iter().any(|fd| fd.revents().contains(PollFlags::HUP))
    }

    /// Takes one message; the control socket must be readable.
    fn receive(&mut self) {
        match self.spawned.control.receive::<Message>() {
            Ok(Some(received)) => self.hear(received.message, received.descriptors),
            Ok(None) => {
                self.control_open = false;
                self.expect_exit();
            }
            Err(error) => {
                self.control_open = false;
                self.break_off(error.into());
            }
        }
    }

    fn hear(&mut self, message: Message, mut descriptors: Vec<OwnedFd>) {
        match message {
            // What comes out of a jail is not believed this.
            Message::Successor { pid } if self.jail.is_none() => {
                let succeeded = descriptors.pop().map(|pidfd| self.spawned.process.succeed(pid, pidfd));
                if matches!(succeeded, Some(Ok(()))) {
                    self.inbox.spawned(Arc::clone(self.spawned.process.pidfd()));
                } else {
                    self.break_off(Failure::new("FIRN_PROTOCOL", "firn-vmm named no successor that it has"));
                }
            }
            Message::Jailed(mut report) if self.jail.is_none() => {
                report.missing.append(&mut self.spawned.granted.missing);
                let report = JailReport::from(report);
                for id in std::mem::take(&mut self.ask_jail) {
                    self.settle(id, Ok(Reply::Jail(report.clone())));
                }
                self.jail = Some(report);
            }
            Message::Successor { .. } | Message::Jailed(_) => {
                self.break_off(Failure::new("FIRN_PROTOCOL", "firn-vmm says that it enters its jail twice"));
            }
            Message::Response { id, result } => {
                self.settle(id, result.map(Reply::from).map_err(Failure::from));
            }
            Message::Event(Event::Doorbell { event, detail }) => match self.rings_due.checked_sub(1) {
                Some(rest) => {
                    self.rings_due = rest;
                    self.events.doorbell(event, detail);
                }
                // Each ring takes time of the JavaScript thread, which a process must not have at will.
                None => self.break_off(Failure::new(
                    "FIRN_PROTOCOL",
                    "firn-vmm says that its guest rings the doorbell while it stands still; treat the microVM as hostile",
                )),
            },
            Message::Event(Event::Stopped { reset }) => {
                self.said.get_or_insert(if reset { Ending::Reset } else { Ending::Stopped });
                self.expect_exit();
            }
            Message::Event(Event::Failed(error)) => {
                self.said.get_or_insert(Ending::Failed(error.into()));
                self.expect_exit();
            }
        }
    }

    /// The process waits for our end to close before it goes; what it says until then is still heard.
    fn expect_exit(&mut self) {
        // Fails only when the other end is closed already.
        let _ = shutdown(&self.spawned.control, Shutdown::Write);
        self.kill_at.get_or_insert(Instant::now() + GRACE);
    }

    fn break_off(&mut self, failure: Failure) {
        self.said.get_or_insert(Ending::Failed(failure));
        self.kill();
    }

    fn kill(&self) {
        self.spawned.process.kill();
    }

    /// Reaps the process, hears what it said last, and rejects what it left unanswered.
    fn finish(mut self) -> (Ending, Vec<Answer>) {
        let status = self.spawned.process.wait();
        let at_once = Some(Duration::ZERO);
        while self.control_open && self.wait(at_once).control {
            self.receive();
        }
        self.spawned.stderr.read();
        let ending = match (self.said.take(), status) {
            (Some(said), _) => said,
            (None, _) if self.closing => Ending::Closed,
            (None, Ok(status)) => {
                Ending::crashed(self.spawned.process.pid(), status, &self.spawned.stderr.text())
            }
            (None, Err(error)) => Ending::Failed(Failure::io("wait for firn-vmm")(error)),
        };
        self.pending.reject_all(&ending.for_requests());
        (ending, self.closers)
    }
}
