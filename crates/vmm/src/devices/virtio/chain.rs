//! The buffers of a descriptor chain as slices of guest memory.
//!
//! Descriptors are read once, when the chain is taken; what the guest does to the table afterwards changes nothing. Devices
//! do not depend on how a driver cuts its buffers into descriptors (section 2.7.4 of the specification).

use virtio_queue::DescriptorChain;
use vm_memory::bitmap::MS;
use vm_memory::{Address, GuestAddress, GuestMemory as _, Permissions, VolatileSlice};

use crate::memory::GuestMemory;

/// A piece of guest memory; writes through it are recorded in the memory's bitmap.
pub(super) type GuestSlice<'m> = VolatileSlice<'m, MS<'m, GuestMemory>>;

/// Most descriptors that a chain may have; the largest queue of any device.
const DESCRIPTORS_MAX: usize = 128;

/// Consecutive bytes, cut into slices of guest memory.
#[derive(Default)]
pub(super) struct Buffers<'m>(Vec<GuestSlice<'m>>);

impl<'m> Buffers<'m> {
    pub(super) fn slices(&self) -> &[GuestSlice<'m>] {
        &self.0
    }

    /// Length in bytes.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(VolatileSlice::len).fold(0, usize::saturating_add)
    }

    /// The bytes before `at` and those from there on; nothing if there are fewer than `at`.
    pub(super) fn split(self, at: usize) -> Option<(Self, Self)> {
        let (mut before, mut after) = (Self::default(), Self::default());
        let mut wanted = at;
        for slice in self.0 {
            let cut = wanted.min(slice.len());
            let (left, right) = slice.split_at(cut).ok()?;
            if !left.is_empty() {
                before.0.push(left);
            }
            if !right.is_empty() {
                after.0.push(right);
            }
            wanted -= cut;
        }
        (wanted == 0).then_some((before, after))
    }

    /// The first `length` bytes, or all if there are fewer.
    pub(super) fn truncated(self, length: usize) -> Self {
        let length = length.min(self.len());
        self.split(length).map(|(before, _)| before).unwrap_or_default()
    }

    /// Copies from the start into `bytes`; returns how many were there.
    pub(super) fn copy_to(&self, bytes: &mut [u8]) -> usize {
        let mut copied = 0usize;
        for slice in &self.0 {
            let Some(rest) = bytes.get_mut(copied..) else { break };
            copied = copied.saturating_add(slice.copy_to(rest));
        }
        copied
    }

    /// Copies `bytes` to the start; returns for how many there was room.
    pub(super) fn copy_from(&self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        for slice in &self.0 {
            let (now, later) = rest.split_at(rest.len().min(slice.len()));
            slice.copy_from(now);
            rest = later;
        }
        bytes.len() - rest.len()
    }
}

/// A descriptor chain: what the device may read, then what it may write.
#[derive(Default)]
pub(super) struct Chain<'m> {
    pub(super) readable: Buffers<'m>,
    pub(super) writable: Buffers<'m>,
    /// Guest physical address of the last byte that the device may write, for what is written after the chain was left alone.
    pub(super) last_writable: Option<GuestAddress>,
}

impl<'m> Chain<'m> {
    /// Reads the descriptors of a chain. Nothing if it is malformed: too long, outside guest memory, or with something
    /// to read behind something to write.
    pub(super) fn read(
        memory: &'m GuestMemory,
        descriptors: DescriptorChain<&'m GuestMemory>,
    ) -> Option<Self> {
        let mut chain = Self::default();
        for (count, descriptor) in descriptors.enumerate() {
            if count >= DESCRIPTORS_MAX {
                return None;
            }
            let buffers = if descriptor.is_write_only() {
                &mut chain.writable
            } else if chain.writable.0.is_empty() {
                &mut chain.readable
            } else {
                return None;
            };
            let length = usize::try_from(descriptor.len()).ok()?;
            let access = if descriptor.is_write_only() { Permissions::Write } else { Permissions::Read };
            for slice in memory.get_slices(descriptor.addr(), length, access).ok()? {
                buffers.0.push(slice.ok()?);
            }
            if let (true, Some(last)) =
                (descriptor.is_write_only(), u64::from(descriptor.len()).checked_sub(1))
            {
                chain.last_writable = descriptor.addr().checked_add(last);
            }
        }
        Some(chain)
    }
}
