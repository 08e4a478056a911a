//! The controller's hold of a VMM process, over its fork into the jail.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, pidfd_open, waitid,
};

/// A `firn-vmm` process: the one that was started, and when it has announced its successor, the one that took its place. What has not been heard of, such as a successor before it is announced, is of the same process group, and is ended
/// and reaped with it.
#[derive(Debug)]
pub struct ProcessHandle {
    pid: u32,
    pidfd: Arc<OwnedFd>,
    /// The process that was started, by which the group is called.
    group: Pid,
    succeeded: bool,
    ended: Option<ExitStatus>,
}

impl ProcessHandle {
    /// Takes over a process that was just started, in a process group of its own (`process_group(0)`).
    ///
    /// # Errors
    /// If there are no descriptors left; then the process is gone.
    pub fn new(mut started: Child) -> io::Result<Self> {
        let pid = started.id();
        let group = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
        match pidfd_open(group, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self { pid, pidfd: Arc::new(pidfd), group, succeeded: false, ended: None }),
            Err(error) => {
                let _ended = kill_process_group(group, Signal::KILL);
                started.wait()?;
                reap_all(group)?;
                Err(error.into())
            }
        }
    }

    /// Goes over to the process that took the place of the one that was started, and reaps that. Believe this only of a process that
    /// has not yet said that it is in its jail.
    ///
    /// # Errors
    /// If it happens twice.
    pub fn succeed(&mut self, pid: u32, pidfd: OwnedFd) -> io::Result<()> {
        if std::mem::replace(&mut self.succeeded, true) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a process has one successor"));
        }
        (self.pid, self.pidfd) = (pid, Arc::new(pidfd));
        // It has nothing left to do, and the successor waits for its end.
        reap(&WaitId::Pid(self.group))?;
        Ok(())
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

    /// Kills it and all of its group; without effect if it was waited for.
    pub fn kill(&self) {
        // Another group may be called so by then.
        if self.ended.is_none() {
            let _ended = kill_process_group(self.group, Signal::KILL);
        }
    }

    /// Waits until it has ended, ends what is left of its group, and reaps all of it.
    ///
    /// # Errors
    /// If somebody else has reaped it.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.ended {
            return Ok(status);
        }
        let own = WaitId::PidFd(self.pidfd.as_fd());
        // Not reaped yet: its number keeps that of the group from being used again.
        let _ended = wait_for(&own, WaitIdOptions::NOWAIT);
        self.kill();
        let status = reap(&own);
        reap_all(self.group)?;
        let status = status?;
        let raw = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => code << 8,
            (None, signal) => signal.unwrap_or_default(),
        };
        Ok(*self.ended.insert(ExitStatus::from_raw(raw)))
    }
}

fn reap(which: &WaitId<'_>) -> rustix::io::Result<WaitIdStatus> {
    wait_for(which, WaitIdOptions::empty())
}

fn wait_for(which: &WaitId<'_>, how: WaitIdOptions) -> rustix::io::Result<WaitIdStatus> {
    // __WALL: the signal of its end is a process's own affair, and decides whether a plain wait sees it.
    let all = WaitIdOptions::from_bits_retain(libc::__WALL.cast_unsigned());
    let options = how | WaitIdOptions::EXITED | all;
    loop {
        match waitid(which.clone(), options) {
            Ok(Some(status)) => return Ok(status),
            Ok(None) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reaps every process of a group until there is none.
fn reap_all(group: Pid) -> io::Result<()> {
    loop {
        match reap(&WaitId::Pgid(Some(group))) {
            Ok(_) => {}
            Err(Errno::CHILD) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
