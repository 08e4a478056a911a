//! The descriptor that becomes readable when work that was held back may go on.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::error::{ErrorCode, Result, VmmError};

/// A timer of the host's monotonic clock, by which devices do what they held back.
pub struct Timer {
    fd: OwnedFd,
    /// When it fires next, if it was set.
    armed: Option<Instant>,
}

impl Timer {
    /// A timer that is not set.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Io`] if the process can have no more descriptors.
    pub fn new() -> Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)
            .map_err(VmmError::wrap(ErrorCode::Io, "create the timer of the devices"))?;
        Ok(Self { fd, armed: None })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Has the timer fire at this time, or earlier if it is set to; whoever it wakes sets it again.
    pub(super) fn fire_at(&mut self, at: Instant) -> Result<()> {
        if self.armed.is_some_and(|armed| armed <= at) {
            return Ok(());
        }
        // A time of zero would disarm it.
        let wait = at.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let value = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: wait.subsec_nanos().into(),
        };
        let interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(
            &self.fd,
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: interval, it_value: value },
        )
        .map_err(VmmError::wrap(ErrorCode::Io, "set the timer of the devices"))?;
        self.armed = Some(at);
        Ok(())
    }

    /// Makes the descriptor unreadable again, if the timer has fired.
    pub(super) fn acknowledge(&mut self) {
        // Nothing to read means that it has been set anew since it fired.
        if self.armed.is_some() && rustix::io::read(&self.fd, &mut [0_u8; 8]).is_ok() {
            self.armed = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    fn wait(timer: &Timer, milliseconds: i64) -> bool {
        let timeout = Timespec { tv_sec: 0, tv_nsec: milliseconds * 1_000_000 };
        poll(&mut [PollFd::from_borrowed_fd(timer.fd.as_fd(), PollFlags::IN)], Some(&timeout)).unwrap() == 1
    }

    #[test]
    fn fires_at_the_earliest_of_the_times_and_once() {
        let start = Instant::now();
        let mut timer = Timer::new().unwrap();
        timer.fire_at(start + Duration::from_secs(3600)).unwrap();
        timer.fire_at(start + Duration::from_millis(20)).unwrap();
        timer.fire_at(start + Duration::from_secs(1800)).unwrap();
        assert!(wait(&timer, 999));
        assert!(start.elapsed() >= Duration::from_millis(20));
        timer.acknowledge();
        assert!(!wait(&timer, 0));
    }

    #[test]
    fn a_time_that_has_passed_fires_at_once() {
        let mut timer = Timer::new().unwrap();
        timer.fire_at(Instant::now()).unwrap();
        assert!(wait(&timer, 999));
    }
}
