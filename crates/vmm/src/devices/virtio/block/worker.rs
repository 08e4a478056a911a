//! The threads that do the work of disks: on a slow card a request takes long, for which no vCPU may wait, and neither may the thread that
//! serves the controller. One reads and writes; the other makes durable what was written, which takes longest.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::error::{ErrorCode, Result, VmmError};
use crate::jail::seccomp::confine_disk_thread;

/// Something to do, in the order in which it was asked for.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// The threads of one microVM's disks. They wait until there are disks: make them before it is known what is to be started. Dropping this
/// waits for the job that is under way, so that an image is free when its microVM is gone.
pub struct DiskThreads {
    transfer: Worker,
    flush: Worker,
}

impl DiskThreads {
    /// Starts the threads, each in its own jail if the process has one.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] if the host has no thread to give, [`ErrorCode::JailUnavailable`] if one cannot be confined.
    pub fn start() -> Result<Self> {
        Ok(Self { transfer: Worker::start("disk")?, flush: Worker::start("flush")? })
    }

    /// Where reads and writes are asked for.
    pub(super) fn transfer(&self) -> Arc<Jobs> {
        Arc::clone(&self.transfer.jobs)
    }

    /// Where it is asked for what was written to become durable.
    pub(super) fn flush(&self) -> Arc<Jobs> {
        Arc::clone(&self.flush.jobs)
    }
}

/// What a thread has to do. A disk never asks for more than one thing at a time, so that a guest cannot make it grow.
#[derive(Default)]
pub(super) struct Jobs {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    /// What came of the thread's own jail, until the one that starts it has taken it.
    confined: Option<Result<()>>,
    is_ending: bool,
}

impl Jobs {
    /// Has the thread do something when it has done what it was asked for before, unless it is to end.
    pub(super) fn push(&self, job: Job) {
        let mut state = self.lock();
        if !state.is_ending {
            state.waiting.push_back(job);
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Waits for something to do. Nothing if the thread is to end.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.is_ending {
                return None;
            }
            if let Some(job) = state.waiting.pop_front() {
                return Some(job);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Notes whether the thread is in its jail.
    fn note_confined(&self, outcome: Result<()>) {
        self.lock().confined = Some(outcome);
        self.changed.notify_one();
    }

    /// Waits for the thread to be in its jail.
    fn wait_confined(&self) -> Result<()> {
        let mut state = self.lock();
        loop {
            if let Some(outcome) = state.confined.take() {
                return outcome;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Has the thread end. What was not begun is not done.
    fn end(&self) {
        let mut state = self.lock();
        state.is_ending = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.changed.notify_one();
        // Without the lock: a job may be the last to have a disk.
        drop(waiting);
    }

    /// Nothing that holds this lock can panic; what it guards is sound in any case.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Worker {
    jobs: Arc<Jobs>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn start(name: &str) -> Result<Self> {
        let jobs = Arc::new(Jobs::default());
        let own = Arc::clone(&jobs);
        let work = move || {
            let outcome = confine_disk_thread();
            let is_confined = outcome.is_ok();
            own.note_confined(outcome);
            // Out of its jail it must not do what a guest asks for.
            while is_confined && let Some(job) = own.next() {
                job();
            }
        };
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(work)
            .map_err(VmmError::wrap(ErrorCode::Io, format!("start the {name} thread")))?;
        let worker = Self { jobs, thread: Some(thread) };
        worker.jobs.wait_confined()?;
        Ok(worker)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs.end();
        let _panicked = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn jobs_are_done_in_order_and_what_was_not_begun_is_dropped() {
        let threads = DiskThreads::start().unwrap();
        let (sender, receiver) = mpsc::channel();
        let (started, begun) = mpsc::channel();
        let (release, gate) = mpsc::channel::<()>();
        for number in 0..3 {
            let sender = sender.clone();
            threads.transfer().push(Box::new(move || sender.send(number).unwrap()));
        }
        assert_eq!([0; 3].map(|_| receiver.recv().unwrap()), [0, 1, 2]);
        threads.transfer().push(Box::new(move || {
            started.send(()).unwrap();
            let _released = gate.recv();
        }));
        let late = sender.clone();
        threads.transfer().push(Box::new(move || late.send(9).unwrap()));
        // The other thread goes on while this one is busy.
        let other = sender.clone();
        threads.flush().push(Box::new(move || other.send(7).unwrap()));
        assert_eq!(receiver.recv(), Ok(7));
        begun.recv().unwrap();
        threads.transfer().end();
        release.send(()).unwrap();
        drop((threads, sender));
        assert!(receiver.recv().is_err());
    }
}
