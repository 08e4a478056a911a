//! A disk whose requests are carried out by a thread of its own ([`DiskThreads`]). What is locked meanwhile is nothing: a vCPU that reads or
//! writes a register waits for no request, but for the one under way when it resets the device, whose buffers are then its own again.

use std::fs::File;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, fcntl_getfl, flock};
use rustix::io::Errno;

use super::image::DiskImage;
use super::request::{Answer, Request};
use super::worker::{DiskThreads, Jobs};
use super::{Access, Block, BlockState, QUEUE_SIZE, REQUEST_MAX};
use crate::devices::interrupt::SlotInterrupt;
use crate::devices::limits::RateLimit;
use crate::devices::schedule::Schedule;
use crate::devices::virtio::mmio::{Transport, TransportState};
use crate::devices::{dead_thread, lock};
use crate::error::{ErrorCode, Result, VmmError};
use crate::memory::GuestMemory;

/// Longest that a vCPU waits for the request under way when it resets the device.
const RESET_MAX: Duration = Duration::from_secs(30);

type DiskTransport = Transport<Block>;

/// A disk of a microVM.
pub(in crate::devices) struct Disk(Arc<Shared>);

struct Shared {
    transport: Mutex<DiskTransport>,
    /// A request was carried out, or the queue is not served any more.
    changed: Condvar,
    image: Option<File>,
    memory: GuestMemory,
    schedule: Arc<Schedule>,
    transfer: Arc<Jobs>,
    flush: Arc<Jobs>,
}

/// What a disk is made with.
pub(in crate::devices) struct DiskParts<'a> {
    pub(in crate::devices) id: &'static str,
    pub(in crate::devices) image: Option<DiskImage>,
    pub(in crate::devices) access: Access,
    pub(in crate::devices) limit: &'a RateLimit,
    pub(in crate::devices) interrupt: SlotInterrupt,
    pub(in crate::devices) memory: GuestMemory,
    pub(in crate::devices) schedule: &'a Arc<Schedule>,
    pub(in crate::devices) threads: &'a DiskThreads,
}

impl Disk {
    /// A disk named `id` (at most 20 bytes) with the contents of an image, or of capacity 0 without one, as a snapshot has it or as no
    /// driver has touched it. An image that is written to must not be another microVM's.
    pub(in crate::devices) fn new(parts: DiskParts<'_>, state: Option<&TransportState>) -> Result<Self> {
        let DiskParts { id, image, access, limit, interrupt, memory, schedule, threads } = parts;
        if let (Some(DiskImage { file, .. }), Access::ReadWrite) = (&image, access) {
            claim(file, id)?;
        }
        let block = Block::new(id, image.as_ref().map_or(0, |image| image.sectors), access, limit);
        let transport = match state {
            Some(state) => Transport::restore(block, interrupt, memory.clone(), state)?,
            None => Transport::new(block, interrupt, memory.clone())?,
        };
        Ok(Self(Arc::new(Shared {
            transport: Mutex::new(transport),
            changed: Condvar::new(),
            image: image.map(|image| image.file),
            memory,
            schedule: Arc::clone(schedule),
            transfer: threads.transfer(),
            flush: threads.flush(),
        })))
    }

    /// Capacity in sectors of 512 bytes.
    pub(in crate::devices) fn capacity(&self) -> Result<u64> {
        Ok(self.lock()?.device().capacity)
    }

    /// Bytes read from the image into guest memory, written from guest memory to the image, and notifications.
    pub(in crate::devices) fn counts(&self) -> Result<[u64; 3]> {
        let transport = self.lock()?;
        let block = transport.device();
        Ok([block.bytes_read, block.bytes_written, transport.notifications()])
    }

    pub(in crate::devices) fn read(&self, offset: u64, data: &mut [u8]) -> Result<()> {
        self.lock()?.read(offset, data);
        Ok(())
    }

