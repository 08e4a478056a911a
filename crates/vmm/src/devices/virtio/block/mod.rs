//! A disk, section 5.2 of the specification: read-only, or a scratch disk.
//!
//! | module | what |
//! |---|---|
//! | [`image`] | a file whose size can be a disk's |
//! | `request` | what a guest asks for, read once, and carrying it out |
//! | `transfer` | between a file and guest memory, without a copy |
//! | `disk` | a disk whose requests a thread of its own carries out |
//! | `worker` | the threads of disks |
//!
//! A request is in the available ring, is being carried out, or is answered; one that the rate limit holds back stays in the ring. While it
//! is carried out nothing is locked. A snapshot waits for those that were taken.

mod disk;
pub(in crate::devices) mod image;
mod request;
#[cfg(test)]
mod scratch_tests;
#[cfg(test)]
mod tests;
mod transfer;
mod worker;

use std::collections::VecDeque;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_SEG_MAX, VIRTIO_BLK_F_SIZE_MAX, VIRTIO_BLK_S_IOERR,
    VIRTIO_BLK_S_OK,
};
use vm_memory::{Bytes, GuestAddress};

pub(in crate::devices) use self::disk::{Disk, DiskParts};
pub use self::worker::DiskThreads;

use self::request::{Answer, Asked, Request};
use super::device::VirtioDevice;
use super::mmio::TransportState;
use super::queue::{QueueFault, VirtQueue};
use crate::devices::limits::RateLimit;
use crate::devices::rate_limiter::RateLimiter;
use crate::memory::GuestMemory;

const QUEUE_SIZE: u16 = 128;
/// Most data segments of a request: a queue's worth of descriptors without header and status.
const SEGMENTS_MAX: u32 = 126;
/// Most bytes of a segment; the largest page of any guest.
const SEGMENT_SIZE_MAX: u32 = 64 << 10;
/// Most bytes of a request, and so of all that an honest driver, whose requests share the queue's descriptors, has under way. After as
/// much the guest hears of what is done, and another disk has its turn.
const REQUEST_MAX: u64 = SEGMENTS_MAX as u64 * SEGMENT_SIZE_MAX as u64;

/// State of a disk in a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockState {
    /// Capacity that the guest was told, in sectors of 512 bytes.
    pub capacity: u64,
    /// Registers and queue.
    pub transport: TransportState,
}

/// What the guest may do with a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::devices) enum Access {
    Read,
    ReadWrite,
}

/// What the guest sees of a disk, and how far its requests are.
pub(in crate::devices) struct Block {
    id: &'static str,
    access: Access,
    capacity: u64,
    limiter: RateLimiter,
    held_until: Option<Instant>,
    /// Requests to make durable what was written, at most a queue's worth.
    flushes: VecDeque<Flush>,
    /// Counts resets: what was taken before one is not answered behind it.
    epoch: u64,
    /// The driver has notified the queue since somebody looked.
    is_notified: bool,
    /// Nothing is taken from the queue: the microVM stands still.
    is_held: bool,
    /// The queue is being served, or will be in a moment.
    is_serving: bool,
    /// A request is being carried out.
    is_busy: bool,
    /// What was written is being made durable, or will be in a moment.
    is_flushing: bool,
    bytes_read: u64,
    bytes_written: u64,
}

/// A FLUSH that was taken from the queue.
struct Flush {
    /// Its chain.
    head: u16,
    /// Where its status goes: a byte of guest memory, when the chain was taken.
    status: GuestAddress,
}

impl Block {
    fn new(id: &'static str, capacity: u64, access: Access, limit: &RateLimit) -> Self {
        Self {
            id,
            access,
            capacity,
            limiter: RateLimiter::new(limit),
            held_until: None,
            flushes: VecDeque::new(),
            epoch: 0,
            is_notified: false,
            is_held: false,
            is_serving: false,
            is_busy: false,
            is_flushing: false,
            bytes_read: 0,
            bytes_written: 0,
        }
    }

    /// Whether nothing that was taken from the queue waits for an answer.
    fn is_idle(&self) -> bool {
        !self.is_serving && !self.is_flushing
    }

