//! A split virtqueue, with what a guest can get wrong in it.

use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use virtio_bindings::virtio_ring::VRING_AVAIL_F_NO_INTERRUPT;
use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueState as RawState, QueueT};
use vm_memory::{Bytes, GuestAddress};

use super::chain::Chain;
use crate::error::{ErrorCode, Result, VmmError};
use crate::memory::GuestMemory;

/// The driver broke the rules of the queue itself, so that nothing in it can be trusted: the device needs a reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::devices) struct QueueFault;

/// State of a queue in a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueState {
    /// Size in descriptors that the driver chose.
    pub size: u16,
    /// Whether the driver has set the queue up.
    pub ready: bool,
    /// Index of the next entry to take from the available ring.
    pub next_available: u16,
    /// Index of the next entry to write to the used ring.
    pub next_used: u16,
    /// Guest physical address of the descriptor table.
    pub descriptor_table: u64,
    /// Guest physical address of the available ring.
    pub available_ring: u64,
    /// Guest physical address of the used ring.
    pub used_ring: u64,
}

/// A chain taken from a queue. It is given back with [`VirtQueue::complete`].
pub(super) struct Taken<'m> {
    pub(super) head: u16,
    /// Nothing if the chain is malformed; it is given back all the same.
    pub(super) chain: Option<Chain<'m>>,
}

/// A virtqueue of a device.
pub(in crate::devices) struct VirtQueue {
    queue: Queue,
    used: bool,
}

/// An address register pair of the transport.
#[derive(Debug, Clone, Copy)]
pub(super) enum RingAddress {
    DescriptorTable,
    AvailableRing,
    UsedRing,
}

impl VirtQueue {
    /// A queue of at most `size_max` descriptors, a power of two.
    pub(super) fn new(size_max: u16) -> Result<Self> {
        let queue = Queue::new(size_max).map_err(VmmError::wrap(ErrorCode::Device, "making a virtqueue"))?;
        Ok(Self { queue, used: false })
    }

    pub(super) fn restore(size_max: u16, state: &QueueState, memory: &GuestMemory) -> Result<Self> {
        let raw = RawState {
            max_size: size_max,
            next_avail: state.next_available,
            next_used: state.next_used,
            event_idx_enabled: false,
            size: state.size,
            ready: state.ready,
            desc_table: state.descriptor_table,
            avail_ring: state.available_ring,
            used_ring: state.used_ring,
        };
        let queue = Queue::try_from(raw)
            .map_err(VmmError::wrap(ErrorCode::SnapshotCorrupt, "restoring a virtqueue"))?;
        if queue.ready() && !queue.is_valid(memory) {
            return Err(VmmError::new(
                ErrorCode::SnapshotCorrupt,
                "a virtqueue of the snapshot lies outside guest memory",
            ));
        }
        Ok(Self { queue, used: false })
    }

    pub(super) fn state(&self) -> QueueState {
        let raw = self.queue.state();
        QueueState {
            size: raw.size,
            ready: raw.ready,
            next_available: raw.next_avail,
            next_used: raw.next_used,
            descriptor_table: raw.desc_table,
            available_ring: raw.avail_ring,
            used_ring: raw.used_ring,
        }
    }

    pub(super) fn size(&self) -> u16 {
        self.queue.size()
    }

    pub(super) fn size_max(&self) -> u16 {
        self.queue.max_size()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.queue.ready()
    }

    /// Chooses the size; what is not a power of two up to the largest size is ignored.
    pub(super) fn set_size(&mut self, size: u32) {
        if let Ok(size) = u16::try_from(size) {
            self.queue.set_size(size);
        }
    }

    /// Sets one half of an address; a misaligned address is ignored.
    pub(super) fn set_address(&mut self, which: RingAddress, low: Option<u32>, high: Option<u32>) {
        match which {
            RingAddress::DescriptorTable => self.queue.set_desc_table_address(low, high),
            RingAddress::AvailableRing => self.queue.set_avail_ring_address(low, high),
            RingAddress::UsedRing => self.queue.set_used_ring_address(low, high),
        }
    }

    /// Starts the queue, if all of it lies in guest memory.
    pub(super) fn start(&mut self, memory: &GuestMemory) {
        self.queue.set_ready(true);
        if !self.queue.is_valid(memory) {
            self.queue.set_ready(false);
        }
    }

    pub(super) fn reset(&mut self) {
        self.queue.reset();
        self.used = false;
    }

    /// Takes the next chain that the driver made available.
    pub(super) fn take<'m>(
        &mut self,
        memory: &'m GuestMemory,
    ) -> std::result::Result<Option<Taken<'m>>, QueueFault> {
        let taken = self.take_descriptors(memory)?;
        Ok(taken.map(|(head, descriptors)| Taken { head, chain: Chain::read(memory, descriptors) }))
    }

    /// The same as the head and the descriptors, for a device to which what they name is not a buffer.
    pub(super) fn take_descriptors<'m>(
        &mut self,
        memory: &'m GuestMemory,
    ) -> std::result::Result<Option<(u16, DescriptorChain<&'m GuestMemory>)>, QueueFault> {
        if !self.queue.ready() {
            return Ok(None);
        }
        let Some(descriptors) = self.queue.iter(memory).map_err(|_| QueueFault)?.next() else {
            return Ok(None);
        };
        let head = descriptors.head_index();
        if head >= self.queue.size() {
            return Err(QueueFault);
        }
        Ok(Some((head, descriptors)))
    }

    /// Puts the chain that was taken last back, as if it had not been taken.
    pub(super) fn put_back(&mut self) {
        self.queue.go_to_previous_position();
    }

    /// Gives a chain back to the driver with the number of bytes written into it.
    pub(super) fn complete(
        &mut self,
        memory: &GuestMemory,
        head: u16,
        written: u32,
    ) -> std::result::Result<(), QueueFault> {
        self.queue.add_used(memory, head, written).map_err(|_| QueueFault)?;
        self.used = true;
        Ok(())
    }

    /// Whether the driver made a chain available that was not taken.
    pub(super) fn has_available(&self, memory: &GuestMemory) -> bool {
        self.queue.ready()
            && self
                .queue
                .avail_idx(memory, Ordering::Acquire)
                .is_ok_and(|available| available.0 != self.queue.next_avail())
    }

    /// Whether chains were given back since the last call and the driver wants to hear of it.
    pub(super) fn take_interrupt(&mut self, memory: &GuestMemory) -> std::result::Result<bool, QueueFault> {
        if !std::mem::take(&mut self.used) {
            return Ok(false);
        }
        // Also orders the used index before the load of the driver's flags.
        let wanted = self.queue.needs_notification(memory).map_err(|_| QueueFault)?;
        let flags: u16 = memory
            .load(GuestAddress(self.queue.avail_ring()), Ordering::Relaxed)
            .map(u16::from_le)
            .map_err(|_| QueueFault)?;
        Ok(wanted && u32::from(flags) & VRING_AVAIL_F_NO_INTERRUPT == 0)
    }
}
