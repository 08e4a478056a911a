//! What devices count.

use serde::{Deserialize, Serialize};

/// Counts since the devices of this process were made; all only ever grow.
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
    /// Bytes of console output that were lost because nobody read them in time.
    pub console_bytes_dropped: u64,
}
