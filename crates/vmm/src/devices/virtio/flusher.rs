//! Making what a guest has written to a disk durable, on a thread of its own: on a slow card that takes seconds, for which neither the
//! vCPU that asks nor one that wants another device may wait.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::event::{EventfdFlags, eventfd};

use crate::error::{ErrorCode, Result, VmmError};
use crate::jail::seccomp::confine_flusher_thread;

/// Flushes are numbered from 1 in the order in which they are asked for. One fdatasync(2) answers all that were asked for before it
/// began.
#[derive(Default)]
struct Progress {
    /// The last flush that was asked for.
    asked: u64,
    /// The last one that is answered, and was collected.
    answered: u64,
    /// The last one that the thread has answered, and whether it succeeded, until that is collected.
    outcome: Option<Flushed>,
    is_ending: bool,
}

/// The outcome of all flushes up to a number that had none before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flushed {
    pub(super) up_to: u64,
    pub(super) is_durable: bool,
}

struct Shared {
    progress: Mutex<Progress>,
    changed: Condvar,
    /// Readable when there is an outcome.
    event: OwnedFd,
}

impl Shared {
    /// Nothing that holds this lock can panic; what it guards is sound in any case.
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The thread that flushes one disk. Dropping it waits for the flush that is under way.
pub(super) struct Flusher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    /// A thread that flushes `file`, for the disk named `id`.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] if there can be no thread or no descriptor for it.
    pub(super) fn new(file: &File, id: &str) -> Result<Self> {
        let file = file
            .try_clone()
            .map_err(VmmError::wrap(ErrorCode::Io, format!("sharing the image of disk {id}")))?;
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(VmmError::wrap(ErrorCode::Io, "creating an eventfd"))?;
        let shared =
            Arc::new(Shared { progress: Mutex::new(Progress::default()), changed: Condvar::new(), event });
        let worker = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("flush".to_owned())
            .spawn(move || work(&worker, &file))
            .map_err(VmmError::wrap(ErrorCode::Io, format!("starting the thread that flushes disk {id}")))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Becomes readable when [`Flusher::collect`] has something to tell.
    pub(super) fn fd(&self) -> RawFd {
        self.shared.event.as_raw_fd()
    }

    /// Asks for a flush; returns its number.
    pub(super) fn ask(&self) -> u64 {
        let mut progress = self.shared.lock();
        progress.asked = progress.asked.wrapping_add(1);
        self.shared.changed.notify_all();
        progress.asked
    }

    /// What has become of flushes since the last call, if anything.
    pub(super) fn collect(&self) -> Option<Flushed> {
        let mut progress = self.shared.lock();
        let outcome = progress.outcome.take()?;
        progress.answered = outcome.up_to;
        self.shared.changed.notify_all();
        // Nothing to read means that the thread is about to write: the next call finds nothing, which does no harm.
        let _empty = rustix::io::read(self.shared.event.as_fd(), &mut [0_u8; 8]);
        Some(outcome)
    }

    /// Waits until there is something to collect; false if nothing comes before the deadline, or nothing was asked for.
    pub(super) fn wait(&self, deadline: Instant) -> bool {
        let mut progress = self.shared.lock();
        while progress.outcome.is_none() && progress.asked != progress.answered {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            progress = match self.shared.changed.wait_timeout(progress, left) {
                Ok((progress, _)) => progress,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        progress.outcome.is_some()
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.shared.lock().is_ending = true;
        self.shared.changed.notify_all();
        // The image is released when nobody has it open any more.
        let _panicked = self.thread.take().map(JoinHandle::join);
    }
}

/// Flushes whenever somebody asks for it. An outcome is collected before the next flush begins, so that there is never more than one.
fn work(shared: &Shared, file: &File) {
    let is_confined = confine_flusher_thread().is_ok();
    loop {
        let mut progress = shared.lock();
        while !progress.is_ending && (progress.asked == progress.answered || progress.outcome.is_some()) {
            progress = shared.changed.wait(progress).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        if progress.is_ending {
            return;
        }
        let up_to = progress.asked;
        drop(progress);
        // Out of its jail it must not do what a guest asks for.
        let is_durable = is_confined && file.sync_data().is_ok();
        shared.lock().outcome = Some(Flushed { up_to, is_durable });
        shared.changed.notify_all();
        // The counter of an eventfd takes 2^64 - 1 events.
        let _full = rustix::io::write(shared.event.as_fd(), &1_u64.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn deadline() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn every_flush_is_answered_once_and_in_order() {
        let flusher = Flusher::new(&tempfile::tempfile().unwrap(), "x").unwrap();
        assert_eq!(flusher.collect(), None);
        assert!(!flusher.wait(deadline()), "nothing was asked for");
        let mut answered = 0;
        for asked in 1..=50 {
            assert_eq!(flusher.ask(), asked);
            if asked % 3 == 0 {
                assert!(flusher.wait(deadline()));
                let outcome = flusher.collect().unwrap();
                assert!(outcome.is_durable && outcome.up_to > answered && outcome.up_to <= asked);
                answered = outcome.up_to;
            }
        }
        while flusher.wait(deadline()) {
            answered = flusher.collect().unwrap().up_to;
        }
        assert_eq!(answered, 50);
    }

    #[test]
    fn a_file_that_cannot_be_flushed_is_not_durable() {
        let (_reader, writer) = std::io::pipe().unwrap();
        let flusher = Flusher::new(&OwnedFd::from(writer).into(), "x").unwrap();
        flusher.ask();
        assert!(flusher.wait(deadline()));
        assert_eq!(flusher.collect(), Some(Flushed { up_to: 1, is_durable: false }));
    }

    #[test]
    fn the_descriptor_tells_of_an_outcome_until_it_is_collected() {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let flusher = Flusher::new(&tempfile::tempfile().unwrap(), "x").unwrap();
        let is_readable = |seconds| {
            let timeout = Timespec { tv_sec: seconds, tv_nsec: 0 };
            let event = flusher.shared.event.as_fd();
            poll(&mut [PollFd::from_borrowed_fd(event, PollFlags::IN)], Some(&timeout)).unwrap() == 1
        };
        assert!(!is_readable(0));
        flusher.ask();
        assert!(is_readable(10));
        assert!(flusher.collect().is_some());
        assert!(!is_readable(0));
    }
}