    /// Counts what a request that was carried out has moved.
    fn account(&mut self, done: &Answer) {
        self.limiter.charge(done.bytes_read.wrapping_add(done.bytes_written));
        self.bytes_read = self.bytes_read.wrapping_add(done.bytes_read);
        self.bytes_written = self.bytes_written.wrapping_add(done.bytes_written);
    }

    /// Takes the next request that has to be carried out. Those to flush wait apart.
    fn take<'m>(
        &mut self,
        queue: &mut VirtQueue,
        memory: &'m GuestMemory,
    ) -> std::result::Result<Option<Request<'m>>, QueueFault> {
        self.held_until = None;
        while !self.is_held && !self.is_full() && queue.has_available(memory) {
            self.held_until = self.limiter.held_until();
            if self.held_until.is_some() {
                break;
            }
            let Some(taken) = queue.take(memory)? else { break };
            let chain = taken.chain.unwrap_or_default();
            match Request::read(self, taken.head, chain) {
                Asked::Now(request) => return Ok(Some(request)),
                Asked::Flush(status) => {
                    self.limiter.charge(0);
                    self.flushes.push_back(Flush { head: taken.head, status });
                }
            }
        }
        Ok(None)
    }

    /// An honest driver has no more requests under way than the queue has descriptors. One that is not honest waits.
    fn is_full(&self) -> bool {
        self.flushes.len() >= usize::from(QUEUE_SIZE)
    }

    /// Gives requests that were carried out back to the driver, unless it has reset the device meanwhile.
    fn answer(
        &self,
        queue: &mut VirtQueue,
        memory: &GuestMemory,
        answers: impl Iterator<Item = Answer>,
    ) -> std::result::Result<(), QueueFault> {
        for answer in answers {
            if answer.epoch == self.epoch && queue.is_ready() {
                queue.complete(memory, answer.head, answer.written)?;
            }
        }
        Ok(())
    }

    /// Answers so many of the requests to flush, the first ones.
    fn answer_flushes(
        &mut self,
        queue: &mut VirtQueue,
        memory: &GuestMemory,
        count: usize,
        is_durable: bool,
    ) -> std::result::Result<(), QueueFault> {
        let code = if is_durable { VIRTIO_BLK_S_OK } else { VIRTIO_BLK_S_IOERR };
        let [code, ..] = code.to_le_bytes();
        let count = count.min(self.flushes.len());
        for flush in self.flushes.drain(..count) {
            // The driver may have stopped the queue meanwhile.
            if queue.is_ready() {
                memory.write_obj(code, flush.status).map_err(|_| QueueFault)?;
                queue.complete(memory, flush.head, 1)?;
            }
        }
        Ok(())
    }
}

impl VirtioDevice for Block {
    const ID: u32 = 2;
    const QUEUE_SIZES: &'static [u16] = &[QUEUE_SIZE];

    fn features(&self) -> u64 {
        let access = match self.access {
            Access::Read => VIRTIO_BLK_F_RO,
            Access::ReadWrite => VIRTIO_BLK_F_FLUSH,
        };
        1 << access | 1 << VIRTIO_BLK_F_SEG_MAX | 1 << VIRTIO_BLK_F_SIZE_MAX
    }

    fn config(&self) -> Vec<u8> {
        let mut config = self.capacity.to_le_bytes().to_vec();
        config.extend(SEGMENT_SIZE_MAX.to_le_bytes());
        config.extend(SEGMENTS_MAX.to_le_bytes());
        config
    }

    /// The work is a thread's, see [`Disk`].
    fn notified(
        &mut self,
        _queue: usize,
        _queues: &mut [VirtQueue],
        _memory: &GuestMemory,
    ) -> std::result::Result<(), QueueFault> {
        self.is_notified = true;
        Ok(())
    }

    fn held_until(&self) -> Option<Instant> {
        self.held_until
    }

    /// Whoever asked for what is under way does not want to hear of it any more.
    fn reset(&mut self) {
        self.held_until = None;
        self.is_notified = false;
        self.epoch = self.epoch.wrapping_add(1);
        self.flushes.clear();
    }
}
