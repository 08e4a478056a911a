//! The controller's hold of a VMM process, over its fork into the jail.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};

/// A `firn-vmm` process: the one that was started, and from its [`Message::Successor`](crate::control::Message::Successor) on the one
/// that took its place.
#[derive(Debug)]
pub struct ProcessHandle {
    pid: u32,
    pidfd: Arc<OwnedFd>,
    /// The process that was started, until it is reaped.
    started: Child,
    succeeded: bool,
}

impl ProcessHandle {
    /// Takes over a process that was just started.
    ///
    /// # Errors
    /// If there are no descriptors left; then the process is gone.
    pub fn new(mut started: Child) -> io::Result<Self> {
        let pid = started.id();
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
        match pidfd_open(number, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self { pid, pidfd: Arc::new(pidfd), started, succeeded: false }),
            Err(error) => {
                started.kill()?;
                started.wait()?;
                Err(error.into())
            }
        }
    }

    /// Goes over to the process that took the place of the one that was started, and reaps that. Believe this only of a process that
    /// has not yet said [`Message::Jailed`](crate::control::Message::Jailed).
    ///
    /// # Errors
    /// If it happens twice.
    pub fn succeed(&mut self, pid: u32, pidfd: OwnedFd) -> io::Result<()> {
        if std::mem::replace(&mut self.succeeded, true) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a process has one successor"));
        }
        (self.pid, self.pidfd) = (pid, Arc::new(pidfd));
        // It has nothing left to do, and the successor waits for its end.
        self.started.wait().map(|_| ())
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Refers to the process even after its number is used again; readable when it has ended.
    pub fn pidfd(&self) -> &Arc<OwnedFd> {
        &self.pidfd
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(&*self.pidfd, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
    }

    /// Kills it; without effect if it has ended.
    pub fn kill(&self) {
        let _ended = pidfd_send_signal(&*self.pidfd, Signal::KILL);
    }

    /// Waits until it has ended and reaps it; to be called once.
    ///
    /// # Errors
    /// If somebody else has reaped it.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        if !self.succeeded {
            return self.started.wait();
        }
        loop {
            // __WALL: the signal of its end is its own affair, and decides whether a plain wait sees it.
            let options =
                WaitIdOptions::EXITED | WaitIdOptions::from_bits_retain(libc::__WALL.cast_unsigned());
            match waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
                Ok(Some(status)) => {
                    let raw = match (status.exit_status(), status.terminating_signal()) {
                        (Some(code), _) => code << 8,
                        (None, signal) => signal.unwrap_or_default(),
                    };
                    return Ok(ExitStatus::from_raw(raw));
                }
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