    pub(in crate::devices) fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut transport = self.lock()?;
        let epoch = transport.device().epoch;
        transport.write(offset, data);
        if transport.device().epoch != epoch {
            return self.wait_for_request(transport);
        }
        if std::mem::take(&mut transport.device_mut().is_notified) {
            self.0.begin(transport);
        }
        Ok(())
    }

    /// Waits until no request is being carried out.
    fn wait_for_request(&self, mut transport: MutexGuard<'_, DiskTransport>) -> Result<()> {
        let deadline = Instant::now() + RESET_MAX;
        while transport.device().is_busy {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            transport = self.wait(transport, left)?;
        }
        Ok(())
    }

    /// Goes on with what is in the queue.
    pub(in crate::devices) fn kick(&self) -> Result<()> {
        let transport = self.lock()?;
        if self.0.has_work(&transport) {
            self.0.begin(transport);
        }
        Ok(())
    }

    /// Goes on with what a rate limit has held back until now; returns until when it holds something back.
    pub(in crate::devices) fn kick_due(&self, now: Instant) -> Result<Option<Instant>> {
        let transport = self.lock()?;
        let held = transport.held_until();
        if held.is_some_and(|held| held <= now) {
            self.0.begin(transport);
            return Ok(None);
        }
        Ok(held)
    }

    /// From here on nothing is taken from the queue. What was taken is still answered.
    pub(in crate::devices) fn hold(&self) -> Result<()> {
        self.lock()?.device_mut().is_held = true;
        Ok(())
    }

    /// The opposite of [`Disk::hold`].
    pub(in crate::devices) fn release(&self) -> Result<()> {
        self.lock()?.device_mut().is_held = false;
        self.kick()
    }

    /// Whether [`Disk::hold`] is in force.
    pub(in crate::devices) fn is_held(&self) -> Result<bool> {
        Ok(self.lock()?.device().is_held)
    }

    /// Waits until everything that was taken from the queue is answered.
    ///
    /// # Errors
    /// [`ErrorCode::SnapshotRefused`] if that takes longer than until the deadline.
    pub(in crate::devices) fn drain(&self, deadline: Instant) -> Result<()> {
        let mut transport = self.lock()?;
        while !transport.device().is_idle() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let id = transport.device().id;
                return Err(VmmError::new(
                    ErrorCode::SnapshotRefused,
                    format!("disk {id} has not answered what the guest asked of it in time; try again later"),
                ));
            }
            transport = self.wait(transport, left)?;
        }
        Ok(())
    }

    /// The state for a snapshot; `capacity` is what the guest was told.
    pub(in crate::devices) fn state(&self, capacity: Option<u64>) -> Result<BlockState> {
        let transport = self.lock()?;
        let capacity = capacity.unwrap_or(transport.device().capacity);
        Ok(BlockState { capacity, transport: transport.state() })
    }

    /// Whether what was written is being made durable.
    #[cfg(test)]
    pub(in crate::devices) fn is_flushing(&self) -> bool {
        self.lock().is_ok_and(|transport| transport.device().is_flushing)
    }

    /// Tells the guest that the capacity is another one.
    pub(in crate::devices) fn config_changed(&self) -> Result<()> {
        let mut transport = self.lock()?;
        transport.config_changed();
        Transport::release(transport)
    }

    fn lock(&self) -> Result<MutexGuard<'_, DiskTransport>> {
        lock(&self.0.transport)
    }

    fn wait<'a>(
        &self,
        transport: MutexGuard<'a, DiskTransport>,
        limit: Duration,
    ) -> Result<MutexGuard<'a, DiskTransport>> {
        let waited = self.0.changed.wait_timeout(transport, limit);
        waited.map(|(transport, _)| transport).map_err(|_| dead_thread())
    }
}

impl Shared {
    /// Whether there is something in the queue to serve.
    fn has_work(&self, transport: &DiskTransport) -> bool {
        let block = transport.device();
        let is_free = !block.is_serving && !block.is_held && !block.is_full();
        let has_available = || transport.queues().iter().any(|queue| queue.has_available(&self.memory));
        is_free && transport.is_running() && has_available()
    }

    /// Has the queue served, unless it is already.
    fn begin(self: &Arc<Self>, mut transport: MutexGuard<'_, DiskTransport>) {
        let block = transport.device_mut();
        if block.is_held || std::mem::replace(&mut block.is_serving, true) {
            return;
        }
        drop(transport);
        let shared = Arc::clone(self);
        self.transfer.push(Box::new(move || shared.note(Self::serve(&shared))));
    }

