//! What a transport asks of a device.

use std::time::Instant;

use super::queue::{QueueFault, VirtQueue};
use crate::memory::GuestMemory;

/// A device behind a virtio transport.
pub(in crate::devices) trait VirtioDevice {
    /// Device type, section 5 of the specification.
    const ID: u32;
    /// Largest size of each queue, in descriptors.
    const QUEUE_SIZES: &'static [u16];

    /// Feature bits that are offered, beside VIRTIO_F_VERSION_1.
    fn features(&self) -> u64;

    /// The configuration space, little-endian.
    fn config(&self) -> Vec<u8>;

    /// The driver writes to the configuration space.
    fn write_config(&mut self, _offset: u64, _data: &[u8]) {}

    /// Works on a queue that the driver notified. The work is bounded by the size of the queues.
    fn notified(
        &mut self,
        queue: usize,
        queues: &mut [VirtQueue],
        memory: &GuestMemory,
    ) -> Result<(), QueueFault>;

    /// When work that a rate limit holds back may go on; [`VirtioDevice::notified`] then does it.
    fn held_until(&self) -> Option<Instant> {
        None
    }

    /// The driver resets the device.
    fn reset(&mut self);
}
