//! What the JavaScript thread tells the supervisor.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use crate::failure::Failure;
use crate::packet::Work;
use crate::pending::{Answer, Connections};

/// Something to do.
pub enum Command {
    /// Send a request.
    Request {
        /// Chosen by JavaScript, unique in this microVM.
        id: u32,
        /// What is wanted.
        work: Work,
        /// Settled by the response.
        answer: Answer,
    },
    /// Tell which jail the process is in, when it is.
    Jailed {
        /// Chosen as a request's.
        id: u32,
        /// Settled when the process is in its jail.
        answer: Answer,
    },
    /// Reject a request; its response, if it comes, is ignored.
    Cancel {
        /// Number of the request.
        id: u32,
        /// With what to reject it.
        failure: Failure,
    },
    /// Kill the process.
    Close {
        /// Settled when the process is gone.
        answer: Option<Answer>,
    },
}

/// A queue of commands that wakes the supervisor.
pub struct Inbox {
    state: Mutex<State>,
}

struct State {
    commands: Vec<Command>,
    receiver: Receiver,
    /// The process, once it was spawned and until it was reaped.
    process: Option<Arc<OwnedFd>>,
    /// For JavaScript to take. Closed with this object if its thread ends before.
    stream: Option<OwnedFd>,
    console: Option<OwnedFd>,
}

/// The supervisor, as the JavaScript thread sees it. The JavaScript object may live long after its process.
enum Receiver {
    Listens(Arc<OwnedFd>),
    Ended(Failure),
}

impl Inbox {
    /// An empty queue, and the descriptor that is readable while something may be in it.
    ///
    /// # Errors
    /// FIRN_IO if there are no descriptors left.
    pub fn new() -> Result<(Self, Arc<OwnedFd>), Failure> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(Failure::io("create an eventfd"))?;
        let wake = Arc::new(wake);
        let state = State {
            commands: Vec::new(),
            receiver: Receiver::Listens(Arc::clone(&wake)),
            process: None,
            stream: None,
            console: None,
        };
        Ok((Self { state: Mutex::new(state) }, wake))
    }

    /// Adds a command, or settles it at once if the process has ended.
    pub fn push(&self, command: Command) {
        let mut state = self.lock();
        match &state.receiver {
            Receiver::Listens(wake) => {
                // Fails only when the counter is full, and then the supervisor is awake anyway.
                let _ = rustix::io::write(wake, &1_u64.to_ne_bytes());
                state.commands.push(command);
            }
            Receiver::Ended(failure) => {
                let failure = failure.clone();
                drop(state);
                command.settle(&failure);
            }
        }
    }

    /// All commands so far, in their order.
    pub fn take(&self) -> Vec<Command> {
        let mut state = self.lock();
        if let Receiver::Listens(wake) = &state.receiver {
            // Nothing to read means that nobody has written since.
            let _ = rustix::io::read(wake, &mut [0_u8; 8]);
        }
        std::mem::take(&mut state.commands)
    }

    /// Leaves Node's ends of what a microVM is connected to.
    pub fn deposit(&self, connections: Connections) {
        let mut state = self.lock();
        state.stream = Some(connections.stream);
        state.console = connections.console;
    }

    /// Takes Node's end of the agent stream, once.
    pub fn take_stream(&self) -> Option<OwnedFd> {
        self.lock().stream.take()
    }

    /// Takes the read end of the console's pipe, once, if there is one.
    pub fn take_console(&self) -> Option<OwnedFd> {
        self.lock().console.take()
    }

    /// Makes the process known by its pidfd, and again when another one has taken its place.
    pub fn spawned(&self, pidfd: Arc<OwnedFd>) {
        self.lock().process = Some(pidfd);
    }

    /// Whether the process runs now; asks the kernel.
    pub fn is_running(&self) -> bool {
        let Some(pidfd) = self.lock().process.clone() else { return false };
        let mut fds = [PollFd::new(&*pidfd, PollFlags::IN)];
        // A pidfd is readable when its process has ended.
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready == 0)
    }

    /// Settles all commands that wait and all that will come.
    pub fn end(&self, failure: &Failure) {
        let mut state = self.lock();
        state.receiver = Receiver::Ended(failure.clone());
        state.process = None;
        let commands = std::mem::take(&mut state.commands);
        drop(state);
        for command in commands {
            command.settle(failure);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Command {
    fn settle(self, failure: &Failure) {
        match self {
            Self::Request { answer, .. } | Self::Jailed { answer, .. } => answer.settle(Err(failure.clone())),
            Self::Close { answer: Some(answer) } => answer.settle(Ok(crate::reply::Reply::Done)),
            Self::Cancel { .. } | Self::Close { answer: None } => {}
        }
    }
}