    /// An error here has no vCPU to be told to.
    fn note(&self, outcome: Result<()>) {
        if let Err(error) = outcome {
            self.schedule.fail(error);
        }
    }

    /// Carries out what is in the queue, at most a queue's worth of requests and of bytes; if there is more it has its turn behind what other
    /// disks have to do. What was done is given back to the driver at the end, with one interrupt.
    fn serve(self: &Arc<Self>) -> Result<()> {
        let mut done: Vec<Answer> = Vec::new();
        let mut moved = 0_u64;
        loop {
            let mut transport = lock(&self.transport)?;
            if transport.device().is_busy {
                transport.device_mut().is_busy = false;
                self.changed.notify_all();
            }
            if let Some(last) = done.last() {
                moved = moved.saturating_add(last.bytes_read).saturating_add(last.bytes_written);
                transport.device_mut().account(last);
            }
            let is_spent = moved >= REQUEST_MAX || done.len() >= usize::from(QUEUE_SIZE);
            let mut next: Option<Request<'_>> = None;
            transport.drive(|block, queues, _| {
                let [queue] = queues else { return Ok(()) };
                if !is_spent {
                    next = block.take(queue, &self.memory)?;
                }
                if next.is_none() {
                    block.answer(queue, &self.memory, done.drain(..))?;
                }
                Ok(())
            });
            let Some(request) = next else {
                Transport::release(transport)?;
                // Not idle before the interrupt is raised: a snapshot would miss it.
                return self.finish(lock(&self.transport)?);
            };
            transport.device_mut().is_busy = true;
            drop(transport);
            done.push(request.perform(self.image.as_ref()));
        }
    }

    /// Ends a turn.
    fn finish(self: &Arc<Self>, mut transport: MutexGuard<'_, DiskTransport>) -> Result<()> {
        let held_until = transport.held_until();
        if let Some(at) = held_until {
            self.schedule.fire_at(at)?;
        }
        transport.device_mut().is_serving = false;
        let block = transport.device_mut();
        if !block.flushes.is_empty() && !std::mem::replace(&mut block.is_flushing, true) {
            let shared = Arc::clone(self);
            self.flush.push(Box::new(move || shared.note(Self::make_durable(&shared))));
        }
        self.changed.notify_all();
        if held_until.is_none() && self.has_work(&transport) {
            self.begin(transport);
        }
        Ok(())
    }

    /// Answers the requests to flush. One fdatasync(2) answers all that were taken before it began.
    fn make_durable(self: &Arc<Self>) -> Result<()> {
        loop {
            let mut transport = lock(&self.transport)?;
            let (count, epoch) = (transport.device().flushes.len(), transport.device().epoch);
            if count == 0 || !transport.is_running() {
                transport.device_mut().flushes.clear();
                transport.device_mut().is_flushing = false;
                self.changed.notify_all();
                // An answer has made room for requests that wait.
                if self.has_work(&transport) {
                    self.begin(transport);
                }
                return Ok(());
            }
            drop(transport);
            let is_durable = self.image.as_ref().is_some_and(|image| image.sync_data().is_ok());
            let mut transport = lock(&self.transport)?;
            transport.drive(|block, queues, _| match queues {
                [queue] if block.epoch == epoch => {
                    block.answer_flushes(queue, &self.memory, count, is_durable)
                }
                _ => Ok(()),
            });
            Transport::release(transport)?;
        }
    }
}

/// Checks that a file can be written to, and keeps other microVMs from it.
fn claim(file: &File, id: &str) -> Result<()> {
    let flags = fcntl_getfl(file)
        .map_err(VmmError::wrap(ErrorCode::Io, format!("reading how the image of disk {id} is open")))?;
    if !flags.contains(OFlags::RDWR) || flags.contains(OFlags::APPEND) {
        return Err(VmmError::new(
            ErrorCode::Config,
            format!("the image of disk {id} is not open for reading and writing anywhere; open it so"),
        ));
    }
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Err(VmmError::new(
            ErrorCode::Config,
            format!("the image of disk {id} is in use by another microVM; give each a copy of its own"),
        )),
        // A file system that has no locks protects nothing, and works.
        _ => Ok(()),
    }
}
