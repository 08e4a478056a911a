//! When devices go on with what they held back, and what has gone wrong where no vCPU asks.

use std::os::fd::RawFd;
use std::sync::Mutex;
use std::time::Instant;

use super::lock;
use super::timer::Timer;
use crate::error::{Result, VmmError};

/// The timer of all devices. It may be set while a device is locked, and locks none.
pub(super) struct Schedule {
    timer: Mutex<Timer>,
    failure: Mutex<Option<VmmError>>,
}

impl Schedule {
    pub(super) fn new(timer: Timer) -> Self {
        Self { timer: Mutex::new(timer), failure: Mutex::new(None) }
    }

    pub(super) fn fd(&self) -> Result<RawFd> {
        Ok(lock(&self.timer)?.fd())
    }

    /// As [`Timer::fire_at`].
    pub(super) fn fire_at(&self, at: Instant) -> Result<()> {
        lock(&self.timer)?.fire_at(at)
    }

    /// Whoever is woken by the timer asks this first, and every device after it.
    ///
    /// # Errors
    /// What [`Schedule::fail`] was told.
    pub(super) fn acknowledge(&self) -> Result<()> {
        lock(&self.timer)?.acknowledge();
        lock(&self.failure)?.take().map_or(Ok(()), Err)
    }

    /// Ends the microVM, by the timer.
    pub(super) fn fail(&self, error: VmmError) {
        if let Ok(mut failure) = lock(&self.failure) {
            failure.get_or_insert(error);
        }
        // Where it cannot be set the timer's own error would be the same one.
        let _unheard = self.fire_at(Instant::now());
    }
}
