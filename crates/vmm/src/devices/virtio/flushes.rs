//! FLUSH requests of a disk that are under way.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::RawFd;
use std::time::Instant;

use virtio_bindings::virtio_blk::{VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK};
use vm_memory::{Bytes, GuestAddress};

use super::flusher::Flusher;
use super::queue::{QueueFault, VirtQueue};
use crate::error::{ErrorCode, Result, VmmError};
use crate::memory::GuestMemory;

/// Requests in the order in which they were taken from the queue, and the thread that works on them.
pub(super) struct Flushes {
    flusher: Flusher,
    waiting: VecDeque<Flush>,
}

struct Flush {
    /// Its number at the [`Flusher`].
    number: u64,
    /// Its chain.
    head: u16,
    /// Where its status goes: a byte of guest memory, when the chain was taken.
    status: GuestAddress,
}

impl Flushes {
    /// Flushes of `file`, the image of the disk named `id`.
    pub(super) fn new(file: &File, id: &str) -> Result<Self> {
        Ok(Self { flusher: Flusher::new(file, id)?, waiting: VecDeque::new() })
    }

    /// Readable when [`Flushes::answer`] has something to do.
    pub(super) fn fd(&self) -> RawFd {
        self.flusher.fd()
    }

    pub(super) fn count(&self) -> usize {
        self.waiting.len()
    }

    /// Begins with a request.
    pub(super) fn begin(&mut self, head: u16, status: GuestAddress) {
        self.waiting.push_back(Flush { number: self.flusher.ask(), head, status });
    }

    /// Answers the requests that are done.
    pub(super) fn answer(
        &mut self,
        queue: &mut VirtQueue,
        memory: &GuestMemory,
    ) -> std::result::Result<(), QueueFault> {
        let Some(flushed) = self.flusher.collect() else { return Ok(()) };
        let code = if flushed.is_durable { VIRTIO_BLK_S_OK } else { VIRTIO_BLK_S_IOERR };
        let [code, ..] = code.to_le_bytes();
        while let Some(flush) = self.waiting.pop_front_if(|flush| flush.number <= flushed.up_to) {
            // The driver may have stopped the queue meanwhile.
            if queue.is_ready() {
                memory.write_obj(code, flush.status).map_err(|_| QueueFault)?;
                queue.complete(memory, flush.head, 1)?;
            }
        }
        Ok(())
    }

    /// Waits until there is something to answer.
    ///
    /// # Errors
    /// [`ErrorCode::SnapshotRefused`] if that takes longer than until the deadline.
    pub(super) fn wait(&self, deadline: Instant) -> Result<()> {
        if self.flusher.wait(deadline) {
            return Ok(());
        }
        Err(VmmError::new(
            ErrorCode::SnapshotRefused,
            "what the guest has written to its scratch disk is being made durable, which takes long; try again later",
        ))
    }

    /// Nobody wants to hear of the requests under way any more.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
    }
}
