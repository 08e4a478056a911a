//! What devices count.

use serde::{Deserialize, Serialize};

/// Counts since the devices of this process were made; all but the balloon's size only ever grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceCounters {
    /// Reads of device frames.
    pub mmio_reads: u64,
    /// Writes to device frames.
    pub mmio_writes: u64,
    /// Writes to a virtio QueueNotify register.
    pub queue_notifications: u64,
    /// Interrupts raised.
    pub interrupts_raised: u64,
    /// Bytes written to the agent stream.
    pub bytes_to_stream: u64,
    /// Bytes read from the agent stream.
    pub bytes_from_stream: u64,
    /// Bytes read from disk images into guest memory.
    pub disk_bytes_read: u64,
    /// Bytes written from guest memory to disk images.
    pub disk_bytes_written: u64,
    /// Bytes of console output that were lost because nobody read them in time.
    pub console_bytes_dropped: u64,
    /// Ethernet frames that the guest got.
    pub net_frames_received: u64,
    /// Ethernet frames of the guest that were taken for the link.
    pub net_frames_sent: u64,
    /// Ethernet frames, in either direction, that were none, or that the link was not there for or refused.
    pub net_frames_dropped: u64,
    /// Random bytes that the guest got.
    pub random_bytes_given: u64,
    /// Bytes of guest memory that the guest has given back, by its balloon or by reports of free pages.
    pub balloon_bytes_reclaimed: u64,
    /// Bytes that the guest says are in its balloon now.
    pub balloon_bytes: u64,
}
